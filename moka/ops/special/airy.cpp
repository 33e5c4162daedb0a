// The Airy function and its slope: integrals right of 1, steps of Taylor series of y'' = x y around 0, an asymptotic
// expansion far to the left. (NIST Digital Library of Mathematical Functions, 9.2, 9.6, 9.7, 10.32.)
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "moka/ops/special/scalar.h"

namespace moka::special {

namespace {
constexpr double pi = 3.14159265358979323846, at_zero = 0.35502805388781723926,
                 slope_at_zero = -0.25881940379280679840;
struct Airy {
  double value, slope;
};

// exp(z) K(z) of order nu: the trapezoidal rule on exp(z - z cosh t) cosh(nu t), which falls doubly exponentially.
double scaled_bessel_k(double nu, double z) {
  const double h = std::min(0.25, 0.7 / std::sqrt(z));
  double sum = 0.5;
  for (int i = 1; i < 400; i++) {
    const double t = i * h, rise = std::sinh(t / 2), fall = 2 * z * rise * rise;
    if (fall > 45) break;
    sum += std::exp(-fall) * std::cosh(nu * t);
  }
  return h * sum;
}

Airy right_of_one(double x) {
  const double z = 2.0 / 3 * x * std::sqrt(x), small = std::exp(-z);
  return {std::sqrt(x / 3) / pi * scaled_bessel_k(1.0 / 3, z) * small,
          -x / (pi * std::sqrt(3.0)) * scaled_bessel_k(2.0 / 3, z) * small};
}

Airy by_steps(double x) {
  Airy y{at_zero, slope_at_zero};
  for (double from = 0; from != x;) {
    const double h = std::fabs(x - from) <= 1 ? x - from : std::copysign(1.0, x);
    // (n + 2)(n + 1) a[n + 2] = from a[n] + a[n - 1], with powers of h in the terms.
    double before = 0, a = y.value, next = y.slope * h;
    Airy sum{a + next, y.slope};
    for (int n = 0; n < 40; n++) {
      const double after = (from * a * h * h + before * h * h * h) / ((n + 2) * (n + 1));
      sum.value += after;
      sum.slope += (n + 2) * after / h;
      before = a, a = next, next = after;
    }
    y = sum;
    from += h;
  }
  return y;
}

Airy far_left(double x) {
  const double z = -x, zeta = 2.0 / 3 * z * std::sqrt(z);
  double u = 1, values[2] = {1, 0}, slopes[2] = {1, 0};  // sums of even and of odd terms
  for (int k = 1; k <= 24; k++) {
    u *= (6.0 * k - 5) * (6.0 * k - 3) * (6.0 * k - 1) / (216.0 * k * (2.0 * k - 1) * zeta);
    const double sign = k / 2 % 2 ? -1 : 1;
    values[k % 2] += sign * u;
    slopes[k % 2] -= sign * u * (6.0 * k + 1) / (6.0 * k - 1);
  }
  const double turn = zeta + pi / 4, root = std::sqrt(std::sqrt(z)), scale = 1 / std::sqrt(pi);
  const double c = std::cos(turn), s = std::sin(turn);
  return {scale / root * (s * values[0] - c * values[1]), -scale * root * (c * slopes[0] + s * slopes[1])};
}

Airy airy(double x) {
  if (!std::isfinite(x)) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan};
  }
  return x > 1 ? right_of_one(x) : x < -10 ? far_left(x) : by_steps(x);
}
}  // namespace

double airy_ai(double x) { return airy(x).value; }
double airy_ai_slope(double x) { return airy(x).slope; }

}  // namespace moka::special
