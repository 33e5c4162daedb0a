// Convolution (cross-correlation, as everywhere in this field) over one, two and three axes, its gradients and its
// transpose. The rank is the one with which a schema declares its stride; everything else is shared.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/ops/conj.h"
#include "moka/ops/convolution/convolution.h"
#include "moka/ops/convolution/kernels.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
Tensor operand(const Tensor& t) { return as_contiguous(in_kernel_dtype(t)); }
template <class T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

void conv_shape(Frame& f) { f.output(0, conv_forward_geometry(f).output_sizes(), f.tensor(0).dtype()); }
// Results have their channels last where the filters or the picture have them so.
void follow_operands(Frame& f) {
  follow_format(f, has_channels_last(f.tensor(1)) ? f.tensor(1) : f.tensor(0));
}

void conv_kernel(Frame& f) {
  ConvGeometry g = conv_forward_geometry(f);
  Tensor x = operand(f.tensor(0)), w = operand(f.tensor(1)), b;
  if (f.has(2)) b = operand(f.tensor(2));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    convolve<T>(g, x.data<T>(), w.data<T>(), data_or_null<T>(b), y.data<T>());
  });
  y.finish();
  follow_operands(f);
}

void backward_input_shape(Frame& f) {
  f.output(0, conv_backward_input_geometry(f).input_sizes(), f.tensor(0).dtype());
}
void backward_input_kernel(Frame& f) {
  ConvGeometry g = conv_backward_input_geometry(f);
  Tensor dy = operand(f.tensor(0)), w = operand(f.tensor(1));
  KernelOutput dx(f, 0);
  by_kernel_dtype(dy.dtype(), [&]<class T>(T*) {
    convolve_backward_input<T>(g, dy.data<T>(), w.data<T>(), nullptr, dx.data<T>());
  });
  dx.finish();
  follow_operands(f);
}

void backward_weight_shape(Frame& f) {
  f.output(0, conv_backward_weight_geometry(f).weight_sizes(), f.tensor(0).dtype());
}
void backward_weight_kernel(Frame& f) {
  ConvGeometry g = conv_backward_weight_geometry(f);
  Tensor dy = operand(f.tensor(0)), x = operand(f.tensor(1));
  KernelOutput dw(f, 0);
  if (x.dtype() == DType::F64)
    convolve_backward_weight<double>(g, dy.data<double>(), x.data<double>(), dw.data<double>());
  else convolve_backward_weight<float>(g, dy.data<float>(), x.data<float>(), dw.data<float>());
  dw.finish();
}

void transpose_shape(Frame& f) { f.output(0, conv_transpose_geometry(f).result, f.tensor(0).dtype()); }
void transpose_kernel(Frame& f) {
  ConvGeometry g = conv_transpose_geometry(f).g;
  Tensor x = operand(f.tensor(0)), w = operand(f.tensor(1)), b;
  if (f.has(2)) b = operand(f.tensor(2));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    convolve_backward_input<T>(g, x.data<T>(), w.data<T>(), data_or_null<T>(b), y.data<T>());
  });
  y.finish();
  follow_operands(f);
}

// Arguments: input, sizes.
void view_leading_corner(Frame& f) {
  const Tensor& x = f.tensor(0);
  Dims sizes = ints_argument(f, 1);
  MOKA_CHECK(sizes.size() == x.sizes().size(), f.name(), ": sizes must have ", x.dim(), " elements, got ",
             sizes);
  Dims both = sizes;
  for (int d = 0; d < x.dim(); d++) both[d] = std::min(both[d], x.size(d));
  Tensor corner = strided_view(x, both, x.strides(), x.impl()->offset);
  f.outs.resize(1);
  if (both == sizes) {
    f.outs[0] = corner;
  } else if (f.infer) {
    f.outs[0] = shape_only(sizes, x.dtype());
  } else {
    Tensor out = new_tensor(sizes, x.dtype(), x.device());
    if (!is_meta(out)) std::memset(out.raw_data(), 0, out.bytes());
    copy_elements(corner, strided_view(out, both, out.strides(), 0));
    f.outs[0] = out;
  }
}
}  // namespace

