// Layer normalization over the last dimensions.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/define.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/normalization/gradients.h"
#include "moka/ops/normalization/kernels.h"
#include "moka/ops/normalization/normalization.h"

namespace moka::ops {

namespace {
struct RowShape {
  int64_t rows = 1, n = 1;
};
RowShape row_shape(const Frame& f, int input, int shape_at) {
  const Tensor& x = floating_argument(f, input);
  Dims inner = ints_argument(f, shape_at);
  size_t rank = x.sizes().size();
  MOKA_CHECK(!inner.empty() && inner.size() <= rank &&
                 std::equal(inner.begin(), inner.end(), x.sizes().end() - static_cast<int64_t>(inner.size())),
             f.name(), ": normalized_shape must be the last dimensions of ", argument_name(f, input),
             ", got ", inner, " for shape ", x.sizes());
  RowShape s;
  for (size_t d = 0; d < rank; d++) (d + inner.size() < rank ? s.rows : s.n) *= x.sizes()[d];
  return s;
}
void check_parameter(const Frame& f, int i, int input, const Dims& inner) {
  if (!f.has(i)) return;
  floating_argument(f, i);
  MOKA_CHECK(kernel_dtype(f.tensor(i).dtype()) == kernel_dtype(f.tensor(input).dtype()), f.name(), ": ",
             argument_name(f, i), " has type ", f.tensor(i).dtype(), " but ", argument_name(f, input),
             " has type ", f.tensor(input).dtype(), "; convert one of them");
  check_shape(f, i, inner);
}
Tensor operand(const Frame& f, int i) {
  return f.has(i) ? as_contiguous(in_kernel_dtype(f.tensor(i))) : Tensor();
}
template <class T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

void layer_norm_shape(Frame& f) {
  row_shape(f, 0, 1);
  Dims inner = ints_argument(f, 1);
  check_parameter(f, 2, 0, inner);
  check_parameter(f, 3, 0, inner);
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
template <class T>
void forward(const Frame& f, const Tensor& x, T* y) {
  RowShape s = row_shape(f, 0, 1);
  Tensor weight = operand(f, 2), bias = operand(f, 3);
  if (x.numel() != 0)
    layer_normalize<T>(s.rows, s.n, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias), f.number(4),
                       y);
}
void layer_norm_kernel(Frame& f) {
  Tensor x = operand(f, 0);
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64) forward(f, x, y.data<double>());
  else forward(f, x, y.data<float>());
  y.finish();
}

void layer_norm_backward_shape(Frame& f) {
  floating_argument(f, 0);
  floating_argument(f, 1);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, f.tensor(1).sizes());
  row_shape(f, 1, 2);
  Dims inner = ints_argument(f, 2);
  check_parameter(f, 3, 1, inner);
  const Tensor& x = f.tensor(1);
  DType type = f.has(3) ? f.tensor(3).dtype() : x.dtype();
  f.output(0, x.sizes(), x.dtype());
  f.output(1, inner, type);
  f.output(2, inner, type);
}
template <class T>
void backward(const Frame& f, const Tensor& dy, const Tensor& x, T* dx, T* dweight, T* dbias) {
  RowShape s = row_shape(f, 1, 2);
  Tensor weight = operand(f, 3);
  if (s.n)
    layer_normalize_backward<T>(s.rows, s.n, dy.data<T>(), x.data<T>(), data_or_null<T>(weight), f.number(4),
                                dx, dweight, dbias);
}
void layer_norm_backward_kernel(Frame& f) {
  Tensor dy = operand(f, 0), x = operand(f, 1);
  KernelOutput dx(f, 0), dweight(f, 1), dbias(f, 2);
  if (x.dtype() == DType::F64)
    backward(f, dy, x, dx.data<double>(), dweight.data<double>(), dbias.data<double>());
  else backward(f, dy, x, dx.data<float>(), dweight.data<float>(), dbias.data<float>());
  dx.finish();
  dweight.finish();
  dbias.finish();
}
}  // namespace

constinit const Op layer_norm_op{
    .schema =
        "layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float "
        "eps=1e-05) -> Tensor",
    .doc =
        "(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, which are normalized_shape.",
    .method = "function",
    .shape = layer_norm_shape,
    .kernels = {KernelRow{.name = "vector", .run = layer_norm_kernel}},
    .derivative = {wrt("input weight bias",
                       [](auto dy, auto input, auto normalized_shape, auto weight, auto, auto eps) {
                         auto g = op_results(layer_norm_backward, dy, input, normalized_shape, weight, eps);
                         return results(g[0], g[1], g[2]);
                       })},
    .batch = as_it_is(),
    .onnx = {{.map =
                  "LayerNormalization(input, weight, bias, axis=-1, epsilon=eps, =count(normalized_shape):1)",
              .since = 17}},
    .netdef = none("Caffe2's LayerNorm flattens by an axis and returns mean and deviation too"),
    .samples = {shapes({3, 4}, {4}, {4}).with("normalized_shape", {4}),
                shapes({2, 3, 4}, {3, 4}, {3, 4}).with("normalized_shape", {3, 4}),
                shapes({0, 4}, {4}).with("normalized_shape", {4})},
};
constinit const Op layer_norm_backward_op{
    .schema =
        "layer_norm_backward(Tensor grad, Tensor input, int[] normalized_shape, Tensor? weight=None, float "
        "eps=1e-05) -> "
        "(Tensor input_grad, Tensor weight_grad, Tensor bias_grad)",
    .doc = "Gradients of layer_norm; mean and variance are computed again from the input.",
    .method = "function",
    .shape = layer_norm_backward_shape,
    .kernels = {KernelRow{.name = "vector", .run = layer_norm_backward_kernel}},
    .body = eager_body(layer_norm_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}, {4}).with("normalized_shape", {4}).no_gradient(),
                shapes({0, 4}, {0, 4}).with("normalized_shape", {4}).no_gradient()},
};

}  // namespace moka::ops
