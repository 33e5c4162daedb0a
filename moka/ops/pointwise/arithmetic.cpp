// Arithmetic of two operands and their relatives.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"

namespace moka::ops {

struct Add {
  constexpr auto operator()(auto x, auto y, auto alpha) const { return x + y * alpha; }
};
constinit const Op add_op{
    .schema = "add(Operand input, Operand other, *, Number alpha=1) -> Tensor",
    .doc = "input + alpha * other, broadcasting.",
    .formula = pointwise_all<Add, 2>(DTypeRule::Same).with_unsigned(Unsigned::Bits),
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("other", [](auto dy, auto, auto, auto alpha) { return mul(dy, conj(alpha)); })},
    .onnx = "Add(input, other, =alpha:1)",
    .netdef = "Add(input, other, =alpha:1)",
    .plain_numbers = true,
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1}),
                shapes({3}, {3}).with("alpha", 2.5)},
};

struct Sub {
  constexpr auto operator()(auto x, auto y, auto alpha) const { return x - y * alpha; }
};
constinit const Op sub_op{
    .schema = "sub(Operand input, Operand other, *, Number alpha=1) -> Tensor",
    .doc = "input - alpha * other, broadcasting.",
    .formula = pointwise_all<Sub, 2>(DTypeRule::Same)
                   .with_unsigned(Unsigned::Bits)
                   .with_bools(Bools::RefusedAny,
                               "bool has no difference; use ~ or logical_not() to invert a mask, ^ or "
                               "logical_xor() for two of them"),
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("other", [](auto dy, auto, auto, auto alpha) { return neg(mul(dy, conj(alpha))); })},
    .onnx = "Sub(input, other, =alpha:1)",
    .netdef = "Sub(input, other, =alpha:1)",
    .plain_numbers = true,
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1}),
                shapes({3}, {3}).with("alpha", 2.5)},
};

constinit const Op rsub_op{
    .schema = "rsub(Tensor input, Operand other, *, Number alpha=1) -> Tensor",
    .doc = "other - alpha * input.",
    .body = body([](auto input, auto other, auto alpha) { return sub(other, input, alpha); }),
    .onnx = none("written as Sub with its operands exchanged"),
    .netdef = none("written as Sub with its operands exchanged"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 0}, {1})},
};

struct Mul {
  constexpr auto operator()(auto x, auto y) const { return x * y; }
};
constinit const Op mul_op{
    .schema = "mul(Operand input, Operand other) -> Tensor",
    .doc = "input * other, broadcasting.",
    .formula = pointwise_all<Mul>(DTypeRule::Same).with_unsigned(Unsigned::Bits).with_exact_numbers(),
    .derivative = {wrt("input", [](auto dy, auto, auto other) { return mul(dy, conj(other)); }),
                   wrt("other", [](auto dy, auto input) { return mul(dy, conj(input)); })},
    .onnx = "Mul(input, other)",
    .netdef = "Mul(input, other)",
    .plain_numbers = true,
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1}), shapes({}, {3})},
};

struct Div {
  constexpr auto operator()(auto x, auto y) const { return x / y; }
};
constinit const Op div_op{
    .schema = "div(Operand input, Operand other) -> Tensor",
    .doc = "input / other, true division: integers give the default floating type.",
    .formula = pointwise<Div>(DTypeRule::Floating).with_exact_numbers(),
    .derivative = {wrt("input", [](auto dy, auto, auto other) { return dy / conj(other); }),
                   wrt("other",
                       [](auto dy, auto x, auto other) { return neg(dy * conj(x / other / other)); })},
    .onnx = "Div(input, other)",
    .netdef = "Div(input, other)",
    .plain_numbers = true,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive), shapes({2, 1, 5}, {4, 1}).in(Domain::Positive),
                shapes({0}, {1})},
};

struct Pow {
  constexpr auto operator()(auto x, auto y) const { return pow(x, y); }
};
constinit const Op pow_op{
    .schema = "pow(Operand input, Operand exponent) -> Tensor",
    .doc = "input raised to exponent, broadcasting.",
    .formula = pointwise_all<Pow>(DTypeRule::Same, 40).with_natural_exponent().with_bools(Bools::Refused),
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto exponent) {
                         auto power = zeros_like(input) + exponent;  // exponent may be a number
                         return where(eq(power, 0), 0, dy * conj(power * pow(input, power - 1)));
                       }),
                   // 0^y has slope 0 for y >= 0, where log(0) would spoil it.
                   wrt("exponent",
                       [](auto dy, auto input, auto exponent, auto y) {
                         auto base = zeros_like(exponent) + input;  // input may be a number
                         return where(logical_and(eq(base, 0), ge(real(exponent), 0)), 0,
                                      dy * conj(y * log(base)));
                       })},
    .onnx = "Pow(input, exponent)",
    .netdef = "Pow(input, exponent=exponent)",
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive), shapes({2, 1}, {3}).in(Domain::Positive),
                shapes({0}, {1})},
};

