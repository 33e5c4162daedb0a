// Functions of one real variable.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/define.h"
#include "moka/ops/functions.h"

namespace moka::ops {

struct Neg {
  constexpr auto operator()(auto x) const { return -x; }
};
constinit const Op neg_op{
    .schema = "neg(Tensor input) -> Tensor",
    .doc = "-input.",
    .formula =
        pointwise_all<Neg>(DTypeRule::Same)
            .with_bools(Bools::Refused, "not defined for bool; use ~ or logical_not() to invert a mask"),
    .derivative = {wrt("input", [](auto dy) { return neg(dy); })},
    .onnx = "Neg(input)",
    .netdef = "Negative(input)",
    .samples = {shape(3, 4), shape(0), shape()},
};

struct Abs {
  constexpr auto operator()(auto x) const { return abs(x); }
};
constinit const Op abs_op{
    .schema = "abs(Tensor input) -> Tensor",
    .doc = "The absolute value; its gradient at 0 is 0.",
    .formula = pointwise_all<Abs>(DTypeRule::Same).with_bools(Bools::Refused),
    .derivative = {fused("input", [](auto dy, auto x) { return dy * sgn(x); })},
    .onnx = "Abs(input)",
    .netdef = "Abs(input)",
    .samples = {shape(3, 4), shape(0), shape()},
};

struct Sign {
  constexpr auto operator()(auto x) const { return where(x > 0, 1, where(x < 0, -1, x * 0)); }
};
constinit const Op sign_op{
    .schema = "sign(Tensor input) -> Tensor",
    .doc = "-1, 0 or 1.",
    .formula = pointwise_all<Sign>(DTypeRule::Same),
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = "Sign(input)",
    .netdef = "Sign(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Square {
  constexpr auto operator()(auto x) const { return x * x; }
};
constinit const Op square_op{
    .schema = "square(Tensor input) -> Tensor",
    .doc = "input * input.",
    .formula = pointwise_all<Square>(DTypeRule::Same).with_bools(Bools::Counted),
    .derivative = {fused("input", [](auto dy, auto x) { return dy * conj(x) * 2; })},
    .onnx = none("written as Mul"),
    .netdef = "Sqr(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Sqrt {
  constexpr auto operator()(auto x) const { return sqrt(x); }
};
constinit const Op sqrt_op{
    .schema = "sqrt(Tensor input) -> Tensor",
    .doc = "The square root; NaN below 0.",
    .formula = pointwise<Sqrt>(DTypeRule::Floating, 4),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return dy / (conj(y) * 2); })},
    .onnx = "Sqrt(input)",
    .netdef = "Sqrt(input)",
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

struct Rsqrt {
  constexpr auto operator()(auto x) const { return 1 / sqrt(x); }
};
constinit const Op rsqrt_op{
    .schema = "rsqrt(Tensor input) -> Tensor",
    .doc = "1 / sqrt(input).",
    .formula = pointwise<Rsqrt>(DTypeRule::Floating, 6),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return dy * conj(y * y * y) * -0.5; })},
    .onnx = none("written as Sqrt and Reciprocal"),
    .netdef = "Rsqrt(input)",
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

struct Reciprocal {
  constexpr auto operator()(auto x) const { return 1 / x; }
};
constinit const Op reciprocal_op{
    .schema = "reciprocal(Tensor input) -> Tensor",
    .doc = "1 / input.",
    .formula = pointwise<Reciprocal>(DTypeRule::Floating, 3),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return neg(dy * conj(y * y)); })},
    .onnx = "Reciprocal(input)",
    .netdef = "Reciprocal(input)",
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

struct Exp {
  constexpr auto operator()(auto x) const { return exp(x); }
};
constinit const Op exp_op{
    .schema = "exp(Tensor input) -> Tensor",
    .doc = "e to the power of input.",
    .formula = pointwise<Exp>(DTypeRule::Floating, 8),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return dy * conj(y); })},
    .onnx = "Exp(input)",
    .netdef = "Exp(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Expm1 {
  constexpr auto operator()(auto x) const { return expm1(x); }
};
constinit const Op expm1_op{
    .schema = "expm1(Tensor input) -> Tensor",
    .doc = "exp(input) - 1, exact near 0.",
    .formula = pointwise<Expm1>(DTypeRule::Floating, 8),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return dy * (conj(y) + 1); })},
    .onnx = none("written as Exp and Sub"),
    .netdef = none("written as Exp and Sub"),
    .samples = {shape(3, 4), shape(0)},
};

