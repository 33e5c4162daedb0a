// Divisions that round, their remainders, and rounding to decimals. Integers are checked for zero divisors.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <type_traits>

#include "moka/ops/define.h"
#include "moka/ops/elementary/by_formula.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/ops/pointwise/types.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/ops/unwritten.h"

namespace moka::ops {

namespace {
struct FMod {
  constexpr auto operator()(auto x, auto y) const { return fmod(x, y); }
};
struct Remainder {
  constexpr auto operator()(auto x, auto y) const { return remainder(x, y); }
};
struct FloorDivide {
  constexpr auto operator()(auto x, auto y) const { return floor_divide(x, y); }
};
struct TruncateDivide {
  auto operator()(auto x, auto y) const { return number_truncate_divide(x, y); }
};
struct Divide {
  constexpr auto operator()(auto x, auto y) const { return x / y; }
};
void rounded_output(Frame& f) {
  formula_output(f, 2, DTypeRule::Same);
  MOKA_CHECK_KIND(NotImplemented, result_type({f.args, 2}) != DType::Bool, f.name(),
                  ": not defined for bool; convert it first, for example with int()");
}
template <class F>
constexpr bool remainders = std::is_same_v<F, FMod> || std::is_same_v<F, Remainder>;
template <class F>
void checked(Frame& f) {
  static constexpr Formula formula = pointwise_all<F>(DTypeRule::Same, 20);
  check_divisor(f, 1);
  check_fits_signed({f.args, 2}, f.name());
  const DType type = f.outs[0].dtype();
  if (remainders<F> && rounds_numbers(f.op, type))
    return formula_result(f, formula, {rounded_number(f.args[0], type), rounded_number(f.args[1], type)});
  formula_result(f, formula, {f.args[0], f.args[1]});
}

enum class Rounding { None, Down, ToZero };
Rounding rounding_argument(const Frame& f, int i) {
  if (!f.has(i)) return Rounding::None;
  std::string_view mode = f.string(i);
  MOKA_CHECK(mode == "floor" || mode == "trunc", f.name(),
             ": rounding_mode must be one of None, 'trunc' or 'floor', got '", mode, "'");
  return mode == "floor" ? Rounding::Down : Rounding::ToZero;
}
void div_mode_shape(Frame& f) {
  if (rounding_argument(f, 2) != Rounding::None) rounded_output(f);
  else formula_output(f, 2, DTypeRule::Floating);
}
void div_mode_kernel(Frame& f) {
  static constexpr Formula divide = pointwise<Divide>(DTypeRule::Floating);
  switch (rounding_argument(f, 2)) {
    case Rounding::None: return formula_result(f, divide, {f.args[0], f.args[1]});
    case Rounding::Down: return checked<FloorDivide>(f);
    case Rounding::ToZero: return checked<TruncateDivide>(f);
  }
}
// grad / other without rounding, zeros with it: rounded quotients are constant between their steps.
void div_mode_backward_kernel(Frame& f) {
  if (rounding_argument(f, 2) == Rounding::None) return div_mode_kernel(f);
  f.outs[0] = mul(f.tensor(0), 0);
}
void div_mode_backward_shape(Frame& f) { formula_output(f, 2, DTypeRule::Floating); }

struct RoundDecimals {
  constexpr auto operator()(auto x, auto up, auto down) const { return round(x * up / down) / up * down; }
};
}  // namespace

constinit const Op fmod_op{
    .schema = "fmod(Tensor input, Operand other) -> Tensor",
    .doc = "The remainder of division rounded to zero: it has the sign of input.",
    .shape = rounded_output,
    .kernels = {KernelRow{.name = "formula", .run = checked<FMod>}},
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("other", [](auto dy, auto x, auto y) { return neg(dy * trunc(x / y)); })},
    .onnx = Format{{.map = "Mod(input, other, fmod=1)", .since = 10}},
    .netdef = none("Caffe2's Mod has one integer divisor"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1),
                shapes({2, 1, 5}, {4, 1}).in(Domain::Positive, 1), shapes({0}, {1})},
};
constinit const Op remainder_op{
    .schema = "remainder(Operand input, Operand other) -> Tensor",
    .doc = "The remainder of division rounded down, Python's %: it has the sign of other.",
    .shape = rounded_output,
    .kernels = {KernelRow{.name = "formula", .run = checked<Remainder>}},
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("other", [](auto dy, auto x, auto y) { return neg(dy * floor(div(x, y))); })},
    .onnx = Format{{.map = "Mod(input, other, fmod?=0)", .since = 10}},
    .netdef = none("Caffe2's Mod has one integer divisor"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1),
                shapes({2, 1, 5}, {4, 1}).in(Domain::Positive, 1), shapes({0}, {1})},
};
constinit const Op floor_divide_op{
    .schema = "floor_divide(Operand input, Operand other) -> Tensor",
    .doc = "The quotient rounded down, Python's //; integers stay integers.",
    .shape = rounded_output,
    .kernels = {KernelRow{.name = "formula", .run = checked<FloorDivide>}},
    .derivative = {unwritten(
        "a rounded quotient jumps between its steps; div(rounding_mode='floor') has the derivative 0")},
    .onnx = none("written as Div and Floor"),
    .netdef = none("written as Div and Floor"),
    .plain_numbers = true,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1).no_gradient(), shapes({0}, {1}).no_gradient()},
};
constinit const Op div_mode_op{
    .schema = "div.mode(Operand input, Operand other, *, str? rounding_mode) -> Tensor",
    .doc = "input / other, rounded to zero ('trunc') or down ('floor'), or not at all (None).",
    .shape = div_mode_shape,
    .kernels = {KernelRow{.name = "formula", .run = div_mode_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto y, auto mode) { return div_mode_backward(dy, y, mode); }),
                   wrt("other", [](auto dy, auto, auto y, auto mode,
                                   auto q) { return neg(div_mode_backward(dy * q, y, mode)); })},
    .onnx = none("written as Div and Floor"),
    .netdef = none("written as Div and Floor"),
    .plain_numbers = true,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1).with("rounding_mode", "floor"),
                shapes({3, 4}, {1}).in(Domain::Positive, 1).with("rounding_mode", "trunc"), shapes({0}, {1})},
};
constinit const Op div_mode_backward_op{
    .schema = "div_mode_backward(Tensor grad, Operand other, str? rounding_mode) -> Tensor",
    .doc = "Gradient of div.mode with respect to its input: grad / other, or zeros where it rounds.",
    .method = "function",
    .shape = div_mode_backward_shape,
    .kernels = {KernelRow{.name = "formula", .run = div_mode_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto y, auto mode) { return div_mode_backward(dy, y, mode); }),
                   wrt("other", [](auto dy, auto, auto y, auto mode,
                                   auto q) { return neg(div_mode_backward(dy * q, y, mode)); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1).with("rounding_mode", "floor"),
                shapes({3, 4}, {3, 4}).in(Domain::Positive, 1), shapes({0}, {1})},
};

