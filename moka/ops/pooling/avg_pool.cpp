// Average pooling: over sliding windows, and over windows that share out the input.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/pooling/geometry.h"
#include "moka/ops/pooling/pooling.h"

namespace moka::ops {

namespace {
// Arguments `first`..: kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override.
Pool avg_geometry(const Frame& f, std::span<const int64_t> sizes, int first) {
  Pool p = pool_planes(f, sizes, declared_size(f, first));
  set_windows(f, p, first);
  finish_windows(f, p, f.flag(first + 3));
  return p;
}
Divisor divisor(const Frame& f, int first) {
  Divisor d{f.flag(first), 0};
  if (first + 1 < f.count && f.has(first + 1)) {
    d.fixed = f.integer(first + 1);
    MOKA_CHECK(d.fixed != 0, f.name(), ": divisor_override must not be zero");
  }
  return d;
}
void avg_pool_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(x.dtype() != DType::Bool, f.name(), ": input must be numbers, got bool");
  divisor(f, 5);
  exact_output(f, 0, avg_geometry(f, x.sizes(), 1).output_sizes(), x.dtype());
}
void avg_pool_kernel(Frame& f) {
  Pool p = avg_geometry(f, f.tensor(0).sizes(), 1);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    avg_pool(p.g, sliding_reaches(p.g), divisor(f, 5), x.data<T>(), y.data<T>());
  });
  y.finish();
  follow_format(f, f.tensor(0));
}
void avg_pool_backward_shape(Frame& f) {
  floating_argument(f, 0);
  Dims sizes = ints_argument(f, 1);
  divisor(f, 6);
  check_shape(f, 0, avg_geometry(f, sizes, 2).output_sizes());
  f.output(0, sizes, f.tensor(0).dtype());
}
void avg_pool_backward_kernel(Frame& f) {
  Pool p = avg_geometry(f, ints_argument(f, 1), 2);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput dx(f, 0);
  by_kernel_dtype(dy.dtype(), [&]<class T>(T*) {
    avg_pool_backward(p.g, sliding_reaches(p.g), divisor(f, 6), dy.data<T>(), dx.data<T>());
  });
  dx.finish();
}

Pool sharing_geometry(const Frame& f, std::span<const int64_t> sizes, const Dims& outputs) {
  const int rank = static_cast<int>(outputs.size());
  Pool p = pool_planes(f, sizes, rank);
  for (int k = 0; k < rank; k++) {
    Axis& a = p.g.axis(p.g.first() + k);
    a.out = outputs[static_cast<size_t>(k)];
    checked_mul(a.in, checked_add(a.out, 1, "pooling"), "pooling");
  }
  return p;
}
template <int rank>
Pool sharing_forward(const Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  return sharing_geometry(f, x.sizes(), output_size_argument(f, 1, rank, x.dim()));
}
template <int rank>
void adaptive_shape(Frame& f) {
  exact_output(f, 0, sharing_forward<rank>(f).output_sizes(), f.tensor(0).dtype());
}
template <int rank>
void adaptive_kernel(Frame& f) {
  Pool p = sharing_forward<rank>(f);
  if (f.outs[0].numel() == 0) return;
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    avg_pool(p.g, sharing_reaches(p.g), Divisor{}, x.data<T>(), y.data<T>());
  });
  y.finish();
  follow_format(f, f.tensor(0));
}
template <int rank>
Pool sharing_backward(const Frame& f) {
  const Tensor& dy = floating_argument(f, 0);
  MOKA_CHECK(dy.dim() >= rank, f.name(), ": grad must have at least ", rank, " dimensions, got shape ",
             dy.sizes());
  Dims outputs(dy.sizes().subspan(static_cast<size_t>(dy.dim() - rank)));
  Pool p = sharing_geometry(f, ints_argument(f, 1), outputs);
  check_shape(f, 0, p.output_sizes());
  return p;
}
template <int rank>
void adaptive_backward_shape(Frame& f) {
  sharing_backward<rank>(f);
  f.output(0, ints_argument(f, 1), f.tensor(0).dtype());
}
template <int rank>
void adaptive_backward_kernel(Frame& f) {
  Pool p = sharing_backward<rank>(f);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput dx(f, 0);
  by_kernel_dtype(dy.dtype(), [&]<class T>(T*) {
    avg_pool_backward(p.g, sharing_reaches(p.g), Divisor{}, dy.data<T>(), dx.data<T>());
  });
  dx.finish();
}
}  // namespace

