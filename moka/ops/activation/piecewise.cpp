// Activations of straight pieces.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/activation/activation.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"

namespace moka::ops {

struct Relu6 {
  constexpr auto operator()(auto x) const { return minimum(maximum(x, 0), 6); }
};
constinit const Op relu6_op{
    .schema = "relu6(Tensor input) -> Tensor",
    .doc = "input clamped to [0, 6].",
    .method = "function",
    .formula = pointwise_all<Relu6>(DTypeRule::Same, 2),
    .derivative = {fused("input", [](auto dy, auto x) { return where(x <= 0, 0, where(x >= 6, 0, dy)); })},
    .onnx = none("written as Clip"),
    .netdef = none("written as Clip"),
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0)},
};
struct HardSigmoid {
  constexpr auto operator()(auto x) const { return minimum(maximum(x + 3, 0), 6) * 0.16666666666666666; }
};
constinit const Op hardsigmoid_op{
    .schema = "hardsigmoid(Tensor input) -> Tensor",
    .doc = "(input + 3) / 6 clamped to [0, 1].",
    .method = "function",
    .formula = pointwise<HardSigmoid>(DTypeRule::Same, 3),
    .derivative = {fused(
        "input",
        [](auto dy, auto x) { return where(x > -3, where(x < 3, dy * 0.16666666666666666, 0), 0); })},
    .onnx = none("written as Add, Clip and Mul"),
    .netdef = none("written as Add, Clip and Mul"),
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0)},
};
struct HardSwish {
  constexpr auto operator()(auto x) const { return x * minimum(maximum(x + 3, 0), 6) * 0.16666666666666666; }
};
constinit const Op hardswish_op{
    .schema = "hardswish(Tensor input) -> Tensor",
    .doc = "input * hardsigmoid(input) (Howard et al. 2019).",
    .method = "function",
    .formula = pointwise<HardSwish>(DTypeRule::Same, 4),
    .derivative = {fused("input",
                         [](auto dy, auto x) {
                           return where(x <= -3, 0, where(x < 3, dy * (x * 0.33333333333333333 + 0.5), dy));
                         })},
    .onnx = Format{{.map = "HardSwish(input)", .since = 14}},
    .netdef = none("written as its parts"),
    .samples = {shape(3, 4), shape(0)},
};
struct HardShrink {
  constexpr auto operator()(auto x, auto bound) const { return where(abs(x) <= bound, 0, x); }
};
constinit const Op hardshrink_op{
    .schema = "hardshrink(Tensor input, Number lambd=0.5) -> Tensor",
    .doc = "0 in [-lambd, lambd], input outside.",
    .formula = pointwise<HardShrink, 1>(DTypeRule::Same, 2),
    .shape = keep_type,
    .derivative = {fused("input", [](auto dy, auto x, auto bound) { return where(abs(x) <= bound, 0, dy); })},
    .onnx = Format{{.map = "Shrink(input, lambd=lambd, bias?=0.0)", .since = 9}},
    .netdef = none("written as Where"),
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0).with("lambd", 0.1)},
};
struct SoftShrink {
  constexpr auto operator()(auto x, auto bound) const {
    return where(x > bound, x - bound, where(x < -bound, x + bound, x * 0));
  }
};
constinit const Op softshrink_op{
    .schema = "softshrink(Tensor input, Number lambd=0.5) -> Tensor",
    .doc = "0 in [-lambd, lambd], input moved by lambd towards 0 outside.",
    .method = "function",
    .formula = pointwise<SoftShrink, 1>(DTypeRule::Same, 2),
    .shape = keep_type,
    .derivative = {fused("input", [](auto dy, auto x, auto bound) { return where(abs(x) <= bound, 0, dy); })},
    .onnx = none("written as Shrink where bias equals lambd"),
    .netdef = none("written as Where"),
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0).with("lambd", 0.1)},
};
struct SoftSign {
  constexpr auto operator()(auto x) const { return x / (1 + abs(x)); }
};
constinit const Op softsign_op{
    .schema = "softsign(Tensor input) -> Tensor",
    .doc = "input / (1 + |input|).",
    .method = "function",
    .formula = pointwise<SoftSign>(DTypeRule::Floating, 4),
    .derivative = {fused("input", [](auto dy, auto x) { return dy / ((1 + abs(x)) * (1 + abs(x))); })},
    .onnx = "Softsign(input)",
    .netdef = "Softsign(input)",
    .samples = {shape(3, 4), shape(0)},
};
struct Threshold {
  constexpr auto operator()(auto x, auto bound, auto value) const { return where(x <= bound, value, x); }
};
constinit const Op threshold_op{
    .schema = "threshold(Tensor input, Number threshold, Number value) -> Tensor",
    .doc = "value where input is at most threshold, input above.",
    .method = "function",
    .formula = pointwise_all<Threshold, 1>(DTypeRule::Same),
    .derivative = {fused("input", [](auto dy, auto x, auto bound) { return where(x <= bound, 0, dy); })},
    .onnx = none("written as Greater and Where"),
    .netdef = none("written as GT and Where"),
    .piecewise_linear = true,
    .samples = {shape(3, 4).with("threshold", 0.3).with("value", 2.0),
                shape(0).with("threshold", 0.1).with("value", 1.0)},
};
struct PRelu {
  constexpr auto operator()(auto x, auto slope) const { return where(x > 0, x, x * slope); }
};
constinit const Op prelu_kernel_op{
    .schema = "prelu_kernel(Tensor input, Tensor weight) -> Tensor",
    .doc = "Identity above zero, weight * x below; weight broadcasts as it is.",
    .method = "function",
    .formula = pointwise<PRelu>(DTypeRule::Same, 2),
    .derivative = {fused("input", [](auto dy, auto x, auto slope) { return where(x > 0, dy, dy * slope); }),
                   fused("weight", [](auto dy, auto x) { return where(x > 0, 0, dy * x); })},
    .onnx = "PRelu(input, weight)",
    .netdef = none("Caffe2's PRelu finds the channels itself"),
    .autocast = Autocast::Lower,
    .samples = {shapes({3, 4}, {4}), shapes({0}, {1})},
};

}  // namespace moka::ops
