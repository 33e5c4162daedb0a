// Cross entropy from raw scores, for class indices and class probabilities, with its gradient: one pass of softmax each.
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "moka/ops/define.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/loss/classes.h"
#include "moka/ops/loss/gradients.h"
#include "moka/ops/loss/loss.h"
#include "moka/ops/normalization/kernels.h"

namespace moka::ops {

namespace {
struct Settings {
  ClassShape shape;
  bool probabilities = false;
  int64_t ignore_index = -100;
  LossReduction reduction = LossReduction::Mean;
  double smoothing = 0;
};
// Arguments from `first`: input, target, weight, ignore_index, reduction, label_smoothing.
Settings settings(const Frame& f, int first) {
  const Tensor& x = floating_argument(f, first);
  const Tensor& t = tensor_argument(f, first + 1);
  Settings s;
  s.smoothing = f.number(first + 5);
  MOKA_CHECK(s.smoothing >= 0 && s.smoothing <= 1, f.name(),
             ": label_smoothing must be between 0.0 and 1.0. Got: ", s.smoothing);
  s.shape = class_shape(f, x.sizes());
  s.probabilities = is_floating(t.dtype());
  if (s.probabilities) {
    check_same_dtype(f, first + 1, first);
    check_shape(f, first + 1, x.sizes());
  } else {
    MOKA_CHECK(is_integral(t.dtype()), f.name(),
               ": target must hold class indices (integers) or class probabilities (floating), got ",
               t.dtype());
    check_target_shape(f, first + 1, x.sizes(), s.shape);
  }
  if (f.has(first + 2)) {
    floating_argument(f, first + 2);
    MOKA_CHECK(kernel_dtype(f.tensor(first + 2).dtype()) == kernel_dtype(x.dtype()), f.name(),
               ": weight has type ", f.tensor(first + 2).dtype(), " but input has type ", x.dtype(),
               "; convert one of them");
    check_class_weight(f, first + 2, s.shape);
  }
  s.ignore_index = f.integer(first + 3);
  s.reduction = loss_reduction_argument(f, first + 4);
  return s;
}

// The weighted distribution that each item's loss is taken against: q[c] w[c] of class c.
template <class T>
struct Target {
  const Settings& s;
  const int64_t* indices = nullptr;
  const T* probabilities = nullptr;
  const T* weight = nullptr;
  T all_weights = 0;  // of the classes, summed

  Target(const Frame& f, const Settings& s, int first, Tensor& keep_target, Tensor& keep_weight) : s(s) {
    if (s.probabilities) {
      keep_target = as_contiguous(in_kernel_dtype(f.tensor(first + 1)));
      probabilities = keep_target.data<T>();
    } else {
      keep_target = checked_targets(f, first + 1, s.shape, s.ignore_index);
      indices = keep_target.data<int64_t>();
    }
    if (f.has(first + 2)) {
      keep_weight = as_contiguous(in_kernel_dtype(f.tensor(first + 2)));
      weight = keep_weight.data<T>();
    }
    for (int64_t c = 0; c < s.shape.classes; c++) all_weights += class_weight(c);
  }
  T class_weight(int64_t c) const { return weight ? weight[c] : T(1); }
  bool ignored(int64_t i) const { return indices && indices[i] == s.ignore_index; }
  // Weight of every class beside the target's, and of the target's beyond that.
  T base() const { return static_cast<T>(s.smoothing / double(s.shape.classes)); }
  T top() const { return static_cast<T>(1 - s.smoothing); }
  T at(int64_t i, int64_t c) const {
    T q = indices ? (c == indices[i] ? top() : T(0)) : probabilities[class_place(s.shape, i, c)] * top();
    return (q + base()) * class_weight(c);
  }
  // Sum over the classes.
  T total(int64_t i) const {
    if (indices) return top() * class_weight(indices[i]) + base() * all_weights;
    T sum = 0;
    for (int64_t c = 0; c < s.shape.classes; c++) sum += at(i, c);
    return sum;
  }
  double divisor() const {
    if (s.reduction != LossReduction::Mean) return 1;
    if (!indices) return double(s.shape.items());
    double sum = 0;
    for (int64_t i = 0; i < s.shape.items(); i++)
      if (!ignored(i)) sum += class_weight(indices[i]);
    return sum;
  }
};

void cross_entropy_shape(Frame& f) {
  Settings s = settings(f, 0);
  f.output(0, s.reduction == LossReduction::None ? s.shape.target : Dims(), f.tensor(0).dtype());
}
template <class T>
void forward(Frame& f, const Settings& s, const Tensor& x, T* out) {
  Tensor keep_target, keep_weight;
  Target<T> target(f, s, 0, keep_target, keep_weight);
  const ClassShape& shape = s.shape;
  int64_t items = shape.items(), classes = shape.classes;
  const T* in = x.data<T>();
  bool each = s.reduction == LossReduction::None;
  double sum = 0;
  auto take = [&](int64_t i, T loss) {
    if (each) out[i] = loss;
    else sum += loss;
  };
  if (target.indices && s.smoothing == 0 && shape.inner == 1) {
    Scratch<T> high(items);
    if (classes) row_logsumexp<T>(items, classes, in, high.data());
    for (int64_t i = 0; i < items; i++)
      take(i, target.ignored(i)
                  ? T(0)
                  : target.class_weight(target.indices[i]) * (high[i] - in[i * classes + target.indices[i]]));
  } else {
    Scratch<T> logarithms(x.numel());
    softmax_forward<T>(true, shape.batch, classes, shape.inner, in, logarithms.data());
    for (int64_t i = 0; i < items; i++) {
      double loss = 0;
      if (!target.ignored(i)) {
        // A class of probability zero adds nothing, whatever its score.
        for (int64_t c = 0; c < classes; c++)
          if (T q = target.at(i, c); q != 0) loss -= double(q) * logarithms[class_place(shape, i, c)];
      }
      take(i, static_cast<T>(loss));
    }
  }
  if (!each) *out = static_cast<T>(s.reduction == LossReduction::Mean ? sum / target.divisor() : sum);
}
void cross_entropy_kernel(Frame& f) {
  Settings s = settings(f, 0);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) forward(f, s, x, out.data<double>());
  else forward(f, s, x, out.data<float>());
  out.finish();
}

void cross_entropy_backward_shape(Frame& f) {
  floating_argument(f, 0);
  Settings s = settings(f, 1);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, s.reduction == LossReduction::None ? s.shape.target : Dims());
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
template <class T>
void backward(Frame& f, const Settings& s, const Tensor& x, const T* grad, T* out) {
  Tensor keep_target, keep_weight;
  Target<T> target(f, s, 1, keep_target, keep_weight);
  const ClassShape& shape = s.shape;
  double divisor = target.divisor();
  softmax_forward<T>(false, shape.batch, shape.classes, shape.inner, x.data<T>(), out);
  for (int64_t i = 0; i < shape.items(); i++) {
    T* at = out + class_place(shape, i, 0);
    if (target.ignored(i)) {
      for (int64_t c = 0; c < shape.classes; c++) at[c * shape.inner] = T(0);
      continue;
    }
    // d/dx[c] = g (p[c] sum(q w) - q[c] w[c])
    T g = s.reduction == LossReduction::None ? grad[i] : static_cast<T>(grad[0] / divisor);
    T scale = g * target.total(i);
    for (int64_t c = 0; c < shape.classes; c++) at[c * shape.inner] *= scale;
    if (target.indices && s.smoothing == 0)
      at[target.indices[i] * shape.inner] -= g * target.class_weight(target.indices[i]);
    else
      for (int64_t c = 0; c < shape.classes; c++) at[c * shape.inner] -= g * target.at(i, c);
  }
}
void cross_entropy_backward_kernel(Frame& f) {
  Settings s = settings(f, 1);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(1))), grad = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) backward(f, s, x, grad.data<double>(), out.data<double>());
  else backward(f, s, x, grad.data<float>(), out.data<float>());
  out.finish();
}
}  // namespace

