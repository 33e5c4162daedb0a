// Normalization of groups of channels, and by the root of the mean square.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "moka/ops/define.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/normalization/gradients.h"
#include "moka/ops/normalization/kernels.h"
#include "moka/ops/normalization/normalization.h"

namespace moka::ops {

namespace {
Tensor operand(const Frame& f, int i) {
  return f.has(i) ? as_contiguous(in_kernel_dtype(f.tensor(i))) : Tensor();
}
template <class T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}
void check_parameter(const Frame& f, int i, int input, const Dims& sizes) {
  if (!f.has(i)) return;
  floating_argument(f, i);
  MOKA_CHECK(kernel_dtype(f.tensor(i).dtype()) == kernel_dtype(f.tensor(input).dtype()), f.name(), ": ",
             argument_name(f, i), " has type ", f.tensor(i).dtype(), " but ", argument_name(f, input),
             " has type ", f.tensor(input).dtype(), "; convert one of them");
  check_shape(f, i, sizes);
}

// Arguments: input and num_groups behind each other at `input`, weight behind them.
ChannelShape group_shape(const Frame& f, int input) {
  const Tensor& x = floating_argument(f, input);
  const int64_t groups = f.integer(input + 1);
  MOKA_CHECK(x.dim() >= 2, f.name(), ": input must have shape [batch, channels, ...], got ", x.sizes());
  MOKA_CHECK(groups > 0 && x.size(1) > 0 && x.size(1) % groups == 0, f.name(),
             ": num_groups must be positive and divide the ", x.size(1), " channels of ", x.sizes(), ", got ",
             groups);
  ChannelShape s{x.size(0), x.size(1), 1};
  for (int d = 2; d < x.dim(); d++) s.pixels *= x.size(d);
  MOKA_CHECK(s.pixels > 0, f.name(), ": the dimensions behind the channels must not be empty, got ",
             x.sizes());
  check_parameter(f, input + 2, input, Dims{s.channels});
  return s;
}
void group_norm_shape(Frame& f) {
  ChannelShape s = group_shape(f, 0);
  check_parameter(f, 3, 0, Dims{s.channels});
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
template <class T>
void group_forward(Frame& f, T* y) {
  Tensor x = operand(f, 0), w = operand(f, 2), b = operand(f, 3);
  if (x.numel())
    group_normalize<T>(group_shape(f, 0), f.integer(1), x.data<T>(), data_or_null<T>(w), data_or_null<T>(b),
                       f.number(4), y);
}
void group_norm_kernel(Frame& f) {
  KernelOutput y(f, 0);
  if (y.tensor().dtype() == DType::F64) group_forward(f, y.data<double>());
  else group_forward(f, y.data<float>());
  y.finish();
  follow_format(f, f.tensor(0));
}
void group_norm_backward_shape(Frame& f) {
  ChannelShape s = group_shape(f, 1);
  floating_argument(f, 0);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, f.tensor(1).sizes());
  const DType type = f.has(3) ? f.tensor(3).dtype() : f.tensor(1).dtype();
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
  f.output(1, Dims{s.channels}, type);
  f.output(2, Dims{s.channels}, type);
}
template <class T>
void group_backward(Frame& f, T* dx, T* dw, T* db) {
  Tensor dy = operand(f, 0), x = operand(f, 1), w = operand(f, 3);
  ChannelShape s = group_shape(f, 1);
  if (x.numel() == 0) {
    std::fill_n(dw, s.channels, T(0));
    std::fill_n(db, s.channels, T(0));
    return;
  }
  group_normalize_backward<T>(s, f.integer(2), dy.data<T>(), x.data<T>(), data_or_null<T>(w), f.number(4), dx,
                              dw, db);
}
void group_norm_backward_kernel(Frame& f) {
  KernelOutput dx(f, 0), dw(f, 1), db(f, 2);
  if (dx.tensor().dtype() == DType::F64)
    group_backward(f, dx.data<double>(), dw.data<double>(), db.data<double>());
  else group_backward(f, dx.data<float>(), dw.data<float>(), db.data<float>());
  dx.finish();
  dw.finish();
  db.finish();
}

struct RowShape {
  int64_t rows = 1, n = 1;
  Dims inner;
};
// Arguments at `input`: input, normalized_shape, weight, eps.
RowShape row_shape(const Frame& f, int input) {
  const Tensor& x = floating_argument(f, input);
  RowShape s;
  s.inner = ints_argument(f, input + 1);
  const size_t rank = x.sizes().size(), k = s.inner.size();
  MOKA_CHECK(k > 0 && k <= rank &&
                 std::equal(s.inner.begin(), s.inner.end(), x.sizes().end() - static_cast<int64_t>(k)),
             f.name(), ": normalized_shape must be the last dimensions of input, got ", s.inner,
             " for shape ", x.sizes());
  for (size_t d = 0; d < rank; d++) (d + k < rank ? s.rows : s.n) *= x.sizes()[d];
  check_parameter(f, input + 2, input, s.inner);
  return s;
}
double epsilon(const Frame& f, int i, DType dtype) {
  if (f.has(i)) return f.number(i);
  return dtype == DType::F64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
}
void rms_norm_shape(Frame& f) {
  row_shape(f, 0);
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
template <class T>
void rms_forward(Frame& f, T* y) {
  Tensor x = operand(f, 0), w = operand(f, 2);
  RowShape s = row_shape(f, 0);
  if (x.numel()) rms_normalize<T>(s.rows, s.n, x.data<T>(), data_or_null<T>(w), epsilon(f, 3, x.dtype()), y);
}
void rms_norm_kernel(Frame& f) {
  KernelOutput y(f, 0);
  if (y.tensor().dtype() == DType::F64) rms_forward(f, y.data<double>());
  else rms_forward(f, y.data<float>());
  y.finish();
}
void rms_norm_backward_shape(Frame& f) {
  RowShape s = row_shape(f, 1);
  floating_argument(f, 0);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, f.tensor(1).sizes());
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
  f.output(1, s.inner, f.has(3) ? f.tensor(3).dtype() : f.tensor(1).dtype());
}
template <class T>
void rms_backward(Frame& f, T* dx, T* dw) {
  Tensor dy = operand(f, 0), x = operand(f, 1), w = operand(f, 3);
  RowShape s = row_shape(f, 1);
  std::fill_n(dw, s.n, T(0));
  if (x.numel())
    rms_normalize_backward<T>(s.rows, s.n, dy.data<T>(), x.data<T>(), data_or_null<T>(w),
                              epsilon(f, 4, x.dtype()), dx, dw);
}
void rms_norm_backward_kernel(Frame& f) {
  KernelOutput dx(f, 0), dw(f, 1);
  if (dx.tensor().dtype() == DType::F64) rms_backward(f, dx.data<double>(), dw.data<double>());
  else rms_backward(f, dx.data<float>(), dw.data<float>());
  dx.finish();
  dw.finish();
}
}  // namespace

