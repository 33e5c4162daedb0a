// Gamma, Dirichlet and binomial numbers, and how the first two move with their parameters.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/random/draws.h"
#include "moka/ops/random/random.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/ops/special/scalar.h"

namespace moka::ops {

namespace {
// The smallest normal number of a type, and the largest below 1.
std::pair<double, double> open_ends(DType t) {
  switch (t) {
    case DType::F64: return {std::numeric_limits<double>::min(), 1 - 0x1p-53};
    case DType::F16: return {0x1p-14, 1 - 0x1p-11};
    case DType::BF16: return {std::numeric_limits<float>::min(), 1 - 0x1p-8};
    default: return {std::numeric_limits<float>::min(), 1 - 0x1p-24};
  }
}
void check_floating(const Frame& f, int i) {
  MOKA_CHECK(is_floating(f.tensor(i).dtype()), f.name(), ": defined for floating types, got ",
             f.tensor(i).dtype());
}
// As doubles in a size that it broadcasts to.
Tensor wide(const Tensor& t, std::span<const int64_t> sizes) {
  return to_dtype(as_contiguous(expand(t, sizes)), DType::F64);
}

// The logarithm of a gamma number: small concentrations have draws that underflow. Marsaglia, Tsang: A simple method for
// generating gamma variables, ACM TOMS 26, 2000; below 1 a draw for a + 1 times u^(1 / a).
double log_gamma_number(ElementDraws& w, double a) {
  if (!(a >= 0 && a < std::numeric_limits<double>::infinity())) return a < 0 ? std::log(-1.0) : a;
  double lift = 0;
  if (a < 1) {
    if (a == 0) return -std::numeric_limits<double>::infinity();
    lift = std::log(w.next_from_above()) / a;
    a += 1;
  }
  double d = a - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    double x = w.normal(), t = 1 + c * x;
    if (t <= 0) continue;
    double v = t * t * t, u = w.next_from_above();
    if (std::log(u) < 0.5 * x * x + d * (1 - v + std::log(v))) return std::log(d * v) + lift;
  }
}

void shape_gamma(Frame& f) {
  check_floating(f, 0);
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
void run_gamma(Frame& f) {
  Tensor concentration = wide(f.tensor(0), f.tensor(0).sizes());
  const double* a = concentration.data<double>();
  double least = open_ends(f.outs[0].dtype()).first;
  fill_each(f.outs[0], f.outs[0], f, 1, [=](ElementDraws& w, int64_t i) {
    return a[i] >= 0 ? std::max(least, std::exp(log_gamma_number(w, a[i])))
                     : std::numeric_limits<double>::quiet_NaN();
  });
}

// ---- implicit reparameterization: a draw x of the distribution function F(x; a) keeps F, so dx/da = -(dF/da) / (dF/dx)
// (Figurnov, Mohamed, Mnih: Implicit reparameterization gradients, 2018). F and its derivative are summed together.
constexpr int most_terms = 200000;
constexpr double enough = 1e-16;

// A number and its derivative by the one parameter.
struct Dual {
  double v, d = 0;
};
Dual operator*(Dual x, Dual y) { return {x.v * y.v, x.d * y.v + x.v * y.d}; }
Dual operator/(Dual x, Dual y) { return {x.v / y.v, (x.d - x.v / y.v * y.d) / y.v}; }
Dual operator+(Dual x, Dual y) { return {x.v + y.v, x.d + y.d}; }

// Continued fraction b0 + a1 / (b1 + a2 / (b2 + ...)) by Lentz's method as Thompson and Barnett changed it (1986).
template <class Term>
Dual continued_fraction(Dual b0, Term term) {
  constexpr double tiny = 1e-300;
  auto nonzero = [](Dual x) { return std::fabs(x.v) < tiny ? Dual{tiny, x.d} : x; };
  Dual f = nonzero(b0), c = f, d{0, 0};
  for (int n = 1; n < most_terms; n++) {
    auto [a, b] = term(n);
    d = nonzero(b + a * d);
    c = nonzero(b + a / c);
    d = Dual{1} / d;
    Dual step = c * d;
    f = f * step;
    if (!(std::fabs(step.v - 1) >= enough || std::fabs(step.d) >= enough)) break;  // NaN stays NaN
  }
  return f;
}

double gamma_slope(double a, double x) {
  if (std::isnan(a) || std::isnan(x)) return a + x;
  if (x <= 0) return 0;
  if (a > 1e8) return 1 + (x - a) / (2 * a);  // the first terms of the Cornish-Fisher expansion
  if (x < a + 1) {  // P = x^a e^-x / Gamma(a + 1) * (1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ...)
    double term = 1, sum = 1, slope = 0, change = 0;
    for (int n = 1; n < most_terms && term > enough * sum; n++) {
      term *= x / (a + n);
      change -= 1 / (a + n);
      sum += term;
      slope += term * change;
    }
    return -(x / a) * (sum * (std::log(x) - special::digamma(a + 1)) + slope);
  }
  // 1 - P = x^a e^-x / Gamma(a) / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ...))
  Dual bottom = continued_fraction({x + 1 - a, -1}, [=](int n) {
    return std::pair{Dual{-n * (n - a), double(n)}, Dual{x + 2 * n + 1 - a, -1}};
  });
  Dual q = Dual{1} / bottom;
  return x * (q.v * (std::log(x) - special::digamma(a)) + q.d);
}

// The continued fraction of the incomplete beta function I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) * fraction (NIST
// Handbook 8.17.22), with its derivative by a (by_a) or b.
Dual beta_fraction(double x, double a, double b, bool by_a) {
  Dual p{a, by_a ? 1.0 : 0.0}, q{b, by_a ? 0.0 : 1.0}, negative{-x};
  Dual f = continued_fraction({1}, [&](int n) {
    double m = n / 2;
    Dual even = p + Dual{2 * m};
    Dual top = n % 2 ? negative * ((p + Dual{m}) / even) * ((p + q + Dual{m}) / (even + Dual{1}))
                     : Dual{m * x} * ((q + Dual{-m}) / (even + Dual{-1})) / even;
    return std::pair{top, Dual{1}};
  });
  return Dual{1} / f;
}
// dx/da of a draw x of Beta(a, b), over 1 - x.
double beta_slope(double x, double a, double b) {
  if (std::isnan(x) || !(a > 0 && b > 0)) return std::numeric_limits<double>::quiet_NaN();
  if (x <= 0) return 0;
  double common = std::log(x) - special::digamma(a) + special::digamma(a + b);
  if (x < (a + 1) / (a + b + 2)) {
    Dual f = beta_fraction(x, a, b, true);
    return -(x / a) * (f.v * (common - 1 / a) + f.d);
  }
  Dual f = beta_fraction(1 - x, b, a, false);
  return (x / b) * (f.v * common + f.d);
}

void shape_gamma_slope(Frame& f) {
  check_floating(f, 0);
  f.output(0, broadcast_shape(f.tensor(0).sizes(), f.tensor(1).sizes(), f.name()), f.tensor(0).dtype());
}
void run_gamma_slope(Frame& f) {
  Tensor a = wide(f.tensor(0), f.outs[0].sizes()), x = wide(f.tensor(1), f.outs[0].sizes());
  Tensor out = new_tensor(a.sizes(), DType::F64);
  const double *pa = a.data<double>(), *px = x.data<double>();
  double* y = out.data<double>();
  parallel_for(0, out.numel(), 64, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) y[i] = gamma_slope(pa[i], px[i]);
  });
  copy_elements(out, f.outs[0]);
}
void shape_dirichlet_slope(Frame& f) {
  check_floating(f, 0);
  Dims sizes(broadcast_shape(f.tensor(0).sizes(), f.tensor(1).sizes(), f.name()));
  f.output(0, broadcast_shape(sizes, f.tensor(2).sizes(), f.name()), f.tensor(0).dtype());
}
void run_dirichlet_slope(Frame& f) {
  std::span<const int64_t> sizes = f.outs[0].sizes();
  Tensor x = wide(f.tensor(0), sizes), a = wide(f.tensor(1), sizes), total = wide(f.tensor(2), sizes);
  Tensor out = new_tensor(sizes, DType::F64);
  const double *px = x.data<double>(), *pa = a.data<double>(), *pt = total.data<double>();
  double* y = out.data<double>();
  parallel_for(0, out.numel(), 64, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) y[i] = beta_slope(px[i], pa[i], pt[i] - pa[i]);
  });
  copy_elements(out, f.outs[0]);
}

