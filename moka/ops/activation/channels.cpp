// Activations that look at a dimension: prelu's channels, the halves of glu, softmin.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/ops/activation/activation.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/normalization/normalization.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// weight [channels] seen as [channels, 1, ...] against input's dimensions behind the channels; a scalar as it is.
void channel_view_view(Frame& f) {
  const Tensor &weight = tensor_argument(f, 0), &input = tensor_argument(f, 1);
  MOKA_CHECK(weight.dim() <= 1, "prelu: weight must be a scalar or have one dimension, got shape ",
             weight.sizes());
  int64_t n = weight.numel(), channels = input.dim() > 1 ? input.size(1) : 1;
  MOKA_CHECK(n == 1 || n == channels, "prelu: weight has ", n, " elements, but input has ", channels,
             " channels (shape ", input.sizes(), "); give one or as many");
  int behind = n == 1 ? 0 : std::max(input.dim() - 2, 0);
  Dims sizes, strides;
  if (n != 1 || (weight.dim() == 1 && input.dim() > 0)) {
    sizes.push_back(n);
    strides.push_back(weight.dim() ? weight.stride(0) : 1);
    for (int i = 0; i < behind; i++) {
      sizes.push_back(1);
      strides.push_back(1);
    }
  }
  f.outs.resize(1);
  f.outs[0] = strided_view(weight, sizes, strides, weight.impl()->offset);
}
void channel_view_backward_view(Frame& f) {
  const Tensor& grad = tensor_argument(f, 0);
  Dims sizes = ints_argument(f, 1), strides;
  for (size_t i = 0; i < sizes.size(); i++) strides.push_back(grad.dim() ? grad.stride(0) : 1);
  MOKA_CHECK(checked_numel(sizes, "channel_view_backward") == grad.numel() && sizes.size() <= 1, f.name(),
             ": grad has shape ", grad.sizes(), ", which is none of a weight of shape ", sizes);
  f.outs.resize(1);
  f.outs[0] = strided_view(grad, sizes, strides, grad.impl()->offset);
}

struct Half {
  int dim;
  int64_t length;
};
Half half_of(const Frame& f, std::span<const int64_t> sizes, int at) {
  MOKA_CHECK(!sizes.empty(), f.name(), ": a scalar cannot be halved; input needs a dimension");
  int dim = dim_argument(f, at, static_cast<int>(sizes.size()));
  int64_t size = sizes[static_cast<size_t>(dim)];
  MOKA_CHECK(size % 2 == 0, f.name(), ": the halved dimension must be even, but dimension ", dim,
             " has size ", size);
  return {dim, size / 2};
}
void half_along_view(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  Half h = half_of(f, x.sizes(), 1);
  Dims sizes(x.sizes());
  sizes[static_cast<size_t>(h.dim)] = h.length;
  f.outs.resize(1);
  f.outs[0] =
      strided_view(x, sizes, x.strides(), x.impl()->offset + (f.integer(2) ? h.length * x.stride(h.dim) : 0));
}
void half_along_backward_shape(Frame& f) {
  Dims whole = ints_argument(f, 1), sizes = whole;
  checked_numel(whole, "half_along_backward");
  Half h = half_of(f, whole, 2);
  sizes[static_cast<size_t>(h.dim)] = h.length;
  check_shape(f, 0, sizes);
  f.output(0, whole, f.tensor(0).dtype());
}
void half_along_backward_kernel(Frame& f) {
  const Tensor& out = f.outs[0];
  std::memset(out.raw_data(), 0, out.bytes());
  Half h = half_of(f, out.sizes(), 2);
  int64_t offset = out.impl()->offset + (f.integer(3) ? h.length * out.stride(h.dim) : 0);
  copy_elements(f.tensor(0), strided_view(out, f.tensor(0).sizes(), out.strides(), offset));
}
}  // namespace