// With more output padding than stride, a convolution back has more outputs than the transpose had inputs.
constinit const Op leading_corner_op{
    .schema = "leading_corner(Tensor input, int[] sizes) -> Tensor",
    .doc = "The elements of input at the smallest indices in the given sizes; zeros where input is smaller.",
    .method = "none",
    .view = view_leading_corner,
    .derivative = {wrt("input", [](auto dy, auto input) { return leading_corner(dy, shape_of(input)); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {shape(3, 4).with("sizes", {2, 4}), shape(3, 4).with("sizes", {2, 5})},
};

// The operators of one rank: `n` axes, the rank of a batch, the dimensions that a bias's gradient is summed over.
#define MOKA_CONVOLUTION(n, dims, batch_rank, conv_samples, input_samples, weight_samples,                   \
                         transpose_samples)                                                                  \
  constinit const Op conv##n##d_op{                                                                          \
      .schema = "conv" #n "d(Tensor input, Tensor weight, Tensor? bias=None, int[" #n "] stride=1, int[" #n  \
                "] padding=0, int[" #n "] dilation=1, int groups=1) -> Tensor",                              \
      .doc = "Cross-correlation of [batch, channels, ...] over the last " #n                                 \
             " dimensions with filters [out, channels / groups, kernel...]; the batch dimension may be "     \
             "missing.",                                                                                     \
      .method = "function",                                                                                  \
      .shape = conv_shape,                                                                                   \
      .kernels = {KernelRow{.name = "gather_gemm", .run = conv_kernel}},                                     \
      .derivative = {wrt("input",                                                                            \
                         [](auto dy, auto input, auto weight, auto, auto stride, auto padding,               \
                            auto dilation, auto groups) {                                                    \
                           return conv##n##d_backward_input(dy, conj(weight), shape_of(input), stride,       \
                                                            padding, dilation, groups);                      \
                         }),                                                                                 \
                     wrt("weight",                                                                           \
                         [](auto dy, auto input, auto weight, auto, auto stride, auto padding,               \
                            auto dilation, auto groups) {                                                    \
                           return conv##n##d_backward_weight(dy, conj(input), shape_of(weight), stride,      \
                                                             padding, dilation, groups);                     \
                         }),                                                                                 \
                     wrt("bias", [](auto dy) { return sum(dy, dims); })},                                    \
      .batch = batch_convolution,                                                                            \
      .onnx =                                                                                                \
          "Conv(input, weight, bias, strides=stride, pads=begin_end(padding), dilations=dilation, "          \
          "group=groups, kernel_shape=tail(weight), =rank(input):" #batch_rank ")",                          \
      .netdef =                                                                                              \
          "Conv(input, weight, bias, strides=stride, pads=begin_end(padding), dilations=dilation, "          \
          "group=groups, kernels=tail(weight), =rank(input):" #batch_rank ")",                               \
      .autocast = Autocast::Lower,                                                                           \
      .samples = conv_samples,                                                                               \
  };                                                                                                         \
  constinit const Op conv##n##d_backward_input_op{                                                           \
      .schema = "conv" #n "d_backward_input(Tensor grad, Tensor weight, int[] sizes, int[" #n                \
                "] stride=1, int[" #n "] padding=0, int[" #n "] dilation=1, int groups=1) -> Tensor",        \
      .doc = "Gradient of conv" #n "d with respect to its input, whose shape is `sizes`.",                   \
      .method = "function",                                                                                  \
      .shape = backward_input_shape,                                                                         \
      .kernels = {KernelRow{.name = "gather_gemm", .run = backward_input_kernel}},                           \
      .derivative = {wrt("grad",                                                                             \
                         [](auto dy, auto, auto weight, auto, auto stride, auto padding, auto dilation,      \
                            auto groups) {                                                                   \
                           return conv##n##d(dy, conj(weight), nullptr, stride, padding, dilation, groups);  \
                         }),                                                                                 \
                     wrt("weight",                                                                           \
                         [](auto dy, auto grad, auto weight, auto, auto stride, auto padding, auto dilation, \
                            auto groups) {                                                                   \
                           return conv##n##d_backward_weight(conj(grad), dy, shape_of(weight), stride,       \
                                                             padding, dilation, groups);                     \
                         })},                                                                                \
      .onnx = none("a gradient: ConvTranspose is written from conv_transpose"),                              \
      .netdef = none("part of ConvGradient"),                                                                \
      .samples = input_samples,                                                                              \
  };                                                                                                         \
  constinit const Op conv##n##d_backward_weight_op{                                                          \
      .schema = "conv" #n "d_backward_weight(Tensor grad, Tensor input, int[] sizes, int[" #n                \
                "] stride=1, int[" #n "] padding=0, int[" #n "] dilation=1, int groups=1) -> Tensor",        \
      .doc = "Gradient of conv" #n "d with respect to its weight, whose shape is `sizes`.",                  \
      .method = "function",                                                                                  \
      .shape = backward_weight_shape,                                                                        \
      .kernels = {KernelRow{.name = "gather_gemm", .run = backward_weight_kernel}},                          \
      .derivative = {wrt("grad",                                                                             \
                         [](auto dy, auto grad, auto input, auto, auto stride, auto padding, auto dilation,  \
                            auto groups) {                                                                   \
                           return leading_corner(                                                            \
                               conv##n##d(conj(input), dy, nullptr, stride, padding, dilation, groups),      \
                               shape_of(grad));                                                              \
                         }),                                                                                 \
                     wrt("input",                                                                            \
                         [](auto dy, auto grad, auto input, auto, auto stride, auto padding, auto dilation,  \
                            auto groups) {                                                                   \
                           return conv##n##d_backward_input(conj(grad), dy, shape_of(input), stride,         \
                                                            padding, dilation, groups);                      \
                         })},                                                                                \
      .onnx = none("a gradient: export the forward graph"),                                                  \
      .netdef = none("part of ConvGradient"),                                                                \
      .samples = weight_samples,                                                                             \
  };                                                                                                         \
  constinit const Op conv_transpose##n##d_op {                                                               \
    .schema = "conv_transpose" #n "d(Tensor input, Tensor weight, Tensor? bias=None, int[" #n                \
              "] stride=1, int[" #n "] padding=0, int[" #n "] output_padding=0, int groups=1, int[" #n       \
              "] dilation=1) -> Tensor",                                                                     \
    .doc = "The transpose of conv" #n                                                                        \
           "d as a linear map, also called deconvolution; weight is [in, out / groups, kernel...].",         \
    .method = "function", .shape = transpose_shape,                                                          \
    .kernels = {KernelRow{.name = "gather_gemm", .run = transpose_kernel}},                                  \
    .derivative = {wrt("input",                                                                              \
                       [](auto dy, auto input, auto weight, auto, auto stride, auto padding, auto,           \
                          auto groups, auto dilation) {                                                      \
                         return leading_corner(                                                              \
                             conv##n##d(dy, conj(weight), nullptr, stride, padding, dilation, groups),       \
                             shape_of(input));                                                               \
                       }),                                                                                   \
                   wrt("weight",                                                                             \
                       [](auto dy, auto input, auto weight, auto, auto stride, auto padding, auto,           \
                          auto groups, auto dilation) {                                                      \
                         return conv##n##d_backward_weight(conj(input), dy, shape_of(weight), stride,        \
                                                           padding, dilation, groups);                       \
                       }),                                                                                   \
                   wrt("bias", [](auto dy) { return sum(dy, dims); })},                                      \
    .onnx =                                                                                                  \
        "ConvTranspose(input, weight, bias, strides=stride, pads=begin_end(padding), "                       \
        "dilations=dilation, group=groups, output_padding=output_padding, kernel_shape=tail(weight), "       \
        "=rank(input):" #batch_rank ")",                                                                     \
    .netdef = none("Caffe2's ConvTranspose has neither dilation nor this adjustment rule"),                  \
    .autocast = Autocast::Lower, .samples = transpose_samples,                                               \
  }

