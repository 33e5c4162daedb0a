// Average pooling: over sliding windows, and over windows that share out the input.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/pooling/geometry.h"
#include "moka/ops/pooling/pooling.h"

namespace moka::ops {

namespace {
// Arguments `first`..: kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override.
Pool avg_geometry(const Frame& f, std::span<const int64_t> sizes, int first) {
  Pool p = pool_planes(f, sizes);
  set_windows(f, p, first);
  finish_windows(f, p, f.flag(first + 3));
  return p;
}
Divisor divisor(const Frame& f, int first) {
  Divisor d{f.flag(first), 0};
  if (f.has(first + 1)) {
    d.fixed = f.integer(first + 1);
    MOKA_CHECK_KIND(Value, d.fixed != 0, f.name(), ": divisor_override must not be zero");
  }
  return d;
}
void avg_pool2d_shape(Frame& f) {
  floating_argument(f, 0);
  divisor(f, 5);
  f.output(0, avg_geometry(f, f.tensor(0).sizes(), 1).output_sizes(), f.tensor(0).dtype());
}
void avg_pool2d_kernel(Frame& f) {
  Pool p = avg_geometry(f, f.tensor(0).sizes(), 1);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64) avg_pool(p.g, divisor(f, 5), x.data<double>(), y.data<double>());
  else avg_pool(p.g, divisor(f, 5), x.data<float>(), y.data<float>());
  y.finish();
}
void avg_pool2d_backward_shape(Frame& f) {
  floating_argument(f, 0);
  Dims sizes = ints_argument(f, 1);
  divisor(f, 6);
  check_shape(f, 0, avg_geometry(f, sizes, 2).output_sizes());
  f.output(0, sizes, f.tensor(0).dtype());
}
void avg_pool2d_backward_kernel(Frame& f) {
  Pool p = avg_geometry(f, ints_argument(f, 1), 2);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput dx(f, 0);
  if (dy.dtype() == DType::F64) avg_pool_backward(p.g, divisor(f, 6), dy.data<double>(), dx.data<double>());
  else avg_pool_backward(p.g, divisor(f, 6), dy.data<float>(), dx.data<float>());
  dx.finish();
}

// Height and width: one number for both, two, or those at the end of a whole shape.
Pair output_size_argument(const Frame& f) {
  Dims v = ints_argument(f, 1);
  const Tensor& x = f.tensor(0);
  size_t rank = static_cast<size_t>(x.dim());
  MOKA_CHECK_KIND(Value, v.size() == 1 || v.size() == 2 || v.size() == rank, f.name(),
                  ": output_size must be one integer, two (height, width) or ", "the whole shape, got ",
                  f.args[1]);
  Pair p{v.size() == 1 ? v[0] : v[v.size() - 2], v.back()};
  MOKA_CHECK_KIND(Value, p.h >= 0 && p.w >= 0, f.name(), ": output_size must not be negative, got ",
                  f.args[1]);
  return p;
}
Pool adaptive_geometry(const Frame& f, std::span<const int64_t> sizes, Pair outputs) {
  Pool p = pool_planes(f, sizes);
  p.g.y.out = outputs.h, p.g.x.out = outputs.w;
  for (const Axis& a : {p.g.y, p.g.x}) checked_mul(a.in, checked_add(a.out, 1, "pooling"), "pooling");
  return p;
}
void adaptive_avg_pool2d_shape(Frame& f) {
  floating_argument(f, 0);
  f.output(0, adaptive_geometry(f, f.tensor(0).sizes(), output_size_argument(f)).output_sizes(),
           f.tensor(0).dtype());
}
void adaptive_avg_pool2d_kernel(Frame& f) {
  Pool p = adaptive_geometry(f, f.tensor(0).sizes(), output_size_argument(f));
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64) adaptive_avg_pool(p.g, x.data<double>(), y.data<double>());
  else adaptive_avg_pool(p.g, x.data<float>(), y.data<float>());
  y.finish();
}
Pool adaptive_backward_geometry(const Frame& f, const Dims& sizes) {
  const Tensor& dy = floating_argument(f, 0);
  MOKA_CHECK(dy.dim() >= 2, f.name(), ": grad must have at least 2 dimensions, got shape ", dy.sizes());
  Pool p = adaptive_geometry(f, sizes, Pair{dy.size(-2), dy.size(-1)});
  check_shape(f, 0, p.output_sizes());
  return p;
}
void adaptive_avg_pool2d_backward_shape(Frame& f) {
  Dims sizes = ints_argument(f, 1);
  adaptive_backward_geometry(f, sizes);
  f.output(0, sizes, f.tensor(0).dtype());
}
void adaptive_avg_pool2d_backward_kernel(Frame& f) {
  Pool p = adaptive_backward_geometry(f, ints_argument(f, 1));
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput dx(f, 0);
  if (dy.dtype() == DType::F64) adaptive_avg_pool_backward(p.g, dy.data<double>(), dx.data<double>());
  else adaptive_avg_pool_backward(p.g, dy.data<float>(), dx.data<float>());
  dx.finish();
}
}  // namespace

