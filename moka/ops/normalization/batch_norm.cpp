// Batch normalization. Operators are pure: in training the batch's statistics are results, and whoever owns running
// averages updates them; so the same operator serves eager code, graphs and their gradients.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/normalization/gradients.h"
#include "moka/ops/normalization/kernels.h"
#include "moka/ops/normalization/normalization.h"

#include <cmath>

namespace moka::ops {

namespace {
ChannelShape channel_shape(const Tensor& x) {
  ChannelShape s{x.size(0), x.size(1), 1};
  for (int d = 2; d < x.dim(); d++) s.pixels *= x.size(d);
  return s;
}
// Input of at least [batch, channels]; the arguments from `first` to `last` are vectors of one value a channel.
void check_channels(const Frame& f, int input, int first, int last) {
  const Tensor& x = floating_argument(f, input);
  MOKA_CHECK(x.dim() >= 2, f.name(), ": ", argument_name(f, input),
             " must have shape [batch, channels, ...], got ", x.sizes());
  for (int i = first; i <= last; i++)
    if (f.has(i)) {
      floating_argument(f, i);
      MOKA_CHECK(kernel_dtype(f.tensor(i).dtype()) == kernel_dtype(x.dtype()), f.name(), ": ",
                 argument_name(f, i), " has type ", f.tensor(i).dtype(), " but ", argument_name(f, input),
                 " has type ", x.dtype(), "; convert one of them");
      check_shape(f, i, Dims{x.size(1)});
    }
}
Tensor operand(const Frame& f, int i) {
  return f.has(i) ? as_contiguous(in_kernel_dtype(f.tensor(i))) : Tensor();
}
template <class T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

void batch_norm_shape(Frame& f) {
  tensor_argument(f, 3);
  tensor_argument(f, 4);
  check_channels(f, 0, 1, 4);
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
template <class T>
void normalize(const Frame& f, const Tensor& x, T* y) {
  Tensor weight = operand(f, 1), bias = operand(f, 2), mean = operand(f, 3), variance = operand(f, 4);
  ChannelShape s = channel_shape(x);
  Scratch<T> scale(s.channels), shift(s.channels);
  for (int64_t c = 0; c < s.channels; c++) {
    double invstd = 1 / std::sqrt(double(variance.data<T>()[c]) + f.number(5));
    scale[c] = static_cast<T>(weight ? weight.data<T>()[c] * invstd : invstd);
    shift[c] = (bias ? bias.data<T>()[c] : T(0)) - mean.data<T>()[c] * scale[c];
  }
  channel_affine<T>(s, x.data<T>(), scale.data(), shift.data(), y);
}
void batch_norm_kernel(Frame& f) {
  Tensor x = operand(f, 0);
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64) normalize(f, x, y.data<double>());
  else normalize(f, x, y.data<float>());
  y.finish();
  follow_format(f, f.tensor(0));
}

void batch_norm_train_shape(Frame& f) {
  check_channels(f, 0, 1, 2);
  const Tensor& x = f.tensor(0);
  ChannelShape s = channel_shape(x);
  MOKA_CHECK(s.channels == 0 || checked_mul(s.batch, s.pixels, "batch_norm_train") > 1,
             "batch_norm_train: needs more than one value a channel to normalize by their statistics, got "
             "input of shape ",
             x.sizes());
  f.output(0, x.sizes(), x.dtype());
  DType statistics = kernel_dtype(x.dtype());
  for (int i = 1; i < 4; i++) f.output(i, Dims{s.channels}, statistics);
}
template <class T>
void train(Frame& f, const Tensor& x, T* y) {
  Tensor weight = operand(f, 1), bias = operand(f, 2);
  ChannelShape s = channel_shape(x);
  T* variance = f.outs[3].data<T>();
  channel_normalize<T>(s, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias), f.number(3),
                       f.outs[1].data<T>(), variance, f.outs[2].data<T>(), y);
  double n = double(s.batch) * double(s.pixels);
  for (int64_t c = 0; c < s.channels; c++) variance[c] = static_cast<T>(variance[c] * (n / (n - 1)));
}
void batch_norm_train_kernel(Frame& f) {
  Tensor x = operand(f, 0);
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64) train(f, x, y.data<double>());
  else train(f, x, y.data<float>());
  y.finish();
  follow_format(f, f.tensor(0));
}