// ---- Dirichlet: gamma numbers over their sum, in logarithms
void shape_dirichlet(Frame& f) {
  check_floating(f, 0);
  MOKA_CHECK(f.tensor(0).dim() > 0, f.name(), ": expected concentrations of 1 dimension or more, got shape ",
             f.tensor(0).sizes());
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
void run_dirichlet(Frame& f) {
  Tensor concentration = wide(f.tensor(0), f.tensor(0).sizes());
  Tensor out = new_tensor(concentration.sizes(), DType::F64);
  const double* a = concentration.data<double>();
  double* y = out.data<double>();
  auto [least, most] = open_ends(f.outs[0].dtype());
  if (out.size(-1) == 1) most = 1;
  int64_t n = out.size(-1), rows = n ? out.numel() / n : 0;
  auto make_rows = [&, least = least, most = most](int64_t first, int64_t last, auto words_of) {
    for (int64_t r = first; r < last; r++) {
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t i = r * n; i < (r + 1) * n; i++) {
        ElementDraws words = words_of(i);
        y[i] = log_gamma_number(words, a[i]);
        top = std::max(top, y[i]);
      }
      for (int64_t i = r * n; i < (r + 1) * n; i++) sum += y[i] = std::exp(y[i] - top);
      for (int64_t i = r * n; i < (r + 1) * n; i++) y[i] = std::clamp(y[i] / sum, least, most);
    }
  };
  if (Generator::Twister twister = twister_from(f, 1)) {
    make_rows(0, rows, [&](int64_t) { return ElementDraws(*twister); });
  } else {
    Generator::Draw d = draw_from(f, 1);
    parallel_for(0, rows, std::max<int64_t>(1, 256 / std::max<int64_t>(1, n)),
                 [&](int64_t first, int64_t last) {
                   make_rows(first, last, [d](int64_t i) { return ElementDraws(d, i); });
                 });
  }
  copy_elements(out, f.outs[0]);
}

