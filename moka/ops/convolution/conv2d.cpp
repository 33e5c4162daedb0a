// Two-dimensional convolution (cross-correlation, as everywhere in this field), its gradients and its transpose.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/convolution/convolution.h"
#include "moka/ops/convolution/kernels.h"
#include "moka/ops/define.h"
#include "moka/ops/reduction/reduction.h"

namespace moka::ops {

namespace {
Tensor operand(const Tensor& t) { return as_contiguous(in_kernel_dtype(t)); }

void conv2d_shape(Frame& f) { f.output(0, conv2d_geometry(f).output_sizes(), f.tensor(0).dtype()); }
void conv2d_kernel(Frame& f) {
  ConvGeometry g = conv2d_geometry(f);
  Tensor x = operand(f.tensor(0)), w = operand(f.tensor(1)), b;
  if (f.has(2)) b = operand(f.tensor(2));
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64)
    convolve(g, x.data<double>(), w.data<double>(), b ? b.data<double>() : nullptr, y.data<double>());
  else convolve(g, x.data<float>(), w.data<float>(), b ? b.data<float>() : nullptr, y.data<float>());
  y.finish();
}

void conv2d_backward_input_shape(Frame& f) {
  f.output(0, conv2d_backward_input_geometry(f).input_sizes(), f.tensor(0).dtype());
}
void conv2d_backward_input_kernel(Frame& f) {
  ConvGeometry g = conv2d_backward_input_geometry(f);
  Tensor dy = operand(f.tensor(0)), w = operand(f.tensor(1));
  KernelOutput dx(f, 0);
  if (dy.dtype() == DType::F64)
    convolve_backward_input<double>(g, dy.data<double>(), w.data<double>(), nullptr, dx.data<double>());
  else convolve_backward_input<float>(g, dy.data<float>(), w.data<float>(), nullptr, dx.data<float>());
  dx.finish();
}

void conv2d_backward_weight_shape(Frame& f) {
  f.output(0, conv2d_backward_weight_geometry(f).weight_sizes(), f.tensor(0).dtype());
}
void conv2d_backward_weight_kernel(Frame& f) {
  ConvGeometry g = conv2d_backward_weight_geometry(f);
  Tensor dy = operand(f.tensor(0)), x = operand(f.tensor(1));
  KernelOutput dw(f, 0);
  if (dy.dtype() == DType::F64)
    convolve_backward_weight<double>(g, dy.data<double>(), x.data<double>(), dw.data<double>());
  else convolve_backward_weight<float>(g, dy.data<float>(), x.data<float>(), dw.data<float>());
  dw.finish();
}

// conv_transpose2d computes the gradient of the convolution whose output has the shape of its input.
struct Transposed {
  ConvGeometry g;
  Dims result;
};
Transposed transposed_geometry(const Frame& f) {
  const Tensor &x = floating_argument(f, 0), &w = floating_argument(f, 1);
  check_same_dtype(f, 1, 0);
  MOKA_CHECK(x.dim() == 4 || x.dim() == 3,
             "conv_transpose2d: input must have shape [batch, channels, height, width] or ",
             "[channels, height, width], got ", x.sizes());
  MOKA_CHECK(w.dim() == 4,
             "conv_transpose2d: weight must have shape [in, out / groups, kernel height, kernel width], got ",
             w.sizes());
  Pair stride = pair_argument(f, 3, 1), padding = pair_argument(f, 4, 0), more = pair_argument(f, 5, 0),
       dilation = pair_argument(f, 7, 1);
  MOKA_CHECK_KIND(
      Value, (more.h < stride.h || more.h < dilation.h) && (more.w < stride.w || more.w < dilation.w),
      "conv_transpose2d: output_padding must be smaller than stride or dilation, got ", f.args[5]);
  int64_t groups = f.integer(6);
  MOKA_CHECK_KIND(Value, groups >= 1, "conv_transpose2d: groups must be at least 1, got ", groups);
  auto length = [&](int64_t in, int64_t s, int64_t p, int64_t kernel, int64_t d, int64_t extra) {
    MOKA_CHECK(in > 0, "conv_transpose2d: input must not be empty in height and width, got shape ",
               x.sizes());
    int64_t n = checked_mul(in - 1, s, "conv_transpose2d");
    n = checked_add(n, -checked_mul(2, p, "conv_transpose2d"), "conv_transpose2d");
    n = checked_add(n, checked_mul(d, kernel - 1, "conv_transpose2d"), "conv_transpose2d");
    n = checked_add(n, checked_add(extra, 1, "conv_transpose2d"), "conv_transpose2d");
    MOKA_CHECK(n > 0, "conv_transpose2d: the result would have size ", n, " (input ", x.sizes(), ", weight ",
               w.sizes(), ")");
    return n;
  };
  Dims sizes(x.sizes());
  size_t r = sizes.size();
  sizes[r - 3] = checked_mul(w.size(1), groups, "conv_transpose2d");
  sizes[r - 2] = length(x.size(-2), stride.h, padding.h, w.size(2), dilation.h, more.h);
  sizes[r - 1] = length(x.size(-1), stride.w, padding.w, w.size(3), dilation.w, more.w);
  Arg settings[7] = {f.args[0], f.args[1], f.args[2], f.args[3], f.args[4], f.args[7], f.args[6]};
  Frame as_gradient(f.op, settings, 7);
  Transposed t{conv_geometry(as_gradient, sizes, w.sizes(), 3), sizes};
  check_shape(f, 0, t.g.output_sizes());
  if (optional_argument(f, 2, 0)) check_shape(f, 2, Dims{sizes[r - 3]});
  return t;
}
void conv_transpose2d_shape(Frame& f) { f.output(0, transposed_geometry(f).result, f.tensor(0).dtype()); }
void conv_transpose2d_kernel(Frame& f) {
  ConvGeometry g = transposed_geometry(f).g;
  Tensor x = operand(f.tensor(0)), w = operand(f.tensor(1)), b;
  if (f.has(2)) b = operand(f.tensor(2));
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64)
    convolve_backward_input(g, x.data<double>(), w.data<double>(), b ? b.data<double>() : nullptr,
                            y.data<double>());
  else
    convolve_backward_input(g, x.data<float>(), w.data<float>(), b ? b.data<float>() : nullptr,
                            y.data<float>());
  y.finish();
}
}  // namespace