constinit const Op channel_view_op{
    .schema = "channel_view(Tensor weight, Tensor input) -> Tensor",
    .doc = "One number a channel, shaped to broadcast against input [batch, channels, ...].",
    .method = "function",
    .view = channel_view_view,
    .derivative = {wrt("weight",
                       [](auto dy, auto weight) { return channel_view_backward(dy, shape_of(weight)); })},
    .onnx = none("written as Reshape"),
    .netdef = none("written as Reshape"),
    .samples = {shapes({3}, {2, 3, 4}), shapes({1}, {2, 3}), shapes({}, {2})},
};
constinit const Op channel_view_backward_op{
    .schema = "channel_view_backward(Tensor grad, int[] sizes) -> Tensor",
    .doc = "Gradient of channel_view: grad in the shape of the weight.",
    .method = "function",
    .view = channel_view_backward_view,
    .derivative = {wrt("grad", [](auto dy, auto grad) { return reshape(dy, shape_of(grad)); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(3, 1).with("sizes", {3}), shape(1).with("sizes", {1})},
};
constinit const Op prelu_op{
    .schema = "prelu(Tensor input, Tensor weight) -> Tensor",
    .doc = "Identity above zero, weight * x below, with one weight or one for each channel (dimension 1).",
    .body = body([](auto x, auto weight) { return prelu_kernel(x, channel_view(weight, x)); }),
    .onnx = none("written as PRelu by prelu_kernel"),
    .netdef = "PRelu(input, weight)",
    .autocast = Autocast::Lower,
    .samples = {shapes({2, 3, 4}, {3}), shapes({3, 4}, {1}), shapes({0, 2}, {2})},
};

constinit const Op half_along_op{
    .schema = "half_along(Tensor input, int dim, int index) -> Tensor",
    .doc = "The first (index 0) or second half along `dim`, a view.",
    .method = "none",
    .view = half_along_view,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto index) {
                         return half_along_backward(dy, shape_of(input), dim, index);
                       })},
    .onnx = none("written as Split"),
    .netdef = none("written as Split"),
    .samples = {shape(3, 4).with("dim", 1).with("index", 1), shape(2, 0).with("dim", 0).with("index", 0)},
};
constinit const Op half_along_backward_op{
    .schema = "half_along_backward(Tensor grad, int[] sizes, int dim, int index) -> Tensor",
    .doc = "Gradient of half: zeros of shape `sizes` with grad in one half.",
    .method = "none",
    .shape = half_along_backward_shape,
    .kernels = {KernelRow{.name = "copy", .run = half_along_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto, auto dim, auto index) { return half_along(dy, dim, index); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(3, 2).with("sizes", {3, 4}).with("dim", 1).with("index", 1),
                shape(1, 0).with("sizes", {2, 0}).with("dim", 0).with("index", 0)},
};
constinit const Op glu_op{
    .schema = "glu(Tensor input, int dim=-1) -> Tensor",
    .doc = "The first half along `dim` times the sigmoid of the second (Dauphin et al. 2017).",
    .method = "function",
    .body = body([](auto x, auto dim) { return half_along(x, dim, 0) * sigmoid(half_along(x, dim, 1)); }),
    .onnx = none("written as Split, Sigmoid and Mul"),
    .netdef = "Glu(input, dim=dim)",
    .samples = {shape(3, 4), shape(2, 3).with("dim", 0), shape(0, 2)},
};

constinit const Op softmin_op{
    .schema = "softmin(Tensor input, int dim, *, DType? dtype=None) -> Tensor",
    .doc = "softmax(-input).",
    .method = "function",
    .body = body([](auto x, auto dim, auto dtype) { return softmax(neg(x), dim, dtype); }),
    .onnx = none("written as Neg and Softmax"),
    .netdef = none("written as Negative and Softmax"),
    .samples = {shape(3, 4).with("dim", 1), shape(2, 3).with("dim", 0)},
};

}  // namespace moka::ops
