// Negative log likelihood of given log-probabilities. It is linear in them, and its gradient is the transpose of that map.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/define.h"
#include "moka/ops/loss/classes.h"
#include "moka/ops/loss/loss.h"

namespace moka::ops {

namespace {
// Arguments from `target`: target, weight.
void check_targets(const Frame& f, const ClassShape& s, int target, DType type) {
  const Tensor& t = tensor_argument(f, target);
  MOKA_CHECK(is_integral(t.dtype()), f.name(), ": target must hold class indices, got ", t.dtype());
  check_target_shape(f, target, f.tensor(0).sizes(), s);
  if (!f.has(target + 1)) return;
  floating_argument(f, target + 1);
  MOKA_CHECK(kernel_dtype(f.tensor(target + 1).dtype()) == kernel_dtype(type), f.name(), ": weight has type ",
             f.tensor(target + 1).dtype(), " but the scores have type ", type, "; convert one of them");
  check_class_weight(f, target + 1, s);
}
template <class T>
double divisor(const ClassShape& s, const int64_t* target, const T* weight, int64_t ignore) {
  double sum = 0;
  for (int64_t i = 0; i < s.items(); i++)
    if (target[i] != ignore) sum += weight ? double(weight[target[i]]) : 1.0;
  return sum;
}

void nll_loss_shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  ClassShape s = class_shape(f, x.sizes());
  check_targets(f, s, 1, x.dtype());
  f.output(0, loss_reduction_argument(f, 4) == LossReduction::None ? s.target : Dims(), x.dtype());
}
template <class T>
void forward(const Frame& f, const Tensor& x, T* out) {
  ClassShape s = class_shape(f, x.sizes());
  int64_t ignore = f.integer(3);
  Tensor targets = checked_targets(f, 1, s, ignore), weights;
  if (f.has(2)) weights = as_contiguous(in_kernel_dtype(f.tensor(2)));
  const int64_t* target = targets.data<int64_t>();
  const T *in = x.data<T>(), *weight = weights ? weights.data<T>() : nullptr;
  LossReduction reduction = loss_reduction_argument(f, 4);
  double sum = 0;
  for (int64_t i = 0; i < s.items(); i++) {
    T loss =
        target[i] == ignore ? T(0) : -(weight ? weight[target[i]] : T(1)) * in[class_place(s, i, target[i])];
    if (reduction == LossReduction::None) out[i] = loss;
    else sum += loss;
  }
  if (reduction == LossReduction::Mean) *out = static_cast<T>(sum / divisor(s, target, weight, ignore));
  else if (reduction == LossReduction::Sum) *out = static_cast<T>(sum);
}
void nll_loss_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) forward(f, x, out.data<double>());
  else forward(f, x, out.data<float>());
  out.finish();
}

void nll_loss_backward_shape(Frame& f) {
  const Tensor& grad = floating_argument(f, 0);
  Dims sizes = ints_argument(f, 3);
  ClassShape s = class_shape(f, sizes);
  check_targets(f, s, 1, grad.dtype());
  check_shape(f, 0, loss_reduction_argument(f, 5) == LossReduction::None ? s.target : Dims());
  f.output(0, sizes, grad.dtype());
}
template <class T>
void backward(const Frame& f, const Tensor& gradient, T* out) {
  ClassShape s = class_shape(f, ints_argument(f, 3));
  int64_t ignore = f.integer(4);
  Tensor targets = checked_targets(f, 1, s, ignore), weights;
  if (f.has(2)) weights = as_contiguous(in_kernel_dtype(f.tensor(2)));
  const int64_t* target = targets.data<int64_t>();
  const T *grad = gradient.data<T>(), *weight = weights ? weights.data<T>() : nullptr;
  LossReduction reduction = loss_reduction_argument(f, 5);
  double over = reduction == LossReduction::Mean ? divisor(s, target, weight, ignore) : 1;
  std::fill_n(out, s.items() * s.classes, T(0));
  for (int64_t i = 0; i < s.items(); i++)
    if (target[i] != ignore)
      out[class_place(s, i, target[i])] =
          static_cast<T>(-(weight ? double(weight[target[i]]) : 1.0) *
                         grad[reduction == LossReduction::None ? i : 0] / over);
}
void nll_loss_backward_kernel(Frame& f) {
  Tensor grad = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput out(f, 0);
  if (grad.dtype() == DType::F64) backward(f, grad, out.data<double>());
  else backward(f, grad, out.data<float>());
  out.finish();
}
}  // namespace

constinit const Op nll_loss_op{
    .schema =
        "nll_loss(Tensor input, Tensor target, Tensor? weight=None, int ignore_index=-100, str "
        "reduction='mean') -> Tensor",
    .doc =
        "-weight[t] * input[n, t] with t = target[n], for log-probabilities [batch, classes, ...]; 'mean' "
        "divides by the "
        "weights of the targets that are not ignored.",
    .method = "function",
    .shape = nll_loss_shape,
    .kernels = {KernelRow{.name = "loop", .run = nll_loss_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto target, auto weight, auto ignore_index, auto reduction) {
                         return nll_loss_backward(dy, target, weight, shape_of(input), ignore_index,
                                                  reduction);
                       }),
                   constants("weight", "a constant of each class")},
    .onnx = {{.map = "NegativeLogLikelihoodLoss(input, target, weight, ignore_index=ignore_index, "
                     "reduction=reduction)",
              .since = 12}},
    .netdef = none("Caffe2's LabelCrossEntropy takes probabilities"),
    .autocast = Autocast::Float32,
    .piecewise_linear = true,
    .samples = {shapes({4, 5}, {4}).in(Domain::Index, 1, 5),
                shapes({2, 3, 4}, {2, 4}, {3})
                    .in(Domain::Index, 1, 3)
                    .in(Domain::Positive, 2)
                    .with("reduction", "none"),
                shapes({4, 5}, {4}).in(Domain::Index, 1, 5).with("ignore_index", 2).with("reduction", "sum"),
                shapes({5}, {}).in(Domain::Index, 1, 5)},
};
constinit const Op nll_loss_backward_op{
    .schema =
        "nll_loss_backward(Tensor grad, Tensor target, Tensor? weight, int[] sizes, int ignore_index=-100, "
        "str reduction='mean') -> Tensor",
    .doc = "Gradient of nll_loss with respect to its input, whose shape is `sizes`.",
    .method = "function",
    .shape = nll_loss_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = nll_loss_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto target, auto weight, auto, auto ignore_index, auto reduction) {
                         return nll_loss(dy, target, weight, ignore_index, reduction);
                       })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({}, {4}, {5}).in(Domain::Index, 1, 5).in(Domain::Positive, 2).with("sizes", {4, 5}),
                shapes({4}, {4}).in(Domain::Index, 1, 5).with("sizes", {4, 5}).with("reduction", "none")},
};

}  // namespace moka::ops
