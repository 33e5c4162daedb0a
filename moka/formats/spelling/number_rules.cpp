// Pointwise operators written with others, where their formulas do not say how.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/rewriting.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Value;

namespace {

Term scaled(const Rewriting& r, Value* v, std::string_view factor) {
  return r.is(factor, 1) ? r.term(v) : r.call("mul", {v, r[factor]});
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
Value* clamp(const Rewriting& r) {
  return r.call("minimum", {r.call("maximum", {r["input"], r["min"]}), r["max"]});
}
Value* clamp_min(const Rewriting& r) { return r.call("maximum", {r["input"], r["min"]}); }
Value* clamp_max(const Rewriting& r) { return r.call("minimum", {r["input"], r["max"]}); }
Value* hardtanh(const Rewriting& r) {
  Value* y = r.call("clamp", {r["input"], r["min_val"], r["max_val"]});
  DType type;  // clamp between floats makes floats
  return r.dtype(r["input"], type) && is_integral(type) ? r.cast(y, type) : y;
}
Value* square(const Rewriting& r) { return r.term("input") * r.term("input"); }
Value* rsqrt(const Rewriting& r) { return r.call("reciprocal", {r.call("sqrt", {r["input"]})}); }
Value* reciprocal(const Rewriting& r) { return r.call("div", {1.0, r["input"]}); }
Value* expm1(const Rewriting& r) { return r.call("exp", {r["input"]}) - 1.0; }
Value* log1p(const Rewriting& r) { return r.call("log", {r.term("input") + 1.0}); }
Value* trunc(const Rewriting& r) {
  DType type;
  if (r.dtype(r["input"], type) && !is_floating(type)) return r["input"];
  return r.call("sign", {r["input"]}) * r.call("floor", {r.call("abs", {r["input"]})});
}
Value* lerp(const Rewriting& r) {
  return r.term("input") + r.call("mul", {r.call("sub", {r["end"], r["input"]}), r["weight"]});
}
Value* addcmul(const Rewriting& r) {
  return r.call("add", {r["input"], scaled(r, r.term("tensor1") * r.term("tensor2"), "value")});
}
Value* masked_fill(const Rewriting& r) {
  const Term filled = r.call("where", {r["mask"], r["value"], r["input"]});
  DType type;
  return r.dtype(r.node.output(), type) ? r.cast(filled, type) : filled;
}
Value* silu(const Rewriting& r) { return r.term("input") * r.call("sigmoid", {r["input"]}); }
// log(1 + exp(beta x)) / beta, and x itself above the threshold
Value* softplus(const Rewriting& r) {
  const Term x = scaled(r, r["input"], "beta");
  const Term tail = r.call("log1p", {r.call("exp", {r.call("neg", {r.call("abs", {x})})})});
  const Term soft = r.call("clamp_min", {x, 0.0}) + tail;
  return r.is("beta", 1) ? soft : r.call("div", {soft, r["beta"]});
}
Value* isfinite(const Rewriting& r) {
  DType type;
  if (r.dtype(r["input"], type) && !is_floating(type)) return r.call("eq", {r["input"], r["input"]});
  return r.call("lt", {r.call("abs", {r["input"]}), INFINITY});
}
Value* not_equal(const Rewriting& r) {
  return r.call("logical_not", {r.call("eq", {r["input"], r["other"]})});
}

Value* exp2(const Rewriting& r) { return r.call("exp", {r.term("input") * M_LN2}); }
Value* log2(const Rewriting& r) { return r.call("log", {r["input"]}) * (1 / M_LN2); }
Value* log10(const Rewriting& r) { return r.call("log", {r["input"]}) * (1 / M_LN10); }
Value* erfc(const Rewriting& r) { return r.call("sub", {1.0, r.call("erf", {r["input"]})}); }
Term negative(const Rewriting& r, Value* x) { return r.call("lt", {x, 0.0}); }
// Below zero, or a zero whose reciprocal is.
Term sign_bit(const Rewriting& r, Value* x) {
  DType type;
  if (r.dtype(x, type) && !is_floating(type)) return negative(r, x);
  return r.call("logical_or", {negative(r, x), r.call("eq", {r.call("reciprocal", {x}), -INFINITY})});
}
Value* signbit(const Rewriting& r) { return sign_bit(r, r["input"]); }
Value* copysign(const Rewriting& r) {
  const Value* sign = r["other"];
  if (sign->constant() && sign->constant()->arg().is_number()) {
    const Term size = r.call("abs", {r["input"]});
    return std::signbit(sign->constant()->arg().as_double()) ? r.call("neg", {size}) : size;
  }
  const Term size = r.call("abs", {r["input"]});
  return r.call("where", {sign_bit(r, r["other"]), r.call("neg", {size}), size});
}
// The angle of the quotient, turned by pi where x is negative.
Value* atan2(const Rewriting& r) {
  const Term y = r.term("input"), x = r.term("other");
  const Term angle = r.call("atan", {y / x});
  const Term turn =
      r.call("where", {sign_bit(r, y), r.call("full_like", {y, -M_PI}), r.call("full_like", {y, M_PI})});
  const Term turned = r.call("where", {sign_bit(r, x), angle + turn, angle});
  const Term zeros = r.call("logical_and", {r.call("eq", {x, 0.0}), r.call("eq", {y, 0.0})});
  const Term at_zero = r.call("where", {sign_bit(r, x), turn, y * 0.0});
  const Term equal = r.call("logical_and", {r.call("isinf", {x}), r.call("isinf", {y})});
  const Term diagonal = r.call("where", {sign_bit(r, x), turn * 0.75, turn * 0.25});
  return r.call("where", {zeros, at_zero, r.call("where", {equal, diagonal, turned})});
}
Value* hypot(const Rewriting& r) {
  const Term a = r.call("abs", {r["input"]}), b = r.call("abs", {r["other"]});
  const Term large = r.call("maximum", {a, b}), small = r.call("minimum", {a, b});
  const Term ratio =
      small / r.call("where", {r.call("eq", {large, 0.0}), r.call("full_like", {large, 1.0}), large});
  return large * r.call("sqrt", {ratio * ratio + 1.0});
}
bool is_whole(const Rewriting& r, DType& type) {
  return r.dtype(r.node.output(), type) && !is_floating(type);
}
// x - floor(x / y) y: the sign of the divisor.
Value* remainder(const Rewriting& r) {
  DType type;
  if (!r.dtype(r.node.output(), type) || !is_floating(type)) return nullptr;
  const Term whole = r.call("floor", {r.call("div", {r["input"], r["other"]})});
  return r.call("sub", {r["input"], r.call("mul", {whole, r["other"]})});
}
Value* floor_quotient(const Rewriting& r) {
  DType type;
  if (!r.dtype(r.node.output(), type) || !is_floating(type)) return nullptr;
  return r.call("floor", {r.call("div", {r["input"], r["other"]})});
}
Value* rounded_quotient(const Rewriting& r) {
  const std::string_view mode = r.text("rounding_mode");
  DType type;
  if (mode.empty()) return r.call("div", {r["input"], r["other"]});
  if (mode == "floor") return r.call("floor_divide", {r["input"], r["other"]});
  if (!r.dtype(r.node.output(), type) || !is_floating(type)) return nullptr;
  return r.call("trunc", {r.call("div", {r["input"], r["other"]})});
}
Value* round_decimals(const Rewriting& r) {
  int64_t decimals;
  if (!r.integer("decimals", decimals)) return nullptr;
  DType type;
  if (is_whole(r, type)) return decimals >= 0 ? r["input"] : nullptr;
  const double factor = std::pow(10.0, static_cast<double>(std::abs(decimals)));
  if (decimals < 0) return r.call("round", {r.term("input") / factor}) * factor;
  return r.call("round", {r.term("input") * factor}) / factor;
}
Value* nan_to_num(const Rewriting& r) {
  DType type;
  Term x = r.term("input");
  if (!r.dtype(x, type)) return nullptr;
  if (!is_floating(type)) return x;
  double largest = 3.4028234663852886e38;
  if (type == DType::F64) largest = 1.7976931348623157e308;
  else if (type == DType::F16) largest = 65504;
  else if (type == DType::BF16) largest = 3.3895313892515355e38;
  else if (type != DType::F32) return nullptr;
  Term out = r.call("where", {r.call("eq", {x, INFINITY}), r.number("posinf", largest), x});
  out = r.call("where", {r.call("eq", {x, -INFINITY}), r.number("neginf", -largest), out});
  return r.call("where", {r.call("isnan", {x}), r.number("nan", 0), out});
}
Value* isclose(const Rewriting& r) {
  Term a = r.term("input"), b = r.term("other");
  DType types[2];
  if (r.dtype(a, types[0]) && r.dtype(b, types[1]) && types[0] == DType::Bool && types[1] == DType::Bool) {
    a = r.cast(a, DType::F32);  // ONNX has no Abs of truth values
    b = r.cast(b, DType::F32);
  }
  const Term allowed = r.call("abs", {b}) * r.number("rtol") + r.number("atol");
  const Term difference = r.call("abs", {a - b});
  const Term near =
      r.call("logical_and", {r.call("le", {difference, allowed}), r.call("isfinite", {difference})});
  const Term out = r.call("logical_or", {near, r.call("eq", {a, b})});
  if (!r.flag("equal_nan")) return out;
  return r.call("logical_or", {out, r.call("logical_and", {r.call("isnan", {a}), r.call("isnan", {b})})});
}
Value* fill(const Rewriting& r) {
  const Any* value = r.constant("value");
  if (value && value->arg().is_number()) return r.call("full_like", {r["input"], *value});
  DType type;
  if (!r.dtype(r["input"], type) || !has_rank(r["input"])) return nullptr;
  const Term one = r.call("reshape", {r.cast(r["value"], type), Dims{}});
  return r.call("expand", {one, r.list(r.sizes(r["input"]))});
}
// Counts below 0 and from `bits` on shift everything out.
struct Shift {
  bool always_inside;  // known from a constant
  Term inside;
  Term count;  // as float64, 0 where it is outside
};
Shift read_shift(const Rewriting& r, int bits) {
  Shift s;
  const Any* known = r.constant("other");
  const bool number = known && known->arg().is_number();
  s.always_inside = number && known->to_int() >= 0 && known->to_int() < bits;
  s.count = r.cast(r["other"], DType::F64);
  if (s.always_inside) return s;
  s.inside = r.call("logical_and", {r.call("ge", {s.count, 0.0}), r.call("lt", {s.count, double(bits)})});
  s.count = r.call("where", {s.inside, s.count, 0.0});
  return s;
}
Term power_of_two(const Rewriting& r, Term count, DType type) {  // exact in float64
  return r.cast(r.call("round", {r.call("pow", {2.0, count})}), type);
}
Value* left_shift(const Rewriting& r) {
  DType type;
  if (!r.dtype(r.node.output(), type) || !is_integral(type)) return nullptr;
  const bool has_sign = family(type) == DTypeClass::Signed;
  const Shift s = read_shift(r, static_cast<int>(8 * item_size(type)) - has_sign);
  const Term shifted = r.term("input") * power_of_two(r, s.count, type);
  if (s.always_inside) return shifted;
  Term rest = r.call("zeros_like", {shifted});
  if (has_sign) {  // its last bit is no power of two that the type holds
    const int64_t bits = static_cast<int64_t>(8 * item_size(type));
    const Term last = r.call("eq", {r.cast(r["other"], DType::I64), bits - 1});
    const Term half = power_of_two(r, r.call("full_like", {s.count, double(bits / 2 - 1)}), type);
    const Term but_one = r.term("input") * half * half;
    rest = r.call("where", {last, but_one + but_one, rest});
  }
  return r.call("where", {s.inside, shifted, rest});
}
Value* right_shift(const Rewriting& r) {
  DType type;
  if (!r.dtype(r.node.output(), type) || !is_integral(type)) return nullptr;
  const bool has_sign = family(type) == DTypeClass::Signed;
  const Shift s = read_shift(r, static_cast<int>(8 * item_size(type)) - has_sign);
  const Term shifted = r.call("floor_divide", {r["input"], power_of_two(r, s.count, type)});
  if (s.always_inside) return shifted;
  Term rest = r.call("zeros_like", {shifted});  // what is left of the sign
  if (has_sign) rest = rest - r.cast(r.call("lt", {r.term("input"), 0.0}), type);
  return r.call("where", {s.inside, shifted, rest});
}
Value* angle(const Rewriting& r) {
  DType type;
  if (!r.dtype(r["input"], type) || is_complex(type)) return nullptr;
  const Term x = r.cast(r["input"], is_floating(type) ? type : default_float());
  const Term turned =
      r.call("where", {negative(r, x), r.call("full_like", {x, M_PI}), r.call("full_like", {x, 0.0})});
  return r.call("where", {r.call("isnan", {x}), x, turned});
}
// Operators of complex numbers that do nothing to real ones.
Value* same_if_real(const Rewriting& r) {
  DType type;
  return r.dtype(r["input"], type) && !is_complex(type) ? r["input"] : nullptr;
}
// Numbers drawn in place of a tensor's, from uniform and normal ones.
Term drawn(const Rewriting& r, std::string_view op) {
  DType type = default_float();
  r.dtype(r.node.output(), type);
  if (!is_floating(type)) type = default_float();
  return r.call(op, {r.list(r.sizes(r["input"])), named("dtype", type)});
}
Value* uniform(const Rewriting& r) {
  if (!has_rank(r["input"])) return nullptr;
  return drawn(r, "rand") * (r.number("to") - r.number("from")) + r.number("from");
}
Value* normal(const Rewriting& r) {
  if (!has_rank(r["input"])) return nullptr;
  return drawn(r, "randn") * r.number("std", 1) + r.number("mean", 0);
}
Value* exponential(const Rewriting& r) {
  if (!has_rank(r["input"])) return nullptr;
  return r.call("log", {r.call("rsub", {drawn(r, "rand"), 1.0})}) * (-1 / r.number("lambd", 1));
}
Value* bernoulli(const Rewriting& r) {
  DType type;
  if (!has_rank(r["input"]) || !r.dtype(r.node.output(), type)) return nullptr;
  return r.cast(r.call("lt", {drawn(r, "rand"), r.number("p", 0.5)}), type);
}
Value* bernoulli_of(const Rewriting& r) {
  DType type;
  if (!has_rank(r["input"]) || !r.dtype(r["input"], type)) return nullptr;
  return r.cast(r.call("lt", {drawn(r, "rand"), r["input"]}), type);
}
Value* permutation(const Rewriting& r) {
  int64_t n;
  if (!r.integer("n", n) || n == 0) return nullptr;
  const Term numbers = r.call("rand", {Dims{n}, named("dtype", DType::F32)});
  return r.build.call_all("topk", std::vector<Argument>{Argument(numbers), Argument(n)})[1];
}
Value* heaviside(const Rewriting& r) {
  DType type;
  if (!r.dtype(r.node.output(), type)) return nullptr;
  return r.call(
      "where", {r.call("eq", {r["input"], 0.0}), r["values"], r.cast(r.call("gt", {r["input"], 0.0}), type)});
}
Value* less_or_equal(const Rewriting& r) {
  return r.call("logical_or",
                {r.call("lt", {r["input"], r["other"]}), r.call("eq", {r["input"], r["other"]})});
}
Value* greater_or_equal(const Rewriting& r) {
  return r.call("logical_or",
                {r.call("gt", {r["input"], r["other"]}), r.call("eq", {r["input"], r["other"]})});
}
// To the nearest, from the middle to the even one.
Value* round(const Rewriting& r) {
  const Term x = r.term("input"), up = r.call("floor", {x + 0.5});
  const Term odd = r.call("ne", {r.call("floor", {up * 0.5}) * 2.0, up});
  const Term middle = r.call("logical_and", {r.call("eq", {up - x, 0.5}), odd});
  return r.call("where", {middle, up - 1.0, up});
}
Value* float_power(const Rewriting& r) {
  auto wide = [&](std::string_view arg) {
    return r.constant(arg) && !r.constant(arg)->is_tensor() ? Argument(r[arg])
                                                            : Argument(r.cast(r[arg], DType::F64));
  };
  return r.call("pow", {wide("input"), wide("exponent")});
}

constexpr RuleEntry rules[] = {
    {"add", scaled_sum},
    {"sub", scaled_difference},
    {"rsub", reversed_difference},
    {"clamp", clamp},
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
    {"softplus", softplus},
    {"isfinite", isfinite},
    {"ne", not_equal},
    {"exp2", exp2},
    {"log2", log2},
    {"log10", log10},
    {"erfc", erfc},
    {"signbit", signbit},
    {"copysign", copysign},
    {"atan2", atan2},
    {"hypot", hypot},
    {"remainder", remainder},
    {"floor_divide", floor_quotient},
    {"div.mode", rounded_quotient},
    {"round.decimals", round_decimals},
    {"nan_to_num", nan_to_num},
    {"isclose", isclose},
    {"fill", fill},
    {"bitwise_left_shift", left_shift},
    {"bitwise_right_shift", right_shift},
    {"angle", angle},
    {"conj", same_if_real},
    {"resolve_conj", same_if_real},
    {"resolve_neg", same_if_real},
    {"real", same_if_real},
    {"conj_physical", same_if_real},
    {"float_power", float_power},
    {"uniform_", uniform},
    {"normal_", normal},
    {"exponential_", exponential},
    {"bernoulli.p", bernoulli},
    {"bernoulli_", bernoulli},
    {"bernoulli", bernoulli_of},
    {"randperm", permutation},
    {"heaviside", heaviside},
    {"le", less_or_equal},
    {"ge", greater_or_equal},
    {"round", round},
};

}  // namespace

std::span<const RuleEntry> number_rules() { return rules; }

}  // namespace moka::spelling
