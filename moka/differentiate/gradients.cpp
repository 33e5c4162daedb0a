// Walks the nodes between y and xs backwards: the derivative of each operator is read as graph nodes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/differentiate/gradients.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "moka/graph/expr.h"
#include "moka/schema/reading.h"

namespace moka::differentiate {

using graph::Block;
using graph::Building;
using graph::Expr;
using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::TypeKind;
using graph::Value;

namespace {

using Values = std::vector<Value*>;

bool may_have_gradient(const Value* v) {
  switch (v->type.kind) {
    case TypeKind::Tensor:
      return !v->type.has_dtype || is_floating(v->type.dtype) || is_complex(v->type.dtype);
    case TypeKind::List:
      return v->type.elements.empty() || v->type.elements[0].kind == TypeKind::Tensor ||
             v->type.elements[0].kind == TypeKind::Any;
    case TypeKind::Any:
    case TypeKind::Optional: return true;
    default: return false;
  }
}
bool is_list(const Value* v) { return v->type.kind == TypeKind::List; }

bool same_fixed_type(const Type& a, const Type& b) {
  if (a.kind != TypeKind::Tensor || b.kind != TypeKind::Tensor || !a.has_dtype || !b.has_dtype ||
      !a.has_dims || !b.has_dims || a.dtype != b.dtype || a.dims.size() != b.dims.size())
    return false;
  for (size_t d = 0; d < a.dims.size(); d++)
    if (!a.dims[d].fixed() || a.dims[d].size != b.dims[d].size) return false;
  return true;
}

Value* call(std::string_view op, std::initializer_list<Expr> args) {
  return graph::emit(get_op(op), std::span(args.begin(), args.size()))[0].value;
}
Value* builtin(std::string_view name, std::initializer_list<Expr> args) {
  return graph::apply(name, std::span(args.begin(), args.size())).value;
}
Value* list_of(const Values& items) {
  std::vector<Expr> parts(items.begin(), items.end());
  return Expr(std::span<const Expr>(parts)).value;
}
// All that a block reads from outside, and its nodes inside blocks.
void read_of(const Block& block, std::set<Value*>& out) {
  for (const Node* n : block) {
    for (Value* v : n->inputs()) out.insert(v);
    for (const auto& b : n->blocks()) read_of(*b, out);
  }
  for (Value* v : block.results()) out.insert(v);
}

void check_repeatable(const Block& block, const Node& around) {
  for (const Node* n : block) {
    MOKA_CHECK_KIND(NotImplemented, !n->has_effects() || n->kind == NodeKind::Get, "gradient of ",
                    around.op_name(), ": its block has effects (", n->op_name(),
                    "), and would have to run again; move them out of it");
    for (const auto& b : n->blocks()) check_repeatable(*b, around);
  }
}

class Reverse {
 public:
  Reverse(Graph& graph, std::span<Value* const> xs) : graph_(graph) { active_.insert(xs.begin(), xs.end()); }

  // Which values of nodes first..last (null: to the end) depend on xs.
  void follow(Node* first, Node* end) {
    for (Node* n = first; n != end; n = n->next()) {
      bool depends = false;
      for (Value* v : n->inputs()) depends |= active(v);
      for (const auto& b : n->blocks()) {
        std::set<Value*> read;
        read_of(*b, read);
        for (Value* v : read) depends |= active(v);
      }
      if (!depends) continue;
      for (Value* v : n->outputs())
        if (may_have_gradient(v)) active_.insert(v);
    }
  }
  bool active(Value* v) const { return active_.count(v) != 0; }
  Value* of(Value* v) const {
    auto found = gradients_.find(v);
    return found == gradients_.end() ? nullptr : found->second;
  }
  void add(Value* v, Value* d) {
    if (!d || !active(v)) return;
    d = fit(d, v);
    Value*& sum = gradients_[v];
    sum = sum ? plus(sum, d, v) : d;
  }
  // From `last` back to `first`, both included; null: nothing.
  void walk(Node* first, Node* last) {
    for (Node* n = last; n; n = n == first ? nullptr : n->previous()) {
      bool asked = false;
      for (Value* v : n->outputs()) asked |= of(v) != nullptr;
      if (!asked) continue;
      Building::current().source = n->source;
      try {
        node(n);
      } catch (Error& e) {
        if (!n->source.scope.empty()) e.add_context(cat("In the gradient of ", n->source.scope));
        throw;
      }
    }
  }

