// Losses of each element: their means or sums, squared and absolute differences, binary cross entropy.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/loss/gradients.h"
#include "moka/ops/loss/loss.h"
#include "moka/ops/reduction/kernels.h"

namespace moka::ops {

namespace {
// ---- reduce_loss and its transpose

void reduce_loss_shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  f.output(0, loss_reduction_argument(f, 1) == LossReduction::None ? Dims(x.sizes()) : Dims(), x.dtype());
}
void reduce_loss_kernel(Frame& f) {
  const Tensor& x = f.tensor(0);
  LossReduction reduction = loss_reduction_argument(f, 1);
  if (reduction == LossReduction::None) return copy_elements(x, f.outs[0]);
  Tensor from = as_contiguous(in_kernel_dtype(x));
  KernelOutput out(f, 0);
  double n = reduction == LossReduction::Mean ? double(x.numel()) : 1;
  if (from.dtype() == DType::F64) {
    reduce<double>(Reduce::Sum, 1, x.numel(), 1, from.data<double>(), out.data<double>());
    *out.data<double>() /= n;
  } else {
    reduce<float>(Reduce::Sum, 1, x.numel(), 1, from.data<float>(), out.data<float>());
    *out.data<float>() /= static_cast<float>(n);
  }
  out.finish();
}
void expand_loss_shape(Frame& f) {
  const Tensor& grad = floating_argument(f, 0);
  Dims sizes = ints_argument(f, 1);
  checked_numel(sizes, "expand_loss");
  check_shape(f, 0, loss_reduction_argument(f, 2) == LossReduction::None ? sizes : Dims());
  f.output(0, sizes, grad.dtype());
}
void expand_loss_kernel(Frame& f) {
  LossReduction reduction = loss_reduction_argument(f, 2);
  const Tensor& out = f.outs[0];
  if (reduction != LossReduction::Mean) return copy_elements(f.tensor(0), out);
  Tensor share = new_tensor(Dims(), DType::F64);
  *share.data<double>() = element_as_double(f.tensor(0), 0) / double(out.numel());
  if (out.numel()) copy_elements(share, out);
}

// ---- binary cross entropy: x scores, t targets, w weights, p weights of the positive class
struct BinaryOperands {
  Tensor x, t, w, p;
};
// Arguments from `first`: input, target, weight, pos_weight, reduction. All are brought to the input's shape.
BinaryOperands binary_operands(const Frame& f, int first) {
  const Tensor& x = f.tensor(first);
  auto full = [&](int i) {
    if (!f.has(i)) return Tensor();
    Tensor t = new_tensor(x.sizes(), kernel_dtype(x.dtype()));
    copy_elements(f.tensor(i), t);
    return t;
  };
  return {as_contiguous(in_kernel_dtype(x)), full(first + 1), full(first + 2), full(first + 3)};
}
void check_binary(const Frame& f, int first) {
  const Tensor& x = floating_argument(f, first);
  floating_argument(f, first + 1);
  check_shape(f, first + 1, x.sizes());
  for (int i = first + 2; i < first + 4; i++)
    if (f.has(i)) {
      floating_argument(f, i);
      Dims common = broadcast_shape(x.sizes(), f.tensor(i).sizes(), f.name());
      MOKA_CHECK(std::equal(common.begin(), common.end(), x.sizes().begin(), x.sizes().end()), f.name(), ": ",
                 argument_name(f, i), " of shape ", f.tensor(i).sizes(),
                 " does not broadcast to input's shape ", x.sizes());
    }
}
template <class T, class F>
void each_element(const BinaryOperands& o, F f) {
  const T *x = o.x.data<T>(), *t = o.t.data<T>(), *w = o.w ? o.w.data<T>() : nullptr,
          *p = o.p ? o.p.data<T>() : nullptr;
  parallel_for(0, o.x.numel(), 2048, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++)
      f(i, x[i], t[i], w ? w[i] : T(1), p ? 1 + (p[i] - 1) * t[i] : T(1));
  });
}
void binary_shape(Frame& f) {
  check_binary(f, 0);
  f.output(0, loss_reduction_argument(f, 4) == LossReduction::None ? Dims(f.tensor(0).sizes()) : Dims(),
           f.tensor(0).dtype());
}
template <class T>
void binary_forward(Frame& f) {
  BinaryOperands o = binary_operands(f, 0);
  Tensor losses = new_tensor(o.x.sizes(), o.x.dtype());
  T* out = losses.data<T>();
  each_element<T>(o, [&](int64_t i, T x, T t, T w, T p) {
    // log(1 + exp(-x)) without overflow
    T softplus = std::log1p(std::exp(-std::abs(x))) + (x < 0 ? -x : T(0));
    out[i] = w * ((1 - t) * x + p * softplus);
  });
  LossReduction reduction = loss_reduction_argument(f, 4);
  if (reduction == LossReduction::None) return copy_elements(losses, f.outs[0]);
  KernelOutput total(f, 0);
  reduce<T>(Reduce::Sum, 1, losses.numel(), 1, out, total.data<T>());
  if (reduction == LossReduction::Mean) *total.data<T>() /= static_cast<T>(losses.numel());
  total.finish();
}
void binary_kernel(Frame& f) {
  if (f.tensor(0).dtype() == DType::F64) binary_forward<double>(f);
  else binary_forward<float>(f);
}
void binary_backward_shape(Frame& f) {
  floating_argument(f, 0);
  check_binary(f, 1);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0,
              loss_reduction_argument(f, 5) == LossReduction::None ? Dims(f.tensor(1).sizes()) : Dims());
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
template <class T>
void binary_backward(Frame& f) {
  BinaryOperands o = binary_operands(f, 1);
  Tensor gradient = as_contiguous(in_kernel_dtype(f.tensor(0)));
  LossReduction reduction = loss_reduction_argument(f, 5);
  const T* grad = gradient.data<T>();
  T share = reduction == LossReduction::Mean ? T(1) / static_cast<T>(o.x.numel()) : T(1);
  KernelOutput dx(f, 0);
  T* out = dx.data<T>();
  each_element<T>(o, [&](int64_t i, T x, T t, T w, T p) {
    T g = reduction == LossReduction::None ? grad[i] : grad[0] * share;
    out[i] = g * w * ((1 - t) - p / (1 + std::exp(x)));
  });
  dx.finish();
}
void binary_backward_kernel(Frame& f) {
  if (f.tensor(1).dtype() == DType::F64) binary_backward<double>(f);
  else binary_backward<float>(f);
}
}  // namespace

