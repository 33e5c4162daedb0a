// Products with logarithms and powers that are computed in float64.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/conj.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

// 0 where input is 0, except beside NaN. Numbers stand for either operand, so gradients are built of signs that take them.
struct XLogY {
  constexpr auto operator()(auto x, auto y) const { return where(y == y, where(x == 0, 0, x * log(y)), y); }
};
constinit const Op xlogy_op{
    .schema = "xlogy(Operand input, Operand other) -> Tensor",
    .doc = "input * log(other), 0 where input is 0 and other is not NaN.",
    .formula = pointwise<XLogY>(DTypeRule::Floating, 12),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto y) {
                         auto at = zeros_like(x) + y;
                         return where(logical_and(eq(x, 0), le(at, 0)), 0, xlogy(dy, y));
                       }),
                   wrt("other", [](auto dy, auto x, auto y) { return dy * x / y; })},
    .onnx = none("written as Log, Mul and Where"),
    .netdef = none("written as Log and Mul"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1), shapes({2, 1}, {3}).in(Domain::Positive, 1),
                shapes({0}, {1})},
};
struct XLog1PY {
  constexpr auto operator()(auto x, auto y) const { return where(y == y, where(x == 0, 0, x * log1p(y)), y); }
};
constinit const Op xlog1py_op{
    .schema = "xlog1py(Operand input, Operand other) -> Tensor",
    .doc = "input * log(1 + other), 0 where input is 0 and other is not NaN.",
    .method = "function",
    .formula = pointwise<XLog1PY>(DTypeRule::Floating, 14),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto y) {
                         auto at = zeros_like(x) + y;
                         return where(logical_and(eq(x, 0), le(at, -1)), 0, xlog1py(dy, y));
                       }),
                   wrt("other", [](auto dy, auto x, auto y) { return dy * x / (y + 1); })},
    .onnx = none("written as Add, Log, Mul and Where"),
    .netdef = none("written as Log1p and Mul"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1), shapes({2, 1}, {3}).in(Domain::Positive, 1),
                shapes({0}, {1})},
};

constinit const Op widest_op{
    .schema = "widest(Tensor input) -> Tensor",
    .doc = "input as float64, or as complex128 where it is complex.",
    .method = "none",
    .shape =
        [](Frame& f) {
          const Tensor& x = f.tensor(0);
          f.output(0, x.sizes(), is_complex(x.dtype()) ? DType::C128 : DType::F64);
        },
    .kernels = {KernelRow{"copy",
                          [](Frame& f) {
                            if (f.outs[0].numel()) copy_elements(f.tensor(0), f.outs[0]);
                          }}},
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .onnx = none("written as Cast"),
    .netdef = none("written as Cast"),
    .samples = {shape(3, 4), shape(0)},
};
namespace {
void float_power_shape(Frame& f) {
  bool complex = false;
  Dims shape;
  MOKA_CHECK_KIND(Type, f.args[0].tag == Tag::Tensor || f.args[1].tag == Tag::Tensor,
                  "float_power: at least one operand must be a Tensor");
  for (int i = 0; i < 2; i++) {
    const bool tensor = f.args[i].tag == Tag::Tensor;
    complex |= tensor ? is_complex(f.tensor(i).dtype()) : !f.args[i].is_number();
    if (tensor) shape = broadcast_shape(shape, f.tensor(i).sizes(), "float_power");
  }
  const DType wanted = complex ? DType::C128 : DType::F64;
  MOKA_CHECK(!(f.given & 1) || f.outs[0].dtype() == wanted, "float_power: the output given has type ",
             f.outs[0].dtype(), " but the operation's result requires dtype ", wanted);
  f.output(0, shape, wanted);
}
void float_power_kernel(Frame& f) {
  Tensor wide[2];
  Arg args[2];
  for (int i = 0; i < 2; i++) {
    if (f.args[i].tag != Tag::Tensor) {
      args[i] = f.args[i];
      continue;
    }
    wide[i] = to_dtype(f.tensor(i), is_complex(f.tensor(i).dtype()) ? DType::C128 : DType::F64);
    args[i] = Arg(wide[i]);
  }
  Frame inner(pow_op, args, 2);
  run_op(inner);
  if (f.outs[0].numel()) copy_elements(inner.outs[0], f.outs[0]);
}
constexpr auto power_slope = [](auto dy, auto x, auto exponent) {
  auto power = zeros_like(x) + exponent;
  return where(eq(power, 0), 0, dy * conj(power * pow(x, power - 1)));
};
constexpr auto exponent_slope = [](auto dy, auto x, auto exponent, auto y) {
  auto base = zeros_like(exponent) + x;
  return where(logical_and(eq(base, 0), ge(real(exponent), 0)), 0, dy * conj(y * log(base)));
};
}  // namespace

constinit const Op float_power_op{
    .schema = "float_power(Operand input, Operand exponent) -> Tensor",
    .doc = "input raised to exponent, both as float64, or complex128 where one is complex.",
    .shape = float_power_shape,
    .kernels = {KernelRow{.name = "pow", .run = float_power_kernel}},
    .derivative = {wrt("input", [](auto dy, auto x, auto e) { return power_slope(dy, widest(x), e); }),
                   wrt("exponent",
                       [](auto dy, auto x, auto e, auto y) { return exponent_slope(dy, x, widest(e), y); })},
    .onnx = none("written as Cast and Pow"),
    .netdef = none("written as Cast and Pow"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive), shapes({0}, {1})},
};
constinit const Op float_power_exponent_op{
    .schema = "float_power.exponent(Tensor input, Number exponent) -> Tensor",
    .doc = "input raised to a number, as float64, or complex128 where one is complex.",
    .shape = float_power_shape,
    .kernels = {KernelRow{.name = "pow", .run = float_power_kernel}},
    .derivative = {wrt("input", [](auto dy, auto x, auto e) { return power_slope(dy, widest(x), e); })},
    .onnx = none("written as Cast and Pow"),
    .netdef = none("written as Cast and Pow"),
    .samples = {shape(3, 4).in(Domain::Positive).with("exponent", 2.5), shape(0).with("exponent", 2)},
};
constinit const Op float_power_base_op{
    .schema = "float_power.base(Number input, Tensor exponent) -> Tensor",
    .doc = "A number raised to exponent, as float64, or complex128 where one is complex.",
    .method = "function",
    .shape = float_power_shape,
    .kernels = {KernelRow{.name = "pow", .run = float_power_kernel}},
    .derivative = {wrt("exponent",
                       [](auto dy, auto x, auto e, auto y) { return exponent_slope(dy, x, widest(e), y); })},
    .onnx = none("written as Cast and Pow"),
    .netdef = none("written as Cast and Pow"),
    .samples = {shape(3, 4).with("input", 2.5), shape(0).with("input", 2)},
};
constinit const Op ldexp_op{
    .schema = "ldexp(Tensor input, Tensor other) -> Tensor",
    .doc = "input * 2^other.",
    .body = body([](auto x, auto y) { return mul(x, exp2(y)); }),
    .onnx = none("written as Pow and Mul"),
    .netdef = none("written as Pow and Mul"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({0}, {1})},
};

}  // namespace moka::ops
