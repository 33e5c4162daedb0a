// Max pooling. Its gradient finds the maxima again instead of keeping their places: reading the input once more costs
// less than an int64 for every output.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/pooling/geometry.h"
#include "moka/ops/pooling/pooling.h"

namespace moka::ops {

namespace {
// Arguments `first`..: kernel_size, stride, padding, dilation, ceil_mode.
Pool max_geometry(const Frame& f, int input, int first) {
  Pool p = pool_planes(f, floating_argument(f, input).sizes());
  set_windows(f, p, first);
  Pair dilation = pair_argument(f, first + 3, 1);
  p.g.y.dilation = dilation.h, p.g.x.dilation = dilation.w;
  finish_windows(f, p, f.flag(first + 4));
  return p;
}

void max_pool2d_shape(Frame& f) {
  Pool p = max_geometry(f, 0, 1);
  f.output(0, p.output_sizes(), f.tensor(0).dtype());
}
void max_pool2d_with_indices_shape(Frame& f) {
  max_pool2d_shape(f);
  f.output(1, max_geometry(f, 0, 1).output_sizes(), DType::I64);
}
template <bool Indices>
void max_pool2d_kernel(Frame& f) {
  Pool p = max_geometry(f, 0, 1);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  int64_t* indices = Indices ? f.outs[1].data<int64_t>() : nullptr;
  if (x.dtype() == DType::F64) max_pool(p.g, x.data<double>(), y.data<double>(), indices);
  else max_pool(p.g, x.data<float>(), y.data<float>(), indices);
  y.finish();
}

void max_pool2d_backward_shape(Frame& f) {
  floating_argument(f, 0);
  Pool p = max_geometry(f, 1, 2);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, p.output_sizes());
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
void max_pool2d_backward_kernel(Frame& f) {
  Pool p = max_geometry(f, 1, 2);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))), x = as_contiguous(in_kernel_dtype(f.tensor(1)));
  KernelOutput dx(f, 0);
  if (x.dtype() == DType::F64) max_pool_backward(p.g, dy.data<double>(), x.data<double>(), dx.data<double>());
  else max_pool_backward(p.g, dy.data<float>(), x.data<float>(), dx.data<float>());
  dx.finish();
}

void max_pool2d_select_shape(Frame& f) {
  floating_argument(f, 0);
  Pool p = max_geometry(f, 1, 2);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, f.tensor(1).sizes());
  f.output(0, p.output_sizes(), f.tensor(1).dtype());
}
void max_pool2d_select_kernel(Frame& f) {
  Pool p = max_geometry(f, 1, 2);
  Tensor v = as_contiguous(in_kernel_dtype(f.tensor(0))), x = as_contiguous(in_kernel_dtype(f.tensor(1)));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) max_pool_select(p.g, v.data<double>(), x.data<double>(), out.data<double>());
  else max_pool_select(p.g, v.data<float>(), x.data<float>(), out.data<float>());
  out.finish();
}
}  // namespace

