// Trigonometric functions and their inverses.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/elementary/unary.h"

namespace moka::ops {

MOKA_UNARY(tan, Tan, 12, "The tangent of an angle in radians.", dy* conj(1 + y * y), 7, "Tan(input)",
           Domain::Unit);
MOKA_UNARY(asin, Asin, 14, "The angle whose sine is input; NaN outside [-1, 1].", dy / conj(sqrt(1 - x * x)),
           7, "Asin(input)", Domain::Unit);
MOKA_UNARY(acos, Acos, 14, "The angle whose cosine is input; NaN outside [-1, 1].",
           neg(dy / conj(sqrt(1 - x * x))), 7, "Acos(input)", Domain::Unit);
MOKA_UNARY(atan, Atan, 14, "The angle whose tangent is input.", dy / conj(1 + x * x), 7, "Atan(input)",
           Domain::Real);

struct Sinc {
  constexpr auto operator()(auto x) const {
    auto angle = x * 3.14159265358979324;
    return where(x == 0, 1, sin(angle) / angle);
  }
};
constinit const Op sinc_op{
    .schema = "sinc(Tensor input) -> Tensor",
    .doc = "sin(pi x) / (pi x), 1 at 0.",
    .formula = pointwise<Sinc>(DTypeRule::Floating, 42),
    .derivative = {wrt("input",
                       [](auto dy, auto x) {
                         auto angle = x * 3.14159265358979324;
                         return where(eq(x, 0), 0,
                                      dy * conj((angle * cos(angle) - sin(angle)) / (angle * x)));
                       })},
    .onnx = none("written as Mul, Sin and Div"),
    .netdef = none("written as Mul, Sin and Div"),
    .samples = {shape(3, 4), shape(0), shape()},
};

struct Scaled {
  constexpr auto operator()(auto x) const { return x * 0.017453292519943295; }
};
constinit const Op deg2rad_op{
    .schema = "deg2rad(Tensor input) -> Tensor",
    .doc = "Degrees in radians.",
    .formula = pointwise<Scaled>(DTypeRule::Floating),
    .derivative = {wrt("input", [](auto dy) { return dy * 0.017453292519943295; })},
    .onnx = none("written as Mul"),
    .netdef = none("written as Mul"),
    .samples = {shape(3, 4), shape(0)},
};
struct ScaledBack {
  constexpr auto operator()(auto x) const { return x * 57.295779513082321; }
};
constinit const Op rad2deg_op{
    .schema = "rad2deg(Tensor input) -> Tensor",
    .doc = "Radians in degrees.",
    .formula = pointwise<ScaledBack>(DTypeRule::Floating),
    .derivative = {wrt("input", [](auto dy) { return dy * 57.295779513082321; })},
    .onnx = none("written as Mul"),
    .netdef = none("written as Mul"),
    .samples = {shape(3, 4), shape(0)},
};

}  // namespace moka::ops

MOKA_OP_TABLE(elementary, MOKA_ELEMENTARY_OPS)
