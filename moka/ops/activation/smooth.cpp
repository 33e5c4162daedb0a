// Activations with exponentials.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/activation/activation.h"
#include "moka/ops/define.h"

namespace moka::ops {

struct Celu {
  constexpr auto operator()(auto x, auto alpha) const { return where(x > 0, x, alpha * expm1(x / alpha)); }
};
constinit const Op celu_op{
    .schema = "celu(Tensor input, Number alpha=1.0) -> Tensor",
    .doc = "Identity above zero, alpha * (exp(x / alpha) - 1) below (Barron 2017).",
    .method = "function",
    .formula = pointwise<Celu, 1>(DTypeRule::Same, 10),
    .derivative = {fused("input",
                         [](auto dy, auto x, auto alpha) { return where(x <= 0, dy * exp(x / alpha), dy); })},
    .onnx = Format{{.map = "Celu(input, alpha=alpha)", .since = 12}},
    .netdef = none("written as its parts"),
    .samples = {shape(3, 4), shape(0), shape(5).with("alpha", 0.5)},
};

struct Selu {
  constexpr auto operator()(auto x) const {
    return where(x > 0, x, expm1(x) * 1.6732632423543772) * 1.0507009873554805;
  }
};
constinit const Op selu_op{
    .schema = "selu(Tensor input) -> Tensor",
    .doc = "Scaled elu that keeps mean and variance (Klambauer et al. 2017).",
    .method = "function",
    .formula = pointwise<Selu>(DTypeRule::Same, 10),
    .derivative = {fused("input",
                         [](auto dy, auto x, auto y) {
                           return dy * where(x <= 0, y + 1.7580993408473766, 1.0507009873554805);
                         })},
    .onnx = "Selu(input, alpha?=1.67326319217681884765625, gamma?=1.05070102214813232421875)",
    .netdef = "Selu(input, alpha?=1.6732632423543772, scale?=1.0507009873554805)",
    .samples = {shape(3, 4), shape(0), shape()},
};

// log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|)).
struct LogSigmoid {
  constexpr auto operator()(auto x) const { return minimum(x, 0) - log1p(exp(-abs(x))); }
};
constinit const Op logsigmoid_op{
    .schema = "logsigmoid(Tensor input) -> Tensor",
    .doc = "log(1 / (1 + exp(-input))) without overflow.",
    .method = "function",
    .formula = pointwise<LogSigmoid>(DTypeRule::Same, 20),
    .derivative = {fused("input", [](auto dy, auto x) { return dy * sigmoid(-x); })},
    .onnx = none("written as Sigmoid and Log"),
    .netdef = none("written as Sigmoid and Log"),
    .samples = {shape(3, 4), shape(0), shape()},
};

// tanh(log(1 + e)) = n / (n + 2) with e = exp(x) and n = e (e + 2); above 20 it is 1.
struct Mish {
  constexpr auto operator()(auto x) const {
    auto e = exp(minimum(x, 20)), n = e * (e + 2);
    return x * (n / (n + 2));
  }
};
constinit const Op mish_op{
    .schema = "mish(Tensor input) -> Tensor",
    .doc = "input * tanh(softplus(input)) (Misra 2019).",
    .method = "function",
    .formula = pointwise<Mish>(DTypeRule::Same, 12),
    .derivative = {fused("input",
                         [](auto dy, auto x) {
                           auto e = exp(minimum(x, 20)), n = e * (e + 2), t = n / (n + 2);
                           return dy * (t + x * (e / (e + 1)) * (1 - t * t));
                         })},
    .onnx = Format{{.map = "Mish(input)", .since = 18}},
    .netdef = none("written as its parts"),
    .samples = {shape(3, 4), shape(0), shape()},
};

struct TanhShrink {
  constexpr auto operator()(auto x) const { return x - tanh(x); }
};
constinit const Op tanhshrink_op{
    .schema = "tanhshrink(Tensor input) -> Tensor",
    .doc = "input - tanh(input).",
    .method = "function",
    .formula = pointwise<TanhShrink>(DTypeRule::Floating, 14),
    .derivative = {fused("input",
                         [](auto dy, auto x) {
                           auto t = tanh(x);
                           return dy * t * t;
                         })},
    .onnx = none("written as Tanh and Sub"),
    .netdef = none("written as Tanh and Sub"),
    .samples = {shape(3, 4), shape(0)},
};

}  // namespace moka::ops

MOKA_OP_TABLE(activation, MOKA_ACTIVATION_OPS)
