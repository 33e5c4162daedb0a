// Steps of SGD, Adam, RMSprop and Adagrad for lists of parameters. Parameters and state are updated in place and count as written, so a
// backward pass that still needs an old value says so.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/optimizer/kernels.h"
#include "moka/ops/optimizer/optimizer.h"

namespace moka::ops {

namespace {
std::span<const Tensor> list(const Frame& f, int i) {
  if (f.args[i].tag == Tag::Tensors) return f.tensors(i);
  MOKA_CHECK_KIND(Type, f.args[i].tag == Tag::None || (f.args[i].tag == Tag::List && f.args[i].count == 0),
                  f.name(), ": ", argument_name(f, i), " must be a list of tensors, got ",
                  tag_name(f.args[i].tag));
  return {};
}

// As many tensors as parameters, each in its parameter's shape and type; an empty list where `optional`.
void check_list(const Frame& f, int i, bool optional) {
  std::span<const Tensor> params = list(f, 0), others = list(f, i);
  if (optional && others.empty()) return;
  MOKA_CHECK(others.size() == params.size(), f.name(), ": ", argument_name(f, i), " has ", others.size(),
             " tensors but params has ", params.size());
  for (size_t k = 0; k < params.size(); k++) {
    const Tensor &p = params[k], &t = others[k];
    MOKA_CHECK(p && t, f.name(), ": params and ", argument_name(f, i), " must not hold None (element ", k,
               ")");
    MOKA_CHECK(is_floating(p.dtype()), f.name(), ": params[", k, "] must be floating, got ", p.dtype());
    bool state = i > 1;
    MOKA_CHECK(std::equal(p.sizes().begin(), p.sizes().end(), t.sizes().begin(), t.sizes().end()) &&
                   (t.dtype() == p.dtype() || (state && t.dtype() == kernel_dtype(p.dtype()))),
               f.name(), ": ", argument_name(f, i), "[", k, "] must be ", p.dtype(), p.sizes(),
               " like its parameter, got ", t.dtype(), t.sizes());
  }
}
void check_writable(const Frame& f, int i) {
  std::span<const Tensor> tensors = list(f, i);
  for (size_t k = 0; k < tensors.size(); k++) {
    const Tensor& t = tensors[k];
    MOKA_CHECK(t.has_storage() && !t.impl()->storage->read_only, f.name(), ": ", argument_name(f, i), "[", k,
               "] is read-only memory");
    MOKA_CHECK(is_non_overlapping(t.sizes(), t.strides()), f.name(), ": ", argument_name(f, i), "[", k,
               "] shows some element twice (an expanded view); clone it first");
  }
}

// A tensor as contiguous memory of the kernel type: itself, or a copy that is written back.
class InPlace {
 public:
  explicit InPlace(const Tensor& t) : target_(t), work_(as_contiguous(in_kernel_dtype(t))) {}
  template <class T>
  T* data() const {
    return work_.data<T>();
  }
  void finish() {
    if (!(work_ == target_)) copy_elements(work_, target_);
    target_.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  Tensor target_, work_;
};

void sgd_shape(Frame& f) {
  check_list(f, 0, false);
  check_list(f, 1, false);
  check_list(f, 2, true);
  MOKA_CHECK_KIND(Value, f.number(4) == 0 || !list(f, 2).empty() || list(f, 0).empty(),
                  "sgd_step_: momentum ", f.number(4), " needs momentum_buffers");
  if (f.infer) return;
  check_writable(f, 0);
  check_writable(f, 2);
}
void sgd_kernel(Frame& f) {
  SgdStep s{f.number(3), f.number(4), f.number(5), f.number(6), f.flag(7), f.flag(8), f.flag(9)};
  std::span<const Tensor> params = list(f, 0), grads = list(f, 1), buffers = list(f, 2);
  bool momentum = s.momentum != 0;
  for (size_t k = 0; k < params.size(); k++) {
    InPlace p(params[k]), m(momentum ? buffers[k] : params[k]);
    Tensor g = as_contiguous(in_kernel_dtype(grads[k]));
    if (g.dtype() == DType::F64)
      sgd_step_loop<double>(s, g.numel(), p.data<double>(), g.data<double>(),
                            momentum ? m.data<double>() : nullptr);
    else
      sgd_step_loop<float>(s, g.numel(), p.data<float>(), g.data<float>(),
                           momentum ? m.data<float>() : nullptr);
    p.finish();
    if (momentum) m.finish();
  }
}

void adam_shape(Frame& f) {
  for (int i = 0; i < 4; i++) check_list(f, i, false);
  check_list(f, 4, true);
  MOKA_CHECK_KIND(Value, f.integer(5) >= 1, "adam_step_: step counts from 1, got ", f.integer(5));
  for (int i = 7; i < 9; i++)
    MOKA_CHECK_KIND(Value, f.number(i) >= 0 && f.number(i) < 1, "adam_step_: ", argument_name(f, i),
                    " must be at least 0 and below 1, got ", f.number(i));
  if (f.infer) return;
  for (int i : {0, 2, 3, 4}) check_writable(f, i);
}
void adam_kernel(Frame& f) {
  double step = double(f.integer(5));
  AdamStep s{f.number(6), f.number(7), f.number(8), f.number(9), f.number(10), f.flag(11), f.flag(12), 0, 0};
  s.correction1 = 1 - std::pow(s.beta1, step);
  s.correction2 = std::sqrt(1 - std::pow(s.beta2, step));
  std::span<const Tensor> params = list(f, 0), grads = list(f, 1), averages = list(f, 2),
                          squares = list(f, 3), most = list(f, 4);
  for (size_t k = 0; k < params.size(); k++) {
    InPlace p(params[k]), m(averages[k]), v(squares[k]), top(most.empty() ? squares[k] : most[k]);
    Tensor g = as_contiguous(in_kernel_dtype(grads[k]));
    if (g.dtype() == DType::F64)
      adam_step_loop<double>(s, g.numel(), p.data<double>(), g.data<double>(), m.data<double>(),
                             v.data<double>(), most.empty() ? nullptr : top.data<double>());
    else
      adam_step_loop<float>(s, g.numel(), p.data<float>(), g.data<float>(), m.data<float>(), v.data<float>(),
                            most.empty() ? nullptr : top.data<float>());
    p.finish();
    m.finish();
    v.finish();
    if (!most.empty()) top.finish();
  }
}

void rmsprop_shape(Frame& f) {
  for (int i = 0; i < 3; i++) check_list(f, i, false);
  for (int i : {3, 4}) check_list(f, i, true);
  MOKA_CHECK_KIND(Value, f.number(9) == 0 || !list(f, 4).empty() || list(f, 0).empty(),
                  "rmsprop_step_: momentum ", f.number(9), " needs momentum_buffers");
  if (f.infer) return;
  for (int i : {0, 2, 3, 4}) check_writable(f, i);
}
void rmsprop_kernel(Frame& f) {
  RmspropStep s{f.number(5), f.number(6), f.number(7), f.number(8), f.number(9), f.flag(10)};
  std::span<const Tensor> params = list(f, 0), grads = list(f, 1), squares = list(f, 2),
                          averages = list(f, 3), buffers = list(f, 4);
  bool centered = !averages.empty(), momentum = s.momentum != 0;
  for (size_t k = 0; k < params.size(); k++) {
    InPlace p(params[k]), v(squares[k]), a(centered ? averages[k] : squares[k]),
        m(momentum ? buffers[k] : squares[k]);
    Tensor g = as_contiguous(in_kernel_dtype(grads[k]));
    if (g.dtype() == DType::F64)
      rmsprop_step_loop<double>(s, g.numel(), p.data<double>(), g.data<double>(), v.data<double>(),
                                centered ? a.data<double>() : nullptr, momentum ? m.data<double>() : nullptr);
    else
      rmsprop_step_loop<float>(s, g.numel(), p.data<float>(), g.data<float>(), v.data<float>(),
                               centered ? a.data<float>() : nullptr, momentum ? m.data<float>() : nullptr);
    p.finish();
    v.finish();
    if (centered) a.finish();
    if (momentum) m.finish();
  }
}

void adagrad_shape(Frame& f) {
  for (int i = 0; i < 3; i++) check_list(f, i, false);
  if (f.infer) return;
  for (int i : {0, 2}) check_writable(f, i);
}
void adagrad_kernel(Frame& f) {
  AdagradStep s{f.number(3), f.number(4), f.number(5), f.flag(6)};
  std::span<const Tensor> params = list(f, 0), grads = list(f, 1), sums = list(f, 2);
  for (size_t k = 0; k < params.size(); k++) {
    InPlace p(params[k]), sum(sums[k]);
    Tensor g = as_contiguous(in_kernel_dtype(grads[k]));
    if (g.dtype() == DType::F64)
      adagrad_step_loop<double>(s, g.numel(), p.data<double>(), g.data<double>(), sum.data<double>());
    else adagrad_step_loop<float>(s, g.numel(), p.data<float>(), g.data<float>(), sum.data<float>());
    p.finish();
    sum.finish();
  }
}
}  // namespace

constinit const Op sgd_step__op{
    .schema =
        "sgd_step_(Tensor[] params, Tensor[] grads, Tensor[] momentum_buffers, float lr, float momentum=0.0, "
        "float dampening=0.0, float weight_decay=0.0, bool nesterov=False, bool maximize=False, bool "
        "first=False) -> ()",
    .doc =
        "One step of SGD on all params, in place: g = grad + weight_decay * p; b = momentum * b + (1 - "
        "dampening) * g (b = g "
        "when first); p = p - lr * b, or with nesterov p - lr * (g + momentum * b). Without momentum the "
        "buffers may be [].",
    .method = "function",
    .shape = sgd_shape,
    .kernels = {KernelRow{.name = "one_pass", .run = sgd_kernel}},
    .derivative = none("writes its arguments"),
    .onnx = none("ONNX's training operators are written from graphs, not from eager steps"),
    .netdef = none("Caffe2's MomentumSGDUpdate scales the gradient before the momentum"),
    .effect = Effect::Io,
};

constinit const Op adam_step__op{
    .schema =
        "adam_step_(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, Tensor[] "
        "max_exp_avg_sqs, "
        "int step, float lr=0.001, float beta1=0.9, float beta2=0.999, float eps=1e-08, float "
        "weight_decay=0.0, "
        "bool decoupled=False, bool maximize=False) -> ()",
    .doc =
        "One step of Adam on all params, in place; `step` counts from 1. decoupled is AdamW's weight decay; "
        "max_exp_avg_sqs is [] "
        "unless amsgrad is wanted.",
    .method = "function",
    .shape = adam_shape,
    .kernels = {KernelRow{.name = "one_pass", .run = adam_kernel}},
    .derivative = none("writes its arguments"),
    .onnx = none("ONNX's training operators are written from graphs, not from eager steps"),
    .netdef = none("Caffe2's Adam takes one parameter and keeps its step in a blob"),
    .effect = Effect::Io,
};

constinit const Op rmsprop_step__op{
    .schema =
        "rmsprop_step_(Tensor[] params, Tensor[] grads, Tensor[] square_avgs, Tensor[] grad_avgs, Tensor[] "
        "momentum_buffers, float lr=0.01, float alpha=0.99, float eps=1e-08, float weight_decay=0.0, float "
        "momentum=0.0, bool maximize=False) -> ()",
    .doc =
        "One step of RMSprop on all params, in place: v = alpha * v + (1 - alpha) * g^2; the step is lr * g "
        "/ "
        "(sqrt(v) + eps). With grad_avgs (else []) their squares are taken from v first (centered); "
        "momentum_buffers may be [] without momentum.",
    .method = "function",
    .shape = rmsprop_shape,
    .kernels = {KernelRow{.name = "one_pass", .run = rmsprop_kernel}},
    .derivative = none("writes its arguments"),
    .onnx = none("ONNX's training operators are written from graphs, not from eager steps"),
    .netdef = none("Caffe2's RmsProp multiplies by the learning rate before the momentum"),
    .effect = Effect::Io,
};

constinit const Op adagrad_step__op{
    .schema =
        "adagrad_step_(Tensor[] params, Tensor[] grads, Tensor[] sums, float lr=0.01, float "
        "weight_decay=0.0, float eps=1e-10, bool maximize=False) -> ()",
    .doc =
        "One step of Adagrad on all params, in place: sum += g^2; p -= lr * g / (sqrt(sum) + eps), where lr "
        "is "
        "the rate after its decay.",
    .method = "function",
    .shape = adagrad_shape,
    .kernels = {KernelRow{.name = "one_pass", .run = adagrad_kernel}},
    .derivative = none("writes its arguments"),
    .onnx = none("ONNX's training operators are written from graphs, not from eager steps"),
    .netdef = none("Caffe2's Adagrad takes one parameter and its rate as a blob"),
    .effect = Effect::Io,
};

}  // namespace moka::ops

MOKA_OP_TABLE(optimizer, MOKA_OPTIMIZER_OPS)
