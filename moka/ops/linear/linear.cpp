// The affine map of a layer: y = x W^T + b.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linear/linear.h"

#include "moka/ops/conj.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/differentiable.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/linear/gemm.h"
#include "moka/ops/linear/products.h"
#include "moka/ops/parts.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
int64_t rows_of(std::span<const int64_t> sizes) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < sizes.size(); i++) rows *= sizes[i];
  return rows;
}

int64_t outputs_of(const Tensor& weight) { return weight.dim() == 2 ? weight.size(0) : 1; }

void linear_shape(Frame& f) {
  check_factors(f, 0, 1);
  const Tensor &x = f.tensor(0), &w = f.tensor(1), &b = optional_argument(f, 2, 0);
  MOKA_CHECK(w.dim() == 1 || w.dim() == 2, "linear: weight must have shape [out, in] or [in], got ",
             w.sizes());
  MOKA_CHECK(x.dim() >= 1, "linear: input must have at least 1 dimension, got a scalar");
  const std::span<const int64_t> leading = x.sizes().first(x.sizes().size() - 1),
                                 outputs = w.sizes().first(w.sizes().size() - 1);
  MOKA_CHECK(x.size(-1) == w.size(-1), "linear: mat1 and mat2 shapes cannot be multiplied (",
             checked_numel(leading, "linear"), "x", x.size(-1), " and ", w.size(-1), "x", outputs_of(w),
             "): the last dimension of input must equal weight's number of inputs; the shapes are ",
             x.sizes(), " and ", w.sizes());
  if (b) check_shape(f, 2, outputs);
  Dims sizes(leading);
  if (!outputs.empty()) sizes.push_back(outputs[0]);
  exact_output(f, 0, sizes, x.dtype());
}

template <class T>
void affine(const Tensor& x, const Tensor& w, const Tensor& b, T* y) {
  const int64_t n = outputs_of(w), k = x.size(-1);
  gemm<T>(rows_of(x.sizes()), n, k, {x.data<T>(), k, 1}, {w.data<T>(), w.stride(-1), w.stride(0)}, y, n,
          {.column = b ? b.data<T>() : nullptr});
}
// Integers and complex numbers.
void linear_by_parts(Frame& f) {
  LayersOff off(~0u);
  Tensor y = matmul(f.tensor(0), t(f.tensor(1)));
  copy_elements(f.has(2) ? Tensor(y + f.tensor(2)) : y, f.outs[0]);
}
void linear_kernel(Frame& f) {
  if (!is_floating(f.tensor(0).dtype())) return linear_by_parts(f);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0))), w = in_kernel_dtype(f.tensor(1)), b;
  if (f.has(2)) b = as_contiguous(in_kernel_dtype(f.tensor(2)));
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64) affine<double>(x, w, b, y.data<double>());
  else affine<float>(x, w, b, y.data<float>());
  y.finish();
}

// A gradient of fewer dimensions than the input is that of a weight [in].
void linear_backward_weight_shape(Frame& f) {
  const Tensor &dy = differentiable_argument(f, 0), &x = differentiable_argument(f, 1);
  check_same_dtype(f, 0, 1);
  bool fits = x.dim() >= 1 && (dy.dim() == x.dim() || dy.dim() + 1 == x.dim());
  for (int i = 0; fits && i + 1 < x.dim(); i++) fits = dy.size(i) == x.size(i);
  MOKA_CHECK(fits,
             "linear_backward_weight: grad and input must have the same leading dimensions, got shapes ",
             dy.sizes(), " and ", x.sizes());
  Dims sizes{x.size(-1)};
  if (dy.dim() == x.dim()) sizes.insert(0, dy.size(-1));
  f.output(0, sizes, dy.dtype());
}
template <class T>
void weight_gradient(const Tensor& dy, const Tensor& x, T* out) {
  int64_t n = dy.dim() == x.dim() ? dy.size(-1) : 1, k = x.size(-1);
  gemm<T>(n, k, rows_of(x.sizes()), {dy.data<T>(), 1, n}, {x.data<T>(), k, 1}, out, k);
}
void linear_backward_weight_kernel(Frame& f) {
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))), x = as_contiguous(in_kernel_dtype(f.tensor(1)));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) weight_gradient<double>(dy, x, out.data<double>());
  else weight_gradient<float>(dy, x, out.data<float>());
  out.finish();
}

Tensor input_gradient(const Tensor& dy, const Tensor& weight) {
  return weight.dim() == 2 ? matmul(dy, weight) : unsqueeze(dy, -1) * weight;
}
}  // namespace

constinit const Op linear_op{
    .schema = "linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
    .doc =
        "input weight^T + bias: [..., in] with weight [out, in] and bias [out] gives [..., out]; a weight "
        "[in] "
        "gives [...].",
    .method = "function",
    .shape = linear_shape,
    .kernels = {KernelRow{.name = "gemm", .run = linear_kernel}},
    // The gradient of the bias is summed to the bias's shape by the engine.
    .derivative = {wrt("input",
                       [](auto dy, auto, auto weight) { return linear_backward_input(dy, conj(weight)); }),
                   wrt("weight", [](auto dy, auto input) { return linear_backward_weight(dy, conj(input)); }),
                   wrt("bias", [](auto dy) { return dy; })},
    .batch = batch_linear,
    .onnx = {{.map = "Gemm(input, weight, bias, alpha=1.0, beta=1.0, transA=0, transB=1, =rank(input):2, "
                     "=rank(weight):2)"}},
    .netdef = "FC(input, weight, bias)",
    .autocast = Autocast::Lower,
    .samples = {shapes({3, 4}, {5, 4}, {5}), shapes({2, 3, 4}, {5, 4}), shapes({4}, {2, 4}, {2}),
                shapes({0, 4}, {2, 4}, {2}), shapes({2, 3, 4}, {4}), shapes({4}, {4})},
};

constinit const Op linear_backward_input_op{
    .schema = "linear_backward_input(Tensor grad, Tensor weight) -> Tensor",
    .doc = "Gradient of linear with respect to input.",
    .method = "function",
    .body = parts<input_gradient>(),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("part of FCGradient"),
    .samples = {shapes({3, 5}, {5, 4}), shapes({2, 3, 5}, {5, 4}), shapes({2, 3}, {4})},
};

constinit const Op linear_backward_weight_op{
    .schema = "linear_backward_weight(Tensor grad, Tensor input) -> Tensor",
    .doc = "Gradient of linear with respect to weight: grad^T input over all leading dimensions.",
    .method = "function",
    .shape = linear_backward_weight_shape,
    .kernels = {KernelRow{.name = "gemm", .run = linear_backward_weight_kernel}},
    .derivative = {wrt("grad", [](auto dy, auto, auto input) { return linear(conj(input), dy); }),
                   wrt("input", [](auto dy, auto grad) { return linear_backward_input(conj(grad), dy); })},
    .batch = batch_linear_backward_weight,
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("part of FCGradient"),
    .samples = {shapes({3, 5}, {3, 4}), shapes({2, 3, 5}, {2, 3, 4}), shapes({0, 5}, {0, 4}),
                shapes({2, 3}, {2, 3, 4})},
};

}  // namespace moka::ops
