// Powers of float64 as lane programs: exp(y log(x)) with a logarithm of twice the length.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/generated/lane_number.h"

namespace moka {

namespace {
using X = Num<double, 0>;
// high + low, low below half a unit of high.
struct Double {
  X high, low;
};
X fused(X a, X b, X c) { return number_multiply_add(a, b, c); }
// The larger one first.
Double sum_of(X large, X small, X rest) {
  const X high = large + small;
  return {high, (large - high) + small + rest};
}
Double product(Double a, Double b) {
  const X high = a.high * b.high;
  return {high, fused(a.high, b.high, -high) + (a.high * b.low + a.low * b.high)};
}

// log(m 2^e) = e log(2) + 2 atanh(s), s = (m - 1) / (m + 1), atanh(s) = s + s z (1/3 + z/5 + z^2/7 + ...), z = s^2.
Double log_of(X x) {
  constexpr double terms[] = {1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17,
                              1.0 / 19, 1.0 / 21, 1.0 / 23, 1.0 / 25, 1.0 / 27, 1.0 / 29};
  using P = FloatParts<double>;
  const auto [e, m] = log_parts(x);
  const X f = m - 1, under = m + 1, under_low = m - (under - 1);
  const X s = f / under;
  const Double whole = {s, (fused(-s, under, f) - s * under_low) / under};
  const Double z = product(whole, whole);
  const Double series = sum_of(X::of(1.0 / 3), z.high * horner(terms, z.high), X::of(1.850371707708594e-17));
  const Double more = product(whole, product(z, series));
  const Double half = sum_of(whole.high, more.high, whole.low + more.low);
  const Double log = sum_of(e * P::ln2_high, half.high * 2, half.low * 2 + e * P::ln2_low);
  return sum_of(log.high, log.low, X::of(0));
}
}  // namespace

X number_pow(X a, X b) {
  constexpr double inf = std::numeric_limits<double>::infinity(), most = 800;  // exp of it is infinite
  using P = FloatParts<double>;
  const X x = number_abs(a);
  const Double l = log_of(x);
  const X product = b * l.high, bounded = within(product, -most, most);
  const X rest = number_where(number_abs(product) < most, fused(b, l.high, -product) + b * l.low, 0.0);
  const X n = (bounded * 1.4426950408889634 + P::round_magic) - P::round_magic;
  const X f = (bounded - n * P::ln2_high) - n * P::ln2_low + rest;
  X r = scale_by_power(exp_square_part(f) + f + 1, n);
  const auto endless = x == inf;
  r = number_where((x == 0.0) | endless, number_where(endless ^ (b < 0.0), inf, X::of(0)), r);
  r = number_where(is_nan(a) | is_nan(b), a + b, r);
  const X half = b * 0.5;
  const auto whole = number_round(b) == b, odd = whole & (number_round(half) != half);
  const auto negative = Mask<double, 0>{bits_of(a) < 0};
  r = number_where(negative & odd, -r, r);
  r = number_where((a < 0.0) & ~whole & ~endless, std::numeric_limits<double>::quiet_NaN(), r);
  return number_where((b == 0.0) | (a == 1.0) | ((x == 1.0) & (number_abs(b) == inf)), 1.0, r);
}

}  // namespace moka
