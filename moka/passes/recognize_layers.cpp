// Layers that files spell out in parts become the operators that later passes and kernels know: products with constant
// weights are linear layers with their bias, and gelu, silu and hardswish are one operator each. Before fuse_activation;
// what the parts leave behind goes with remove_dead.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <optional>
#include <vector>

#include "moka/passes/constants.h"
#include "moka/passes/passes.h"
#include "moka/passes/replace.h"

namespace moka::passes {

using namespace graph;

namespace {
// A smaller product gains nothing from being a layer.
constexpr int64_t least_weights = 8192;

bool is_float(const Value* v) {
  const Type& t = v->type;
  return t.kind == TypeKind::Tensor && t.has_dtype && t.dtype == DType::F32;
}
Node* made_by(const Value* v, std::string_view op) {
  Node* n = v->producer();
  return n && n->kind == NodeKind::Op && n->op_name() == op ? n : nullptr;
}
// A number, or a tensor that is one.
std::optional<double> number(const Value* v) {
  const Any* c = v ? v->constant() : nullptr;
  if (!c) return {};
  if (const Tensor* t = constant_tensor(v)) {
    if (t->dim() != 0 || t->dtype() != DType::F32) return {};
    return element_as_double(*t, 0);
  }
  if (c->tag() == Tag::Int || c->tag() == Tag::Float) return c->to_double();
  return {};
}
bool is_about(const Value* v, double wanted) {
  const std::optional<double> n = number(v);
  return n && std::abs(*n - wanted) <= 1e-6 * std::abs(wanted);
}
bool is_number(const Value* v, double wanted) {
  const std::optional<double> n = number(v);
  return n && *n == wanted;
}
// The operand beside the number `wanted` of an add (without a factor) or mul, null where there is none.
Value* beside(const Node* n, double wanted) {
  if (!n || (n->op_name() == "add" && !is_number(n->argument("alpha"), 1))) return nullptr;
  for (int i : {0, 1})
    if (is_about(n->input(i), wanted)) return n->input(1 - i);
  return nullptr;
}
// x where v is x * factor, written as a product or a quotient.
Value* scaled(const Value* v, double factor) {
  if (Value* x = beside(made_by(v, "mul"), factor)) return x;
  const Node* quotient = made_by(v, "div");
  return quotient && is_about(quotient->input(1), 1 / factor) ? quotient->input(0) : nullptr;
}
// x where v is x limited to [low, high].
Value* limited(const Value* v, double low, double high) {
  if (low == 0 && high == 6)
    if (const Node* n = made_by(v, "relu6")) return n->input(0);
  const Node* n = made_by(v, "clamp");
  return n && is_number(n->input(1), low) && is_number(n->input(2), high) ? n->input(0) : nullptr;
}

// The factors of a product of products and of quotients by numbers; what others read too is not taken apart.
void take_factors(const Value* v, const Node* top, std::vector<Value*>& values, double& constant) {
  if (values.size() > 2) return;  // more than anybody asks for
  Node* n = v->producer();
  const bool inner = n && n->kind == NodeKind::Op && (n == top || v->uses().size() == 1);
  if (inner && n->op_name() == "mul") {
    for (int i : {0, 1})
      if (std::optional<double> c = number(n->input(i))) constant *= *c;
      else take_factors(n->input(i), top, values, constant);
    return;
  }
  if (inner && n->op_name() == "div")
    if (std::optional<double> c = number(n->input(1)); c && *c != 0) {
      constant /= *c;
      return take_factors(n->input(0), top, values, constant);
    }
  values.push_back(const_cast<Value*>(v));
}

// The activation of x that x * gate * constant is.
std::string_view activation(const Value* x, const Value* gate, double constant) {
  const auto is = [&](double wanted) { return std::abs(constant - wanted) < 1e-6 * wanted; };
  if (is(1)) {
    if (const Node* n = made_by(gate, "sigmoid"); n && n->input(0) == x) return "silu";
    if (const Node* n = made_by(gate, "hardsigmoid"); n && n->input(0) == x) return "hardswish";
    if (const Value* sum = limited(gate, 0, 1))
      if (const Value* part = beside(made_by(sum, "add"), 0.5))
        if (scaled(part, 1.0 / 6) == x) return "hardswish";
  }
  if (is(1.0 / 6))
    if (const Value* sum = limited(gate, 0, 6))
      if (beside(made_by(sum, "add"), 3) == x) return "hardswish";
  if (is(0.5))
    if (const Value* part = beside(made_by(gate, "add"), 1))
      if (const Node* n = made_by(part, "erf"))
        if (scaled(n->input(0), std::sqrt(0.5)) == x) return "gelu";
  return {};
}

class Recognizer {
 public:
  explicit Recognizer(Graph& graph) : graph_(graph) {}

