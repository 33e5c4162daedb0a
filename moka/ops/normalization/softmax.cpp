// Softmax, its logarithm, and their gradients.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/normalization/kernels.h"
#include "moka/ops/normalization/normalization.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/tensor/scalar_name.h"

namespace moka::ops {

namespace {
struct Lines {
  int64_t outer = 1, count = 1, inner = 1;
};
Lines lines(const Tensor& t, int dim) {
  Lines l;
  for (int d = 0; d < t.dim(); d++) {
    if (d == dim) l.count = t.size(d);
    else (d < dim ? l.outer : l.inner) *= t.size(d);
  }
  return l;
}

void softmax_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  DType type = f.has(2) ? f.args[2].dtype : x.dtype();
  MOKA_CHECK(is_floating(type), f.name(), ": not implemented for '", scalar_name(type),
             "': the result must be floating; give dtype=float32 or convert the input with .float()");
  dim_argument(f, 1, x.dim());
  f.output(0, x.sizes(), type);
}
template <bool Logarithm>
void softmax_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.has(2) ? to_dtype(f.tensor(0), f.args[2].dtype) : f.tensor(0)));
  Lines l = lines(x, dim_argument(f, 1, x.dim()));
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64)
    softmax_forward(Logarithm, l.outer, l.count, l.inner, x.data<double>(), y.data<double>());
  else softmax_forward(Logarithm, l.outer, l.count, l.inner, x.data<float>(), y.data<float>());
  y.finish();
}
void softmax_backward_shape(Frame& f) {
  floating_argument(f, 0);
  floating_argument(f, 1);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, f.tensor(1).sizes());
  dim_argument(f, 2, f.tensor(1).dim());
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
template <bool Logarithm>
void softmax_backward_kernel(Frame& f) {
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))), y = as_contiguous(in_kernel_dtype(f.tensor(1)));
  Lines l = lines(y, dim_argument(f, 2, y.dim()));
  KernelOutput dx(f, 0);
  if (y.dtype() == DType::F64)
    softmax_backward_loop(Logarithm, l.outer, l.count, l.inner, dy.data<double>(), y.data<double>(),
                          dx.data<double>());
  else
    softmax_backward_loop(Logarithm, l.outer, l.count, l.inner, dy.data<float>(), y.data<float>(),
                          dx.data<float>());
  dx.finish();
}
}  // namespace

constinit const Op softmax_op{
    .schema = "softmax(Tensor input, int dim, *, DType? dtype=None) -> Tensor",
    .doc = "exp(x) / sum(exp(x)) along `dim`, without overflow.",
    .shape = softmax_shape,
    .kernels = {KernelRow{.name = "vector", .run = softmax_kernel<false>}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto dim, auto, auto y) { return softmax_backward(dy, y, dim); })},
    .batch = over_dims("dim"),
    .onnx = {{.map = "Softmax(input, axis=dim ?? -1)", .since = 13}},
    .netdef = "Softmax(input, axis=dim)",
    .samples = {shape(3, 4).with("dim", 1), shape(2, 3, 4).with("dim", 1), shape(0, 3).with("dim", 1),
                shape().with("dim", 0), shape(2, 33).with("dim", -1)},
};
constinit const Op softmax_backward_op{
    .schema = "softmax_backward(Tensor grad, Tensor output, int dim) -> Tensor",
    .doc = "Gradient of softmax from its output: y * (dy - sum(dy * y)).",
    .method = "function",
    .shape = softmax_backward_shape,
    .kernels = {KernelRow{.name = "vector", .run = softmax_backward_kernel<false>}},
    .derivative = {wrt("grad", [](auto dy, auto, auto output,
                                  auto dim) { return softmax_backward(dy, output, dim); }),
                   wrt("output",
                       [](auto dy, auto grad, auto output, auto dim) {
                         return dy * (grad - sum(mul(grad, output), dim, true)) -
                                grad * sum(mul(dy, output), dim, true);
                       })},
    .batch = over_dims("*dim"),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("SoftmaxGradient exists; graphs are written before their gradients"),
    .samples = {shapes({3, 4}, {3, 4}).with("dim", 1), shapes({2, 3, 4}, {2, 3, 4}).with("dim", 1)},
};
constinit const Op log_softmax_op{
    .schema = "log_softmax(Tensor input, int dim, *, DType? dtype=None) -> Tensor",
    .doc = "x - log(sum(exp(x))) along `dim`, without overflow.",
    .shape = softmax_shape,
    .kernels = {KernelRow{.name = "vector", .run = softmax_kernel<true>}},
    .derivative = {wrt(
        "input", [](auto dy, auto, auto dim, auto, auto y) { return log_softmax_backward(dy, y, dim); })},
    .batch = over_dims("dim"),
    .onnx = {{.map = "LogSoftmax(input, axis=dim ?? -1)", .since = 13}},
    .netdef = none("written as Softmax and Log"),
    .samples = {shape(3, 4).with("dim", 1), shape(2, 3, 4).with("dim", 1), shape(0, 3).with("dim", 1),
                shape().with("dim", 0)},
};
constinit const Op log_softmax_backward_op{
    .schema = "log_softmax_backward(Tensor grad, Tensor output, int dim) -> Tensor",
    .doc = "Gradient of log_softmax from its output: dy - exp(y) * sum(dy).",
    .method = "function",
    .shape = softmax_backward_shape,
    .kernels = {KernelRow{.name = "vector", .run = softmax_backward_kernel<true>}},
    .derivative = {wrt("grad", [](auto dy, auto, auto output,
                                  auto dim) { return dy - sum(mul(dy, exp(output)), dim, true); }),
                   wrt("output", [](auto dy, auto grad, auto output,
                                    auto dim) { return neg(dy * exp(output) * sum(grad, dim, true)); })},
    .batch = over_dims("*dim"),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}).with("dim", 1), shapes({2, 3, 4}, {2, 3, 4}).with("dim", 1)},
};

}  // namespace moka::ops
