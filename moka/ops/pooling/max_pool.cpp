// Max pooling. Its gradient finds the maxima again instead of keeping their places: reading the input once more costs
// less than an int64 for every output.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/pooling/geometry.h"
#include "moka/ops/pooling/pooling.h"

namespace moka::ops {

namespace {
// Arguments `first`..: kernel_size, stride, padding, dilation, ceil_mode.
Pool max_geometry(const Frame& f, int input, int first) {
  const Tensor& x = tensor_argument(f, input);
  MOKA_CHECK(x.dtype() != DType::Bool, f.name(), ": ", argument_name(f, input), " must be numbers, got bool");
  Pool p = pool_planes(f, x.sizes(), declared_size(f, first));
  set_windows(f, p, first);
  read_axes(f, first + 3, 1, p.g, &Axis::dilation);
  finish_windows(f, p, f.flag(first + 4));
  return p;
}

template <bool Indices>
void max_pool_shape(Frame& f) {
  Pool p = max_geometry(f, 0, 1);
  f.output(0, p.output_sizes(), f.tensor(0).dtype());
  if (Indices) f.output(1, p.output_sizes(), DType::I64);
}
template <bool Indices>
void max_pool_kernel(Frame& f) {
  Pool p = max_geometry(f, 0, 1);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  int64_t* indices = Indices ? f.outs[1].data<int64_t>() : nullptr;
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    max_pool(p.g, sliding_reaches(p.g), x.data<T>(), y.data<T>(), indices);
  });
  y.finish();
  follow_format(f, f.tensor(0));
}

void max_pool_backward_shape(Frame& f) {
  floating_argument(f, 0);
  Pool p = max_geometry(f, 1, 2);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, p.output_sizes());
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
void max_pool_backward_kernel(Frame& f) {
  Pool p = max_geometry(f, 1, 2);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))), x = as_contiguous(in_kernel_dtype(f.tensor(1)));
  KernelOutput dx(f, 0);
  if (x.dtype() == DType::F64) max_pool_backward(p.g, dy.data<double>(), x.data<double>(), dx.data<double>());
  else max_pool_backward(p.g, dy.data<float>(), x.data<float>(), dx.data<float>());
  dx.finish();
}

void max_pool_select_shape(Frame& f) {
  floating_argument(f, 0);
  Pool p = max_geometry(f, 1, 2);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, f.tensor(1).sizes());
  f.output(0, p.output_sizes(), f.tensor(1).dtype());
}
void max_pool_select_kernel(Frame& f) {
  Pool p = max_geometry(f, 1, 2);
  Tensor v = as_contiguous(in_kernel_dtype(f.tensor(0))), x = as_contiguous(in_kernel_dtype(f.tensor(1)));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) max_pool_select(p.g, v.data<double>(), x.data<double>(), out.data<double>());
  else max_pool_select(p.g, v.data<float>(), x.data<float>(), out.data<float>());
  out.finish();
}
}  // namespace

// The operators of one rank.
#define MOKA_MAX_POOL_SETTINGS(n)                                                     \
  "int[" #n "] kernel_size, int[" #n "]? stride=None, int[" #n "] padding=0, int[" #n \
  "] dilation=1, bool ceil_mode=False)"