constinit const Op conv2d_op{
    .schema =
        "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] "
        "dilation=1, "
        "int groups=1) -> Tensor",
    .doc =
        "Cross-correlation of images [batch, channels, height, width] with filters [out, channels / groups, "
        "kernel height, "
        "kernel width]; the batch dimension may be missing.",
    .method = "function",
    .shape = conv2d_shape,
    .kernels = {KernelRow{.name = "gather_gemm", .run = conv2d_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto weight, auto, auto stride, auto padding, auto dilation,
                          auto groups) {
                         return conv2d_backward_input(dy, weight, shape_of(input), stride, padding, dilation,
                                                      groups);
                       }),
                   wrt("weight",
                       [](auto dy, auto input, auto weight, auto, auto stride, auto padding, auto dilation,
                          auto groups) {
                         return conv2d_backward_weight(dy, input, shape_of(weight), stride, padding, dilation,
                                                       groups);
                       }),
                   wrt("bias", [](auto dy) { return sum(dy, Dims{-2, -1}); })},
    .onnx =
        "Conv(input, weight, bias, strides=stride, pads=begin_end(padding), dilations=dilation, "
        "group=groups, "
        "kernel_shape=tail(weight), =rank(input):4)",
    .netdef =
        "Conv(input, weight, bias, strides=stride, pads=begin_end(padding), dilations=dilation, "
        "group=groups, "
        "kernels=tail(weight), =rank(input):4)",
    .samples = {shapes({2, 3, 6, 5}, {4, 3, 3, 2}, {4}).with("padding", {1, 0}),
                shapes({1, 4, 7, 7}, {6, 2, 3, 3}).with("groups", 2).with("stride", {2, 2}),
                shapes({3, 5, 5}, {2, 3, 2, 2}).with("dilation", {2, 1}),
                shapes({0, 3, 4, 4}, {2, 3, 1, 1}, {2}),
                shapes({2, 4, 5, 5}, {4, 1, 3, 3}, {4}).with("groups", 4).with("padding", {1, 1})},
};