struct Maximum {
  constexpr auto operator()(auto x, auto y) const { return maximum(x, y); }
};
constinit const Op maximum_op{
    .schema = "maximum(Operand input, Operand other) -> Tensor",
    .doc =
        "The larger of both; NaN wins; the gradient is shared where both are equal, and goes to both beside "
        "NaN.",
    .formula = pointwise_all<Maximum>(DTypeRule::Same).with_unsigned(Unsigned::Ordered).with_wide_numbers(),
    .derivative = {fused("input", [](auto dy, auto x,
                                     auto y) { return where(x < y, 0, where(eq(x, y), dy * 0.5, dy)); }),
                   fused("other", [](auto dy, auto x,
                                     auto y) { return where(y < x, 0, where(eq(x, y), dy * 0.5, dy)); })},
    .onnx = "Max(input, other)",
    .netdef = "Max(input, other)",
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};

struct Minimum {
  constexpr auto operator()(auto x, auto y) const { return minimum(x, y); }
};
constinit const Op minimum_op{
    .schema = "minimum(Operand input, Operand other) -> Tensor",
    .doc =
        "The smaller of both; NaN wins; the gradient is shared where both are equal, and goes to both beside "
        "NaN.",
    .formula = pointwise_all<Minimum>(DTypeRule::Same).with_unsigned(Unsigned::Ordered).with_wide_numbers(),
    .derivative = {fused("input", [](auto dy, auto x,
                                     auto y) { return where(x > y, 0, where(eq(x, y), dy * 0.5, dy)); }),
                   fused("other", [](auto dy, auto x,
                                     auto y) { return where(y > x, 0, where(eq(x, y), dy * 0.5, dy)); })},
    .onnx = "Min(input, other)",
    .netdef = "Min(input, other)",
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};

struct Lerp {
  constexpr auto operator()(auto x, auto y, auto w) const {
    return where(abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w));
  }
};
constinit const Op lerp_op{
    .schema = "lerp(Tensor input, Tensor end, Operand weight) -> Tensor",
    .doc = "input + weight * (end - input), computed from the nearer end.",
    .formula = pointwise<Lerp>(DTypeRule::Same, 2).with_exact_numbers(),
    .shape =
        [](Frame& f) {
          const DType start = f.tensor(0).dtype(), end = f.tensor(1).dtype();
          MOKA_CHECK(start == end, "lerp: expected dtype ", start, " for `end` but got dtype ", end,
                     "; convert one of them");
        },
    .derivative = {wrt("input", [](auto dy, auto, auto, auto weight) { return dy - dy * conj(weight); }),
                   wrt("end", [](auto dy, auto, auto, auto weight) { return dy * conj(weight); }),
                   wrt("weight", [](auto dy, auto input, auto end) { return dy * conj(end - input); })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}), shapes({2, 1}, {3}, {1}), shapes({0}, {1}, {1})},
};

struct AddCMul {
  constexpr auto operator()(auto x, auto a, auto b, auto value) const { return x + value * a * b; }
};
constinit const Op addcmul_op{
    .schema = "addcmul(Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1) -> Tensor",
    .doc = "input + value * tensor1 * tensor2.",
    .formula = pointwise_all<AddCMul, 3>(DTypeRule::Same, 2)
                   .with_unsigned(Unsigned::Bits)
                   .with_bools(Bools::Refused),
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("tensor1",
                       [](auto dy, auto, auto, auto b, auto value) { return dy * conj(b * value); }),
                   wrt("tensor2",
                       [](auto dy, auto, auto a, auto, auto value) { return dy * conj(a * value); })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}), shapes({2, 1}, {3}, {1}).with("value", 0.5),
                shapes({0}, {1}, {1})},
};

}  // namespace moka::ops

MOKA_OP_TABLE(pointwise, MOKA_POINTWISE_OPS)