#define MOKA_MAX_POOL(n, batch_rank, first_samples, indices_samples, back_samples, select_samples)           \
  constinit const Op max_pool##n##d_op{                                                                      \
      .schema = "max_pool" #n "d(Tensor input, " MOKA_MAX_POOL_SETTINGS(n) " -> Tensor",                     \
      .doc = "Largest value of each window over the last " #n                                                \
             " dimensions of [batch, channels, ...]; stride is kernel_size when None, padding is never the " \
             "largest.",                                                                                     \
      .method = "function",                                                                                  \
      .shape = max_pool_shape<false>,                                                                        \
      .kernels = {KernelRow{.name = "loop", .run = max_pool_kernel<false>}},                                 \
      .derivative = {wrt("input",                                                                            \
                         [](auto dy, auto input, auto kernel_size, auto stride, auto padding, auto dilation, \
                            auto ceil_mode) {                                                                \
                           return max_pool##n##d_backward(dy, input, kernel_size, stride, padding, dilation, \
                                                          ceil_mode);                                        \
                         })},                                                                                \
      .batch = batch_images,                                                                                 \
      .onnx = {{.map = "MaxPool(input, kernel_shape=kernel_size, strides=or(stride, kernel_size), "          \
                       "pads=begin_end(padding), dilations=dilation, ceil_mode=ceil_mode, storage_order=0, " \
                       "=rank(input):" #batch_rank ")"}},                                                    \
      .netdef =                                                                                              \
          "MaxPool(input, kernels=kernel_size, strides=or(stride, kernel_size), pads=begin_end(padding), "   \
          "=dilation:1, =ceil_mode:False, =rank(input):" #batch_rank ")",                                    \
      .piecewise_linear = true,                                                                              \
      .samples = first_samples,                                                                              \
  };                                                                                                         \
  constinit const Op max_pool##n##d_with_indices_op{                                                         \
      .schema = "max_pool" #n "d_with_indices(Tensor input, " MOKA_MAX_POOL_SETTINGS(                        \
          n) " -> (Tensor output, Tensor indices)",                                                          \
      .doc = "max_pool" #n "d, and the place of each maximum in its plane.",                                 \
      .method = "function",                                                                                  \
      .shape = max_pool_shape<true>,                                                                         \
      .kernels = {KernelRow{.name = "loop", .run = max_pool_kernel<true>}},                                  \
      .derivative = {wrt("input",                                                                            \
                         [](auto dy, auto input, auto kernel_size, auto stride, auto padding, auto dilation, \
                            auto ceil_mode) {                                                                \
                           return max_pool##n##d_backward(dy, input, kernel_size, stride, padding, dilation, \
                                                          ceil_mode);                                        \
                         })},                                                                                \
      .batch = batch_images,                                                                                 \
      .onnx = none("ONNX counts places over the whole tensor, not within a plane"),                          \
      .netdef = none("Caffe2's MaxPoolWithIndex runs on GPUs alone"),                                        \
      .piecewise_linear = true,                                                                              \
      .samples = indices_samples,                                                                            \
  };                                                                                                         \
  constinit const Op max_pool##n##d_backward_op{                                                             \
      .schema =                                                                                              \
          "max_pool" #n "d_backward(Tensor grad, Tensor input, " MOKA_MAX_POOL_SETTINGS(n) " -> Tensor",     \
      .doc = "Gradient of max_pool" #n "d: grad at the places of input's maxima, zero elsewhere.",           \
      .method = "function",                                                                                  \
      .shape = max_pool_backward_shape,                                                                      \
      .kernels = {KernelRow{.name = "loop", .run = max_pool_backward_kernel}},                               \
      .derivative = {wrt("grad",                                                                             \
                         [](auto dy, auto, auto input, auto kernel_size, auto stride, auto padding,          \
                            auto dilation, auto ceil_mode) {                                                 \
                           return max_pool##n##d_select(dy, input, kernel_size, stride, padding, dilation,   \
                                                        ceil_mode);                                          \
                         })},                                                                                \
      .onnx = none("a gradient: export the forward graph"),                                                  \
      .netdef = none("MaxPoolGradient exists; graphs are written before their gradients"),                   \
      .samples = back_samples,                                                                               \
  };                                                                                                         \
  constinit const Op max_pool##n##d_select_op {                                                              \
    .schema = "max_pool" #n "d_select(Tensor values, Tensor input, " MOKA_MAX_POOL_SETTINGS(n) " -> Tensor", \
    .doc = "values at the places of input's maxima: the derivative of max_pool" #n                           \
           "d in the direction of values.",                                                                  \
    .method = "function", .shape = max_pool_select_shape,                                                    \
    .kernels = {KernelRow{.name = "loop", .run = max_pool_select_kernel}},                                   \
    .derivative = {wrt("values",                                                                             \
                       [](auto dy, auto, auto input, auto kernel_size, auto stride, auto padding,            \
                          auto dilation, auto ceil_mode) {                                                   \
                         return max_pool##n##d_backward(dy, input, kernel_size, stride, padding, dilation,   \
                                                        ceil_mode);                                          \
                       })},                                                                                  \
    .onnx = none("a gradient of a gradient"), .netdef = none("a gradient of a gradient"),                    \
    .samples = select_samples,                                                                               \
  }

