// Pointwise operators that hand tensors to each other become one fused_region, which reads and writes memory once; sums,
// extrema and norms over the last dimension among them stay in it.
// After fuse_activation and block_channels, whose operators take what follows them for nothing, and after share_common;
// types must be inferred.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "moka/graph/contracts.h"
#include "moka/ops/fused/region.h"
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
bool is_dense(const Type& t) {
  return t.kind == TypeKind::Tensor && t.has_dtype && t.has_dims && t.device.type == 0 &&
         (t.dtype == DType::Bool || is_integral(t.dtype) || is_floating(t.dtype)) && item_size(t.dtype) <= 8;
}
// Dimensions that are the same whatever the sizes are.
bool surely_same(const std::vector<Dim>& a, const std::vector<Dim>& b) {
  if (a != b) return false;
  return std::none_of(a.begin(), a.end(), [](const Dim& d) { return !d.fixed() && d.symbol.empty(); });
}
bool is_number(const Value* v) { return v->constant() && v->constant()->arg().is_number(); }

bool is_pointwise(const Node& n) {
  if (n.kind != NodeKind::Op || !n.op->formula || n.outputs().size() != 1 || !is_dense(n.output()->type))
    return false;
  const Formula& f = n.op->formula;
  if (f.streams > most_region_inputs || n.data_inputs() != f.streams + f.uniforms ||
      n.data_inputs() != static_cast<int>(n.inputs().size()) ||
      !surely_same(n.output()->type.dims, n.output()->type.dims))
    return false;
  bool any = false;
  for (int i = 0; i < n.data_inputs(); i++) {
    const bool tensor = i < f.streams && is_dense(n.input(i)->type);
    if (!tensor && !is_number(n.input(i))) return false;
    any = any || tensor;
  }
  return any;
}

// What the values of a region with rows are: whole, one a row ([..., 1]), one a row without the last dimension.
enum class Level : uint8_t { Whole, Line, Dropped, Other };
using TypeDims = std::vector<Dim>;
Level level_of(const TypeDims& dims, const TypeDims& whole) {
  if (surely_same(dims, whole)) return Level::Whole;
  TypeDims line = whole;
  line.back() = Dim{1, ""};
  if (surely_same(dims, line)) return Level::Line;
  line.pop_back();
  return surely_same(dims, line) ? Level::Dropped : Level::Other;
}
// Every size is 1 but those that belong to rows: what can be read once a row.
bool one_a_row(const Value* v) {
  return is_number(v) || (is_dense(v->type) && (v->type.dims.empty() || v->type.dims.back() == Dim{1, ""}));
}

const Any* constant_of(const Node& n, std::string_view name) {
  const int at = info(*n.op).schema.find_arg(name);
  return at < 0 || at >= n.data_inputs() ? nullptr : n.input(at)->constant();
}
bool is_last(const Any* dim, size_t rank) {
  if (!dim) return false;
  if (dim->tag() == Tag::Ints && dim->ints().size() != 1) return false;
  if (dim->tag() != Tag::Int && dim->tag() != Tag::Ints) return false;
  const int64_t number = dim->tag() == Tag::Int ? dim->to_int() : dim->ints()[0];
  return number == -1 || number == static_cast<int64_t>(rank) - 1;
}
bool is_row_type(const Type& t) { return is_dense(t) && is_floating(t.dtype); }

// Sums, extrema, softmax and norms over the last of at least two dimensions.
bool is_row_work(const Node& n) {
  if (n.kind != NodeKind::Op || n.outputs().size() != 1 ||
      n.data_inputs() != static_cast<int>(n.inputs().size()))
    return false;
  const RowWork work = row_work(*n.op);
  if (work == RowWork::None || !is_row_type(n.input(0)->type) || !is_row_type(n.output()->type)) return false;
  const TypeDims& dims = n.input(0)->type.dims;
  // Longer rows are shared out over threads by their own kernels.
  if (dims.size() < 2 || !surely_same(dims, dims) || dims.back().size > 65536) return false;
  const Schema& schema = info(*n.op).schema;
  for (int i = 0; i < n.data_inputs(); i++) {
    const Any* c = n.input(i)->constant();
    const bool tensor = schema.args[static_cast<size_t>(i)].type.is_tensor_like();
    if (!tensor && !c) return false;
    if (tensor && i > 0 && !(c && c->is_none()) &&
        !(is_row_type(n.input(i)->type) && n.input(i)->type.dims.size() == 1 &&
          surely_same(n.input(i)->type.dims, {dims.back()})))
      return false;
  }
  if (work != RowWork::LayerNorm && work != RowWork::RmsNorm)
    return is_last(constant_of(n, "dim"), dims.size());
  const Any* shape = constant_of(n, "normalized_shape");
  return shape && shape->tag() == Tag::Ints && shape->ints().size() == 1 && dims.back().fixed() &&
         dims.back().size == shape->ints()[0];
}