constinit const Op max_pool2d_op{
    .schema =
        "max_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] "
        "dilation=1, "
        "bool ceil_mode=False) -> Tensor",
    .doc =
        "Largest value of each window of [batch, channels, height, width]; stride is kernel_size when None, "
        "padding is never "
        "the largest.",
    .method = "function",
    .shape = max_pool2d_shape,
    .kernels = {KernelRow{.name = "loop", .run = max_pool2d_kernel<false>}},
    .derivative = {wrt(
        "input",
        [](auto dy, auto input, auto kernel_size, auto stride, auto padding, auto dilation, auto ceil_mode) {
          return max_pool2d_backward(dy, input, kernel_size, stride, padding, dilation, ceil_mode);
        })},
    .onnx = {{.map = "MaxPool(input, kernel_shape=kernel_size, strides=or(stride, kernel_size), "
                     "pads=begin_end(padding), "
                     "dilations=dilation, ceil_mode=ceil_mode, storage_order=0, =rank(input):4)"}},
    .netdef =
        "MaxPool(input, kernels=kernel_size, strides=or(stride, kernel_size), pads=begin_end(padding), "
        "=dilation:1, =ceil_mode:False)",
    .samples = {shape(2, 3, 6, 7).in(Domain::Distinct).with("kernel_size", {2, 2}),
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
                shape(0, 3, 4, 4).with("kernel_size", {2, 2})},
};
constinit const Op max_pool2d_with_indices_op{
    .schema =
        "max_pool2d_with_indices(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, "
        "int[2] dilation=1, bool ceil_mode=False) -> (Tensor output, Tensor indices)",
    .doc = "max_pool2d, and the place of each maximum in its plane of height * width.",
    .method = "function",
    .shape = max_pool2d_with_indices_shape,
    .kernels = {KernelRow{.name = "loop", .run = max_pool2d_kernel<true>}},
    .derivative = {wrt(
        "input",
        [](auto dy, auto input, auto kernel_size, auto stride, auto padding, auto dilation, auto ceil_mode) {
          return max_pool2d_backward(dy, input, kernel_size, stride, padding, dilation, ceil_mode);
        })},
    .onnx = none("ONNX counts places over the whole tensor, not within a plane"),
    .netdef = none("Caffe2's MaxPoolWithIndex runs on GPUs alone"),
    .samples = {shape(2, 3, 6, 7).in(Domain::Distinct).with("kernel_size", {2, 2}),
                shape(3, 4, 4)
                    .in(Domain::Distinct)
                    .with("kernel_size", {3, 3})
                    .with("stride", {1, 1})
                    .with("padding", {1, 1})},
};
constinit const Op max_pool2d_backward_op{
    .schema =
        "max_pool2d_backward(Tensor grad, Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] "
        "padding=0, "
        "int[2] dilation=1, bool ceil_mode=False) -> Tensor",
    .doc = "Gradient of max_pool2d: grad at the places of input's maxima, zero elsewhere.",
    .method = "function",
    .shape = max_pool2d_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = max_pool2d_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto input, auto kernel_size, auto stride, auto padding,
                          auto dilation, auto ceil_mode) {
                         return max_pool2d_select(dy, input, kernel_size, stride, padding, dilation,
                                                  ceil_mode);
                       })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("MaxPoolGradient exists; graphs are written before their gradients"),
    .samples = {shapes({2, 3, 3, 3}, {2, 3, 6, 7}).in(Domain::Distinct, 1).with("kernel_size", {2, 2}),
                shapes({1, 2, 2, 2}, {1, 2, 4, 4})
                    .in(Domain::Distinct, 1)
                    .with("kernel_size", {3, 3})
                    .with("stride", {1, 1})},
};
constinit const Op max_pool2d_select_op{
    .schema =
        "max_pool2d_select(Tensor values, Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] "
        "padding=0, "
        "int[2] dilation=1, bool ceil_mode=False) -> Tensor",
    .doc = "values at the places of input's maxima: the derivative of max_pool2d in the direction of values.",
    .method = "function",
    .shape = max_pool2d_select_shape,
    .kernels = {KernelRow{.name = "loop", .run = max_pool2d_select_kernel}},
    .derivative = {wrt("values",
                       [](auto dy, auto, auto input, auto kernel_size, auto stride, auto padding,
                          auto dilation, auto ceil_mode) {
                         return max_pool2d_backward(dy, input, kernel_size, stride, padding, dilation,
                                                    ceil_mode);
                       })},
    .onnx = none("a gradient of a gradient"),
    .netdef = none("a gradient of a gradient"),
    .samples = {shapes({2, 3, 6, 7}, {2, 3, 6, 7}).in(Domain::Distinct, 1).with("kernel_size", {2, 2}),
                shapes({1, 4, 4}, {1, 4, 4})
                    .in(Domain::Distinct, 1)
                    .with("kernel_size", {3, 3})
                    .with("stride", {1, 1})},
};

}  // namespace moka::ops

MOKA_OP_TABLE(pooling, MOKA_POOLING_OPS)