namespace {
constexpr SampleField max1_samples = {shape(2, 3, 7).in(Domain::Distinct).with("kernel_size", {2}),
                                      shape(2, 7)
                                          .in(Domain::Distinct)
                                          .with("kernel_size", {3})
                                          .with("stride", {2})
                                          .with("padding", {1})
                                          .with("ceil_mode", true),
                                      shape(0, 3, 4).with("kernel_size", {2})};
constexpr SampleField max1_indices_samples = {
    shape(2, 3, 7).in(Domain::Distinct).with("kernel_size", {2}),
    shape(3, 5).in(Domain::Distinct).with("kernel_size", {2}).with("dilation", {2}).with("stride", {1})};
constexpr SampleField max1_backward_samples = {
    shapes({2, 3, 3}, {2, 3, 7}).in(Domain::Distinct, 1).with("kernel_size", {2}),
    shapes({1, 2, 2}, {1, 2, 4}).in(Domain::Distinct, 1).with("kernel_size", {3}).with("stride", {1})};
constexpr SampleField max1_select_samples = {
    shapes({2, 3, 7}, {2, 3, 7}).in(Domain::Distinct, 1).with("kernel_size", {2}),
    shapes({1, 4}, {1, 4}).in(Domain::Distinct, 1).with("kernel_size", {3}).with("stride", {1})};
constexpr SampleField max2_samples = {shape(2, 3, 6, 7).in(Domain::Distinct).with("kernel_size", {2, 2}),
                                      shape(1, 2, 7, 7)
                                          .in(Domain::Distinct)
                                          .with("kernel_size", {3, 2})
                                          .with("stride", {2, 1})
                                          .with("padding", {1, 1})
                                          .with("ceil_mode", true),
                                      shape(3, 5, 5)
                                          .in(Domain::Distinct)
                                          .with("kernel_size", {2, 2})
                                          .with("dilation", {2, 2})
                                          .with("stride", {1, 1}),
                                      shape(0, 3, 4, 4).with("kernel_size", {2, 2})};
constexpr SampleField max2_indices_samples = {
    shape(2, 3, 6, 7).in(Domain::Distinct).with("kernel_size", {2, 2}), shape(3, 4, 4)
                                                                            .in(Domain::Distinct)
                                                                            .with("kernel_size", {3, 3})
                                                                            .with("stride", {1, 1})
                                                                            .with("padding", {1, 1})};
constexpr SampleField max2_backward_samples = {
    shapes({2, 3, 3, 3}, {2, 3, 6, 7}).in(Domain::Distinct, 1).with("kernel_size", {2, 2}),
    shapes({1, 2, 2, 2}, {1, 2, 4, 4})
        .in(Domain::Distinct, 1)
        .with("kernel_size", {3, 3})
        .with("stride", {1, 1})};
constexpr SampleField max2_select_samples = {
    shapes({2, 3, 6, 7}, {2, 3, 6, 7}).in(Domain::Distinct, 1).with("kernel_size", {2, 2}),
    shapes({1, 4, 4}, {1, 4, 4}).in(Domain::Distinct, 1).with("kernel_size", {3, 3}).with("stride", {1, 1})};
constexpr SampleField max3_samples = {
    shape(2, 3, 4, 2, 5).in(Domain::Distinct).with("kernel_size", {2, 2, 2}),
    shape(2, 5, 4, 3)
        .in(Domain::Distinct)
        .with("kernel_size", {3, 2, 2})
        .with("stride", {2, 1, 1})
        .with("padding", {1, 1, 0})
        .with("ceil_mode", true),
    shape(0, 3, 4, 4, 2).with("kernel_size", {2, 2, 2})};
constexpr SampleField max3_indices_samples = {
    shape(2, 1, 4, 3, 4).in(Domain::Distinct).with("kernel_size", {2, 2, 2}),
    shape(1, 3, 3, 4)
        .in(Domain::Distinct)
        .with("kernel_size", {3, 3, 2})
        .with("stride", {1, 1, 1})
        .with("padding", {1, 1, 0})};
constexpr SampleField max3_backward_samples = {
    shapes({2, 1, 2, 1, 2}, {2, 1, 4, 3, 4}).in(Domain::Distinct, 1).with("kernel_size", {2, 2, 2}),
    shapes({2, 2, 2, 1}, {2, 4, 4, 2})
        .in(Domain::Distinct, 1)
        .with("kernel_size", {3, 3, 2})
        .with("stride", {1, 1, 1})};
constexpr SampleField max3_select_samples = {
    shapes({1, 2, 4, 2, 3}, {1, 2, 4, 2, 3}).in(Domain::Distinct, 1).with("kernel_size", {2, 2, 2}),
    shapes({1, 4, 3, 2}, {1, 4, 3, 2})
        .in(Domain::Distinct, 1)
        .with("kernel_size", {3, 3, 2})
        .with("stride", {1, 1, 1})};
}  // namespace

MOKA_MAX_POOL(1, 3, max1_samples, max1_indices_samples, max1_backward_samples, max1_select_samples);
MOKA_MAX_POOL(2, 4, max2_samples, max2_indices_samples, max2_backward_samples, max2_select_samples);
MOKA_MAX_POOL(3, 5, max3_samples, max3_indices_samples, max3_backward_samples, max3_select_samples);

}  // namespace moka::ops

MOKA_OP_TABLE(pooling, MOKA_POOLING_OPS)