// The operators of one rank.
#define MOKA_AVERAGE_POOL(n, batch_rank, first_samples, back_samples, share_samples, share_back_samples)     \
  constinit const Op avg_pool##n##d_op{                                                                      \
      .schema =                                                                                              \
          "avg_pool" #n "d(Tensor input, int[" #n "] kernel_size, int[" #n "]? stride=None, int[" #n         \
          "] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> "  \
          "Tensor",                                                                                          \
      .doc = "Mean of each window over the last " #n                                                         \
             " dimensions of [batch, channels, ...]; stride is kernel_size when None.",                      \
      .method = "function",                                                                                  \
      .shape = avg_pool_shape,                                                                               \
      .kernels = {KernelRow{.name = "loop", .run = avg_pool_kernel}},                                        \
      .derivative = {wrt("input",                                                                            \
                         [](auto dy, auto input, auto kernel_size, auto stride, auto padding,                \
                            auto ceil_mode, auto count_include_pad, auto divisor_override) {                 \
                           return avg_pool##n##d_backward(dy, shape_of(input), kernel_size, stride, padding, \
                                                          ceil_mode, count_include_pad, divisor_override);   \
                         })},                                                                                \
      .batch = batch_images,                                                                                 \
      .onnx = {{.map = "AveragePool(input, kernel_shape=kernel_size, strides=or(stride, kernel_size), "      \
                       "pads=begin_end(padding), ceil_mode=ceil_mode, count_include_pad=count_include_pad, " \
                       "=divisor_override:None, =rank(input):" #batch_rank ")"}},                            \
      .netdef =                                                                                              \
          "AveragePool(input, kernels=kernel_size, strides=or(stride, kernel_size), "                        \
          "pads=begin_end(padding), count_include_pad=count_include_pad, =ceil_mode:False, "                 \
          "=divisor_override:None, =rank(input):" #batch_rank ")",                                           \
      .piecewise_linear = true,                                                                              \
      .samples = first_samples,                                                                              \
  };                                                                                                         \
  constinit const Op avg_pool##n##d_backward_op{                                                             \
      .schema = "avg_pool" #n "d_backward(Tensor grad, int[] sizes, int[" #n "] kernel_size, int[" #n        \
                "]? stride=None, int[" #n                                                                    \
                "] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? "                      \
                "divisor_override=None) -> Tensor",                                                          \
      .doc = "Gradient of avg_pool" #n "d with respect to its input, whose shape is `sizes`.",               \
      .method = "function",                                                                                  \
      .shape = avg_pool_backward_shape,                                                                      \
      .kernels = {KernelRow{.name = "loop", .run = avg_pool_backward_kernel}},                               \
      .derivative = {wrt("grad",                                                                             \
                         [](auto dy, auto, auto, auto kernel_size, auto stride, auto padding,                \
                            auto ceil_mode, auto count_include_pad, auto divisor_override) {                 \
                           return avg_pool##n##d(dy, kernel_size, stride, padding, ceil_mode,                \
                                                 count_include_pad, divisor_override);                       \
                         })},                                                                                \
      .onnx = none("a gradient: export the forward graph"),                                                  \
      .netdef = none("AveragePoolGradient exists; graphs are written before their gradients"),               \
      .samples = back_samples,                                                                               \
  };                                                                                                         \
  constinit const Op adaptive_avg_pool##n##d_op{                                                             \
      .schema = "adaptive_avg_pool" #n "d(Tensor input, int[] output_size) -> Tensor",                       \
      .doc =                                                                                                 \
          "Means of windows that share out the last " #n                                                     \
          " dimensions so that the result is output_size: one number for all of them, one for each, or the " \
          "sizes of the whole result.",                                                                      \
      .method = "function",                                                                                  \
      .shape = adaptive_shape<n>,                                                                            \
      .kernels = {KernelRow{.name = "loop", .run = adaptive_kernel<n>}},                                     \
      .derivative = {wrt(                                                                                    \
          "input",                                                                                           \
          [](auto dy, auto input) { return adaptive_avg_pool##n##d_backward(dy, shape_of(input)); })},       \
      .batch = batch_images,                                                                                 \
      .onnx = {{.map = "GlobalAveragePool(input, =output_size:1, =rank(input):" #batch_rank ")"}},           \
      .netdef = "AveragePool(input, global_pooling=1, =output_size:1, =rank(input):" #batch_rank ")",        \
      .piecewise_linear = true,                                                                              \
      .samples = share_samples,                                                                              \
  };                                                                                                         \
  constinit const Op adaptive_avg_pool##n##d_backward_op {                                                   \
    .schema = "adaptive_avg_pool" #n "d_backward(Tensor grad, int[] sizes) -> Tensor",                       \
    .doc = "Gradient of adaptive_avg_pool" #n "d with respect to its input, whose shape is `sizes`.",        \
    .method = "function", .shape = adaptive_backward_shape<n>,                                               \
    .kernels = {KernelRow{.name = "loop", .run = adaptive_backward_kernel<n>}},                              \
    .derivative = {wrt("grad",                                                                               \
                       [](auto dy, auto grad) { return adaptive_avg_pool##n##d(dy, shape_of(grad)); })},     \
    .onnx = none("a gradient: export the forward graph"), .netdef = none("a gradient"),                      \
    .samples = share_back_samples,                                                                           \
  }

namespace {
constexpr SampleField avg1_samples = {shape(2, 3, 7).with("kernel_size", {2}),
                                      shape(2, 7)
                                          .with("kernel_size", {3})
                                          .with("stride", {2})
                                          .with("padding", {1})
                                          .with("ceil_mode", true)
                                          .with("count_include_pad", false),
                                      shape(0, 3, 4).with("kernel_size", {2})};
constexpr SampleField avg1_backward_samples = {
    shape(2, 3, 3).with("sizes", {2, 3, 6}).with("kernel_size", {2}),
    shape(1, 2, 2).with("sizes", {1, 2, 3}).with("kernel_size", {2}).with("stride", {1})};
constexpr SampleField share1_samples = {shape(2, 3, 7).with("output_size", {1}),
                                        shape(3, 7).with("output_size", {3}),
                                        shape(0, 3, 4).with("output_size", {2})};
constexpr SampleField share1_backward_samples = {shape(2, 3, 3).with("sizes", {2, 3, 7}),
                                                 shape(2, 3, 1).with("sizes", {2, 3, 4})};
constexpr SampleField avg2_samples = {shape(2, 3, 6, 7).with("kernel_size", {2, 2}),
                                      shape(1, 2, 7, 7)
                                          .with("kernel_size", {3, 2})
                                          .with("stride", {2, 1})
                                          .with("padding", {1, 1})
                                          .with("ceil_mode", true)
                                          .with("count_include_pad", false),
                                      shape(3, 5, 5).with("kernel_size", {2, 2}).with("divisor_override", 3),
                                      shape(0, 3, 4, 4).with("kernel_size", {2, 2})};
constexpr SampleField avg2_backward_samples = {
    shape(2, 3, 3, 3).with("sizes", {2, 3, 6, 7}).with("kernel_size", {2, 2}),
    shape(1, 2, 2, 2).with("sizes", {1, 2, 3, 3}).with("kernel_size", {2, 2}).with("stride", {1, 1})};
constexpr SampleField share2_samples = {
    shape(2, 3, 6, 7).with("output_size", {1, 1}), shape(2, 3, 5, 7).with("output_size", {3, 2}),
    shape(3, 2, 2).with("output_size", {3, 4}), shape(0, 3, 4, 4).with("output_size", {2, 2})};
constexpr SampleField share2_backward_samples = {shape(2, 3, 3, 2).with("sizes", {2, 3, 5, 7}),
                                                 shape(2, 3, 1, 1).with("sizes", {2, 3, 4, 4})};
constexpr SampleField avg3_samples = {shape(2, 3, 4, 6, 5).with("kernel_size", {2, 2, 3}),
                                      shape(2, 5, 4, 7)
                                          .with("kernel_size", {3, 2, 2})
                                          .with("stride", {2, 1, 2})
                                          .with("padding", {1, 1, 0})
                                          .with("ceil_mode", true)
                                          .with("count_include_pad", false),
                                      shape(0, 3, 4, 4, 2).with("kernel_size", {2, 2, 2})};
constexpr SampleField avg3_backward_samples = {
    shape(2, 3, 2, 3, 2).with("sizes", {2, 3, 4, 6, 5}).with("kernel_size", {2, 2, 2}),
    shape(1, 2, 2, 2, 1)
        .with("sizes", {1, 2, 3, 3, 1})
        .with("kernel_size", {2, 2, 1})
        .with("stride", {1, 1, 1})};
constexpr SampleField share3_samples = {shape(2, 3, 3, 4, 5).with("output_size", {1, 1, 1}),
                                        shape(3, 3, 5, 4).with("output_size", {2, 3, 5}),
                                        shape(0, 3, 4, 4, 2).with("output_size", {2})};
constexpr SampleField share3_backward_samples = {shape(2, 3, 2, 2, 3).with("sizes", {2, 3, 3, 5, 4}),
                                                 shape(3, 1, 1, 1).with("sizes", {3, 2, 4, 4})};
}  // namespace

MOKA_AVERAGE_POOL(1, 3, avg1_samples, avg1_backward_samples, share1_samples, share1_backward_samples);
MOKA_AVERAGE_POOL(2, 4, avg2_samples, avg2_backward_samples, share2_samples, share2_backward_samples);
MOKA_AVERAGE_POOL(3, 5, avg3_samples, avg3_backward_samples, share3_samples, share3_backward_samples);

}  // namespace moka::ops
