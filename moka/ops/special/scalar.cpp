// Special functions of one number: gamma, error and zeta functions, orthogonal polynomials.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/special/scalar.h"

#include <math.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace moka::special {

namespace {
constexpr double inf = std::numeric_limits<double>::infinity(),
                 nan = std::numeric_limits<double>::quiet_NaN();
constexpr double pi = 3.141592653589793238462643;
}  // namespace

double log_gamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);
}

// Reflection to positive x, the recurrence up to 10, then the asymptotic series (Abramowitz and Stegun 6.3).
double digamma(double x) {
  if (x == 0) return std::copysign(inf, -x);
  if (x < 0) {
    double whole, part = std::modf(x, &whole);
    if (part == 0) return nan;
    return digamma(1 - x) - pi / std::tan(pi * part);
  }
  double below = 0;
  for (; x < 10; x += 1) below += 1 / x;
  double y = 1 / (x * x);
  double series =
      y * (1. / 12 -
           y * (1. / 120 - y * (1. / 252 - y * (1. / 240 - y * (1. / 132 - y * (691. / 32760 - y / 12))))));
  return x > 1e17 ? std::log(x) - below : std::log(x) - 0.5 / x - series - below;
}

// Euler-Maclaurin summation (Abramowitz and Stegun 23.2), Bernoulli numbers over factorials as in Cephes.
double zeta(double x, double q) {
  static const double terms[] = {12.0,
                                 -720.0,
                                 30240.0,
                                 -1209600.0,
                                 47900160.0,
                                 -1.8924375803183791606e9,
                                 7.47242496e10,
                                 -2.950130727918164224e12,
                                 1.1646782814350067249e14,
                                 -4.5979787224074726105e15,
                                 1.8152105401943546773e17,
                                 -7.1661652561756670113e18};
  if (x == 1) return inf;
  if (!(x > 1)) return nan;
  if (q <= 0) {
    if (q == std::floor(q)) return inf;
    if (x != std::floor(x)) return nan;  // a power of a negative number
    // The terms below zero are those of two series above it, their signs aside: no walk from q to zero.
    const double nearest = std::ceil(q) - q, sign = std::fmod(x, 2) == 0 ? 1 : -1;
    return zeta(x, 1 - nearest) + sign * (zeta(x, nearest) - zeta(x, 1 - q));
  }
  double s = std::pow(q, -x), a = q, b = 0;
  for (int i = 0; i < 9 || a <= 9; i++) {
    a += 1;
    b = std::pow(a, -x);
    s += b;
    if (std::fabs(b) < std::fabs(s) * 1e-17) return s;
  }
  double w = a;
  s += b * w / (x - 1) - 0.5 * b;
  double factor = 1, k = 0;
  for (double term : terms) {
    factor *= x + k;
    b /= w;
    double t = factor * b / term;
    s += t;
    if (std::fabs(t) < std::fabs(s) * 1e-17) break;
    k += 1;
    factor *= x + k;
    b /= w;
    k += 1;
  }
  return s;
}

double polygamma(double n, double x) {
  if (!(n >= 0)) return nan;
  if (n == 0) return digamma(x);
  double sign = std::fmod(n, 2) == 0 ? -1 : 1;
  return sign * std::tgamma(n + 1) * zeta(n + 1, x);
}

constexpr double longest_sum = 1 << 20;  // terms; beyond, sums would take seconds and mean nothing

double multivariate_log_gamma(double x, double p) {
  if (x <= (p - 1) / 2 || p > longest_sum) return nan;
  double sum = p * (p - 1) / 4 * std::log(pi);
  for (int j = 0; j < p; j++) sum += log_gamma(x - 0.5 * j);
  return sum;
}
double multivariate_digamma(double x, double p) {
  if (x <= (p - 1) / 2 || p > longest_sum) return nan;
  double sum = 0;
  for (int j = 0; j < p; j++) sum += digamma(x - 0.5 * j);
  return sum;
}

