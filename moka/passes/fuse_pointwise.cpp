// Pointwise operators that hand tensors to each other become one fused_region, which reads and writes memory once.
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

struct Group {
  std::vector<Node*> nodes;  // in the order of the block
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
      if (is_pointwise(*n)) take(n);
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
    for (Value* v : n->inputs()) {
      const auto at = group_of_.find(v->producer());
      if (at == group_of_.end() || !groups_[at->second]) continue;
      const size_t other = at->second;
      if (!surely_same(v->type.dims, n->output()->type.dims)) continue;
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
    if (!find_borders(*out)) return nullptr;
    return out;
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
        if (is_number(v) || members.count(v->producer())) continue;
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
           !g.results.empty() && numbers + 3 * g.nodes.size() + g.inputs.size() <= most_region_values;
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
        if (number && number->tag() == Tag::Bool) text += number->to_bool() ? "true" : "false";
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

int fuse_block(Graph& g, Block& b) {
  int count = 0;
  for (Node* n : b)
    for (const auto& inner : n->blocks()) count += fuse_block(g, *inner);
  return count + Fuser(g, b).run();
}
}  // namespace

int fuse_pointwise(Graph& graph) { return fuse_block(graph, *graph.main()); }

}  // namespace moka::passes
