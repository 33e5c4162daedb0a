// Operators written with others, for files that lack them. One rule an operator; what a rule makes is said or rewritten
// in turn, so rules must lead to simpler operators.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/writer.h"
#include "moka/graph/expr.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Graph;
using graph::Node;
using graph::Value;

namespace {

struct Rewriting {
  Builder& build;
  Node& node;

  Value* operator[](std::string_view arg) const { return node.argument(arg); }
  const Any* constant(std::string_view arg) const { return node.argument(arg)->constant(); }
  bool is(std::string_view arg, double number) const {
    const Any* c = constant(arg);
    return c && c->arg().is_number() && c->arg().as_double() == number;
  }
  bool integer(std::string_view arg, int64_t& out) const {
    const Any* c = constant(arg);
    if (!c || c->tag() != Tag::Int) return false;
    out = c->arg().i;
    return true;
  }
  int rank(std::string_view arg) const { return spelling::rank(node.argument(arg)); }
  Value* call(std::string_view op, std::initializer_list<Argument> args) const {
    return build.call(op, args);
  }
};

using Rule = Value* (*)(const Rewriting& r);  // null: does not serve

int64_t wrap(int64_t dim, int rank) { return dim < 0 ? dim + rank : dim; }

Value* scaled(const Rewriting& r, Value* v, std::string_view factor) {
  return r.is(factor, 1) ? v : r.call("mul", {v, r[factor]});
}
Value* scaled_sum(const Rewriting& r) {
  if (r.is("alpha", 1)) return nullptr;
  return r.call("add", {r["input"], scaled(r, r["other"], "alpha")});
}
Value* scaled_difference(const Rewriting& r) {
  if (r.is("alpha", 1)) return nullptr;
  return r.call("sub", {r["input"], scaled(r, r["other"], "alpha")});
}
Value* reversed_difference(const Rewriting& r) {
  return r.call("sub", {r["other"], scaled(r, r["input"], "alpha")});
}
Value* clamp_min(const Rewriting& r) { return r.call("maximum", {r["input"], r["min"]}); }
Value* clamp_max(const Rewriting& r) { return r.call("minimum", {r["input"], r["max"]}); }
Value* hardtanh(const Rewriting& r) { return r.call("clamp", {r["input"], r["min_val"], r["max_val"]}); }
Value* square(const Rewriting& r) { return r.call("mul", {r["input"], r["input"]}); }
Value* rsqrt(const Rewriting& r) { return r.call("reciprocal", {r.call("sqrt", {r["input"]})}); }
Value* reciprocal(const Rewriting& r) { return r.call("div", {1.0, r["input"]}); }
Value* expm1(const Rewriting& r) { return r.call("sub", {r.call("exp", {r["input"]}), 1.0}); }
Value* log1p(const Rewriting& r) { return r.call("log", {r.call("add", {r["input"], 1.0})}); }
Value* trunc(const Rewriting& r) {
  return r.call("mul", {r.call("sign", {r["input"]}), r.call("floor", {r.call("abs", {r["input"]})})});
}
Value* lerp(const Rewriting& r) {
  return r.call("add", {r["input"], r.call("mul", {r.call("sub", {r["end"], r["input"]}), r["weight"]})});
}
Value* addcmul(const Rewriting& r) {
  return r.call("add", {r["input"], scaled(r, r.call("mul", {r["tensor1"], r["tensor2"]}), "value")});
}
Value* masked_fill(const Rewriting& r) { return r.call("where", {r["mask"], r["value"], r["input"]}); }
Value* silu(const Rewriting& r) { return r.call("mul", {r["input"], r.call("sigmoid", {r["input"]})}); }
Value* gelu(const Rewriting& r) {
  Value* x = r["input"];
  Value* inner = r.call("add", {r.call("erf", {r.call("mul", {x, std::sqrt(0.5)})}), 1.0});
  return r.call("mul", {r.call("mul", {x, 0.5}), inner});
}
// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
Value* gelu_tanh(const Rewriting& r) {
  Value* x = r["input"];
  Value* cube = r.call("mul", {r.call("mul", {x, x}), x});
  Value* inner = r.call("mul", {r.call("add", {x, r.call("mul", {cube, 0.044715})}), std::sqrt(2 / M_PI)});
  return r.call("mul", {r.call("mul", {x, 0.5}), r.call("add", {r.call("tanh", {inner}), 1.0})});
}
// log(1 + exp(beta x)) / beta, and x itself above the threshold
Value* softplus(const Rewriting& r) {
  Value* x = scaled(r, r["input"], "beta");
  Value* soft = r.call("add", {r.call("clamp_min", {x, 0.0}),
                               r.call("log1p", {r.call("exp", {r.call("neg", {r.call("abs", {x})})})})});
  return r.is("beta", 1) ? soft : r.call("div", {soft, r["beta"]});
}
Value* isfinite(const Rewriting& r) { return r.call("lt", {r.call("abs", {r["input"]}), INFINITY}); }
Value* not_equal(const Rewriting& r) {
  return r.call("logical_not", {r.call("eq", {r["input"], r["other"]})});
}

// ---- matrix products

Value* linear(const Rewriting& r) {
  Value* turned = r.call("permute", {r["weight"], Dims{1, 0}});
  Value* y = r.call("matmul", {r["input"], turned});
  const Any* bias = r.constant("bias");
  return bias && bias->is_none() ? y : r.call("add", {y, r["bias"]});
}
Value* addmm(const Rewriting& r) {
  Value* product = scaled(r, r.call("matmul", {r["mat1"], r["mat2"]}), "alpha");
  return r.call("add", {product, scaled(r, r["input"], "beta")});
}

// ---- normalization

// Files always have weight and bias.
Value* batch_norm(const Rewriting& r) {
  Value *weight = r["weight"], *bias = r["bias"];
  Dims channels;
  DType dtype;
  auto none = [](Value* v) { return v->constant() && v->constant()->is_none(); };
  if ((!none(weight) && !none(bias)) || !fixed_sizes(r["running_mean"], channels) ||
      !has_dtype(r["running_mean"], &dtype))
    return nullptr;
  auto filled = [&](double v) {
    Tensor t = new_tensor(channels, dtype);
    copy_elements(number_tensor(Any(v), dtype), t);
    return r.build.constant(Any(t));
  };
  if (none(weight)) weight = filled(1);
  if (none(bias)) bias = filled(0);
  return r.call("batch_norm", {r["input"], weight, bias, r["running_mean"], r["running_var"], r["eps"]});
}
// One image is a batch of one.
Value* conv2d(const Rewriting& r) {
  if (r.rank("input") != 3) return nullptr;
  Value* y = r.call("conv2d", {r.call("unsqueeze", {r["input"], int64_t(0)}), r["weight"], r["bias"],
                               r["stride"], r["padding"], r["dilation"], r["groups"]});
  return r.call("squeeze.dim", {y, Dims{0}});
}

// ---- shapes

Value* as_reshape(const Rewriting& r) { return r.call("reshape", {r["input"], r["size"]}); }
Value* largest(const Rewriting& r) { return r.call("amax", {r["input"]}); }
Value* smallest(const Rewriting& r) { return r.call("amin", {r["input"]}); }
Value* larger(const Rewriting& r) { return r.call("maximum", {r["input"], r["other"]}); }
Value* smaller(const Rewriting& r) { return r.call("minimum", {r["input"], r["other"]}); }
Value* log_softmax(const Rewriting& r) {
  return r.call("log", {r.call("softmax", {r["input"], r["dim"], r["dtype"]})});
}
// The sizes that follow, with -1 for one that is open; false when more than one is.
bool sizes_of_result(const Rewriting& r, Dims& sizes) {
  const graph::Type& type = r.node.output()->type;
  if (!type.has_dims) return false;
  int open = 0;
  for (const graph::Dim& d : type.dims) {
    sizes.push_back(d.fixed() ? d.size : -1);
    open += !d.fixed();
  }
  return open <= 1;
}
Value* by_result_shape(const Rewriting& r) {
  Dims sizes;
  if (!sizes_of_result(r, sizes)) return nullptr;
  return r.call("reshape", {r["input"], sizes});
}
Value* transpose(const Rewriting& r) {
  int64_t a, b;
  const int rank = r.rank("input");
  if (rank < 0 || !r.integer("dim0", a) || !r.integer("dim1", b)) return nullptr;
  if (rank == 0) return r["input"];
  Dims order;
  for (int i = 0; i < rank; i++) order.push_back(i);
  std::swap(order[static_cast<size_t>(wrap(a, rank))], order[static_cast<size_t>(wrap(b, rank))]);
  return r.call("permute", {r["input"], order});
}
Value* t(const Rewriting& r) {
  const int rank = r.rank("input");
  if (rank < 0) return nullptr;
  return rank < 2 ? r["input"] : r.call("permute", {r["input"], Dims{1, 0}});
}
Value* squeeze_all(const Rewriting& r) {
  const graph::Type& type = r["input"]->type;
  if (!type.has_dims) return nullptr;
  for (const graph::Dim& d : type.dims)
    if (!d.fixed()) return nullptr;
  Value* x = r["input"];
  for (size_t i = type.dims.size(); i-- > 0;)
    if (type.dims[i].size == 1) x = r.call("squeeze.dim", {x, Dims{static_cast<int64_t>(i)}});
  return x;
}
Value* narrow(const Rewriting& r) {
  int64_t start, length;
  if (!r.integer("start", start) || !r.integer("length", length)) return nullptr;
  // An end of 0 would mean the first element when the start counts from the back.
  const int64_t end = start < 0 && start + length == 0 ? INT64_MAX : start + length;
  return r.call("slice", {r["input"], r["dim"], start, end});
}
Value* select(const Rewriting& r) {
  int64_t dim, index;
  if (!r.integer("dim", dim) || !r.integer("index", index)) return nullptr;
  Value* one = r.call("slice", {r["input"], dim, index, index == -1 ? INT64_MAX : index + 1});
  return r.call("squeeze.dim", {one, Dims{dim}});
}
Value* stack(const Rewriting& r) {
  int64_t dim;
  Node* list = r["tensors"]->producer();
  if (!r.integer("dim", dim) || !list || list->kind != graph::NodeKind::List) return nullptr;
  std::vector<Value*> parts;
  for (Value* v : list->inputs()) parts.push_back(r.call("unsqueeze", {v, dim}));
  return r.call("cat", {parts, dim});
}
Value* same(const Rewriting& r) { return r["input"]; }
// A conversion to the type it has already, or to another device, is none.
Value* to(const Rewriting& r) {
  const Any* dtype = r.constant("dtype");
  DType have;
  if (!dtype) return nullptr;
  if (dtype->is_none() || (has_dtype(r["input"], &have) && have == dtype->dtype())) return r["input"];
  const Any* device = r.constant("device");
  const Any* copy = r.constant("copy");
  const bool plain = device && device->is_none() && copy && !copy->to_bool();
  return plain ? nullptr : r.call("to", {r["input"], dtype->dtype()});
}
Value* one_dim_list(const Rewriting& r) {  // repeat with more repeats than dimensions
  Dims repeats;
  const Any* c = r.constant("repeats");
  const int rank = r.rank("input");
  if (!c || rank < 0 || !to_ints(*c, repeats) || static_cast<int>(repeats.size()) == rank) return nullptr;
  Value* x = r["input"];
  for (size_t i = static_cast<size_t>(rank); i < repeats.size(); i++)
    x = r.call("unsqueeze", {x, int64_t(0)});
  return r.call("repeat", {x, repeats});
}
Value* embedding(const Rewriting& r) {
  return r.call("index_select", {r["weight"], int64_t(0), r["indices"]});
}

struct Entry {
  std::string_view op;
  Rule rule;
};
constexpr Entry rules[] = {
    {"add", scaled_sum},
    {"sub", scaled_difference},
    {"rsub", reversed_difference},
    {"clamp_min", clamp_min},
    {"clamp_max", clamp_max},
    {"hardtanh", hardtanh},
    {"square", square},
    {"rsqrt", rsqrt},
    {"reciprocal", reciprocal},
    {"expm1", expm1},
    {"log1p", log1p},
    {"trunc", trunc},
    {"lerp", lerp},
    {"addcmul", addcmul},
    {"masked_fill", masked_fill},
    {"silu", silu},
    {"gelu", gelu},
    {"gelu_tanh", gelu_tanh},
    {"softplus", softplus},
    {"isfinite", isfinite},
    {"ne", not_equal},
    {"linear", linear},
    {"addmm", addmm},
    {"batch_norm", batch_norm},
    {"conv2d", conv2d},
    {"view", as_reshape},
    {"flatten", by_result_shape},
    {"unflatten", by_result_shape},
    {"transpose", transpose},
    {"t", t},
    {"squeeze", squeeze_all},
    {"narrow", narrow},
    {"select", select},
    {"stack", stack},
    {"max", largest},
    {"min", smallest},
    {"max.other", larger},
    {"min.other", smaller},
    {"log_softmax", log_softmax},
    {"contiguous", same},
    {"clone", same},
    {"detach", same},
    {"alias", same},
    {"to", to},
    {"repeat", one_dim_list},
    {"embedding", embedding},
};

}  // namespace

