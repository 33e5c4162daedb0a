// Tests and repairs of special values: infinities, NaN, signs, bounds.
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "moka/ops/define.h"
#include "moka/ops/elementary/by_formula.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/reduction/reduction.h"

namespace moka::ops {

struct Frac {
  constexpr auto operator()(auto x) const { return x - trunc(x); }
};
constinit const Op frac_op{
    .schema = "frac(Tensor input) -> Tensor",
    .doc = "The part behind the point, with the sign of input.",
    .formula = pointwise<Frac>(DTypeRule::Same, 4),
    .shape = keep_type,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shape(3, 4), shape(0), shape()},
};

// x - x is 0 for every number and NaN else.
struct IsInf {
  constexpr auto operator()(auto x) const { return (x - x != 0) & (x == x); }
};
constinit const Op isinf_op{
    .schema = "isinf(Tensor input) -> Tensor",
    .doc = "Whether each element is infinite.",
    .formula = pointwise_all<IsInf>(DTypeRule::Comparing).with_unsigned(Unsigned::Bits),
    .derivative = none("the result is bool"),
    .onnx = Format{{.map = "IsInf(input, detect_negative?=1, detect_positive?=1)", .since = 10}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(0)},
};
namespace {
void into_bool(Frame& f) {
  MOKA_CHECK(f.given >> 4 == 0 || f.outs[0].dtype() == DType::Bool, f.name(),
             " does not support non-boolean outputs: out= must be bool, got ", f.outs[0].dtype());
}
}  // namespace
struct IsPosInf {
  constexpr auto operator()(auto x) const { return (x - x != 0) & (x > 0); }
};
constinit const Op isposinf_op{
    .schema = "isposinf(Tensor input) -> Tensor",
    .doc = "Whether each element is positive infinity.",
    .formula = pointwise_all<IsPosInf>(DTypeRule::Comparing).with_unsigned(Unsigned::Bits),
    .shape = into_bool,
    .derivative = none("the result is bool"),
    .onnx = none("written as IsInf and Greater"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(0)},
};
struct IsNegInf {
  constexpr auto operator()(auto x) const { return (x - x != 0) & (x < 0); }
};
constinit const Op isneginf_op{
    .schema = "isneginf(Tensor input) -> Tensor",
    .doc = "Whether each element is negative infinity.",
    .formula = pointwise_all<IsNegInf>(DTypeRule::Comparing).with_unsigned(Unsigned::Bits),
    .shape = into_bool,
    .derivative = none("the result is bool"),
    .onnx = none("written as IsInf and Less"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(0)},
};
struct SignBit {
  constexpr auto operator()(auto x) const { return signbit(x); }
};
constinit const Op signbit_op{
    .schema = "signbit(Tensor input) -> Tensor",
    .doc = "Whether the sign bit is set, that of -0.0 included.",
    .formula = pointwise_all<SignBit>(DTypeRule::Comparing),
    .shape = into_bool,
    .derivative = none("the result is bool"),
    .onnx = none("written as Less"),
    .netdef = none("written as LT"),
    .samples = {shape(3, 4), shape(0)},
};

struct NanToNum {
  constexpr auto operator()(auto x, auto nan, auto high, auto low) const {
    return where(x == x, where(x - x == 0, x, where(x > 0, high, low)), nan);
  }
};
constinit const Op nan_to_num_op{
    .schema =
        "nan_to_num(Tensor input, Number? nan=None, Number? posinf=None, Number? neginf=None) -> Tensor",
    .doc =
        "NaN becomes `nan` (0 when None), infinities `posinf` and `neginf` (the largest and lowest number of "
        "the "
        "type).",
    .shape =
        [](Frame& f) {
          const Tensor& x = f.tensor(0);
          keep_type(f);
          if (is_complex(x.dtype())) f.output(0, x.sizes(), x.dtype());  // by its parts
          else formula_output(f, 1, DTypeRule::Same);
        },
    .kernels = {KernelRow{
        .name = "formula",
        .run =
            [](Frame& f) {
              static constexpr Formula formula = pointwise<NanToNum>(DTypeRule::Floating, 3);
              const Tensor& x = f.tensor(0);
              if (!is_floating(x.dtype())) {
                copy_elements(x, f.outs[0]);
                return;
              }
              double most = x.dtype() == DType::F64    ? std::numeric_limits<double>::max()
                            : x.dtype() == DType::F16  ? 65504.0
                            : x.dtype() == DType::BF16 ? 0x1.fep127
                                                       : double(std::numeric_limits<float>::max());
              formula_result(f, formula,
                             {f.args[0], f.has(1) ? f.number(1) : 0.0, f.has(2) ? f.number(2) : most,
                              f.has(3) ? f.number(3) : -most});
            }}},
    .derivative = {wrt("input", [](auto dy, auto x) { return where(isfinite(x), dy, 0); })},
    .onnx = none("written as IsNaN, IsInf and Where"),
    .netdef = none("Caffe2's ReplaceNaN leaves infinities"),
    .samples = {shape(3, 4), shape(0).with("nan", 1.0), shape()},
};

