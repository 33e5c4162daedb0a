// Arithmetic and comparison of complex numbers.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/complex/kernels.h"
#include "moka/ops/complex/number.h"
#include "moka/ops/define.h"

namespace moka::ops {

namespace {
struct Add {
  constexpr auto operator()(auto x, auto y, auto alpha) const { return x + alpha * y; }
};
struct Sub {
  constexpr auto operator()(auto x, auto y, auto alpha) const { return x - alpha * y; }
};
struct Mul {
  constexpr auto operator()(auto x, auto y) const { return x * y; }
};
struct Div {
  constexpr auto operator()(auto x, auto y) const { return x / y; }
};
struct Neg {
  constexpr auto operator()(auto x) const { return -x; }
};
struct Square {
  constexpr auto operator()(auto x) const { return x * x; }
};
struct Reciprocal {
  constexpr auto operator()(auto x) const { return 1 / x; }
};
struct Eq {
  constexpr auto operator()(auto x, auto y) const { return x == y; }
};
struct Ne {
  constexpr auto operator()(auto x, auto y) const { return x != y; }
};
struct Where {
  constexpr auto operator()(auto c, auto x, auto y) const { return number_where(c, x, y); }
};
struct AddCMul {
  constexpr auto operator()(auto x, auto a, auto b, auto value) const { return x + value * a * b; }
};
struct AddCDiv {
  constexpr auto operator()(auto x, auto a, auto b, auto value) const { return x + value * a / b; }
};
struct Lerp {
  constexpr auto operator()(auto x, auto y, auto w) const {
    auto near = w.re * w.re + w.im * w.im < 0.25;
    return number_where(near, x + w * (y - x), y - (y - x) * (1 - w));
  }
};
struct IsNan {
  constexpr auto operator()(auto x) const { return x != x; }
};
struct IsFinite {
  constexpr auto operator()(auto x) const { return is_finite(x.re) & is_finite(x.im); }
};
struct IsInf {
  constexpr auto operator()(auto x) const {
    auto infinite = [](auto v) { return ~is_finite(v) & (v == v); };
    return infinite(x.re) | infinite(x.im);
  }
};
struct LogicalNot {
  constexpr auto operator()(auto x) const { return x == 0; }
};
struct LogicalAnd {
  constexpr auto operator()(auto x, auto y) const { return (x != 0) & (y != 0); }
};
struct LogicalOr {
  constexpr auto operator()(auto x, auto y) const { return (x != 0) | (y != 0); }
};
struct LogicalXor {
  constexpr auto operator()(auto x, auto y) const { return (x != 0) ^ (y != 0); }
};
}  // namespace

void add_complex_arithmetic() {
  add_complex_formula<Add>(add_op);
  add_complex_formula<Sub>(sub_op);
  add_complex_formula<Mul>(mul_op);
  add_complex_formula<Div>(div_op);
  add_complex_formula<Neg>(neg_op);
  add_complex_formula<Square>(square_op);
  add_complex_formula<Reciprocal>(reciprocal_op);
  add_complex_formula<Eq>(eq_op);
  add_complex_formula<Ne>(ne_op);
  add_complex_formula<Where>(where_op);
  add_complex_formula<AddCMul>(addcmul_op);
  add_complex_formula<Lerp>(lerp_op);
  add_complex_formula<IsNan>(isnan_op);
  add_complex_formula<IsFinite>(isfinite_op);
  add_complex_formula<LogicalNot>(logical_not_op);
  add_complex_formula<LogicalAnd>(logical_and_op);
  add_complex_formula<LogicalOr>(logical_or_op);
  add_complex_formula<LogicalXor>(logical_xor_op);
  // Of operators that a build may lack.
  if (const Op* op = find_op("addcdiv")) add_complex_formula<AddCDiv>(*op);
  if (const Op* op = find_op("isinf")) add_complex_formula<IsInf>(*op);
}

}  // namespace moka::ops
