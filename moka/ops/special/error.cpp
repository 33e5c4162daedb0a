// The error function's relatives and the normal distribution.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/ops/special/lanes.h"

namespace moka {
MOKA_LANES(erfc, std::erfc)
MOKA_LANES(erfinv, special::inverse_erf)
MOKA_LANES(special_erfcx, special::scaled_erfc)
MOKA_LANES(special_log_ndtr, special::log_normal_cdf)
MOKA_LANES(special_ndtri, special::inverse_normal_cdf)
}  // namespace moka

namespace moka::ops {

MOKA_SPECIAL(erfc, Erfc, 40, "", "1 - erf(input), exact where that is small.",
             dy* exp(neg(x* x)) * -1.1283791670955126, Domain::Real);
MOKA_SPECIAL(erfinv, ErfInv, 150, "", "The number whose erf is input; infinite at -1 and 1, NaN outside.",
             dy* exp(y* y) * 0.88622692545275801, Domain::Unit);
MOKA_SPECIAL(special_erfcx, Erfcx, 60, "function", "exp(input^2) erfc(input) without overflow.",
             dy*(x * y * 2 - 1.1283791670955126), Domain::Real);
MOKA_SPECIAL(special_log_ndtr, LogNdtr, 80, "function", "The logarithm of the normal distribution function.",
             dy* exp(neg(y) - x * x * 0.5) * 0.39894228040143268, Domain::Real);
MOKA_SPECIAL(special_ndtri, Ndtri, 200, "function", "The quantile of the normal distribution.",
             dy* exp(y * y * 0.5) * 2.5066282746310002, Domain::Probability);

struct Ndtr {
  constexpr auto operator()(auto x) const { return erfc(x * -0.70710678118654752) * 0.5; }
};
constinit const Op special_ndtr_op{
    .schema = "special_ndtr(Tensor input) -> Tensor",
    .doc = "The normal distribution function.",
    .method = "function",
    .formula = pointwise<Ndtr>(DTypeRule::Floating, 40),
    .derivative = {wrt("input",
                       [](auto dy, auto x) { return dy * exp(x * x * -0.5) * 0.39894228040143268; })},
    .onnx = none("written as Erf"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(0)},
};
struct Entr {
  constexpr auto operator()(auto x) const {
    return where(x > 0, x * log(x) * -1, where(x < 0, x / 0.0, x * 1));
  }
};
constinit const Op special_entr_op{
    .schema = "special_entr(Tensor input) -> Tensor",
    .doc = "-input * log(input), 0 at 0, -inf below.",
    .method = "function",
    .formula = pointwise<Entr>(DTypeRule::Floating, 14),
    .derivative = {wrt("input", [](auto dy, auto x) { return dy * (neg(log(x)) - 1); })},
    .onnx = none("written as Log and Mul"),
    .netdef = none("written as Log and Mul"),
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

}  // namespace moka::ops

MOKA_OP_TABLE(special, MOKA_SPECIAL_OPS)