 private:
  void node(Node* n);
  void op(Node* n);
  void body(Node* n);
  void branches(Node* n);
  void loop(Node* n);
  void of_builtin(Node* n);
  Value* gradient_or_zeros(Value* v) {
    if (Value* d = of(v)) return d;
    MOKA_CHECK_KIND(NotImplemented, !is_list(v), "gradient: a list that is used in part");
    return call("zeros_like", {v});
  }
  Value* fit(Value* d, Value* v);
  Value* summed(Value* d, Value* v);
  Value* plus(Value* a, Value* b, Value* v);
  Values captured(const Node* n) const;

  Graph& graph_;
  std::unordered_set<Value*> active_;
  std::unordered_map<Value*, Value*> gradients_;
};

// Sums over what broadcasting added. Where ranks are known by operators that have derivatives themselves.
Value* Reverse::summed(Value* d, Value* v) {
  const Type &from = d->type, &to = v->type;
  if (from.kind == TypeKind::Tensor && to.kind == TypeKind::Tensor && from.has_dims && to.has_dims &&
      from.dims.size() >= to.dims.size()) {
    const size_t more = from.dims.size() - to.dims.size();
    Dims over, kept;
    bool known = true;
    for (size_t i = 0; i < from.dims.size(); i++) {
      if (i < more) {
        over.push_back(static_cast<int64_t>(i));
        continue;
      }
      const graph::Dim &has = from.dims[i], &wanted = to.dims[i - more];
      if (has == wanted && (has.fixed() || !has.symbol.empty())) continue;
      if (wanted.fixed() && wanted.size == 1) kept.push_back(static_cast<int64_t>(i - more));
      else if (!wanted.fixed() || !has.fixed()) known = false;
    }
    if (known) {
      if (!over.empty()) d = call("sum", {d, over, false});
      if (!kept.empty()) d = call("sum", {d, kept, true});
      return d;
    }
  }
  return call("sum_to_size", {d, graph::shape_of_reading(Expr(v))});
}

// In the shape and type of the value it belongs to.
Value* Reverse::fit(Value* d, Value* v) {
  if (is_list(v) || is_list(d) || same_fixed_type(d->type, v->type)) return d;
  const bool tensors = d->type.kind == TypeKind::Tensor && v->type.kind == TypeKind::Tensor;
  const bool same_dims =
      tensors && d->type.has_dims && v->type.has_dims && d->type.dims == v->type.dims && [&] {
        for (const graph::Dim& dim : v->type.dims)
          if (!dim.fixed() && dim.symbol.empty()) return false;
        return true;
      }();
  if (!same_dims) d = summed(d, v);
  const bool known = tensors && v->type.has_dtype;
  if (known && d->type.has_dtype && d->type.dtype == v->type.dtype) return d;
  return call("to", {d, known ? Expr(v->type.dtype) : Expr(builtin("dtype", {v}))});
}

Value* Reverse::plus(Value* a, Value* b, Value* v) {
  if (!is_list(v)) return call("add", {a, b});
  const Node* made = v->producer();
  MOKA_CHECK_KIND(NotImplemented, made && made->kind == NodeKind::List,
                  "gradient: a list of unknown length is used twice");
  Values sums;
  for (int i = 0; i < made->data_inputs(); i++)
    sums.push_back(call("add", {builtin("index", {a, i}), builtin("index", {b, i})}));
  return list_of(sums);
}

void Reverse::node(Node* n) {
  switch (n->kind) {
    case NodeKind::Op: return op(n);
    case NodeKind::List:
    case NodeKind::Tuple:
      for (int i = 0; i < n->data_inputs(); i++)
        if (active(n->input(i))) add(n->input(i), builtin("index", {of(n->output()), i}));
      return;
    case NodeKind::Unpack: {
      Values parts;
      for (int i = 0; i < n->data_outputs(); i++) parts.push_back(gradient_or_zeros(n->output(i)));
      return add(n->input(0), list_of(parts));
    }
    case NodeKind::If: return branches(n);
    case NodeKind::Loop: return loop(n);
    case NodeKind::Builtin: return of_builtin(n);
    case NodeKind::Constant:
    case NodeKind::Get: return;
    default:
      fail_kind(ErrorKind::NotImplemented, "gradient: ", node_kind_name(n->kind),
                " nodes have no gradient in graphs");
  }
}

void Reverse::of_builtin(Node* n) {
  Value* d = of(n->output());
  if (n->name == "append") {
    if (active(n->input(1))) add(n->input(1), builtin("index", {d, -1}));
    if (active(n->input(0))) add(n->input(0), builtin("slice", {d, 0, builtin("len", {n->input(0)})}));
  } else if (n->name == "concat") {
    Value* first = builtin("len", {n->input(0)});
    if (active(n->input(0))) add(n->input(0), builtin("slice", {d, 0, first}));
    if (active(n->input(1))) add(n->input(1), builtin("slice", {d, first, builtin("len", {n->output()})}));
  } else if (n->name == "index" && n->input(0)->producer() &&
             n->input(0)->producer()->kind == NodeKind::List && n->input(1)->constant()) {
    const Node* list = n->input(0)->producer();
    const int64_t count = list->data_inputs(), given = n->input(1)->constant()->to_int();
    const int64_t at = given < 0 ? given + count : given;
    if (at >= 0 && at < count) add(list->input(static_cast<int>(at)), d);
  } else {
    fail_kind(ErrorKind::NotImplemented, "gradient: @", n->name, " has no gradient in graphs");
  }
}

void Reverse::op(Node* n) {
  const Op& op = *n->op;
  const Schema& schema = info(op).schema;
  bool any = false;
  for (const Derivative& d : op.derivative.rows) {
    if (!d.constant.empty()) {
      MOKA_CHECK_KIND(NotImplemented, !d.names.empty(), schema.name,
                      ": the derivative is not implemented: ", d.constant);
      continue;
    }
    any = true;
  }
  if (!any) {
    if (op.body.graph) return body(n);
    MOKA_CHECK_KIND(NotImplemented, !op.derivative.none.empty() || !op.body, schema.name,
                    ": has no derivative in graphs");
    return;
  }
  const bool list_output = schema.outs.size() == 1 && schema.outs[0].type.list;
  for (const Derivative& d : op.derivative.rows) {
    if (!d.constant.empty()) continue;
    std::vector<int> targets;
    bool wanted = false;
    for (std::string_view rest = d.names; !rest.empty();) {
      const size_t space = rest.find(' ');
      const int at = schema.find_arg(rest.substr(0, space));
      MOKA_ASSERT(at >= 0);
      targets.push_back(at);
      wanted |= active(n->input(at));
      rest = space == rest.npos ? std::string_view() : rest.substr(space + 1);
    }
    if (!wanted) continue;
    constexpr int room = max_args + 40;
    Expr in[room], out[16];
    MOKA_ASSERT(d.parameters <= room && targets.size() <= std::size(out));
    int at = 0;
    if (list_output) in[at++] = Expr(gradient_or_zeros(n->output()));
    else
      for (int g = 0; g < d.gradients; g++) in[at++] = Expr(gradient_or_zeros(n->output(g)));
    auto give = [&](Value* v) {
      const Any* c = v->constant();
      if (at < room && (!c || !c->is_none())) in[at] = Expr(v);
      at++;
    };
    for (size_t i = 0; i < schema.args.size(); i++) give(n->input(static_cast<int>(i)));
    for (int i = 0; i < n->data_outputs(); i++) give(n->output(i));
    d.graph(in, out);
    for (size_t k = 0; k < targets.size(); k++) add(n->input(targets[k]), out[k].value);
  }
}

// A composite: its parts are written out again and walked in its place.
void Reverse::body(Node* n) {
  const Schema& schema = info(*n->op).schema;
  Expr in[max_args], out[16];
  MOKA_ASSERT(schema.outs.size() <= std::size(out));
  for (size_t i = 0; i < schema.args.size(); i++) {
    Value* v = n->input(static_cast<int>(i));
    const Any* c = v->constant();
    if (!c || !c->is_none()) in[i] = Expr(v);
  }
  Building& b = Building::current();
  Node* before = b.at.before ? b.at.before->previous() : b.at.block->last();
  n->op->body.graph(in, out);
  Node* last = b.at.before ? b.at.before->previous() : b.at.block->last();
  Node* first = before ? before->next() : b.at.block->first();
  for (size_t i = 0; i < n->outputs().size(); i++) {
    Value* d = of(n->output(static_cast<int>(i)));
    if (!d || !out[i].value) continue;
    if (last == before) {  // the body hands an argument on
      add(out[i].value, d);
      continue;
    }
    if (i == 0) follow(first, last->next());
    add(out[i].value, d);
  }
  if (last != before) walk(first, last);
}

// What the blocks of a node read from around it and depends on xs.
Values Reverse::captured(const Node* n) const {
  std::set<Value*> read;
  for (const auto& b : n->blocks()) read_of(*b, read);
  Values out;
  for (Value* v : read)
    if (active(v)) out.push_back(v);
  std::sort(out.begin(), out.end(), [](Value* a, Value* b) { return a->name < b->name; });
  return out;
}

void Reverse::branches(Node* n) {
  const Values xs = captured(n);
  Building& b = Building::current();
  Node* back =
      graph_.create(NodeKind::If, b.at, std::vector<Value*>{n->input(0)}, static_cast<int>(xs.size()));
  back->source = n->source;
  for (const auto& branch : n->blocks()) {
    check_repeatable(*branch, *n);
    Block* block = back->add_block();
    graph::ValueMap map;
    copy_nodes(*branch, {block}, map);
    Building inside(graph_, {block}, n->source);
    Reverse inner(graph_, xs);
    inner.follow(block->first(), nullptr);
    Node* last = block->last();
    for (int i = 0; i < n->data_outputs(); i++) {
      Value* result = branch->results()[static_cast<size_t>(i)];
      if (auto copy = map.find(result); copy != map.end()) result = copy->second;
      inner.add(result, of(n->output(i)));
    }
    if (last) inner.walk(block->first(), last);
    for (Value* x : xs) block->add_result(inner.gradient_or_zeros(x));
  }
  for (size_t i = 0; i < xs.size(); i++) {
    Value* d = back->output(static_cast<int>(i));
    d->type = xs[i]->type;
    add(xs[i], d);
  }
}

// A loop that runs again and keeps what it carried at the start of each turn; then one that goes through these turns from
// the last to the first.
void Reverse::loop(Node* n) {
  const Block& turn = *n->block(0);
  check_repeatable(turn, *n);
  const Values xs = captured(n);
  const int carried = n->data_outputs();
  Building& b = Building::current();
  auto empty = [&] {
    Node* list = graph_.create(NodeKind::List, b.at, {}, 1);
    list->output()->type = Type::list(Type(TypeKind::Any));
    return list->output();
  };
  Values inputs(n->inputs().begin(), n->inputs().begin() + n->data_inputs());
  for (int i = 0; i < carried; i++) inputs.push_back(empty());
  inputs.push_back(Expr(0).value);
  Node* again = graph_.create(NodeKind::Loop, b.at, inputs, 2 * carried + 1);
  again->source = n->source;
  {
    Block* block = again->add_block();
    graph::ValueMap map;
    Values kept;
    for (size_t i = 0; i < turn.params().size(); i++) {
      Value* p = turn.params()[i];
      map[p] = block->add_param(p->type);
      if (i > 0) kept.push_back(map[p]);
    }
    Values lists;
    for (int i = 0; i < carried; i++) lists.push_back(block->add_param(Type::list(Type(TypeKind::Any))));
    Value* count = block->add_param(TypeKind::Int);
    copy_nodes(turn, {block}, map);
    Building inside(graph_, {block}, n->source);
    for (int i = 0; i <= carried; i++) {
      Value* result = turn.results()[static_cast<size_t>(i)];
      auto copy = map.find(result);
      block->add_result(copy == map.end() ? result : copy->second);
    }
    for (int i = 0; i < carried; i++) {
      Value* longer = builtin("append", {lists[static_cast<size_t>(i)], kept[static_cast<size_t>(i)]});
      longer->type = Type::list(Type(TypeKind::Any));
      block->add_result(longer);
    }
    block->add_result(builtin("add", {count, 1}));
  }
  for (int i = 0; i < 2 * carried + 1; i++)
    again->output(i)->type = i < carried       ? n->output(i)->type
                             : i < 2 * carried ? Type::list(Type(TypeKind::Any))
                                               : Type(TypeKind::Int);
  Value* count = again->output(2 * carried);

  // Gradients of the carried values that have one, and of what the turns read from around the loop.
  std::vector<int> places;
  Values start{count, Expr(true).value};
  for (int i = 0; i < carried; i++) {
    Value* v = n->output(i);
    if (!may_have_gradient(v) || (is_list(v) && !of(v))) continue;
    places.push_back(i);
    start.push_back(gradient_or_zeros(v));
  }
  for (Value* x : xs) start.push_back(call("zeros_like", {x}));
  Node* back = graph_.create(NodeKind::Loop, b.at, start, static_cast<int>(places.size() + xs.size()));
  back->source = n->source;
  Block* block = back->add_block();
  Value* j = block->add_param(TypeKind::Int);
  Values ds, sums;
  for (int i : places) ds.push_back(block->add_param(turn.params()[static_cast<size_t>(i) + 1]->type));
  for (Value* x : xs) sums.push_back(block->add_param(x->type));
  {
    Building inside(graph_, {block}, n->source);
    graph::ValueMap map;
    Value* i = builtin("sub", {builtin("sub", {count, 1}), j});
    map[turn.params()[0]] = i;
    for (int c = 0; c < carried; c++) {
      Value* v = builtin("index", {again->output(carried + c), i});
      v->type = turn.params()[static_cast<size_t>(c) + 1]->type;
      map[turn.params()[static_cast<size_t>(c) + 1]] = v;
    }
    Node* before = block->last();
    copy_nodes(turn, {block}, map);
    Node* first = before ? before->next() : block->first();
    Node* last = block->last();
    Values roots = xs;
    for (int c : places) roots.push_back(map[turn.params()[static_cast<size_t>(c) + 1]]);
    Reverse inner(graph_, roots);
    inner.follow(first, nullptr);
    for (size_t k = 0; k < places.size(); k++) {
      Value* result = turn.results()[static_cast<size_t>(places[k]) + 1];
      if (auto copy = map.find(result); copy != map.end()) result = copy->second;
      inner.add(result, ds[k]);
    }
    if (first && last != before) inner.walk(first, last);
    block->add_result(Expr(true).value);
    for (size_t k = 0; k < places.size(); k++)
      block->add_result(inner.gradient_or_zeros(roots[xs.size() + k]));
    for (size_t k = 0; k < xs.size(); k++) {
      Value* d = inner.of(xs[k]);
      block->add_result(d ? call("add", {sums[k], d}) : sums[k]);
    }
  }
  for (size_t k = 0; k < places.size(); k++) {
    Value* d = back->output(static_cast<int>(k));
    d->type = turn.params()[static_cast<size_t>(places[k]) + 1]->type;
    add(n->input(places[k] + 2), d);
  }
  for (size_t k = 0; k < xs.size(); k++) {
    Value* d = back->output(static_cast<int>(places.size() + k));
    d->type = xs[k]->type;
    add(xs[k], d);
  }
}

}  // namespace

Values gradients(Graph& graph, Graph::Point at, Value* y, std::span<Value* const> xs, Value* dy) {
  for (Value* v : xs)
    MOKA_CHECK_KIND(Type, may_have_gradient(v), "gradient: '", v->name, "' is ", v->type.text(),
                    ", floating numbers were expected");
  MOKA_CHECK_KIND(Type, may_have_gradient(y), "gradient: '", y->name, "' is ", y->type.text(),
                  ", floating numbers were expected");
  Building building(graph, at);
  Node* last = at.before ? at.before->previous() : at.block->last();
  Node* end = at.before;
  Reverse reverse(graph, xs);
  reverse.follow(at.block->first(), end);
  if (!dy) dy = call("ones_like", {y});
  reverse.add(y, dy);
  if (last) reverse.walk(at.block->first(), last);
  building.source = {};
  Values out;
  for (Value* x : xs) {
    Value* d = reverse.of(x);
    out.push_back(d ? d : call("zeros_like", {x}));
  }
  return out;
}

}  // namespace moka::differentiate