// clamp with one bound; the other is None.
constinit const Op clamp_lower_op{
    .schema = "clamp.lower(Tensor input, Operand min, Operand? max=None) -> Tensor",
    .doc = "min where input is below it.",
    .body = body([](auto x, auto low, auto) { return clamp_min(x, low); }),
    .onnx = none("written as Max"),
    .netdef = none("written as Max"),
    .samples = {shape(3, 4).with("min", -0.3), shape(0).with("min", 0)},
};
constinit const Op clamp_upper_op{
    .schema = "clamp.upper(Tensor input, Operand? min, Operand max) -> Tensor",
    .doc = "max where input is above it.",
    .body = body([](auto x, auto, auto high) { return clamp_max(x, high); }),
    .onnx = none("written as Min"),
    .netdef = none("written as Min"),
    .samples = {shape(3, 4).with("max", 0.3), shape(0).with("max", 0)},
};

namespace {
void isclose_shape(Frame& f) {
  const Tensor &x = f.tensor(0), &y = f.tensor(1);
  MOKA_CHECK(x.dtype() == y.dtype(), f.name(), ": input has type ", x.dtype(), " but other has type ",
             y.dtype(), "; convert one of them");
  MOKA_CHECK(f.number(2) >= 0, f.name(), ": rtol must be greater than or equal to zero, got ", f.number(2));
  MOKA_CHECK(f.number(3) >= 0, f.name(), ": atol must be greater than or equal to zero, got ", f.number(3));
  f.output(0, broadcast_shape(x.sizes(), y.sizes(), f.name()), DType::Bool);
}
void isclose_kernel(Frame& f) {
  bool whole = !is_floating(f.tensor(0).dtype());
  Tensor x = whole ? to_dtype(f.tensor(0), DType::F64) : f.tensor(0),
         y = whole ? to_dtype(f.tensor(1), DType::F64) : f.tensor(1);
  Tensor error = abs(sub(x, y));
  Tensor close = logical_or(
      eq(x, y), logical_and(isfinite(error), le(error, add(mul(abs(y), f.number(2)), f.number(3)))));
  f.outs[0] = f.flag(4) ? logical_or(close, logical_and(isnan(x), isnan(y))) : close;
}
}  // namespace

constinit const Op isclose_op{
    .schema =
        "isclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> "
        "Tensor",
    .doc =
        "Whether |input - other| <= atol + rtol * |other|, element by element; equal infinities are close.",
    .shape = isclose_shape,
    .kernels = {KernelRow{.name = "composite", .run = isclose_kernel}},
    .derivative = none("the result is bool"),
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shapes({3, 4}, {3, 4}).no_gradient(), shapes({2, 1}, {3}).with("atol", 1.0).no_gradient()},
};

constinit const Op fill_op{
    .schema = "fill(Tensor input, Operand value) -> Tensor",
    .doc = "A tensor like input with every element set to value, a number or a tensor of one element.",
    .method = "function",
    .shape =
        [](Frame& f) {
          MOKA_CHECK(f.args[1].tag != Tag::Tensor || f.tensor(1).dim() == 0, f.name(),
                     ": value must be a number or have no dimensions, got ", f.args[1]);
          f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
        },
    .kernels = {KernelRow{.name = "fill",
                          .run =
                              [](Frame& f) {
                                if (f.args[1].tag == Tag::Tensor)
                                  return copy_elements(f.tensor(1), f.outs[0]);
                                const Arg& v = f.args[1];
                                Tensor one =
                                    new_tensor(Dims(), v.tag == Tag::Float ? DType::F64 : DType::I64);
                                if (v.tag == Tag::Float) *one.data<double>() = v.f;
                                else *one.data<int64_t>() = v.as_int();
                                copy_elements(one, f.outs[0]);
                              }}},
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); }),
                   wrt("value", [](auto dy) { return sum(dy); })},
    .onnx = none("written as Expand"),
    .netdef = none("written as ConstantFill"),
    .samples = {shape(2, 3).with("value", 2.0), shapes({3, 4}, {}), shape(0).with("value", 1)},
};

}  // namespace moka::ops