void batch_norm_backward_shape(Frame& f) {
  for (int i = 0; i < 2; i++) floating_argument(f, i);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, f.tensor(1).sizes());
  tensor_argument(f, 3);
  tensor_argument(f, 4);
  check_channels(f, 1, 2, 4);
  const Tensor& x = f.tensor(1);
  f.output(0, x.sizes(), x.dtype());
  DType type = f.has(2) ? f.tensor(2).dtype() : x.dtype();
  f.output(1, Dims{x.size(1)}, type);
  f.output(2, Dims{x.size(1)}, type);
}
template <class T>
void backward(const Frame& f, const Tensor& dy, const Tensor& x, T* dx, T* dweight, T* dbias) {
  Tensor weight = operand(f, 2), mean = operand(f, 3), invstd = operand(f, 4);
  channel_normalize_backward<T>(channel_shape(x), f.flag(5), dy.data<T>(), x.data<T>(),
                                data_or_null<T>(weight), mean.data<T>(), invstd.data<T>(), dx, dweight,
                                dbias);
}
void batch_norm_backward_kernel(Frame& f) {
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

constinit const Op batch_norm_op{
    .schema =
        "batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, "
        "float eps=1e-05) -> Tensor",
    .doc =
        "(x - mean) / sqrt(var + eps) * weight + bias for each channel of [batch, channels, ...] with given "
        "statistics; "
        "batch_norm_train computes them from the batch.",
    .method = "function",
    .shape = batch_norm_shape,
    .kernels = {KernelRow{.name = "vector", .run = batch_norm_kernel}},
    .derivative = {wrt("input weight bias",
                       [](auto dy, auto input, auto weight, auto, auto running_mean, auto running_var,
                          auto eps) {
                         auto g = op_results(batch_norm_backward, dy, input, weight, running_mean,
                                             rsqrt(add(running_var, eps)), false);
                         return results(g[0], g[1], g[2]);
                       }),
                   constants("running_mean running_var", "averages that training follows")},
    .onnx = "BatchNormalization(input, weight, bias, running_mean, running_var, epsilon=eps)",
    .netdef = "SpatialBN(input, weight, bias, running_mean, running_var, epsilon=eps, is_test=1)",
    .samples = {shapes({2, 3, 4, 5}, {3}, {3}, {3}, {3}).in(Domain::Positive, 4),
                shapes({4, 3}, {3}, {3}, {3}, {3}).in(Domain::Positive, 4),
                shapes({0, 3, 2}, {3}, {3}, {3}, {3}).in(Domain::Positive, 4)},
};

constinit const Op batch_norm_train_op{
    .schema =
        "batch_norm_train(Tensor input, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> "
        "(Tensor output, Tensor mean, Tensor invstd, Tensor variance)",
    .doc =
        "Batch normalization by the batch's own mean and biased variance. Also returns the mean, 1 / "
        "sqrt(var + eps) and the "
        "unbiased variance of each channel, from which running averages are updated: running = (1 - "
        "momentum) * running + "
        "momentum * batch.",
    .method = "function",
    .shape = batch_norm_train_shape,
    .kernels = {KernelRow{.name = "vector", .run = batch_norm_train_kernel}},
    .derivative = {wrt("input weight bias",
                       [](auto dy, auto input, auto weight, auto, auto, auto, auto mean, auto invstd) {
                         auto g = op_results(batch_norm_backward, dy, input, weight, mean, invstd, true);
                         return results(g[0], g[1], g[2]);
                       }),
                   constants("mean invstd variance", "statistics for running averages and for backward")},
    .onnx =
        none("training graphs are exported after their gradients are computed; inference uses batch_norm"),
    .netdef = none("SpatialBN in training updates its inputs in place; inference uses batch_norm"),
    .samples = {shapes({2, 3, 4, 5}, {3}, {3}), shapes({4, 3}, {3}, {3}),
                shapes({2, 1, 3}, {1}, {1}).with("eps", 0.1)},
};

constinit const Op batch_norm_backward_op{
    .schema =
        "batch_norm_backward(Tensor grad, Tensor input, Tensor? weight, Tensor mean, Tensor invstd, bool "
        "training=True) -> "
        "(Tensor input_grad, Tensor weight_grad, Tensor bias_grad)",
    .doc = "Gradients of batch normalization; with training, mean and invstd depend on the input.",
    .method = "function",
    .shape = batch_norm_backward_shape,
    .kernels = {KernelRow{.name = "vector", .run = batch_norm_backward_kernel}},
    .body = eager_body(batch_norm_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("part of SpatialBNGradient"),
    .samples =
        {shapes({2, 3, 4}, {2, 3, 4}, {3}, {3}, {3}).in(Domain::Positive, 4).no_gradient(),
         shapes({4, 3}, {4, 3}, {3}, {3}, {3}).in(Domain::Positive, 4).with("training", false).no_gradient()},
};

}  // namespace moka::ops

MOKA_OP_TABLE(normalization, MOKA_NORMALIZATION_OPS)
