// Building with operators: Expr values append nodes at the building point of the thread.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/expr.h"

#include "moka/graph/builtins.h"

namespace moka::graph {

namespace {
thread_local Building* current_building = nullptr;

Value* value_of(const Expr& e) {
  if (e.value) return e.value;
  Building& b = Building::current();
  return b.graph.constant(Any(), b.at);
}
// One integer stands for a list of one, as in calls.
Value* as_list(Value* v, const ArgType& type) {
  const Any* c = v->constant();
  if (!c || c->tag() != Tag::Int || !type.list || type.kind != Kind::Int) return v;
  Building& b = Building::current();
  return b.graph.constant(Any(Dims{c->to_int()}), b.at);
}
}  // namespace

Building::Building(Graph& graph, Graph::Point at, Source source)
    : graph(graph), at(at), source(std::move(source)), outer_(current_building) {
  current_building = this;
}
Building::~Building() { current_building = outer_; }

Building& Building::current() {
  if (!current_building)
    fail_kind(ErrorKind::Internal,
              "graph: an operator was called with a graph value, but no Building is open");
  return *current_building;
}

Expr::Expr(const Any& constant) {
  if (constant.is_none()) return;
  Building& b = Building::current();
  value = b.graph.constant(constant, b.at);
}

Expr::Expr(std::span<const Expr> list) {
  Building& b = Building::current();
  std::vector<Value*> items;
  for (const Expr& e : list) items.push_back(value_of(e));
  Node* node = b.graph.create(NodeKind::List, b.at, items, 1);
  node->source = b.source;
  node->output()->type = Type::list(Type::tensor());
  infer_types(*node);
  value = node->output();
}

std::vector<Expr> emit(const Op& op, std::span<const Expr> args) {
  Building& b = Building::current();
  const Schema& schema = info(op).schema;
  MOKA_CHECK_KIND(Type, args.size() <= schema.args.size(), schema.name, ": takes ", schema.args.size(),
                  " arguments, got ", args.size());
  std::vector<Value*> inputs;
  for (size_t i = 0; i < schema.args.size(); i++) {
    const ArgDef& def = schema.args[i];
    if (i < args.size()) {
      // None stands for the default where the argument cannot be None, as in calls.
      if (!args[i].value && !def.type.optional && def.has_default)
        inputs.push_back(b.graph.constant(def.default_value, b.at));
      else inputs.push_back(as_list(value_of(args[i]), def.type));
      continue;
    }
    MOKA_CHECK_KIND(Type, def.has_default || def.type.optional, schema.name, ": missing argument '", def.name,
                    "'");
    inputs.push_back(b.graph.constant(def.default_value, b.at));
  }
  Node* node = b.graph.create_op(op, b.at, inputs);
  node->source = b.source;
  try {
    infer_types(*node);
  } catch (...) {
    node->destroy();  // the graph stays as it was for a caller that goes on
    throw;
  }
  std::vector<Expr> out;
  for (Value* v : node->outputs()) out.push_back(Expr(v));
  return out;
}

Expr apply(std::string_view builtin, std::span<const Expr> args) {
  Building& b = Building::current();
  std::vector<Value*> inputs;
  for (const Expr& e : args) inputs.push_back(value_of(e));
  Node* node = b.graph.create_named(NodeKind::Builtin, std::string(builtin), b.at, inputs, 1);
  node->source = b.source;
  infer_types(*node);
  return Expr(node->output());
}

Expr shape_of_reading(const Expr& x) {
  MOKA_CHECK(x.value, "shape_of: a tensor was expected, got None");
  const Type& t = x.value->type;
  if (t.kind == TypeKind::Tensor && t.has_dims) {
    Dims sizes;
    for (const Dim& d : t.dims)
      if (d.fixed()) sizes.push_back(d.size);
    if (sizes.size() == t.dims.size()) return Expr(Any(sizes));
  }
  const Expr args[] = {x};
  return apply("sizes", args);
}

}  // namespace moka::graph
