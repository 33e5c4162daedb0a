// conv2d or linear, the sum with another tensor, and an activation behind them become conv2d_fused or linear_fused, in
// any of the combinations. After fold_batch_norm, which takes away what stands between them; before nothing: graphs are
// exported before this pass.
// SPDX-License-Identifier: Apache-2.0
#include "moka/passes/passes.h"
#include "moka/passes/replace.h"

namespace moka::passes {

using namespace graph;

namespace {
Node* only_user(const Value* v) {
  return v->uses().size() == 1 && v->uses()[0].node ? v->uses()[0].node : nullptr;
}

// The two have one shape whatever the sizes are: no broadcasting hides behind them.
bool surely_same(const Type& a, const Type& b) {
  if (!(a == b) || a.kind != TypeKind::Tensor || !a.has_dtype || !a.has_dims) return false;
  for (const Dim& d : a.dims)
    if (!d.fixed() && d.symbol.empty()) return false;
  return true;
}

// Whether an argument is this number.
bool is_number(const Node& n, const char* argument, double number) {
  const Value* v = n.argument(argument);
  const Any* c = v ? v->constant() : nullptr;
  return c && c->arg().is_number() && c->to_double() == number;
}
// The name that fused operators have for it, or nothing.
std::string_view activation_of(const Node& n) {
  if (n.kind != NodeKind::Op) return {};
  std::string_view name = n.op_name();
  if (name == "hardtanh" && is_number(n, "min_val", 0) && is_number(n, "max_val", 6)) return "relu6";
  if (name == "clamp" && is_number(n, "min", 0) && is_number(n, "max", 6)) return "relu6";
  const bool known = name == "relu" || name == "relu6" || name == "sigmoid" || name == "tanh" ||
                     name == "silu" || name == "hardswish" || name == "gelu";
  return known ? name : std::string_view();
}

// What is added to `to` by this node, or null.
Value* addend(const Node& n, Value* to) {
  if (n.kind != NodeKind::Op || n.op_name() != "add") return nullptr;
  Value* other = n.input(0) == to ? n.input(1) : n.input(0);
  const Any* alpha = n.argument("alpha") ? n.argument("alpha")->constant() : nullptr;
  bool plain = !n.argument("alpha") || (alpha && alpha->arg().is_number() && alpha->to_double() == 1);
  return plain && other != to && surely_same(other->type, to->type) && n.output()->type == to->type ? other
                                                                                                    : nullptr;
}

bool fuse(Graph& g, Node* linear) {
  const Op* fused = find_op(linear->op_name() == "conv2d" ? "conv2d_fused" : "linear_fused");
  if (!fused) return false;
  Node* last = linear;
  Value* sum = nullptr;
  std::string activation = "none";
  std::vector<Node*> taken;
  if (Node* user = only_user(last->output()); user && user->owner() == linear->owner())
    if (Value* other = addend(*user, last->output())) {
      sum = other;
      taken.push_back(last = user);
    }
  if (Node* user = only_user(last->output()); user && user->owner() == linear->owner())
    if (std::string_view name = activation_of(*user); !name.empty()) {
      activation = name;
      taken.push_back(last = user);
    }
  if (taken.empty()) return false;
  Graph::Point at{last->owner(), last};
  std::vector<Value*> inputs(linear->inputs().begin(), linear->inputs().end());
  inputs.push_back(sum ? sum : g.constant(Any(), at));
  inputs.push_back(g.constant(Any(activation), at));
  stand_for(*last->output(), *linear, *g.create_op(*fused, at, inputs));
  for (size_t i = taken.size(); i-- > 0;) taken[i]->destroy();
  linear->destroy();
  return true;
}

int fuse_block(Graph& g, Block& b) {
  int count = 0;
  // From the end: of two convolutions that are added, the later takes the other as its addend.
  for (Node* n = b.last(); n;) {
    Node* previous = n->previous();
    for (const auto& inner : n->blocks()) count += fuse_block(g, *inner);
    if (n->kind == NodeKind::Op && (n->op_name() == "conv2d" || n->op_name() == "linear"))
      count += fuse(g, n);
    n = previous;
  }
  return count;
}
}  // namespace

int fuse_activation(Graph& graph) { return fuse_block(graph, *graph.main()); }

}  // namespace moka::passes
