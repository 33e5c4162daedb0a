// Functions of two numbers.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <limits>

#include "moka/ops/conj.h"
#include "moka/ops/define.h"
#include "moka/ops/elementary/by_formula.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/ops/unwritten.h"
#include "moka/tensor/half.h"

namespace moka::ops {

namespace {
// x * x + y * y as a divisor: infinite at the origin, so that nothing comes of it there.
constexpr auto squared_radius = [](auto x, auto y) {
  auto square = x * x + y * y;
  return where(eq(square, 0), std::numeric_limits<double>::infinity(), square);
};
}  // namespace

struct Atan2 {
  constexpr auto operator()(auto y, auto x) const { return atan2(y, x); }
};
constinit const Op atan2_op{
    .schema = "atan2(Tensor input, Tensor other) -> Tensor",
    .doc = "The angle of the point (other, input) in (-pi, pi]; its gradient at (0, 0) is 0.",
    .formula = pointwise<Atan2>(DTypeRule::Floating, 16),
    .derivative = {wrt("input", [](auto dy, auto y, auto x) { return dy * x / squared_radius(x, y); }),
                   wrt("other", [](auto dy, auto y, auto x) { return neg(dy * y / squared_radius(x, y)); })},
    .onnx = none("written as Atan, Div and Where"),
    .netdef = none("written as Atan and Div"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};
struct Hypot {
  constexpr auto operator()(auto x, auto y) const {
    auto infinite = [](auto v) { return (v - v != 0) & (v == v); };  // wins even beside NaN
    return where(infinite(x), abs(x), where(infinite(y), abs(y), hypot(x, y)));
  }
};
constinit const Op hypot_op{
    .schema = "hypot(Tensor input, Tensor other) -> Tensor",
    .doc = "sqrt(input^2 + other^2) without overflow.",
    .formula = pointwise<Hypot>(DTypeRule::Same, 8),
    .derivative = {wrt("input", [](auto dy, auto x, auto, auto y) { return dy * x / y; }),
                   wrt("other", [](auto dy, auto, auto x, auto y) { return dy * x / y; })},
    .onnx = none("written as Mul, Add and Sqrt"),
    .netdef = none("written as Sqr, Add and Sqrt"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};
struct CopySign {
  constexpr auto operator()(auto x, auto y) const { return copysign(x, y); }
};
constinit const Op copysign_op{
    .schema = "copysign(Tensor input, Operand other) -> Tensor",
    .doc = "input with the sign of other.",
    .formula = pointwise<CopySign>(DTypeRule::Floating),
    .derivative = {wrt("input", [](auto dy, auto x, auto, auto y) { return where(eq(x, 0), 0, dy * y / x); }),
                   wrt("other", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("written as Abs, Sign and Where"),
    .netdef = none("written as Abs and Sign"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};

// The operand that is a number where the other is NaN.
struct FMax {
  constexpr auto operator()(auto x, auto y) const {
    return where(x == x, where(y == y, maximum(x, y), x), y);
  }
};
constinit const Op fmax_op{
    .schema = "fmax(Tensor input, Tensor other) -> Tensor",
    .doc = "The larger of both; a number wins over NaN.",
    .formula = pointwise_all<FMax>(DTypeRule::Same).with_unsigned(Unsigned::Ordered),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto y) {
                         return where(eq(x, y), dy * 0.5, where(logical_or(x > y, isnan(y)), dy, 0));
                       }),
                   wrt("other",
                       [](auto dy, auto x, auto y) {
                         return where(eq(x, y), dy * 0.5, where(logical_or(x > y, isnan(y)), 0, dy));
                       })},
    .onnx = none("written as IsNaN, Where and Max"),
    .netdef = none("written as IsNaN, Where and Max"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};
struct FMin {
  constexpr auto operator()(auto x, auto y) const {
    return where(x == x, where(y == y, minimum(x, y), x), y);
  }
};
constinit const Op fmin_op{
    .schema = "fmin(Tensor input, Tensor other) -> Tensor",
    .doc = "The smaller of both; a number wins over NaN.",
    .formula = pointwise_all<FMin>(DTypeRule::Same).with_unsigned(Unsigned::Ordered),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto y) {
                         return where(eq(x, y), dy * 0.5, where(logical_or(x < y, isnan(y)), dy, 0));
                       }),
                   wrt("other",
                       [](auto dy, auto x, auto y) {
                         return where(eq(x, y), dy * 0.5, where(logical_or(x < y, isnan(y)), 0, dy));
                       })},
    .onnx = none("written as IsNaN, Where and Min"),
    .netdef = none("written as IsNaN, Where and Min"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};
struct NextAfter {
  constexpr auto operator()(auto x, auto y) const { return nextafter(x, y); }
};
namespace {
// The next number of a type of 16 bits, whose order of magnitudes is that of its bits.
template <class Half>
Half next_half(Half from, Half to) {
  const float x = static_cast<float>(from), y = static_cast<float>(to);
  if (x != x || y != y) return Half(x + y);
  if (x == y) return to;
  const bool away = x == 0 || (x < y) == (x > 0);
  const uint16_t bits = std::bit_cast<uint16_t>(from), sign = x == 0 ? (y < 0 ? 0x8000 : 0) : bits & 0x8000;
  const uint16_t size = static_cast<uint16_t>((bits & 0x7fff) + (away ? 1 : -1));
  return std::bit_cast<Half>(static_cast<uint16_t>(size | sign));
}
template <class Half>
void next_halves(Frame& f) {
  const Tensor& out = f.outs[0];
  Tensor operands[2];
  for (int i = 0; i < 2; i++) {
    operands[i] = new_tensor(out.sizes(), out.dtype());
    copy_elements(f.tensor(i), operands[i]);
  }
  const Half *from = operands[0].data<Half>(), *to = operands[1].data<Half>();
  Half* y = out.data<Half>();
  for (int64_t i = 0; i < out.numel(); i++) y[i] = next_half(from[i], to[i]);
}
}  // namespace

constinit const Op nextafter_op{
    .schema = "nextafter(Tensor input, Tensor other) -> Tensor",
    .doc = "The next number of the result's type after input towards other.",
    .shape =
        [](Frame& f) {
          formula_output(f, 2, DTypeRule::Same);
          const DType type = result_type({f.args, 2});
          MOKA_CHECK_KIND(NotImplemented, is_floating(type), "nextafter: not defined for ", type);
        },
    .kernels = {KernelRow{.name = "formula",
                          .run =
                              [](Frame& f) {
                                static constexpr Formula formula = pointwise<NextAfter>(DTypeRule::Same, 10);
                                if (f.outs[0].dtype() == DType::F16) next_halves<Float16>(f);
                                else if (f.outs[0].dtype() == DType::BF16) next_halves<BFloat16>(f);
                                else formula_result(f, formula, {f.args[0], f.args[1]});
                              }}},
    .derivative = {wrt("input", [](auto dy, auto x, auto y) { return where(eq(x, y), 0, dy); }),
                   wrt("other", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3, 4}).no_gradient(), shapes({0}, {1}).no_gradient()},
};
struct Heaviside {
  constexpr auto operator()(auto x, auto v) const { return where(x > 0, 1, where(x == 0, v, 0)); }
};
constinit const Op heaviside_op{
    .schema = "heaviside(Tensor input, Tensor values) -> Tensor",
    .doc = "0 below zero, 1 above, values at zero.",
    .shape =
        [](Frame& f) {
          const DType x = f.tensor(0).dtype(), v = f.tensor(1).dtype();
          MOKA_CHECK(!is_complex(x) && !is_complex(v),
                     "heaviside is not yet implemented for complex tensors: input is ", x, ", values ", v);
          MOKA_CHECK(x == v, "heaviside is not yet implemented for tensors with different dtypes.",
                     " input is ", x, " but values ", v, "; convert one of them");
          keep_type(f);
          formula_output(f, 2, DTypeRule::Same);
        },
    .kernels = {KernelRow{.name = "formula",
                          .run =
                              [](Frame& f) {
                                static constexpr Formula formula = pointwise_all<Heaviside>(DTypeRule::Same);
                                formula_result(f, formula, {f.args[0], f.args[1]});
                              }}},
    .derivative = {unwritten("a step")},
    .onnx = none("written as Where"),
    .netdef = none("written as Where"),
    .samples = {shapes({3, 4}, {3, 4}).no_gradient(), shapes({0}, {1}).no_gradient()},
};

struct AddCDiv {
  constexpr auto operator()(auto x, auto a, auto b, auto value) const { return x + value * a / b; }
};
constinit const Op addcdiv_op{
    .schema = "addcdiv(Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1) -> Tensor",
    .doc = "input + value * tensor1 / tensor2.",
    .formula = pointwise<AddCDiv, 3>(DTypeRule::Same, 4),
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("tensor1",
                       [](auto dy, auto, auto, auto b, auto value) { return dy * conj(value) / conj(b); }),
                   wrt("tensor2", [](auto dy, auto, auto a, auto b,
                                     auto value) { return neg(dy * conj(value) * conj(a / (b * b))); })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}).in(Domain::Positive, 2),
                shapes({2, 1}, {3}, {1}).in(Domain::Positive, 2).with("value", 0.5), shapes({0}, {1}, {1})},
};

}  // namespace moka::ops