constinit const Op conv2d_backward_input_op{
    .schema =
        "conv2d_backward_input(Tensor grad, Tensor weight, int[] sizes, int[2] stride=1, int[2] padding=0, "
        "int[2] dilation=1, int groups=1) -> Tensor",
    .doc = "Gradient of conv2d with respect to its input, whose shape is `sizes`.",
    .method = "function",
    .shape = conv2d_backward_input_shape,
    .kernels = {KernelRow{.name = "gather_gemm", .run = conv2d_backward_input_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto weight, auto, auto stride, auto padding, auto dilation,
                          auto groups) {
                         return conv2d(dy, weight, nullptr, stride, padding, dilation, groups);
                       }),
                   wrt("weight",
                       [](auto dy, auto grad, auto weight, auto, auto stride, auto padding, auto dilation,
                          auto groups) {
                         return conv2d_backward_weight(grad, dy, shape_of(weight), stride, padding, dilation,
                                                       groups);
                       })},
    .onnx = none("a gradient: ConvTranspose is written from conv_transpose2d"),
    .netdef = none("part of ConvGradient"),
    .samples = {shapes({2, 4, 4, 5}, {4, 3, 3, 2}).with("sizes", {2, 3, 6, 6}),
                shapes({1, 4, 2, 2}, {4, 2, 3, 3})
                    .with("sizes", {1, 4, 6, 5})
                    .with("groups", 2)
                    .with("stride", {2, 2})},
};

constinit const Op conv2d_backward_weight_op{
    .schema =
        "conv2d_backward_weight(Tensor grad, Tensor input, int[] sizes, int[2] stride=1, int[2] padding=0, "
        "int[2] dilation=1, int groups=1) -> Tensor",
    .doc = "Gradient of conv2d with respect to its weight, whose shape is `sizes`.",
    .method = "function",
    .shape = conv2d_backward_weight_shape,
    .kernels = {KernelRow{.name = "gather_gemm", .run = conv2d_backward_weight_kernel}},
    .derivative =
        {wrt("grad",
             [](auto dy, auto, auto input, auto, auto stride, auto padding, auto dilation, auto groups) {
               return conv2d(input, dy, nullptr, stride, padding, dilation, groups);
             }),
         wrt("input",
             [](auto dy, auto grad, auto input, auto, auto stride, auto padding, auto dilation, auto groups) {
               return conv2d_backward_input(grad, dy, shape_of(input), stride, padding, dilation, groups);
             })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("part of ConvGradient"),
    .samples = {shapes({2, 4, 4, 5}, {2, 3, 6, 6}).with("sizes", {4, 3, 3, 2}),
                shapes({1, 4, 2, 2}, {1, 4, 6, 5})
                    .with("sizes", {4, 2, 3, 3})
                    .with("groups", 2)
                    .with("stride", {2, 2})},
};

constinit const Op conv_transpose2d_op{
    .schema =
        "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, "
        "int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor",
    .doc =
        "The transpose of conv2d as a linear map, also called deconvolution; weight is [in, out / groups, "
        "kernel height, "
        "kernel width].",
    .method = "function",
    .shape = conv_transpose2d_shape,
    .kernels = {KernelRow{.name = "gather_gemm", .run = conv_transpose2d_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto weight, auto, auto stride, auto padding, auto, auto groups,
                          auto dilation) {
                         return conv2d(dy, weight, nullptr, stride, padding, dilation, groups);
                       }),
                   wrt("weight",
                       [](auto dy, auto input, auto weight, auto, auto stride, auto padding, auto,
                          auto groups, auto dilation) {
                         return conv2d_backward_weight(input, dy, shape_of(weight), stride, padding, dilation,
                                                       groups);
                       }),
                   wrt("bias", [](auto dy) { return sum(dy, Dims{-2, -1}); })},
    .onnx =
        "ConvTranspose(input, weight, bias, strides=stride, pads=begin_end(padding), dilations=dilation, "
        "group=groups, "
        "output_padding=output_padding, kernel_shape=tail(weight))",
    .netdef = none("Caffe2's ConvTranspose has neither dilation nor this adjustment rule"),
    .samples = {shapes({2, 3, 4, 5}, {3, 2, 3, 3}, {2})
                    .with("stride", {2, 2})
                    .with("padding", {1, 1})
                    .with("output_padding", {1, 0}),
                shapes({1, 4, 3, 3}, {4, 2, 2, 2}).with("groups", 2), shapes({3, 2, 2}, {3, 1, 1, 1})},
};

}  // namespace moka::ops

MOKA_OP_TABLE(convolution, MOKA_CONVOLUTION_OPS)