constinit const Op round_decimals_op{
    .schema = "round.decimals(Tensor input, *, int decimals) -> Tensor",
    .doc =
        "The nearest number with so many decimals, halves to even; negative counts round before the point.",
    .shape =
        [](Frame& f) {
          MOKA_CHECK_KIND(NotImplemented, is_floating(f.tensor(0).dtype()) || f.integer(1) == 0, f.name(),
                          ": decimals are for floating types, got ", f.tensor(0).dtype());
          keep_type(f);
          formula_output(f, 1, DTypeRule::Same);
        },
    .kernels = {KernelRow{
        .name = "formula",
        .run =
            [](Frame& f) {
              static constexpr Formula formula = pointwise<RoundDecimals>(DTypeRule::Floating, 8);
              if (!is_floating(f.tensor(0).dtype())) return copy_elements(f.tensor(0), f.outs[0]);
              double n = static_cast<double>(f.integer(1));
              formula_result(f, formula,
                             {f.args[0], std::pow(10.0, n > 0 ? n : 0), std::pow(10.0, n < 0 ? -n : 0)});
            }}},
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("written as Mul, Round and Div"),
    .netdef = none("Caffe2 has no rounding to nearest"),
    .samples = {shape(3, 4).with("decimals", 1), shape(0).with("decimals", -1)},
};

}  // namespace moka::ops