#define MOKA_SUMMED_1 Dims{-1}
#define MOKA_SUMMED_2 Dims{-2, -1}
#define MOKA_SUMMED_3 Dims{-3, -2, -1}

namespace {
constexpr SampleField conv1_samples = {shapes({2, 3, 7}, {4, 3, 3}, {4}).with("padding", {1}),
                                       shapes({1, 4, 8}, {6, 2, 3}).with("groups", 2).with("stride", {2}),
                                       shapes({3, 6}, {2, 3, 2}).with("dilation", {2}),
                                       shapes({0, 3, 4}, {2, 3, 1}, {2})};
constexpr SampleField conv1_input_samples = {
    shapes({2, 4, 4}, {4, 3, 3}).with("sizes", {2, 3, 6}),
    shapes({1, 4, 3}, {4, 2, 2}).with("sizes", {1, 4, 6}).with("groups", 2).with("stride", {2})};
constexpr SampleField conv1_weight_samples = {
    shapes({2, 4, 4}, {2, 3, 6}).with("sizes", {4, 3, 3}),
    shapes({1, 4, 3}, {1, 4, 6}).with("sizes", {4, 2, 2}).with("groups", 2).with("stride", {2})};
constexpr SampleField conv1_transpose_samples = {
    shapes({2, 3, 5}, {3, 2, 3}, {2}).with("stride", {2}).with("padding", {1}).with("output_padding", {1}),
    shapes({1, 4, 3}, {4, 2, 2}).with("groups", 2), shapes({3, 2}, {3, 1, 1})};
constexpr SampleField conv2_samples = {
    shapes({2, 3, 6, 5}, {4, 3, 3, 2}, {4}).with("padding", {1, 0}),
    shapes({1, 4, 7, 7}, {6, 2, 3, 3}).with("groups", 2).with("stride", {2, 2}),
    shapes({3, 5, 5}, {2, 3, 2, 2}).with("dilation", {2, 1}), shapes({0, 3, 4, 4}, {2, 3, 1, 1}, {2}),
    shapes({2, 4, 5, 5}, {4, 1, 3, 3}, {4}).with("groups", 4).with("padding", {1, 1})};
constexpr SampleField conv2_input_samples = {
    shapes({2, 4, 4, 5}, {4, 3, 3, 2}).with("sizes", {2, 3, 6, 6}),
    shapes({1, 4, 2, 2}, {4, 2, 3, 3}).with("sizes", {1, 4, 6, 5}).with("groups", 2).with("stride", {2, 2})};
constexpr SampleField conv2_weight_samples = {
    shapes({2, 4, 4, 5}, {2, 3, 6, 6}).with("sizes", {4, 3, 3, 2}),
    shapes({1, 4, 2, 2}, {1, 4, 6, 5}).with("sizes", {4, 2, 3, 3}).with("groups", 2).with("stride", {2, 2})};
constexpr SampleField conv2_transpose_samples = {shapes({2, 3, 4, 5}, {3, 2, 3, 3}, {2})
                                                     .with("stride", {2, 2})
                                                     .with("padding", {1, 1})
                                                     .with("output_padding", {1, 0}),
                                                 shapes({1, 4, 3, 3}, {4, 2, 2, 2}).with("groups", 2),
                                                 shapes({3, 2, 2}, {3, 1, 1, 1})};
constexpr SampleField conv3_samples = {
    shapes({2, 3, 4, 3, 5}, {4, 3, 3, 2, 2}, {4}).with("padding", {1, 0, 1}),
    shapes({1, 4, 5, 5, 3}, {6, 2, 3, 3, 1}).with("groups", 2).with("stride", {2, 2, 1}),
    shapes({3, 4, 3, 3}, {2, 3, 2, 2, 1}).with("dilation", {2, 1, 1}),
    shapes({0, 3, 4, 4, 2}, {2, 3, 1, 1, 1}, {2})};
constexpr SampleField conv3_input_samples = {
    shapes({2, 4, 2, 2, 4}, {4, 3, 3, 2, 1}).with("sizes", {2, 3, 4, 3, 4}),
    shapes({1, 4, 2, 2, 1}, {4, 2, 3, 3, 2})
        .with("sizes", {1, 4, 6, 5, 3})
        .with("groups", 2)
        .with("stride", {2, 2, 2})};
constexpr SampleField conv3_weight_samples = {
    shapes({2, 4, 2, 2, 4}, {2, 3, 4, 3, 4}).with("sizes", {4, 3, 3, 2, 1}),
    shapes({1, 4, 2, 2, 1}, {1, 4, 6, 5, 3})
        .with("sizes", {4, 2, 3, 3, 2})
        .with("groups", 2)
        .with("stride", {2, 2, 2})};
constexpr SampleField conv3_transpose_samples = {shapes({1, 3, 2, 3, 2}, {3, 2, 3, 2, 3}, {2})
                                                     .with("stride", {2, 2, 2})
                                                     .with("padding", {1, 1, 0})
                                                     .with("output_padding", {1, 0, 1}),
                                                 shapes({1, 4, 2, 2, 3}, {4, 2, 2, 2, 1}).with("groups", 2),
                                                 shapes({3, 2, 2, 1}, {3, 1, 1, 1, 1})};
}  // namespace

MOKA_CONVOLUTION(1, MOKA_SUMMED_1, 3, conv1_samples, conv1_input_samples, conv1_weight_samples,
                 conv1_transpose_samples);
MOKA_CONVOLUTION(2, MOKA_SUMMED_2, 4, conv2_samples, conv2_input_samples, conv2_weight_samples,
                 conv2_transpose_samples);
MOKA_CONVOLUTION(3, MOKA_SUMMED_3, 5, conv3_samples, conv3_input_samples, conv3_weight_samples,
                 conv3_transpose_samples);

}  // namespace moka::ops

MOKA_OP_TABLE(convolution, MOKA_CONVOLUTION_OPS)
