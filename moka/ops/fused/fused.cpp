// conv2d and linear with what follows them: activation(conv2d(...) + addend). The rows here run the parts in place on one
// result; back ends add rows that do it in one pass.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/fused/fused.h"

#include "moka/ops/convolution/convolution.h"
#include "moka/ops/define.h"
#include "moka/ops/linear/linear.h"
#include "moka/schema/formula_runner.h"

namespace moka::ops {

namespace {
const Op* activation_of(const Frame& f, int argument) {
  std::string_view name = f.string(argument);
  if (name == "none") return nullptr;
  if (name == "relu") return &relu_op;
  if (name == "sigmoid") return &sigmoid_op;
  if (name == "tanh") return &tanh_op;
  if (name == "silu") return &silu_op;
  fail_kind(ErrorKind::Value, f.name(), ": activation must be none, relu, sigmoid, tanh or silu, got '", name,
            "'");
}

// out = formula(out, more...), element for element.
void in_place(const Op& op, const Tensor& out, const Tensor* more) {
  const Schema& schema = info(op).schema;
  Arg args[max_args];
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
  row->run(linear);
  f.outs[0] = linear.outs[0];
  if (f.has(Arguments)) in_place(add_op, f.outs[0], &f.tensor(Arguments));
  if (const Op* activation = activation_of(f, Arguments + 1)) in_place(*activation, f.outs[0], nullptr);
}
}  // namespace

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
