// Signs, squares, roots and reciprocals.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/define.h"
#include "moka/ops/functions.h"
#include "moka/ops/kernels/given_output.h"

namespace moka::ops {

struct Neg {
  constexpr auto operator()(auto x) const { return -x; }
};
constinit const Op neg_op{
    .schema = "neg(Tensor input) -> Tensor",
    .doc = "-input.",
    .formula =
        pointwise_all<Neg>(DTypeRule::Same)
            .with_unsigned(Unsigned::Bits)
            .with_bools(Bools::Refused, "not defined for bool; use ~ or logical_not() to invert a mask"),
    .shape = keep_type,
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
    .doc = "The absolute value; its gradient at 0 and at NaN is 0.",
    .formula = pointwise_all<Abs>(DTypeRule::Same).with_bools(Bools::Refused),
    .shape =
        [](Frame& f) {
          if (!is_complex(f.tensor(0).dtype())) return keep_type(f);
          MOKA_CHECK(!f.given || !(f.outs[0] == f.tensor(0)),
                     "abs: In-place abs is not supported for complex tensors.");
        },
    .derivative = {fused("input", [](auto dy, auto x) { return where(eq(x, x), dy * sgn(x), 0); })},
    .onnx = "Abs(input)",
    .netdef = "Abs(input)",
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0), shape()},
};

struct Sign {
  constexpr auto operator()(auto x) const { return where(x > 0, 1, where(x < 0, -1, 0)); }
};
constinit const Op sign_op{
    .schema = "sign(Tensor input) -> Tensor",
    .doc = "-1, 0 or 1; 0 of NaN.",
    .formula = pointwise_all<Sign>(DTypeRule::Same),
    .shape = keep_type,
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
    .formula =
        pointwise_all<Square>(DTypeRule::Same).with_unsigned(Unsigned::Bits).with_bools(Bools::Counted),
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

}  // namespace moka::ops