// ---- binomial
// Below a mean of 10 the gaps between successes, else the transformed rejection BTRS (Hörmann: The generation of binomial
// random variates, Journal of Statistical Computation and Simulation 46, 1993). p is at most 1 / 2.
double binomial_number(ElementDraws& w, double n, double p) {
  if (p == 0 || n == 0) return 0;
  if (n * p < 10) {
    double rate = std::log1p(-p), sum = 0, k = 0;
    for (;; k++) {
      sum += std::ceil(std::log(w.next()) / rate);
      if (sum > n) return k;
    }
  }
  double q = 1 - p, spread = std::sqrt(n * p * q);
  double b = 1.15 + 2.53 * spread, a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5;
  double accepted = 0.92 - 4.2 / b, alpha = (2.83 + 5.1 / b) * spread, odds = std::log(p / q);
  double mode = std::floor((n + 1) * p),
         height = special::log_gamma(mode + 1) + special::log_gamma(n - mode + 1);
  for (;;) {
    double u = w.next() - 0.5, v = w.next(), s = 0.5 - std::fabs(u);
    double k = std::floor((2 * a / s + b) * u + c);
    if (s >= 0.07 && v <= accepted) return k;
    if (k < 0 || k > n) continue;
    if (std::log(v * alpha / (a / (s * s) + b)) <=
        height - special::log_gamma(k + 1) - special::log_gamma(n - k + 1) + (k - mode) * odds)
      return k;
  }
}
void shape_binomial(Frame& f) {
  check_floating(f, 0);
  check_floating(f, 1);
  MOKA_CHECK(f.tensor(0).dtype() == f.tensor(1).dtype(), f.name(), ": count is ", f.tensor(0).dtype(),
             " but prob is ", f.tensor(1).dtype(), "; they must have one type");
  f.output(0, broadcast_shape(f.tensor(0).sizes(), f.tensor(1).sizes(), f.name()), f.tensor(0).dtype());
}
void run_binomial(Frame& f) {
  Tensor count = wide(f.tensor(0), f.outs[0].sizes()), prob = wide(f.tensor(1), f.outs[0].sizes());
  const double *n = count.data<double>(), *p = prob.data<double>();
  for (int64_t i = 0; i < count.numel(); i++)
    MOKA_CHECK(!(n[i] < 0) && !(p[i] < 0 || p[i] > 1),
               "binomial: expected count >= 0 and prob in [0, 1], got count=", n[i], " and prob=", p[i]);
  fill_each(f.outs[0], f.outs[0], f, 2, [=](ElementDraws& w, int64_t i) {
    double trials = std::floor(n[i]);
    if (std::isnan(trials) || std::isnan(p[i])) return trials + p[i];
    return p[i] <= 0.5 ? binomial_number(w, trials, p[i]) : trials - binomial_number(w, trials, 1 - p[i]);
  });
}
}  // namespace