  int block(Block& b) {
    int count = 0;
    // From the end, so that a whole product is seen before its parts.
    for (Node* n = b.last(); n;) {
      Node* previous = n->previous();
      for (const auto& inner : n->blocks()) count += block(*inner);
      if (n->kind == NodeKind::Op && (n->op_name() == "mul" || n->op_name() == "div")) count += gated(*n);
      n = previous;
    }
    for (Node* n : b) {
      if (n->kind != NodeKind::Op) continue;
      if (n->op_name() == "matmul") count += product(*n);
      else if (n->op_name() == "add") count += bias(*n);
    }
    return count;
  }

 private:
  void replace(Node& n, std::string_view op, const std::vector<Value*>& inputs) {
    stand_for(*n.output(), n, *graph_.create_op(get_op(op), {n.owner(), &n}, inputs));
    n.destroy();
  }

  int gated(Node& n) {
    if (!is_float(n.output())) return 0;
    std::vector<Value*> factors;
    double constant = 1;
    take_factors(n.output(), &n, factors, constant);
    if (factors.size() != 2) return 0;
    for (int i : {0, 1}) {
      Value* x = factors[static_cast<size_t>(i)];
      const std::string_view op = activation(x, factors[static_cast<size_t>(1 - i)], constant);
      if (op.empty() || !is_float(x)) continue;
      replace(n, op, {x});
      return 1;
    }
    return 0;
  }

  int product(Node& n) {
    const Tensor* w = constant_tensor(n.input(1));
    if (!w || w->dtype() != DType::F32 || w->dim() != 2 || w->numel() < least_weights ||
        !is_float(n.input(0)))
      return 0;
    const Arg args[] = {*w};
    LayersOff off(~0u);
    const Graph::Point at{n.owner(), &n};
    replace(
        n, "linear",
        {n.input(0), graph_.constant(Any(call_boxed(get_op("t"), args)[0]), at), graph_.constant(Any(), at)});
    return 1;
  }

  // linear + a constant of its outputs.
  int bias(Node& n) {
    if (!is_number(n.argument("alpha"), 1)) return 0;
    for (int i : {0, 1}) {
      Node* linear = made_by(n.input(i), "linear");
      const Tensor* b = constant_tensor(n.input(1 - i));
      if (!linear || !b || b->dim() != 1 || b->dtype() != DType::F32 ||
          linear->output()->uses().size() != 1 || linear->owner() != n.owner() ||
          !is_none(linear->argument("bias")) || !(n.output()->type == linear->output()->type))
        continue;
      const Tensor* w = constant_tensor(linear->argument("weight"));
      if (!w || w->dim() != 2 || w->size(0) != b->size(0)) continue;
      replace(n, "linear", {linear->input(0), linear->input(1), n.input(1 - i)});
      linear->destroy();
      return 1;
    }
    return 0;
  }

  Graph& graph_;
};
}  // namespace

int recognize_layers(Graph& graph) { return Recognizer(graph).block(*graph.main()); }

}  // namespace moka::passes