constinit const Op group_norm_op{
    .schema =
        "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) "
        "-> Tensor",
    .doc =
        "(x - mean) / sqrt(var + eps) * weight + bias with mean and variance of each group of channels of "
        "each image of "
        "[batch, channels, ...].",
    .method = "function",
    .shape = group_norm_shape,
    .kernels = {KernelRow{.name = "vector", .run = group_norm_kernel}},
    .derivative = {wrt("input weight bias",
                       [](auto dy, auto input, auto num_groups, auto weight, auto, auto eps) {
                         auto g = op_results(group_norm_backward, dy, input, num_groups, weight, eps);
                         return results(g[0], g[1], g[2]);
                       })},
    .onnx = Format{{.map = "GroupNormalization(input, weight, bias, num_groups=num_groups, epsilon=eps, "
                           "=given(weight):True, "
                           "=given(bias):True)",
                    .since = 21}},
    .netdef = "GroupNorm(input, weight, bias, group=num_groups, epsilon=eps)",
    .samples = {shapes({2, 4, 3, 2}, {4}, {4}).with("num_groups", 2),
                shapes({3, 6}, {6}, {6}).with("num_groups", 3), shape(2, 3, 5).with("num_groups", 1),
                shapes({0, 4, 2}, {4}, {4}).with("num_groups", 2)},
};
constinit const Op group_norm_backward_op{
    .schema =
        "group_norm_backward(Tensor grad, Tensor input, int num_groups, Tensor? weight=None, float "
        "eps=1e-05) -> (Tensor "
        "input_grad, Tensor weight_grad, Tensor bias_grad)",
    .doc = "Gradients of group_norm; mean and variance are computed again from the input.",
    .method = "function",
    .shape = group_norm_backward_shape,
    .kernels = {KernelRow{.name = "vector", .run = group_norm_backward_kernel}},
    .body = eager_body(group_norm_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({2, 4, 3}, {2, 4, 3}).with("num_groups", 2).no_gradient(),
                shapes({0, 4}, {0, 4}).with("num_groups", 2).no_gradient()},
};
constinit const Op rms_norm_op{
    .schema =
        "rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
    .doc =
        "x / sqrt(mean(x^2) + eps) * weight over the last dimensions, which are normalized_shape; eps is the "
        "machine "
        "epsilon when None.",
    .method = "function",
    .shape = rms_norm_shape,
    .kernels = {KernelRow{.name = "vector", .run = rms_norm_kernel}},
    .derivative = {wrt("input weight",
                       [](auto dy, auto input, auto normalized_shape, auto weight, auto eps) {
                         auto g = op_results(rms_norm_backward, dy, input, normalized_shape, weight, eps);
                         return results(g[0], g[1]);
                       })},
    .onnx =
        Format{{.map = "RMSNormalization(input, weight, axis=-1, epsilon=eps, =count(normalized_shape):1, "
                       "=given(weight):True, =given(eps):True)",
                .since = 23}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {4}).with("normalized_shape", {4}),
                shapes({2, 3, 4}, {3, 4}).with("normalized_shape", {3, 4}).with("eps", 0.1),
                shape(0, 4).with("normalized_shape", {4})},
};
constinit const Op rms_norm_backward_op{
    .schema =
        "rms_norm_backward(Tensor grad, Tensor input, int[] normalized_shape, Tensor? weight=None, float? "
        "eps=None) -> "
        "(Tensor input_grad, Tensor weight_grad)",
    .doc = "Gradients of rms_norm.",
    .method = "function",
    .shape = rms_norm_backward_shape,
    .kernels = {KernelRow{.name = "vector", .run = rms_norm_backward_kernel}},
    .body = eager_body(rms_norm_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}, {4}).with("normalized_shape", {4}).no_gradient(),
                shapes({0, 4}, {0, 4}).with("normalized_shape", {4}).no_gradient()},
};

}  // namespace moka::ops