struct Group {
  std::vector<Node*> nodes;  // in the order of the block
  TypeDims whole;
  bool rows = false;  // some node works on rows of `whole`
  std::vector<Value*> inputs;
  std::vector<Value*> results;
};

class Fuser {
 public:
  Fuser(Graph& g, Block& b) : graph_(g), block_(b) {}

  int run() {
    int order = 0;
    for (Node* n : block_) order_[n] = order++;
    for (Node* n : block_)
      if (is_pointwise(*n) || is_row_work(*n)) take(n);
    int count = 0;
    for (auto& group : groups_)
      if (group && group->nodes.size() > 1) count += write(*group);
    return count;
  }

 private:
  // Joins the node with the groups of its operands where what comes of it can stand at the node's place.
  void take(Node* n) {
    auto own = std::make_unique<Group>();
    own->nodes = {n};
    own->rows = is_row_work(*n);
    own->whole = own->rows ? n->input(0)->type.dims : n->output()->type.dims;
    if (own->rows && own->whole.back() == Dim{1, ""}) own->rows = false;  // of a line: it may join its group
    for (Value* v : n->inputs()) {
      const auto at = group_of_.find(v->producer());
      if (at == group_of_.end() || !groups_[at->second]) continue;
      const size_t other = at->second;
      std::unique_ptr<Group> joined = join(*groups_[other], *own);
      if (!joined) continue;
      groups_[other].reset();
      own = std::move(joined);
    }
    for (Node* member : own->nodes) group_of_[member] = groups_.size();
    groups_.push_back(std::move(own));
  }

  std::unique_ptr<Group> join(const Group& a, const Group& b) {
    auto out = std::make_unique<Group>(a);
    for (Node* n : b.nodes)
      if (std::find(a.nodes.begin(), a.nodes.end(), n) == a.nodes.end()) out->nodes.push_back(n);
    std::sort(out->nodes.begin(), out->nodes.end(), [&](Node* x, Node* y) { return order_[x] < order_[y]; });
    if (out->nodes.size() > most_region_nodes) return nullptr;
    out->rows = a.rows || b.rows;
    if (!surely_same(a.whole, b.whole)) {
      // What is computed of lines belongs to the rows that they are lines of.
      if (!a.rows || b.rows || level_of(b.whole, a.whole) == Level::Other) return nullptr;
    }
    if (!find_borders(*out) || !levels_fit(*out)) return nullptr;
    return out;
  }

  // Whether every node works on the whole, or on one value a row.
  static bool levels_fit(const Group& g) {
    const std::unordered_set<const Node*> members(g.nodes.begin(), g.nodes.end());
    if (!g.rows)
      return std::all_of(g.nodes.begin(), g.nodes.end(), [&](const Node* n) {
        return !is_row_work(*n) && surely_same(n->output()->type.dims, g.whole);
      });
    const auto is_member = [&](const Value* v) { return v->producer() && members.count(v->producer()); };
    const auto level = [&](const Value* v) { return level_of(v->type.dims, g.whole); };
    for (const Node* n : g.nodes) {
      const Level own = level(n->output());
      if (own == Level::Other) return false;
      if (is_row_work(*n)) {
        const Level input = level(n->input(0));
        const bool of_line = input == Level::Line && is_member(n->input(0)) && reduces(row_work(*n->op));
        if (input != Level::Whole && !of_line) return false;
        for (int i = 1; i < n->data_inputs(); i++)
          if (is_member(n->input(i))) return false;
        continue;
      }
      for (int i = 0; i < n->op->formula.streams; i++) {
        const Value* v = n->input(i);
        if (is_number(v)) continue;
        if (own == Level::Dropped ? !is_member(v) || level(v) != Level::Dropped
                                  : is_member(v) && level(v) == Level::Dropped)
          return false;
        if (own == Level::Line && !one_a_row(v)) return false;
      }
    }
    return true;
  }

