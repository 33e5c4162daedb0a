// conv2d and linear with what follows them: activation(conv2d(...) + addend). The rows here run the parts in place on one
// result; back ends add rows that do it in one pass.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/fused/fused.h"

#include "moka/base/cpu.h"
#include "moka/ops/activation/activation.h"
#include "moka/ops/convolution/convolution.h"
#include "moka/ops/define.h"
#include "moka/ops/fused/parts.h"
#include "moka/ops/linear/linear.h"
#include "moka/schema/formula_runner.h"

namespace moka::ops {

namespace {
struct Activation {
  std::string_view name;
  const Op* op;
};
constexpr Activation activations[] = {{"relu", &relu_op}, {"relu6", &relu6_op}, {"sigmoid", &sigmoid_op},
                                      {"tanh", &tanh_op}, {"silu", &silu_op},   {"hardswish", &hardswish_op},
                                      {"gelu", &gelu_op}};

// out = formula(out, more...), element for element.
void in_place(const Op& op, const Tensor& out, const Tensor* more) {
  const Schema& schema = info(op).schema;
  ArgRoom args;
  size_t count = 0;
  args[count++] = out;
  if (more) args[count++] = *more;
  for (; count < schema.args.size(); count++) args[count] = schema.args[count].default_value.arg();
  Frame frame(op, args, static_cast<int>(count));
  frame.outs.resize(1);
  frame.outs[0] = out;
  frame.given = 1;
  formula_runner(frame);
}

template <const Op& Linear, int Arguments>
void fused_shape(Frame& f) {
  Tensor given;
  Frame linear(Linear, f.args, Arguments);
  linear.infer = true;
  Linear.shape(linear);
  const Tensor shape = linear.outs[0];
  activation_of(f, Arguments + 1);
  if (const Tensor& addend = f.maybe(Arguments)) {
    bool same =
        std::equal(addend.sizes().begin(), addend.sizes().end(), shape.sizes().begin(), shape.sizes().end());
    MOKA_CHECK(same && addend.dtype() == shape.dtype(), f.name(), ": addend must be ", shape,
               " like the result, got ", addend);
  }
  f.output(0, shape.sizes(), shape.dtype());
}

template <const Op& Linear, int Arguments>
void fused_kernel(Frame& f) {
  Frame linear(Linear, f.args, Arguments);
  linear.outs.resize(1);
  linear.outs[0] = f.outs[0];
  const KernelRow* row = choose_kernel(linear, nullptr);
  if (!row) {
    std::string why;
    choose_kernel(linear, &why);
    fail_kind(ErrorKind::NotImplemented, f.name(), ": no kernel serves these arguments", why);
  }
  const Tensor addend = addend_of(f, Arguments);
  row->run(linear);
  f.outs[0] = linear.outs[0];
  finish_fused(f, addend, Arguments + 1);
}
}  // namespace

const Op* activation_of(const Frame& f, int argument) {
  const std::string_view name = f.string(argument);
  if (name == "none") return nullptr;
  std::string known;
  for (const Activation& a : activations) {
    if (a.name == name) return a.op;
    known += cat(", ", a.name);
  }
  fail_kind(ErrorKind::Value, f.name(), ": activation must be one of none", known, ", got '", name, "'");
}

FormulaKernel activation_kernel(const Frame& f, int argument) {
  const Op* const op = activation_of(f, argument);
  return op ? op->formula.kernels[static_cast<int>(isa())][0] : nullptr;
}

Tensor addend_of(const Frame& f, int addend) {
  if (!f.has(addend)) return {};
  const Tensor& t = f.tensor(addend);
  if (t.raw_data() != f.outs[0].raw_data()) return t;
  Tensor copy = new_tensor(t.sizes(), t.dtype());
  copy_elements(t, copy);
  return copy;
}

void finish_fused(Frame& f, const Tensor& addend, int activation) {
  if (addend) in_place(add_op, f.outs[0], &addend);
  if (const Op* op = activation_of(f, activation)) in_place(*op, f.outs[0], nullptr);
}

constinit const Op conv2d_fused_op{
    .schema =
        "conv2d_fused(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, "
        "int[2] dilation=1, "
        "int groups=1, Tensor? addend=None, str activation='none') -> Tensor",
    .doc = "activation(conv2d(input, weight, bias, ...) + addend); made by the fusion pass.",
    .method = "none",
    .shape = fused_shape<conv2d_op, 7>,
    .kernels = {KernelRow{.name = "parts", .run = fused_kernel<conv2d_op, 7>}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("written as its parts: graphs are exported before they are fused"),
    .netdef = none("written as its parts: graphs are exported before they are fused"),
    .samples = {shapes({2, 3, 6, 5}, {4, 3, 3, 2}, {4}).with("activation", "relu"),
                shapes({1, 4, 7, 7}, {6, 2, 3, 3})
                    .with("groups", 2)
                    .with("stride", {2, 2})
                    .with("activation", "sigmoid"),
                shapes({0, 3, 4, 4}, {2, 3, 1, 1}, {2}).with("activation", "none")},
};

constinit const Op linear_fused_op{
    .schema =
        "linear_fused(Tensor input, Tensor weight, Tensor? bias=None, Tensor? addend=None, str "
        "activation='none') -> Tensor",
    .doc = "activation(linear(input, weight, bias) + addend); made by the fusion pass.",
    .method = "none",
    .shape = fused_shape<linear_op, 3>,
    .kernels = {KernelRow{.name = "parts", .run = fused_kernel<linear_op, 3>}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("written as its parts: graphs are exported before they are fused"),
    .netdef = none("written as its parts: graphs are exported before they are fused"),
    .samples = {shapes({5, 3}, {4, 3}, {4}).with("activation", "relu"),
                shapes({2, 5, 3}, {4, 3}).with("activation", "tanh"),
                shapes({0, 3}, {2, 3}, {2}).with("activation", "none")},
};

}  // namespace moka::ops

MOKA_OP_TABLE(fused, MOKA_FUSED_OPS)