constinit const Op avg_pool2d_op{
    .schema =
        "avg_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, bool "
        "ceil_mode=False, "
        "bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    .doc = "Mean of each window of [batch, channels, height, width]; stride is kernel_size when None.",
    .method = "function",
    .shape = avg_pool2d_shape,
    .kernels = {KernelRow{.name = "loop", .run = avg_pool2d_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto kernel_size, auto stride, auto padding, auto ceil_mode,
                          auto count_include_pad, auto divisor_override) {
                         return avg_pool2d_backward(dy, shape_of(input), kernel_size, stride, padding,
                                                    ceil_mode, count_include_pad, divisor_override);
                       })},
    .onnx = {{.map = "AveragePool(input, kernel_shape=kernel_size, strides=or(stride, kernel_size), "
                     "pads=begin_end(padding), "
                     "ceil_mode=ceil_mode, count_include_pad=count_include_pad, =divisor_override:None, "
                     "=rank(input):4)"}},
    .netdef =
        "AveragePool(input, kernels=kernel_size, strides=or(stride, kernel_size), pads=begin_end(padding), "
        "count_include_pad=count_include_pad, =ceil_mode:False, =divisor_override:None)",
    .samples = {shape(2, 3, 6, 7).with("kernel_size", {2, 2}),
                shape(1, 2, 7, 7)
                    .with("kernel_size", {3, 2})
                    .with("stride", {2, 1})
                    .with("padding", {1, 1})
                    .with("ceil_mode", true)
                    .with("count_include_pad", false),
                shape(3, 5, 5).with("kernel_size", {2, 2}).with("divisor_override", 3),
                shape(0, 3, 4, 4).with("kernel_size", {2, 2})},
};
constinit const Op avg_pool2d_backward_op{
    .schema =
        "avg_pool2d_backward(Tensor grad, int[] sizes, int[2] kernel_size, int[2]? stride=None, int[2] "
        "padding=0, "
        "bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    .doc = "Gradient of avg_pool2d with respect to its input, whose shape is `sizes`.",
    .method = "function",
    .shape = avg_pool2d_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = avg_pool2d_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto, auto kernel_size, auto stride, auto padding, auto ceil_mode,
                          auto count_include_pad, auto divisor_override) {
                         return avg_pool2d(dy, kernel_size, stride, padding, ceil_mode, count_include_pad,
                                           divisor_override);
                       })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("AveragePoolGradient exists; graphs are written before their gradients"),
    .samples =
        {shape(2, 3, 3, 3).with("sizes", {2, 3, 6, 7}).with("kernel_size", {2, 2}),
         shape(1, 2, 2, 2).with("sizes", {1, 2, 3, 3}).with("kernel_size", {2, 2}).with("stride", {1, 1})},
};
constinit const Op adaptive_avg_pool2d_op{
    .schema = "adaptive_avg_pool2d(Tensor input, int[] output_size) -> Tensor",
    .doc =
        "Means of windows that share out the image so that the result is output_size: (height, width), one "
        "number for both, or "
        "the sizes of the whole result.",
    .method = "function",
    .shape = adaptive_avg_pool2d_shape,
    .kernels = {KernelRow{.name = "loop", .run = adaptive_avg_pool2d_kernel}},
    .derivative = {wrt(
        "input", [](auto dy, auto input) { return adaptive_avg_pool2d_backward(dy, shape_of(input)); })},
    .onnx = {{.map = "GlobalAveragePool(input, =output_size:1, =rank(input):4)"}},
    .netdef = "AveragePool(input, global_pooling=1, =output_size:1)",
    .samples = {shape(2, 3, 6, 7).with("output_size", {1, 1}), shape(2, 3, 5, 7).with("output_size", {3, 2}),
                shape(3, 2, 2).with("output_size", {3, 4}), shape(0, 3, 4, 4).with("output_size", {2, 2})},
};
constinit const Op adaptive_avg_pool2d_backward_op{
    .schema = "adaptive_avg_pool2d_backward(Tensor grad, int[] sizes) -> Tensor",
    .doc = "Gradient of adaptive_avg_pool2d with respect to its input, whose shape is `sizes`.",
    .method = "function",
    .shape = adaptive_avg_pool2d_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = adaptive_avg_pool2d_backward_kernel}},
    .derivative = {wrt("grad", [](auto dy, auto grad) { return adaptive_avg_pool2d(dy, shape_of(grad)); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(2, 3, 3, 2).with("sizes", {2, 3, 5, 7}), shape(2, 3, 1, 1).with("sizes", {2, 3, 4, 4})},
};

}  // namespace moka::ops