  // Inputs and results; false where the group cannot be one node at the place of its last.
  bool find_borders(Group& g) {
    g.inputs.clear();
    g.results.clear();
    const std::unordered_set<const Node*> members(g.nodes.begin(), g.nodes.end());
    const int place = order_[g.nodes.back()];
    size_t numbers = 0;
    for (Node* n : g.nodes) {
      for (Value* v : n->inputs()) {
        numbers += is_number(v);
        if ((v->constant() && !v->constant()->is_tensor()) || members.count(v->producer())) continue;
        if (std::find(g.inputs.begin(), g.inputs.end(), v) == g.inputs.end()) g.inputs.push_back(v);
      }
      bool outside = false;
      for (const Value::Use& u : n->output()->uses()) {
        if (u.node && members.count(u.node)) continue;
        outside = true;
        if (u.node && place_of(u.node) < place) return false;
      }
      if (outside) g.results.push_back(n->output());
    }
    return g.inputs.size() <= most_region_inputs && g.results.size() <= most_region_results &&
           !g.results.empty() &&
           numbers + (g.rows ? 5 : 3) * g.nodes.size() + g.inputs.size() <= most_region_values;
  }

  // The place in this block of a node, or of the node in this block that it stands in; blocks' results are last.
  int place_of(const Node* n) const {
    while (n && n->owner() != &block_) n = n->owner()->owner();
    return n ? order_.at(n) : -1;
  }

  static std::string program_of(const Group& g) {
    std::unordered_map<const Value*, int> names;
    std::string text = "(";
    for (const Value* v : g.inputs) {
      text += cat(names.empty() ? "%" : ", %", names.size());
      names.emplace(v, static_cast<int>(names.size()));
    }
    text += ") { ";
    for (const Node* n : g.nodes) {
      text += cat("%", names.size(), " = ", n->op_name());
      if (const int version = contract_version(n->op_name()); version > 1) text += cat("@", version);
      for (int i = 0; i < n->data_inputs(); i++) {
        text += i ? ", " : "(";
        const Any* number = n->input(i)->constant();
        const std::string& argument = info(*n->op).schema.args[static_cast<size_t>(i)].name;
        if (argument == "dim" && is_row_work(*n)) text += number->tag() == Tag::Int ? "-1" : "[-1]";
        else if (number && number->is_none()) text += "none";
        else if (number && number->tag() == Tag::Bool) text += number->to_bool() ? "true" : "false";
        else if (number && !number->is_tensor()) text += cat(*number);
        else text += cat("%", names.at(n->input(i)));
      }
      text += ") ";
      names.emplace(n->output(), static_cast<int>(names.size()));
    }
    text += "return ";
    for (size_t i = 0; i < g.results.size(); i++) text += cat(i ? ", %" : "%", names.at(g.results[i]));
    return text + " }";
  }

  int write(Group& g) {
    MOKA_ASSERT(find_borders(g));  // again: what earlier groups made stands for their nodes
    const bool one = g.results.size() == 1;
    const Op* op = find_op(one ? "fused_region" : "fused_region_all");
    if (!op) return 0;
    Node* last = g.nodes.back();
    const Graph::Point at{&block_, last};
    Node* list = graph_.create(NodeKind::List, at, g.inputs, 1);
    list->output()->type = Type::list(Type::tensor());
    Value* program = graph_.constant(Any(program_of(g)), at);
    Node* node = graph_.create_op(*op, at, std::vector<Value*>{list->output(), program});
    node->name = last->name;
    node->source = last->source;
    Node* made = node;
    if (!one) {
      node->output()->type = Type::list(Type::tensor());
      made = graph_.create(NodeKind::Unpack, at, std::vector<Value*>{node->output()},
                           static_cast<int>(g.results.size()));
    }
    for (Node* n : {list, node, made}) order_[n] = order_[last];
    for (size_t r = 0; r < g.results.size(); r++) {
      Value* to = made->output(static_cast<int>(r));
      to->type = g.results[r]->type;
      to->name = g.results[r]->name;
      g.results[r]->replace_all_uses_with(to);
    }
    for (size_t i = g.nodes.size(); i-- > 0;) g.nodes[i]->destroy();
    return 1;
  }

  Graph& graph_;
  Block& block_;
  std::unordered_map<const Node*, int> order_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::unordered_map<const Node*, size_t> group_of_;
};

// Where nothing is differentiated any more, what was detached is the same tensor.
int drop_detach(Block& b) {
  int count = 0;
  for (Node* n : b)
    if (n->kind == NodeKind::Op && n->op_name() == "detach" && n->inputs().size() == 1 &&
        n->outputs().size() == 1 && n->input(0)->type == n->output()->type) {
      n->output()->replace_all_uses_with(n->input(0));
      n->destroy();
      count++;
    }
  return count;
}

int fuse_block(Graph& g, Block& b) {
  int count = drop_detach(b);
  for (Node* n : b)
    for (const auto& inner : n->blocks()) count += fuse_block(g, *inner);
  return count + Fuser(g, b).run();
}
}  // namespace

int fuse_pointwise(Graph& graph) { return fuse_block(graph, *graph.main()); }

}  // namespace moka::passes