bool promote_operands(Graph& graph, Node& node) {
  if (!node.op->formula) return false;
  const Formula& formula = node.op->formula;
  DType target;
  bool have = false;
  const Schema& schema = info(*node.op).schema;
  if (formula.rule == DTypeRule::Comparing) {
    for (size_t i = 0; i < schema.args.size(); i++) {
      DType d;
      if (!schema.args[i].type.is_tensor_like() || !has_dtype(node.inputs()[i], &d)) continue;
      target = have ? promote(target, d) : d;
      have = true;
    }
  } else {
    have =
        has_dtype(node.output(), &target) && (target != DType::Bool || formula.rule == DTypeRule::Condition);
  }
  if (!have) return false;
  Builder build(graph, {node.owner(), &node});
  build.source = node.source;
  bool changed = false;
  for (size_t i = formula.rule == DTypeRule::Condition ? 1 : 0; i < schema.args.size(); i++) {
    DType d;
    if (!schema.args[i].type.is_tensor_like() || !has_dtype(node.inputs()[i], &d) || d == target) continue;
    node.set_input(static_cast<int>(i), build.call("to", {node.inputs()[i], target}));
    changed = true;
  }
  return changed;
}

bool rewrite(Graph& graph, Node& node, std::vector<Value*>& results) {
  Builder build(graph, {node.owner(), &node});
  build.source = node.source;
  for (const Entry& e : rules) {
    if (e.op != node.op_name()) continue;
    const Rewriting r{build, node};
    Value* v = e.rule(r);
    if (!v) break;
    results = {v};
    return true;
  }
  // What depends on constants only is computed.
  bool constant = node.op->effect == Effect::Pure;
  for (const Value* v : node.inputs()) constant &= v->constant() != nullptr;
  if (constant && !node.inputs().empty()) {
    std::vector<Arg> args;
    for (const Value* v : node.inputs()) args.push_back(v->constant()->arg());
    LayersOff off(layer::autograd | layer::capture | layer::batch | layer::autocast);
    for (Tensor& t : call_boxed(*node.op, args)) results.push_back(build.constant(Any(std::move(t))));
    return results.size() == node.outputs().size();
  }
  if (!node.op->body.graph) return false;
  graph::Building building(graph, {node.owner(), &node}, node.source);
  std::vector<graph::Expr> in, out(info(*node.op).schema.outs.size());
  for (Value* v : node.inputs()) {
    const Any* c = v->constant();
    in.push_back(c && c->is_none() ? graph::Expr() : graph::Expr(v));
  }
  node.op->body.graph(in.data(), out.data());
  for (const graph::Expr& e : out) results.push_back(e.value);
  return true;
}

}  // namespace moka::spelling
