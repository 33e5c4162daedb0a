// Operators on complex tensors with operators on their parts. One rule an operator.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/spelling/pairs.h"

namespace moka::spelling {

using graph::Value;

namespace {

// ---- parts

Term both(const PairRewriting& r) {
  const Term re = r.term("real"), im = r.term("imag");
  if (re.value->type == im.value->type) return r.join(re, im);
  return r.join(re + r.call("zeros_like", {im}), im + r.call("zeros_like", {re}));  // they broadcast
}
Term polar(const PairRewriting& r) {
  const Term angle = r.term("angle");
  return r.join(r.term("abs") * r.call("cos", {angle}), r.term("abs") * r.call("sin", {angle}));
}
Term of_parts(const PairRewriting& r) { return r.pair("input"); }
Term real_part(const PairRewriting& r) { return r.re("input"); }
Term imaginary_part(const PairRewriting& r) { return r.im("input"); }
Term magnitude(const PairRewriting& r, Term pair) {
  return r.call("sqrt", {r.call("sum", {pair * pair, Dims{-1}})});
}
Term magnitude(const PairRewriting& r) { return magnitude(r, r.pair("input")); }
Term angle(const PairRewriting& r) { return r.call("atan2", {r.im("input"), r.re("input")}); }
Term conj(const PairRewriting& r) { return r.conjugate(r.pair("input")); }
Term full(const PairRewriting& r) {
  const Term real =
      r.call(r.node.op_name(), {sizes_of(r, "size"), r["fill_value"], named("dtype", r.part_type())});
  return r.join(real, r.call("zeros_like", {real}));
}
Term ones(const PairRewriting& r) {
  const Term real = r.call("ones", {sizes_of(r, "size"), named("dtype", r.part_type())});
  return r.join(real, r.call("zeros_like", {real}));
}
Term to(const PairRewriting& r) {
  if (!is_complex_value(r.node.output())) return r.cast(r.re("input"), r.node.output()->type.dtype);
  return r.cast(r.pair("input"), r.part_type());
}
Term where(const PairRewriting& r) {
  return r.call("where", {r.beside(r["condition"]), r.pair("input"), r.pair("other")});
}
Term masked_fill(const PairRewriting& r) {
  return r.call("where", {r.beside(r["mask"]), r.pair("value"), r.pair("input")});
}
Term gather(const PairRewriting& r) {
  std::vector<Size> sizes = r.sizes(r["index"]);
  sizes.push_back(2);
  const Term index = r.call("expand", {r.beside(r["index"]), r.list(sizes)});
  return r.call("gather", {r.pair("input"), counted(r, "dim", r.rank("input")), index});
}
Term pad(const PairRewriting& r) {
  Dims sizes;
  MOKA_CHECK_KIND(NotImplemented, r.ints("pad", sizes) && r.is("value", 0),
                  "padding with other values than 0");
  Dims all{0, 0};
  for (int64_t n : sizes) all.push_back(n);
  return r.call("pad_constant", {r.pair("input"), all, 0.0});
}
Term equal(const PairRewriting& r) {
  const Term same = r.call("eq", {r.pair("input"), r.pair("other")});
  return r.call("logical_and", {r.part(same, 0), r.part(same, 1)});
}
Term different(const PairRewriting& r) { return r.call("logical_not", {equal(r)}); }
Term finite(const PairRewriting& r) {
  return r.call("logical_and", {r.call("isfinite", {r.re("input")}), r.call("isfinite", {r.im("input")})});
}
Term not_a_number(const PairRewriting& r) {
  return r.call("logical_or", {r.call("isnan", {r.re("input")}), r.call("isnan", {r.im("input")})});
}

// ---- arithmetic

Term sum(const PairRewriting& r) {
  return r.call("add", {r.pair("input"), r.pair("other"), named("alpha", r["alpha"])});
}
Term difference(const PairRewriting& r) {
  return r.call("sub", {r.pair("input"), r.pair("other"), named("alpha", r["alpha"])});
}
Term reversed_difference(const PairRewriting& r) {
  return r.call("sub", {r.pair("other"), r.pair("input"), named("alpha", r["alpha"])});
}
Term product(const PairRewriting& r, Term a, Term b) {
  const Term ar = r.part(a, 0), ai = r.part(a, 1), br = r.part(b, 0), bi = r.part(b, 1);
  return r.join(ar * br - ai * bi, ar * bi + ai * br);
}
Term quotient(const PairRewriting& r, Term a, Term b) {
  const Term square = r.call("sum", {b * b, Dims{-1}, true});
  return product(r, a, r.conjugate(b)) / square;
}
Term product(const PairRewriting& r) {
  Value *a = r["input"], *b = r["other"];
  if (!r.complex(b)) return r.call("mul", {r.pair(a), r.beside(b)});
  if (!r.complex(a)) return r.call("mul", {r.pair(b), r.beside(a)});
  return product(r, r.pair(a), r.pair(b));
}
Term quotient(const PairRewriting& r) {
  Value *a = r["input"], *b = r["other"];
  if (!r.complex(b)) return r.call("div", {r.pair(a), r.beside(b)});
  return quotient(r, r.pair(a), r.pair(b));
}
Term one_over(const PairRewriting& r) {
  const Term z = r.pair("input");
  return r.conjugate(z) / r.call("sum", {z * z, Dims{-1}, true});
}
Term square(const PairRewriting& r) { return product(r, r.pair("input"), r.pair("input")); }
Term from_polar(const PairRewriting& r, Term size, Term angle) {
  return r.join(size * r.call("cos", {angle}), size * r.call("sin", {angle}));
}
Term exponential(const PairRewriting& r) {
  return from_polar(r, r.call("exp", {r.re("input")}), r.im("input"));
}
Term logarithm(const PairRewriting& r) { return r.join(r.call("log", {magnitude(r)}), angle(r)); }
Term square_root(const PairRewriting& r) {
  return from_polar(r, r.call("sqrt", {magnitude(r)}), angle(r) * 0.5);
}
Term power(const PairRewriting& r) {
  MOKA_CHECK_KIND(NotImplemented, r.complex("input") && !r.complex("exponent"), "a complex exponent");
  const Any* c = r.constant("exponent");
  const double exponent = c && c->arg().is_number() ? c->arg().as_double() : NAN;
  if (exponent == std::floor(exponent) && exponent >= 1 && exponent <= 16) {
    const Term z = r.pair("input");
    Term out = z;
    for (int i = 1; i < static_cast<int>(exponent); i++) out = product(r, out, z);
    return out;
  }
  const Argument by(r["exponent"]);
  return from_polar(r, r.call("pow", {magnitude(r), by}), r.call("mul", {angle(r), by}));
}
Term sign(const PairRewriting& r) {
  const Term z = r.pair("input"), size = r.call("unsqueeze", {magnitude(r), int64_t(-1)});
  return r.call("where", {r.call("eq", {size, 0.0}), r.call("zeros_like", {z}), z / size});
}
// Products of matrices, by parts.
Term matrices(const PairRewriting& r) {
  const Term a = r.pair("input"), b = r.pair(r.node.op_name() == "matmul" ? "other" : "mat2");
  const Term ar = r.part(a, 0), ai = r.part(a, 1), br = r.part(b, 0), bi = r.part(b, 1);
  auto product = [&](Term x, Term y) { return r.call("matmul", {x, y}); };
  return r.join(product(ar, br) - product(ai, bi), product(ar, bi) + product(ai, br));
}

constexpr PairRuleEntry rules[] = {
    {"view_as_complex", [](const PairRewriting& r) { return r.term("input"); }},
    {"view_as_real", of_parts},
    {"complex", both},
    {"polar", polar},
    {"real", real_part},
    {"imag", imaginary_part},
    {"abs", magnitude},
    {"angle", angle},
    {"conj", conj},
    {"conj_physical", conj},
    {"full", full},
    {"ones", ones},
    {"to", to},
    {"where", where},
    {"masked_fill", masked_fill},
    {"gather", gather},
    {"pad_constant", pad},
    {"eq", equal},
    {"ne", different},
    {"isfinite", finite},
    {"isnan", not_a_number},
    {"add", sum},
    {"sub", difference},
    {"rsub", reversed_difference},
    {"mul", product},
    {"div", quotient},
    {"reciprocal", one_over},
    {"square", square},
    {"exp", exponential},
    {"log", logarithm},
    {"sqrt", square_root},
    {"pow", power},
    {"sgn", sign},
    {"matmul", matrices},
    {"mm", matrices},
    {"bmm", matrices},
};

}  // namespace

std::span<const PairRuleEntry> pair_rules() { return rules; }

}  // namespace moka::spelling
