// Gamma functions, their logarithms and derivatives, and zeta.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/ops/special/lanes.h"
#include "moka/ops/unwritten.h"

namespace moka {
MOKA_LANES(lgamma, special::log_gamma)
MOKA_LANES(digamma, special::digamma)
MOKA_LANES2(special_zeta, special::zeta)
MOKA_LANES2(polygamma_at, special::polygamma)
MOKA_LANES2(mvlgamma, special::multivariate_log_gamma)
MOKA_LANES2(mvlgamma_slope, special::multivariate_digamma)
MOKA_LANES2(igamma, special::gamma_p)
MOKA_LANES2(igammac, special::gamma_q)
}  // namespace moka

namespace moka::ops {

MOKA_SPECIAL(lgamma, LGamma, 80, "", "log |Gamma(input)|.", dy* digamma(x), Domain::Positive);
MOKA_SPECIAL(digamma, Digamma, 60, "", "The derivative of lgamma.", dy* polygamma(1, x), Domain::Positive);

struct PolyGamma {
  constexpr auto operator()(auto n, auto x) const { return polygamma_at(n, x); }
};
constinit const Op polygamma_at_op{
    .schema = "polygamma_at(Tensor n, Tensor input) -> Tensor",
    .doc = "polygamma of orders given as a tensor.",
    .method = "function",
    .formula = pointwise<PolyGamma>(DTypeRule::Floating, 200),
    .derivative = {wrt("input", [](auto dy, auto n, auto x) { return dy * polygamma_at(n + 1, x); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Index, 0, 4).in(Domain::Positive, 1).no_gradient(),
                shapes({0}, {1}).no_gradient()},
};
constinit const Op polygamma_op{
    .schema = "polygamma(Number n, Tensor input) -> Tensor",
    .doc = "The n-th derivative of digamma.",
    .method = "function",
    .shape =
        [](Frame& f) {
          const Tensor& x = tensor_argument(f, 1);
          MOKA_CHECK(f.number(0) >= 0, f.name(), ": n must not be negative, got ", f.args[0]);
          f.output(0, x.sizes(), is_floating(x.dtype()) ? x.dtype() : default_float());
        },
    .kernels = {KernelRow{.name = "formula",
                          .run =
                              [](Frame& f) {
                                static constexpr Formula formula =
                                    pointwise<PolyGamma>(DTypeRule::Floating, 200);
                                const Arg operands[] = {f.args[0], f.args[1]};
                                f.outs[0] = apply_formula(formula, operands, f.outs[0].dtype(), f.name());
                              }}},
    .derivative = {wrt("input",
                       [](auto dy, auto n, auto x) { return dy * polygamma_at(zeros_like(x) + n + 1, x); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4).in(Domain::Positive).with("n", 1), shape(0).with("n", 2)},
};

struct MvLGamma {
  constexpr auto operator()(auto x, auto p) const { return mvlgamma(x, p); }
};
constinit const Op mvlgamma_op{
    .schema = "mvlgamma(Tensor input, int p) -> Tensor",
    .doc = "The logarithm of the multivariate gamma function of dimension p; NaN at (p - 1) / 2 and below.",
    .formula = pointwise<MvLGamma, 1>(DTypeRule::Floating, 200),
    .derivative = {wrt("input", [](auto dy, auto x, auto p) { return dy * mvlgamma_slope(x, p); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4).in(Domain::Positive).with("p", 1), shape(0).with("p", 2)},
};
constexpr int64_t most_dimensions = 1 << 20;  // as many terms are summed
struct MvLGammaSlope {
  constexpr auto operator()(auto x, auto p) const { return mvlgamma_slope(x, p); }
};
constinit const Op mvlgamma_slope_op{
    .schema = "mvlgamma_slope(Tensor input, int p) -> Tensor",
    .doc = "The derivative of mvlgamma: the sum of digamma(input - j / 2) over j below p.",
    .method = "function",
    .formula = pointwise<MvLGammaSlope, 1>(DTypeRule::Floating, 200),
    .body = eager_body([](const Any* in, Any* out) {
      const int64_t p = in[1].to_int();
      MOKA_CHECK(p <= most_dimensions, "mvlgamma: the dimension p is at most ", most_dimensions, ", got ", p);
      Tensor sum = digamma(in[0].tensor());
      for (int64_t j = 1; j < p; j++) sum = add(sum, digamma(sub(in[0].tensor(), double(j) / 2)));
      out[0] = Any(sum);
    }),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(3, 4).in(Domain::Positive).with("p", 1).no_gradient(),
                shape(0).with("p", 2).no_gradient()},
};

struct Zeta {
  constexpr auto operator()(auto x, auto q) const { return special_zeta(x, q); }
};
constinit const Op special_zeta_op{
    .schema = "special_zeta(Operand input, Operand other) -> Tensor",
    .doc = "The Hurwitz zeta function: sum of (other + k)^-input over k >= 0.",
    .method = "function",
    .formula = pointwise<Zeta>(DTypeRule::Floating, 200),
    .derivative = {wrt("input", [](auto dy) { return unwritten_gradient(dy, "special_zeta: input"); }),
                   wrt("other", [](auto dy, auto x,
                                   auto q) { return neg(dy * x * special_zeta(add(x, ones_like(q)), q)); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive).no_gradient(), shapes({0}, {1}).no_gradient()},
};

struct IGamma {
  constexpr auto operator()(auto a, auto x) const { return igamma(a, x); }
};
constinit const Op igamma_op{
    .schema = "igamma(Tensor input, Tensor other) -> Tensor",
    .doc = "The regularized lower incomplete gamma function P(input, other).",
    .formula = pointwise<IGamma>(DTypeRule::Same, 250),
    .derivative = {wrt("input", [](auto dy) { return unwritten_gradient(dy, "igamma: input"); }),
                   wrt("other",
                       [](auto dy, auto a, auto x) { return dy * exp((a - 1) * log(x) - x - lgamma(a)); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive).no_gradient(), shapes({0}, {1}).no_gradient()},
};
struct IGammaC {
  constexpr auto operator()(auto a, auto x) const { return igammac(a, x); }
};
constinit const Op igammac_op{
    .schema = "igammac(Tensor input, Tensor other) -> Tensor",
    .doc = "The regularized upper incomplete gamma function Q(input, other).",
    .formula = pointwise<IGammaC>(DTypeRule::Same, 250),
    .derivative = {wrt("input", [](auto dy) { return unwritten_gradient(dy, "igammac: input"); }),
                   wrt("other", [](auto dy, auto a,
                                   auto x) { return neg(dy * exp((a - 1) * log(x) - x - lgamma(a))); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive).no_gradient(), shapes({0}, {1}).no_gradient()},
};

}  // namespace moka::ops
