// Adapters of arithmetic, activations and reductions.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using graph::Value;

namespace {

// Before opset 7 the second operand was broadcast only when told so, aligned at `axis` or at the end.
Value* old_operand(NodeReader& n) {
  Value* b = n[1];
  if (n.version >= 7 || n.integer("broadcast", 0) == 0 || !n.attribute("axis")) return b;
  const int rank = n.rank_of(0);
  int64_t axis = n.integer("axis", 0);
  if (axis < 0) axis += rank;
  for (int64_t behind = rank - axis - n.rank_of(1); behind > 0; behind--)
    b = n.call("unsqueeze", {b, int64_t(-1)});
  return b;
}

template <const char* const& name>
bool old_binary(NodeReader& n) {
  if (!n.attribute("broadcast") && !n.attribute("axis")) return false;
  n.out(n.call(name, {n[0], old_operand(n)}));
  return true;
}
const char* const add_name = "add";
const char* const sub_name = "sub";
const char* const mul_name = "mul";
const char* const maximum_name = "maximum";
const char* const minimum_name = "minimum";
const char* const gt_name = "gt";
const char* const lt_name = "lt";
const char* const eq_name = "eq";
const char* const and_name = "logical_and";
const char* const or_name = "logical_or";
const char* const xor_name = "logical_xor";

// Whole-number division towards zero by what floats can do: the quotient of float64 is right to 52 bits, its remainder
// (exact in int64) is divided again, and what may still be one off is put right by comparing.
struct Division {
  Value *quotient, *rest;
};
Division divide_integers(NodeReader& n, Value* a, Value* b) {
  a = n.call("to", {a, DType::I64});
  b = n.call("to", {b, DType::I64});
  auto quotient = [&](Value* x) {
    return n.call(
        "to",
        {n.call("trunc", {n.call("div", {n.call("to", {x, DType::F64}), n.call("to", {b, DType::F64})})}),
         DType::I64});
  };
  Value* q = quotient(a);
  Value* r = n.call("sub", {a, n.call("mul", {q, b})});
  Value* more = quotient(r);
  q = n.call("add", {q, more});
  r = n.call("sub", {r, n.call("mul", {more, b})});
  // Now |r| < 2 |b|. The rest must be smaller than b and have the sign of a.
  Value *zero = n.build.constant(Any(spelling::number_tensor(Any(int64_t(0)), DType::I64))),
        *size = n.call("abs", {b});
  Value* step = n.call("mul", {n.call("sign", {a}), size});  // what moves r one quotient away from a's sign
  Value* unit = n.call("mul", {n.call("sign", {a}), n.call("sign", {b})});
  Value* large = n.call("ge", {n.call("abs", {r}), size});
  q = n.call("where", {large, n.call("add", {q, unit}), q});
  r = n.call("where", {large, n.call("sub", {r, step}), r});
  Value* other_side = n.call("lt", {n.call("mul", {n.call("sign", {r}), n.call("sign", {a})}), zero});
  q = n.call("where", {other_side, n.call("sub", {q, unit}), q});
  r = n.call("where", {other_side, n.call("add", {r, step}), r});
  return {q, r};
}

bool divide(NodeReader& n) {
  DType dtype;
  Value* b = old_operand(n);
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  if (is_floating(dtype) || is_complex(dtype)) {
    n.out(n.call("div", {n[0], b}));
    return true;
  }
  if (dtype == DType::U64) n.out(n.call("div.mode", {n[0], b, spelling::named("rounding_mode", "trunc")}));
  else n.out(n.call("to", {divide_integers(n, n[0], b).quotient, dtype}));
  return true;
}

// Python's remainder has the divisor's sign, C's (fmod=1) the dividend's.
bool modulo(NodeReader& n) {
  DType dtype;
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  const bool as_c = n.integer("fmod", 0) != 0;
  if (is_floating(dtype)) {
    n.out(n.call(as_c ? "fmod" : "remainder", {n[0], n[1]}));
    return true;
  }
  if (dtype == DType::U64) return n.declines("uint64 has no division");
  Value* r = divide_integers(n, n[0], n[1]).rest;
  if (!as_c) {
    Value *b = n.call("to", {n[1], DType::I64}),
          *zero = n.build.constant(Any(spelling::number_tensor(Any(int64_t(0)), DType::I64)));
    Value* turned = n.call("lt", {n.call("mul", {n.call("sign", {r}), n.call("sign", {b})}), zero});
    r = n.call("where", {turned, n.call("add", {r, b}), r});
  }
  n.out(n.call("to", {r, dtype}));
  return true;
}

// The result has the base's type.
bool power(NodeReader& n) {
  DType base, exponent;
  Value* b = old_operand(n);
  if (!spelling::has_dtype(n[0], &base) || !spelling::has_dtype(b, &exponent))
    return n.declines("the element types are not known");
  Value* y = n.call("pow", {n[0], b});
  n.out(base == exponent ? y : n.call("to", {y, base}));
  return true;
}

template <const char* const& name>
bool variadic(NodeReader& n) {
  Value* y = n[0];
  for (int i = 1; i < n.inputs(); i++) y = n.call(name, {y, n[i]});
  n.out(y);
  return true;
}
bool mean(NodeReader& n) {
  variadic<add_name>(n);
  n.out(n.call("div", {n.outputs[0], static_cast<double>(n.inputs())}));
  return true;
}

bool clip(NodeReader& n) {
  const bool inputs = n.version >= 11;
  std::optional<Any> low, high;
  Value *low_value = nullptr, *high_value = nullptr;
  if (inputs) {
    low_value = n.maybe(1);
    high_value = n.maybe(2);
    low = n.known_number(1);
    high = n.known_number(2);
  } else {
    if (n.attribute("min")) low = Any(n.number("min", 0));
    if (n.attribute("max")) high = Any(n.number("max", 0));
  }
  auto bound = [&](const std::optional<Any>& known, Value* v) {
    return known ? spelling::Argument(*known) : spelling::Argument(v);
  };
  const bool has_low = low || low_value, has_high = high || high_value;
  if (has_low && has_high && (!low || !high || low->arg().as_double() <= high->arg().as_double()))
    n.out(n.call("clamp", {n[0], bound(low, low_value), bound(high, high_value)}));
  else if (has_low && has_high)  // min above max: everything becomes max
    n.out(n.call("clamp_max", {n.call("clamp_min", {n[0], bound(low, low_value)}), bound(high, high_value)}));
  else if (has_low) n.out(n.call("clamp_min", {n[0], bound(low, low_value)}));
  else if (has_high) n.out(n.call("clamp_max", {n[0], bound(high, high_value)}));
  else n.out(n[0]);
  return true;
}

// ---- activations

Value* hard_sigmoid_of(NodeReader& n, double alpha, double beta) {
  return n.call("clamp", {n.call("add", {n.call("mul", {n[0], alpha}), beta}), 0.0, 1.0});
}
bool hard_sigmoid(NodeReader& n) {
  n.out(hard_sigmoid_of(n, n.number("alpha", 0.2), n.number("beta", 0.5)));
  return true;
}
bool hard_swish(NodeReader& n) {
  n.out(n.call("mul", {n[0], hard_sigmoid_of(n, 1.0 / 6, 0.5)}));
  return true;
}
bool selu(NodeReader& n) {
  const double alpha = n.number("alpha", 1.67326319217681884765625),
               gamma = n.number("gamma", 1.05070102214813232421875);
  n.out(n.call("mul", {n.call("elu", {n[0], alpha}), gamma}));
  return true;
}
// max(0, x) + min(0, alpha * (exp(x / alpha) - 1))
bool celu(NodeReader& n) {
  const double alpha = n.number("alpha", 1);
  Value* below = n.call("mul", {n.call("expm1", {n.call("div", {n[0], alpha})}), alpha});
  n.out(n.call("add", {n.call("clamp_min", {n[0], 0.0}), n.call("clamp_max", {below, 0.0})}));
  return true;
}
bool prelu(NodeReader& n) {
  Value* slope = n[1];
  // Before opset 9 a slope for each channel stood alone.
  if (n.version < 9 && spelling::rank(slope) == 1 && n.rank_of(0) > 2)
    for (int i = 2; i < n.rank_of(0); i++) slope = n.call("unsqueeze", {slope, int64_t(-1)});
  n.out(n.call("where", {n.call("gt", {n[0], int64_t(0)}), n[0], n.call("mul", {n[0], slope})}));
  return true;
}
bool softsign(NodeReader& n) {
  n.out(n.call("div", {n[0], n.call("add", {n.call("abs", {n[0]}), 1.0})}));
  return true;
}
bool thresholded_relu(NodeReader& n) {
  n.out(n.call("where", {n.call("gt", {n[0], n.number("alpha", 1)}), n[0], 0.0}));
  return true;
}
bool mish(NodeReader& n) {
  n.out(n.call("mul", {n[0], n.call("tanh", {n.call("softplus", {n[0]})})}));
  return true;
}
bool swish(NodeReader& n) {
  const double alpha = n.number("alpha", 1);
  n.out(n.call("mul", {n[0], n.call("sigmoid", {alpha == 1 ? n[0] : n.call("mul", {n[0], alpha})})}));
  return true;
}
bool shrink(NodeReader& n) {
  const double bias = n.number("bias", 0), limit = n.number("lambd", 0.5);
  Value* low = n.call("where", {n.call("lt", {n[0], -limit}), n.call("add", {n[0], bias}),
                                n.call("mul", {n[0], int64_t(0)})});
  n.out(n.call("where", {n.call("gt", {n[0], limit}), n.call("sub", {n[0], bias}), low}));
  return true;
}
bool scaled_tanh(NodeReader& n) {
  n.out(
      n.call("mul", {n.call("tanh", {n.call("mul", {n[0], n.number("beta", 0.5)})}), n.number("alpha", 1)}));
  return true;
}
bool affine(NodeReader& n) {
  n.out(n.call("add", {n.call("mul", {n[0], n.number("alpha", 1)}), n.number("beta", 0)}));
  return true;
}
bool tangent(NodeReader& n) {
  n.out(n.call("div", {n.call("sin", {n[0]}), n.call("cos", {n[0]})}));
  return true;
}
// (e^x - e^-x) / 2 by expm1, which keeps small arguments exact.
bool sinh(NodeReader& n) {
  Value* up = n.call("expm1", {n[0]});
  Value* down = n.call("expm1", {n.call("neg", {n[0]})});
  n.out(n.call("mul", {n.call("sub", {up, down}), 0.5}));
  return true;
}
bool cosh(NodeReader& n) {
  n.out(n.call("mul", {n.call("add", {n.call("exp", {n[0]}), n.call("exp", {n.call("neg", {n[0]})})}), 0.5}));
  return true;
}
// log1p(x + x^2 / (1 + sqrt(1 + x^2))), with the sign outside
bool asinh(NodeReader& n) {
  Value* x = n.call("abs", {n[0]});
  Value* square = n.call("mul", {x, x});
  Value* root = n.call("add", {n.call("sqrt", {n.call("add", {square, 1.0})}), 1.0});
  n.out(n.call(
      "mul", {n.call("sign", {n[0]}), n.call("log1p", {n.call("add", {x, n.call("div", {square, root})})})}));
  return true;
}
bool acosh(NodeReader& n) {
  Value* root = n.call("sqrt", {n.call("mul", {n.call("sub", {n[0], 1.0}), n.call("add", {n[0], 1.0})})});
  n.out(n.call("log", {n.call("add", {n[0], root})}));
  return true;
}
bool atanh(NodeReader& n) {
  Value* up = n.call("log1p", {n[0]});
  Value* down = n.call("log1p", {n.call("neg", {n[0]})});
  n.out(n.call("mul", {n.call("sub", {up, down}), 0.5}));
  return true;
}
bool is_inf(NodeReader& n) {
  const bool up = n.integer("detect_positive", 1) != 0, down = n.integer("detect_negative", 1) != 0;
  const double infinity = INFINITY;
  if (up && down) n.out(n.call("eq", {n.call("abs", {n[0]}), infinity}));
  else if (up || down) n.out(n.call("eq", {n[0], up ? infinity : -infinity}));
  else n.out(n.call("ne", {n.call("isnan", {n[0]}), n.call("isnan", {n[0]})}));
  return true;
}

// ---- reductions

enum class Reduction { Sum, Mean, Max, Min, Prod, L1, L2, LogSum, LogSumExp, SumSquare };

// Below (or above) every element of the type.
Any beyond_all(DType dtype, bool largest) {
  Any fill(largest ? -double(INFINITY) : double(INFINITY));
  if (dtype == DType::Bool) fill = Any(!largest);
  else if (is_integral(dtype)) {
    const int bits = static_cast<int>(8 * item_size(dtype));
    const bool sign = family(dtype) == DTypeClass::Signed;
    const uint64_t most = ~uint64_t(0) >> (64 - bits + (sign ? 1 : 0));
    fill = Any(largest ? (sign ? -static_cast<int64_t>(most) - 1 : int64_t(0)) : static_cast<int64_t>(most));
  }
  return fill;
}

// The largest or smallest of no elements is what every other element is above or below; null where there are some.
Value* reduced_nothing(NodeReader& n, const Dims& axes, bool keep, bool largest) {
  const int rank = spelling::rank(n[0]);
  Wholes sizes;
  bool empty = false;
  for (int d = 0; d < rank; d++) {
    const bool reduced =
        std::any_of(axes.begin(), axes.end(), [&](int64_t a) { return (a < 0 ? a + rank : a) == d; });
    const graph::Dim& dim = n[0]->type.dims[static_cast<size_t>(d)];
    empty |= reduced && dim.fixed() && dim.size == 0;
    if (!reduced) sizes.push_back(size_of(n, n[0], d));
    else if (keep) sizes.push_back(1);
  }
  if (!empty) return nullptr;
  return n.call("full", {list_of(n, sizes), beyond_all(dtype_of(n[0], "the input"), largest),
                         spelling::named("dtype", dtype_of(n[0], "the input"))});
}

template <Reduction kind>
bool reduce(NodeReader& n) {
  const bool keep = n.integer("keepdims", 1) != 0;
  auto axes = n.ints_of("axes", 1);
  Dims count;
  if (n.has(1) && !axes && spelling::fixed_sizes(n[1], count) && count == Dims{0})
    axes.emplace();  // an empty list
  bool running = n.has(1) && !axes, all = false;
  if (running && n.integer("noop_with_empty_axes", 0) != 0)
    return n.declines("axes that are not constant and may be none");
  if (!running && (!axes || axes->empty())) {
    const bool nothing = n.integer("noop_with_empty_axes", 0) != 0;
    axes.emplace();
    running = all = !nothing && spelling::rank(n[0]) < 0;
    for (int i = 0; !nothing && i < spelling::rank(n[0]); i++) axes->push_back(i);
    if (axes->empty() && !all) {  // nothing is reduced; what is done to each element still is
      Value* x = n[0];
      if constexpr (kind == Reduction::L1 || kind == Reduction::L2) x = n.call("abs", {x});
      if constexpr (kind == Reduction::LogSum) x = n.call("log", {x});
      if constexpr (kind == Reduction::SumSquare) x = n.call("mul", {x, x});
      n.out(x);
      return true;
    }
  }
  using spelling::named;
  DType dtype;
  const bool typed = spelling::has_dtype(n[0], &dtype);
  const spelling::Argument dims = all ? spelling::Argument(n.builtin("range", {n.builtin("dim", {n[0]})}))
                                  : running ? n.ints_argument(1)
                                            : spelling::Argument(*axes);
  auto over = [&](const char* op, Value* x) {
    return n.call(op, {x, named("dim", dims), named("keepdim", keep)});
  };
  Value* x = n[0];
  Value* y = nullptr;
  if (!running && (kind == Reduction::Max || kind == Reduction::Min || kind == Reduction::LogSumExp))
    if (Value* none = reduced_nothing(n, *axes, keep, kind != Reduction::Min)) {
      n.out(none);
      return true;
    }
  if constexpr (kind == Reduction::Max || kind == Reduction::Min || kind == Reduction::LogSumExp) {
    // Of no elements at all; the sum, which is then 0, says the shape.
    Dims sizes;
    if (running && typed && spelling::fixed_sizes(x, sizes) && std::count(sizes.begin(), sizes.end(), 0)) {
      Value* zero = cast_to(n, over("sum", x), dtype);
      const Any fill = beyond_all(dtype, kind != Reduction::Min);
      if (dtype == DType::Bool) n.out(fill.to_bool() ? n.call("logical_not", {zero}) : zero);
      else n.out(cast_to(n, n.call("add", {zero, fill}), dtype));
      return true;
    }
  }
  if constexpr (kind == Reduction::Sum) y = over("sum", x);
  if constexpr (kind == Reduction::Mean)
    y = over("mean", typed && !is_floating(dtype) ? n.call("to", {x, DType::F64}) : x);
  if constexpr (kind == Reduction::Max) y = over("amax", x);
  if constexpr (kind == Reduction::Min) y = over("amin", x);
  if constexpr (kind == Reduction::Prod) y = over("prod", x);
  if constexpr (kind == Reduction::L1) y = over("sum", n.call("abs", {x}));
  if constexpr (kind == Reduction::L2) y = n.call("sqrt", {over("sum", n.call("mul", {x, x}))});
  if constexpr (kind == Reduction::LogSum) y = n.call("log", {over("sum", x)});
  if constexpr (kind == Reduction::LogSumExp) {
    Value* top = n.call("amax", {x, named("dim", dims), named("keepdim", true)});
    Value* rest = n.call("log", {over("sum", n.call("exp", {n.call("sub", {x, top})}))});
    y = n.call("add", {rest, keep ? top : over("amax", x)});
  }
  if constexpr (kind == Reduction::SumSquare) y = over("sum", n.call("mul", {x, x}));
  // Our sums of small integers are int64; the file's keep the type.
  DType got;
  if (typed && (!spelling::has_dtype(y, &got) || got != dtype)) y = n.call("to", {y, dtype});
  if (all && !keep && typed) promise(y, dtype, 0);
  n.out(y);
  return true;
}

template <bool largest>
bool arg_reduce(NodeReader& n) {
  using spelling::named;
  if (n.integer("select_last_index", 0) != 0) {
    // The last among equals is the first of the reversed, counted from the end.
    const int rank = n.rank_of(0);
    int64_t axis = n.integer("axis", 0);
    if (axis < 0) axis += rank;
    MOKA_CHECK_KIND(File, axis >= 0 && axis < rank, "axis is out of range");
    Value* last = number_of(n, arithmetic(n, "sub", size_of(n, n[0], axis), 1), DType::I64);
    Value* first =
        n.call(largest ? "argmax" : "argmin", {n.call("flip", {n[0], Dims{axis}}), named("dim", axis),
                                               named("keepdim", n.integer("keepdims", 1) != 0)});
    n.out(n.call("sub", {last, first}));
    return true;
  }
  n.out(n.call(largest ? "argmax" : "argmin",
               {n[0], named("dim", n.integer("axis", 0)), named("keepdim", n.integer("keepdims", 1) != 0)}));
  return true;
}

constexpr Adapter table[] = {
    {"Add", 1, 7, old_binary<add_name>},
    {"Sub", 1, 7, old_binary<sub_name>},
    {"Mul", 1, 7, old_binary<mul_name>},
    {"Greater", 1, 7, old_binary<gt_name>},
    {"Less", 1, 7, old_binary<lt_name>},
    {"Equal", 1, 7, old_binary<eq_name>},
    {"And", 1, 7, old_binary<and_name>},
    {"Or", 1, 7, old_binary<or_name>},
    {"Xor", 1, 7, old_binary<xor_name>},
    {"Div", 1, 0, divide},
    {"Mod", 10, 0, modulo},
    {"Pow", 1, 0, power},
    {"Max", 1, 0, variadic<maximum_name>},
    {"Min", 1, 0, variadic<minimum_name>},
    {"Sum", 1, 0, variadic<add_name>},
    {"Mean", 1, 0, mean},
    {"Clip", 1, 0, clip},
    {"HardSigmoid", 1, 0, hard_sigmoid},
    {"HardSwish", 14, 0, hard_swish},
    {"Selu", 1, 0, selu},
    {"Celu", 12, 0, celu},
    {"PRelu", 1, 0, prelu},
    {"Softsign", 1, 0, softsign},
    {"ThresholdedRelu", 1, 0, thresholded_relu},
    {"Mish", 18, 0, mish},
    {"Swish", 24, 0, swish},
    {"Shrink", 9, 0, shrink},
    {"ScaledTanh", 1, 0, scaled_tanh},
    {"Affine", 1, 0, affine},
    {"Tan", 7, 0, tangent},
    {"Sinh", 9, 0, sinh},
    {"Cosh", 9, 0, cosh},
    {"Asinh", 9, 0, asinh},
    {"Acosh", 9, 0, acosh},
    {"Atanh", 9, 0, atanh},
    {"IsInf", 10, 0, is_inf},
    {"ReduceSum", 1, 0, reduce<Reduction::Sum>},
    {"ReduceMean", 1, 0, reduce<Reduction::Mean>},
    {"ReduceMax", 1, 0, reduce<Reduction::Max>},
    {"ReduceMin", 1, 0, reduce<Reduction::Min>},
    {"ReduceProd", 1, 0, reduce<Reduction::Prod>},
    {"ReduceL1", 1, 0, reduce<Reduction::L1>},
    {"ReduceL2", 1, 0, reduce<Reduction::L2>},
    {"ReduceLogSum", 1, 0, reduce<Reduction::LogSum>},
    {"ReduceLogSumExp", 1, 0, reduce<Reduction::LogSumExp>},
    {"ReduceSumSquare", 1, 0, reduce<Reduction::SumSquare>},
    {"ArgMax", 1, 0, arg_reduce<true>},
    {"ArgMin", 1, 0, arg_reduce<false>},
};

}  // namespace

std::span<const Adapter> arithmetic_adapters() { return table; }

}  // namespace moka::onnx