// Winitzki's closed form, then Newton's iteration (Halley's form) on erf, or on erfc near 1, where erf has no bits left.
double inverse_erf(double x) {
  double a = std::fabs(x);
  if (!(a <= 1)) return nan;
  if (a == 1) return std::copysign(inf, x);
  if (a < 1e-9) return x * 0.88622692545275801365;
  double l = std::log1p(-a * a), c = 4.3307467508 + l / 2;
  double y = std::sqrt(std::sqrt(c * c - l / 0.147) - c);
  for (int i = 0; i < 3; i++) {
    double error = a < 0.5 ? std::erf(y) - a : (1 - a) - std::erfc(y);
    double step = error / (1.1283791670955125739 * std::exp(-y * y));
    y -= step / (1 + y * step);
  }
  return std::copysign(y, x);
}

double log_normal_cdf(double x) {
  constexpr double root_half = 0.70710678118654752440;
  if (x < -1) return std::log(scaled_erfc(-x * root_half) / 2) - x * x / 2;
  return std::log1p(-std::erfc(x * root_half) / 2);
}

double inverse_normal_cdf(double p) {
  constexpr double root_two = 1.41421356237309504880;
  if (p == 0) return -inf;
  if (p == 1) return inf;
  if (!(p > 0 && p < 1)) return nan;
  if (p > 0.02425 && p < 0.97575) return root_two * inverse_erf(2 * p - 1);
  // Tails: the asymptotic quantile, then Newton on log Phi, which stays well scaled.
  double q = p < 0.5 ? p : 1 - p, t = std::sqrt(-2 * std::log(q));
  double y = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                       (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
  double goal = std::log(q);
  for (int i = 0; i < 4; i++) {
    double value = log_normal_cdf(y);
    double slope = std::exp(-y * y / 2 - value) * 0.39894228040143267794;
    y -= (value - goal) / slope;
  }
  return p < 0.5 ? y : -y;
}

namespace {
// Series below a + 1, continued fraction (Lentz) above (Numerical Recipes 6.2); the uniform expansion of Temme's first
// terms is not needed at the precision of these sums.
double gamma_series(double a, double x) {
  double term = 1 / a, sum = term;
  for (int n = 1; n < 20000 && std::fabs(term) > std::fabs(sum) * 1e-17; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum * std::exp(-x + a * std::log(x) - log_gamma(a));
}
double gamma_fraction(double a, double x) {
  constexpr double tiny = 1e-300;
  double b = x + 1 - a, c = 1 / tiny, d = 1 / b, h = d;
  for (int i = 1; i < 20000; i++) {
    double an = -i * (i - a);
    b += 2;
    d = an * d + b;
    if (std::fabs(d) < tiny) d = tiny;
    c = b + an / c;
    if (std::fabs(c) < tiny) c = tiny;
    d = 1 / d;
    double step = d * c;
    h *= step;
    if (std::fabs(step - 1) < 1e-16) break;
  }
  return h * std::exp(-x + a * std::log(x) - log_gamma(a));
}
// 1: a result that needs no series; sets p.
bool gamma_edge(double a, double x, double& p) {
  if (!(x >= 0) || !(a >= 0)) p = nan;
  else if (a == 0) p = x > 0 ? 1 : nan;
  else if (x == 0) p = 0;
  else if (a == inf) p = x == inf ? nan : 0;
  else if (x == inf) p = 1;
  else return false;
  return true;
}
}  // namespace

double gamma_p(double a, double x) {
  double p;
  if (gamma_edge(a, x, p)) return p;
  return x < a + 1 ? gamma_series(a, x) : 1 - gamma_fraction(a, x);
}
double gamma_q(double a, double x) {
  double p;
  if (gamma_edge(a, x, p)) return 1 - p;
  return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

namespace {
// The three-term recurrence next = step(k, x, current, previous) from degrees 0 and 1. Degrees beyond most_degrees would
// take seconds and carry no digits: NaN, unless the numbers left the range of double before.
constexpr int64_t most_degrees = 1 << 18;
template <class Step>
double recurrence(double x, double n, double first, Step step) {
  if (x != x || n != n) return nan;
  int64_t degree = static_cast<int64_t>(n);
  if (degree < 0) return 0;
  if (degree == 0) return 1;
  double previous = 1, current = first;
  for (int64_t k = 1; k < degree && current - current == 0; k++) {
    if (k == most_degrees) return nan;
    double next = step(static_cast<double>(k), x, current, previous);
    previous = current;
    current = next;
  }
  return current;
}
double chebyshev_step(double, double x, double p, double q) { return 2 * x * p - q; }
// Of high degree inside (-1, 1) the recurrence would be long: the trigonometric forms.
constexpr double high_degree = 6;
}  // namespace

double chebyshev_t(double x, double n) {
  if (std::fabs(x) == 1) return n < 0 ? 0 : x > 0 || std::fmod(std::trunc(n), 2) == 0 ? 1 : -1;
  if (n > high_degree && std::fabs(x) < 1) return std::cos(std::trunc(n) * std::acos(x));
  return recurrence(x, n, x, chebyshev_step);
}
// Whether n is odd, as a sign.
double alternating(double n) { return std::fmod(std::trunc(n), 2) == 0 ? 1 : -1; }
double chebyshev_u(double x, double n) {
  if (n > 8 && std::fabs(x) == 1) return (std::trunc(n) + 1) * (x > 0 ? 1 : alternating(n));
  if (n > 8 && std::fabs(x) < 1) {
    double angle = std::acos(x), sine = std::sin(angle);
    if (sine != 0) return std::sin((std::trunc(n) + 1) * angle) / sine;
  }
  return recurrence(x, n, 2 * x, chebyshev_step);
}
double chebyshev_v(double x, double n) {
  if (n > 8 && std::fabs(x) == 1) return x > 0 ? 1 : (2 * std::trunc(n) + 1) * alternating(n);
  if (n > 8 && std::fabs(x) < 1) {
    double angle = std::acos(x), half = std::sin(angle / 2);
    if (half != 1) return std::cos((std::trunc(n) + 0.5) * angle) / std::cos(angle / 2);
  }
  return recurrence(x, n, 2 * x - 1, chebyshev_step);
}
double chebyshev_w(double x, double n) {
  if (n > 8 && std::fabs(x) == 1) return x > 0 ? 2 * std::trunc(n) + 1 : alternating(n);
  if (n > 8 && std::fabs(x) < 1) {
    double angle = std::acos(x), half = std::cos(angle / 2);
    if (half != 1) return std::sin((std::trunc(n) + 0.5) * angle) / std::sin(angle / 2);
  }
  return recurrence(x, n, 2 * x + 1, chebyshev_step);
}
double hermite_h(double x, double n) {
  return recurrence(x, n, 2 * x,
                    [](double k, double y, double p, double q) { return 2 * y * p - 2 * k * q; });
}
double hermite_he(double x, double n) {
  return recurrence(x, n, x, [](double k, double y, double p, double q) { return y * p - k * q; });
}
double laguerre_l(double x, double n) {
  if (std::fabs(x) == 0) return n < 0 ? 0 : 1;
  return recurrence(x, n, 1 - x, [](double k, double y, double p, double q) {
    return ((2 * k + 1 - y) * p - k * q) / (k + 1);
  });
}
double legendre_p(double x, double n) {
  if (std::fabs(x) == 1) return n < 0 ? 0 : x > 0 || std::fmod(std::trunc(n), 2) == 0 ? 1 : -1;
  return recurrence(x, n, x, [](double k, double y, double p, double q) {
    return ((2 * k + 1) * y * p - k * q) / (k + 1);
  });
}

}  // namespace moka::special
