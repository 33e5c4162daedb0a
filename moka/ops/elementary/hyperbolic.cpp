// Hyperbolic functions and their inverses.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/elementary/unary.h"

namespace moka::ops {

MOKA_UNARY(sinh, Sinh, 16, "The hyperbolic sine.", dy* conj(cosh(x)), 9, "Sinh(input)", Domain::Real);
MOKA_UNARY(cosh, Cosh, 16, "The hyperbolic cosine.", dy* conj(sinh(x)), 9, "Cosh(input)", Domain::Real);
MOKA_UNARY(asinh, Asinh, 24, "The inverse of the hyperbolic sine.", dy / conj(sqrt(x * x + 1)), 9,
           none("Caffe2 has no inverse hyperbolic functions"), Domain::Real);
MOKA_UNARY(atanh, Atanh, 24, "The inverse of the hyperbolic tangent; NaN outside [-1, 1].",
           dy / conj(1 - x * x), 9, none("Caffe2 has no inverse hyperbolic functions"), Domain::Unit);

struct Acosh {
  constexpr auto operator()(auto x) const { return acosh(x); }
};
constinit const Op acosh_op{
    .schema = "acosh(Tensor input) -> Tensor",
    .doc = "The inverse of the hyperbolic cosine; NaN below 1.",
    .formula = pointwise<Acosh>(DTypeRule::Floating, 24),
    .derivative = {wrt("input", [](auto dy, auto x) { return dy / conj(sqrt(x - 1) * sqrt(x + 1)); })},
    .onnx = Format{{.map = "Acosh(input)", .since = 9}},
    .netdef = none("Caffe2 has no inverse hyperbolic functions"),
    .samples = {shape(3, 4).in(Domain::Positive).no_gradient(), shape(0),
                shape().in(Domain::Positive).no_gradient()},
};

}  // namespace moka::ops