constinit const Op _standard_gamma_op{
    .schema = "_standard_gamma(Tensor input, Generator? generator=None) -> Tensor",
    .doc = "Gamma numbers of the given concentrations and rate 1; they pass gradients to the concentrations.",
    .method = "function",
    .shape = shape_gamma,
    .kernels = {KernelRow{"philox", run_gamma}},
    .derivative = {wrt(
        "input", [](auto dy, auto input, auto, auto y) { return mul(dy, _standard_gamma_grad(input, y)); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .effect = Effect::Random,
    .samples = {shape(2, 3).in(Domain::Positive).no_gradient(), shape(0).no_gradient()},
};
constinit const Op _standard_gamma_grad_op{
    .schema = "_standard_gamma_grad(Tensor input, Tensor output) -> Tensor",
    .doc = "The derivative of gamma numbers `output` by their concentrations `input`.",
    .method = "function",
    .shape = shape_gamma_slope,
    .kernels = {KernelRow{"series", run_gamma_slope}},
    .derivative = none("the second derivative has no such formula"),
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {shapes({2, 3}, {2, 3}).in(Domain::Positive), shapes({0}, {1}).in(Domain::Positive)},
};
constinit const Op _sample_dirichlet_op{
    .schema = "_sample_dirichlet(Tensor input, Generator? generator=None) -> Tensor",
    .doc =
        "Shares along the last dimension that sum to 1, of a Dirichlet distribution with these "
        "concentrations; they "
        "pass gradients.",
    .method = "function",
    .shape = shape_dirichlet,
    .kernels = {KernelRow{"philox", run_dirichlet}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto, auto y) {
                         return mul(_dirichlet_grad(y, input, sum(input, -1, true)),
                                    sub(dy, sum(mul(y, dy), -1, true)));
                       })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .effect = Effect::Random,
    .samples = {shape(2, 3).in(Domain::Positive).no_gradient(), shape(0, 3).no_gradient()},
};
constinit const Op _dirichlet_grad_op{
    .schema = "_dirichlet_grad(Tensor x, Tensor alpha, Tensor total) -> Tensor",
    .doc = "dx / dalpha / (1 - x) of numbers x of Beta(alpha, total - alpha).",
    .method = "function",
    .shape = shape_dirichlet_slope,
    .kernels = {KernelRow{"fraction", run_dirichlet_slope}},
    .derivative = none("the second derivative has no such formula"),
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {shapes({2, 3}, {2, 3}, {2, 3})
                    .in(Domain::Probability, 0)
                    .in(Domain::Probability, 1)
                    .in(Domain::Positive, 2),
                shapes({0}, {1}, {1}).in(Domain::Positive)},
};
constinit const Op binomial_op{
    .schema = "binomial(Tensor count, Tensor prob, Generator? generator=None) -> Tensor",
    .doc = "How many of `count` trials of probability `prob` succeed.",
    .method = "function",
    .shape = shape_binomial,
    .kernels = {KernelRow{"philox", run_binomial}},
    .derivative = {wrt("count", [](auto, auto count) { return zeros_like(count); }),
                   wrt("prob", [](auto, auto, auto prob) { return zeros_like(prob); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .effect = Effect::Random,
    .samples = {shapes({2, 3}, {2, 3}).in(Domain::Positive, 0).in(Domain::Probability, 1).no_gradient(),
                shapes({0}, {1}).in(Domain::Probability, 1).no_gradient()},
};

}  // namespace moka::ops