constinit const Op reduce_loss_op{
    .schema = "reduce_loss(Tensor input, str reduction='mean') -> Tensor",
    .doc = "The mean or sum of all elements, or the input as it is for 'none': the last step of a loss.",
    .method = "function",
    .shape = reduce_loss_shape,
    .kernels = {KernelRow{.name = "cascade", .run = reduce_loss_kernel}},
    .derivative = {wrt("input", [](auto dy, auto input,
                                   auto reduction) { return expand_loss(dy, shape_of(input), reduction); })},
    .onnx = none("written as ReduceMean or ReduceSum"),
    .netdef = none("written as AveragedLoss or SumElements"),
    .samples = {shape(3, 4), shape(2, 3).with("reduction", "sum"), shape(2, 3).with("reduction", "none"),
                shape()},
};
constinit const Op expand_loss_op{
    .schema = "expand_loss(Tensor grad, int[] sizes, str reduction='mean') -> Tensor",
    .doc = "Gradient of reduce_loss with respect to its input, whose shape is `sizes`.",
    .method = "function",
    .shape = expand_loss_shape,
    .kernels = {KernelRow{.name = "expand", .run = expand_loss_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto, auto reduction) { return reduce_loss(dy, reduction); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape().with("sizes", {3, 4}), shape(2, 3).with("sizes", {2, 3}).with("reduction", "none"),
                shape().with("sizes", {2}).with("reduction", "sum")},
};

constinit const Op mse_loss_op{
    .schema = "mse_loss(Tensor input, Tensor target, str reduction='mean') -> Tensor",
    .doc = "(input - target)^2.",
    .method = "function",
    .body = body([](auto input, auto target, auto reduction) {
      return reduce_loss(square(sub(input, target)), reduction);
    }),
    .onnx = none("written as Sub, Mul and ReduceMean"),
    .netdef = none("written as SquaredL2Distance or its parts"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 3}, {2, 3}).with("reduction", "none"),
                shapes({0}, {0}).with("reduction", "sum")},
};
constinit const Op l1_loss_op{
    .schema = "l1_loss(Tensor input, Tensor target, str reduction='mean') -> Tensor",
    .doc = "|input - target|.",
    .method = "function",
    .body = body([](auto input, auto target, auto reduction) {
      return reduce_loss(abs(sub(input, target)), reduction);
    }),
    .onnx = none("written as Sub, Abs and ReduceMean"),
    .netdef = none("written as L1Distance or its parts"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 3}, {2, 3}).with("reduction", "sum")},
};

constinit const Op binary_cross_entropy_with_logits_op{
    .schema =
        "binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, Tensor? "
        "pos_weight=None, "
        "str reduction='mean') -> Tensor",
    .doc = "-(p t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid and p pos_weight, without overflow.",
    .method = "function",
    .shape = binary_shape,
    .kernels = {KernelRow{.name = "loop", .run = binary_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto target, auto weight, auto pos_weight, auto reduction) {
                         return binary_cross_entropy_with_logits_backward(dy, input, target, weight,
                                                                          pos_weight, reduction);
                       })},
    .onnx = none("written as its elementary operators"),
    .netdef = none("Caffe2's SigmoidCrossEntropyWithLogits averages over the last dimension alone"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Probability, 1), shapes({2, 3}, {2, 3}, {3})
                                                                       .in(Domain::Probability, 1)
                                                                       .in(Domain::Positive, 2)
                                                                       .with("reduction", "none")},
};
constinit const Op binary_cross_entropy_with_logits_backward_op{
    .schema =
        "binary_cross_entropy_with_logits_backward(Tensor grad, Tensor input, Tensor target, Tensor? "
        "weight=None, "
        "Tensor? pos_weight=None, str reduction='mean') -> Tensor",
    .doc = "Gradient of binary_cross_entropy_with_logits with respect to its input.",
    .method = "function",
    .shape = binary_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = binary_backward_kernel}},
    .body = eager_body(binary_cross_entropy_with_logits_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({}, {3, 4}, {3, 4}).in(Domain::Probability, 2).no_gradient(),
                shapes({2}, {2}, {2}).in(Domain::Probability, 2).with("reduction", "none").no_gradient()},
};

}  // namespace moka::ops
