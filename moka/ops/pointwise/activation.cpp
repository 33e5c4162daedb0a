// Activation functions, one formula each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/conj.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"

namespace moka::ops {

struct Relu {
  constexpr auto operator()(auto x) const { return where(x < 0, 0, x); }
};
constinit const Op relu_op{
    .schema = "relu(Tensor input) -> Tensor",
    .doc = "input above zero, 0 below.",
    .formula = pointwise_all<Relu>(DTypeRule::Same).with_bools(Bools::Refused),
    .derivative = {fused("input", [](auto dy, auto, auto y) { return where(y <= 0, 0, dy); })},
    .onnx = "Relu(input)",
    .netdef = "Relu(input)",
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0), shape(2, 1, 5)},
};

struct LeakyRelu {
  constexpr auto operator()(auto x, auto slope) const { return where(x > 0, x, x * slope); }
};
constinit const Op leaky_relu_op{
    .schema = "leaky_relu(Tensor input, Number negative_slope=0.01) -> Tensor",
    .doc = "Identity above zero, negative_slope * x below.",
    .formula = pointwise<LeakyRelu, 1>(DTypeRule::Same),
    .derivative = {fused("input", [](auto dy, auto x, auto slope) { return where(x > 0, dy, dy * slope); })},
    .onnx = "LeakyRelu(input, alpha=negative_slope)",
    .netdef = "LeakyRelu(input, alpha=negative_slope)",
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0), shape(5).with("negative_slope", 0.5)},
};

struct Elu {
  constexpr auto operator()(auto x, auto alpha) const { return where(x > 0, x, alpha * expm1(x)); }
};
constinit const Op elu_op{
    .schema = "elu(Tensor input, Number alpha=1.0) -> Tensor",
    .doc = "Identity above zero, alpha * (exp(x) - 1) below.",
    .formula = pointwise<Elu, 1>(DTypeRule::Same, 8),
    .derivative = {fused(
        "input", [](auto dy, auto x, auto alpha, auto y) { return dy * where(x <= 0, y + alpha, 1); })},
    .onnx = "Elu(input, alpha=alpha)",
    .netdef = "Elu(input, alpha=alpha)",
    .samples = {shape(3, 4), shape(0), shape(2, 1, 5).with("alpha", 0.5)},
};

struct Tanh {
  constexpr auto operator()(auto x) const { return tanh(x); }
};
constinit const Op tanh_op{
    .schema = "tanh(Tensor input) -> Tensor",
    .doc = "The hyperbolic tangent.",
    .formula = pointwise<Tanh>(DTypeRule::Floating, 12),
    .derivative = {fused("input", [](auto dy, auto, auto y) { return dy * conj(1 - y * y); })},
    .onnx = "Tanh(input)",
    .netdef = "Tanh(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Sigmoid {
  constexpr auto operator()(auto x) const { return sigmoid(x); }
};
constinit const Op sigmoid_op{
    .schema = "sigmoid(Tensor input) -> Tensor",
    .doc = "1 / (1 + exp(-input)).",
    .formula = pointwise<Sigmoid>(DTypeRule::Floating, 10),
    .derivative = {fused("input", [](auto dy, auto, auto y) { return dy * conj(y * (1 - y)); })},
    .onnx = "Sigmoid(input)",
    .netdef = "Sigmoid(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Gelu {
  constexpr auto operator()(auto x) const { return x * 0.5 * (1 + erf(x * 0.70710678118654752)); }
};
constinit const Op gelu_op{
    .schema = "gelu(Tensor input) -> Tensor",
    .doc =
        "input * Phi(input), Phi the distribution function of the standard normal (Hendrycks, Gimpel 2016).",
    .method = "function",
    .formula = pointwise<Gelu>(DTypeRule::Same, 24),
    .shape = keep_type,
    .derivative = {fused("input",
                         [](auto dy, auto x) {
                           return dy * ((1 + erf(x * 0.70710678118654752)) * 0.5 +
                                        x * exp(x * x * -0.5) * 0.39894228040143268);
                         })},
    .onnx = Format{{.map = "Gelu(input, approximate?='none')", .since = 20}},
    .netdef = "Gelu(input, fast_gelu?=0)",
    .samples = {shape(3, 4), shape(0)},
};

struct GeluTanh {
  constexpr auto operator()(auto x) const {
    return x * 0.5 * (1 + tanh((x + x * x * x * 0.044715) * 0.79788456080286536));
  }
};
constinit const Op gelu_tanh_op{
    .schema = "gelu_tanh(Tensor input) -> Tensor",
    .doc = "The tanh approximation of gelu.",
    .method = "function",
    .formula = pointwise<GeluTanh>(DTypeRule::Same, 16),
    .derivative = {fused("input",
                         [](auto dy, auto x) {
                           auto t = tanh((x + x * x * x * 0.044715) * 0.79788456080286536);
                           return dy * ((1 + t) * 0.5 +
                                        x * 0.5 * (1 - t * t) * (1 + x * x * 0.134145) * 0.79788456080286536);
                         })},
    .onnx = Format{{.map = "Gelu(input, approximate='tanh')", .since = 20}},
    .netdef = "Gelu(input, fast_gelu=1)",
    .samples = {shape(3, 4), shape(0)},
};

struct Silu {
  constexpr auto operator()(auto x) const { return x * sigmoid(x); }
};
constinit const Op silu_op{
    .schema = "silu(Tensor input) -> Tensor",
    .doc = "input * sigmoid(input), also called swish.",
    .method = "function",
    .formula = pointwise<Silu>(DTypeRule::Same, 10),
    .derivative = {fused("input",
                         [](auto dy, auto x) {
                           auto s = sigmoid(x);
                           return dy * conj(s * (1 + x * (1 - s)));
                         })},
    .onnx = none("written as Sigmoid and Mul, which every runtime has; Swish of opset 24 is read"),
    .netdef = "Swish(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Softplus {
  constexpr auto operator()(auto x, auto beta, auto threshold) const {
    auto z = x * beta;
    return where(z > threshold, x, log1p(exp(minimum(z, threshold))) / beta);
  }
};
constinit const Op softplus_op{
    .schema = "softplus(Tensor input, Number beta=1.0, Number threshold=20.0) -> Tensor",
    .doc = "log(1 + exp(beta * input)) / beta; linear where beta * input exceeds threshold.",
    .method = "function",
    .formula = pointwise<Softplus, 1>(DTypeRule::Same, 24),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto beta, auto threshold) {
                         return where(x * beta > threshold, dy, dy * sigmoid(x * beta));
                       })},
    .onnx = "Softplus(input, =beta:1, =threshold:20)",
    .netdef = "Softplus(input, =beta:1, =threshold:20)",
    .samples = {shape(3, 4), shape(0), shape(5).with("beta", 2.0)},
};

struct Hardtanh {
  constexpr auto operator()(auto x, auto low, auto high) const { return minimum(maximum(x, low), high); }
};
constinit const Op hardtanh_op{
    .schema = "hardtanh(Tensor input, Number min_val=-1.0, Number max_val=1.0) -> Tensor",
    .doc = "input limited to [min_val, max_val].",
    .method = "function",
    .formula = pointwise_all<Hardtanh, 1>(DTypeRule::Same, 2),
    .derivative = {fused("input", [](auto dy, auto x, auto low,
                                     auto high) { return where(x <= low, 0, where(x >= high, 0, dy)); })},
    .onnx = none("written as Clip"),
    .netdef = none("written as Clip"),
    .piecewise_linear = true,
    .samples = {shape(3, 4), shape(0), shape(5).with("min_val", -0.5)},
};

}  // namespace moka::ops