constinit const Op cross_entropy_op{
    .schema =
        "cross_entropy(Tensor input, Tensor target, Tensor? weight=None, int ignore_index=-100, str "
        "reduction='mean', "
        "float label_smoothing=0.0) -> Tensor",
    .doc =
        "-log(softmax(input)[target]) for raw scores [batch, classes, ...]; target holds class indices, or "
        "class probabilities "
        "in the shape of input. 'mean' divides by the weights of the targets that are not ignored.",
    .method = "function",
    .shape = cross_entropy_shape,
    .kernels = {KernelRow{.name = "fused", .run = cross_entropy_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto target, auto weight, auto ignore_index, auto reduction,
                          auto label_smoothing) {
                         return cross_entropy_backward(dy, input, target, weight, ignore_index, reduction,
                                                       label_smoothing);
                       }),
                   constants("target weight", "the program that wants them writes the loss by its parts")},
    .onnx = {{.map = "SoftmaxCrossEntropyLoss(input, target, weight, ignore_index=ignore_index, "
                     "reduction=reduction, =label_smoothing:0.0)",
              .since = 12}},
    .netdef = none("written as SoftmaxWithLoss, which returns the probabilities too"),
    .autocast = Autocast::Float32,
    .samples = {shapes({4, 5}, {4}).in(Domain::Index, 1, 5),
                shapes({2, 3, 4}, {2, 4}, {3})
                    .in(Domain::Index, 1, 3)
                    .in(Domain::Positive, 2)
                    .with("label_smoothing", 0.1),
                shapes({3, 5}, {3, 5}).in(Domain::Probability, 1).with("reduction", "none"),
                shapes({5}, {}).in(Domain::Index, 1, 5).with("reduction", "sum")},
};
constinit const Op cross_entropy_backward_op{
    .schema =
        "cross_entropy_backward(Tensor grad, Tensor input, Tensor target, Tensor? weight=None, int "
        "ignore_index=-100, "
        "str reduction='mean', float label_smoothing=0.0) -> Tensor",
    .doc = "Gradient of cross_entropy with respect to its input.",
    .method = "function",
    .shape = cross_entropy_backward_shape,
    .kernels = {KernelRow{.name = "fused", .run = cross_entropy_backward_kernel}},
    .body = eager_body(cross_entropy_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("SoftmaxWithLossGradient exists; graphs are written before their gradients"),
    .samples =
        {shapes({}, {4, 5}, {4}).in(Domain::Index, 2, 5).no_gradient(),
         shapes({3}, {3, 5}, {3, 5}).in(Domain::Probability, 2).with("reduction", "none").no_gradient()},
};

}  // namespace moka::ops

MOKA_OP_TABLE(loss, MOKA_LOSS_OPS)