struct Log {
  constexpr auto operator()(auto x) const { return log(x); }
};
constinit const Op log_op{
    .schema = "log(Tensor input) -> Tensor",
    .doc = "The natural logarithm; -inf at 0, NaN below.",
    .formula = pointwise<Log>(DTypeRule::Floating, 10),
    .derivative = {wrt("input", [](auto dy, auto input) { return dy / conj(input); })},
    .onnx = "Log(input)",
    .netdef = "Log(input)",
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

struct Log1p {
  constexpr auto operator()(auto x) const { return log1p(x); }
};
constinit const Op log1p_op{
    .schema = "log1p(Tensor input) -> Tensor",
    .doc = "log(1 + input), exact near 0.",
    .formula = pointwise<Log1p>(DTypeRule::Floating, 12),
    .derivative = {wrt("input", [](auto dy, auto input) { return dy / (conj(input) + 1); })},
    .onnx = none("written as Add and Log"),
    .netdef = "Log1p(input)",
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

struct Sin {
  constexpr auto operator()(auto x) const { return sin(x); }
};
constinit const Op sin_op{
    .schema = "sin(Tensor input) -> Tensor",
    .doc = "The sine of an angle in radians.",
    .formula = pointwise<Sin>(DTypeRule::Floating, 40),
    .derivative = {wrt("input", [](auto dy, auto input) { return dy * conj(cos(input)); })},
    .onnx = "Sin(input)",
    .netdef = "Sin(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Cos {
  constexpr auto operator()(auto x) const { return cos(x); }
};
constinit const Op cos_op{
    .schema = "cos(Tensor input) -> Tensor",
    .doc = "The cosine of an angle in radians.",
    .formula = pointwise<Cos>(DTypeRule::Floating, 40),
    .derivative = {wrt("input", [](auto dy, auto input) { return neg(dy * conj(sin(input))); })},
    .onnx = "Cos(input)",
    .netdef = "Cos(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Erf {
  constexpr auto operator()(auto x) const { return erf(x); }
};
constinit const Op erf_op{
    .schema = "erf(Tensor input) -> Tensor",
    .doc = "The error function.",
    .formula = pointwise<Erf>(DTypeRule::Floating, 20),
    .derivative = {fused("input", [](auto dy, auto x) { return dy * exp(-(x * x)) * 1.1283791670955126; })},
    .onnx = Format{{.map = "Erf(input)", .since = 9}},
    .netdef = "Erf(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Floor {
  constexpr auto operator()(auto x) const { return floor(x); }
};
constinit const Op floor_op{
    .schema = "floor(Tensor input) -> Tensor",
    .doc = "The largest integer not above input.",
    .formula = pointwise_all<Floor>(DTypeRule::Same).with_bools(Bools::Refused),
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = "Floor(input)",
    .netdef = "Floor(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Ceil {
  constexpr auto operator()(auto x) const { return ceil(x); }
};
constinit const Op ceil_op{
    .schema = "ceil(Tensor input) -> Tensor",
    .doc = "The smallest integer not below input.",
    .formula = pointwise_all<Ceil>(DTypeRule::Same).with_bools(Bools::Refused),
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = "Ceil(input)",
    .netdef = "Ceil(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Round {
  constexpr auto operator()(auto x) const { return round(x); }
};
constinit const Op round_op{
    .schema = "round(Tensor input) -> Tensor",
    .doc = "The nearest integer, halves to even.",
    .formula = pointwise_all<Round>(DTypeRule::Same).with_bools(Bools::Refused),
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = Format{{.map = "Round(input)", .since = 11}},
    .netdef = none("Caffe2 has no rounding to nearest"),
    .samples = {shape(3, 4), shape(0)},
};

struct Trunc {
  constexpr auto operator()(auto x) const { return trunc(x); }
};
constinit const Op trunc_op{
    .schema = "trunc(Tensor input) -> Tensor",
    .doc = "The integer part.",
    .formula = pointwise_all<Trunc>(DTypeRule::Same).with_bools(Bools::Refused),
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("written as Sign, Abs and Floor"),
    .netdef = none("written as Sign, Abs and Floor"),
    .samples = {shape(3, 4), shape(0)},
};

struct Clamp {
  constexpr auto operator()(auto x, auto low, auto high) const { return minimum(maximum(x, low), high); }
};
constinit const Op clamp_op{
    .schema = "clamp(Tensor input, Operand min, Operand max) -> Tensor",
    .doc = "min where input is below it, max where above. With one bound see clamp_min and clamp_max.",
    .formula = pointwise_all<Clamp>(DTypeRule::Same, 2).with_wide_numbers(),
    .derivative = {wrt("input", [](auto dy, auto x, auto low,
                                   auto high) { return where(logical_and(ge(x, low), le(x, high)), dy, 0); }),
                   wrt("min", [](auto dy, auto x, auto low,
                                 auto high) { return where(logical_and(lt(x, low), lt(low, high)), dy, 0); }),
                   wrt("max",
                       [](auto dy, auto x, auto low, auto high) {
                         return where(logical_or(gt(x, high), lt(high, low)), dy, 0);
                       })},
    .onnx = Format{{.map = "Clip(input, min=min, max=max)", .until = 11},
                   {.map = "Clip(input, min, max)", .since = 11}},
    .netdef = "Clip(input, min=min, max=max)",
    .samples = {shape(3, 4).with("min", -0.3).with("max", 0.4), shape(0).with("min", 0).with("max", 1)},
};

constinit const Op clamp_min_op{
    .schema = "clamp_min(Tensor input, Operand min) -> Tensor",
    .doc = "min where input is below it.",
    .body = body([](auto input, auto low) { return maximum(input, low); }),
    .onnx = none("written as Max"),
    .netdef = none("written as Max"),
    .samples = {shape(3, 4).with("min", -0.3), shape(0).with("min", 0)},
};

constinit const Op clamp_max_op{
    .schema = "clamp_max(Tensor input, Operand max) -> Tensor",
    .doc = "max where input is above it.",
    .body = body([](auto input, auto high) { return minimum(input, high); }),
    .onnx = none("written as Min"),
    .netdef = none("written as Min"),
    .samples = {shape(3, 4).with("max", 0.3), shape(0).with("max", 0)},
};

}  // namespace moka::ops
