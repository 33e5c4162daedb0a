// Sums, means, products, and the view that their gradients are.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/differentiable.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/reduction/gradients.h"
#include "moka/ops/reduction/support.h"
#include "moka/tensor/scalar_name.h"

namespace moka::ops {

namespace {

void check_number(const Frame& f, DType d) {
  MOKA_CHECK(is_floating(d) || is_integral(d) || is_complex(d) || d == DType::Bool, f.name(),
             ": takes floating, complex, integer and bool tensors, got ", d);
}

void sum_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  check_number(f, x.dtype());
  DType natural = is_differentiable(x.dtype()) ? x.dtype() : DType::I64, type = named_type(f, 3, natural);
  check_number(f, type);
  f.output(0, reduced_sizes(x.sizes(), dims_argument(f, 1, x.dim()), f.flag(2)), type);
}
// The input in the type of the sum: integers that go to a floating result are converted before.
Tensor summand(const Tensor& x, DType result) {
  return in_kernel_dtype(kernel_dtype(result) == kernel_dtype(x.dtype()) ? x : to_dtype(x, result));
}

template <Reduce What>
void sum_kernel(Frame& f) {
  KernelOutput out(f, 0);
  reduce_tensor(What, summand(f.tensor(0), f.outs[0].dtype()), dims_argument(f, 1, f.tensor(0).dim()),
                out.tensor());
  out.finish();
}

void mean_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  DType type = named_type(f, 3, x.dtype());
  check_number(f, x.dtype());
  MOKA_CHECK(is_differentiable(type), "mean: could not infer output dtype. ", f.has(3) ? "Optional" : "Input",
             " dtype must be either a floating point or complex dtype. Got: ", scalar_name(type),
             "; give dtype=float32 or convert the input with .float()");
  f.output(0, reduced_sizes(x.sizes(), dims_argument(f, 1, x.dim()), f.flag(2)), type);
}
template <class T>
void divide(T* p, int64_t n, T divisor) {
  for (int64_t i = 0; i < n; i++) p[i] /= divisor;
}
void mean_kernel(Frame& f) {
  const Tensor& x = f.tensor(0);
  KernelOutput out(f, 0);
  DimSet dims = dims_argument(f, 1, x.dim());
  reduce_tensor(Reduce::Sum, summand(x, f.outs[0].dtype()), dims, out.tensor());
  int64_t n = reduced_count(x.sizes(), dims);
  if (out.tensor().dtype() == DType::F64)
    divide(out.data<double>(), out.tensor().numel(), static_cast<double>(n));
  else divide(out.data<float>(), out.tensor().numel(), static_cast<float>(n));
  out.finish();
}

// grad of a reduction, seen in the shape of the reduction's input: repeated along the reduced dimensions.
void expanded_geometry(const Frame& f, int sizes_at, Dims& sizes, Dims& strides) {
  const Tensor& grad = tensor_argument(f, 0);
  sizes = ints_argument(f, sizes_at);
  checked_numel(sizes, "reduction");
  MOKA_CHECK(sizes.size() <= static_cast<size_t>(max_dims), f.name(), ": at most ", max_dims,
             " dimensions, got ", sizes);
  DimSet dims = dims_argument(f, sizes_at + 1, static_cast<int>(sizes.size()));
  Dims reduced = reduced_sizes(sizes, dims, f.flag(sizes_at + 2));
  check_shape(f, 0, reduced);
  strides.resize(sizes.size());
  int from = 0;
  for (size_t d = 0; d < sizes.size(); d++) {
    bool gone = dims >> d & 1;
    strides[d] = gone ? 0 : grad.stride(from);
    if (!gone || f.flag(sizes_at + 2)) from++;
  }
}
void reduction_expand_view(Frame& f) {
  Dims sizes, strides;
  expanded_geometry(f, 1, sizes, strides);
  f.outs.resize(1);
  f.outs[0] = strided_view(f.tensor(0), sizes, strides, f.tensor(0).impl()->offset);
}
void mean_backward_shape(Frame& f) {
  differentiable_argument(f, 0);
  Dims sizes, strides;
  expanded_geometry(f, 1, sizes, strides);
  f.output(0, sizes, f.tensor(0).dtype());
}
void mean_backward_kernel(Frame& f) {
  Dims sizes, strides;
  expanded_geometry(f, 1, sizes, strides);
  DimSet dims = dims_argument(f, 2, static_cast<int>(sizes.size()));
  double n = static_cast<double>(reduced_count(sizes, dims));
  // Divided while it is small, then repeated.
  Tensor grad = new_tensor(f.tensor(0).sizes(), kernel_dtype(f.tensor(0).dtype()));
  copy_elements(f.tensor(0), grad);
  if (grad.dtype() == DType::F64) divide(grad.data<double>(), grad.numel(), n);
  else divide(grad.data<float>(), grad.numel(), static_cast<float>(n));
  int from = 0;
  for (size_t d = 0; d < sizes.size(); d++) {
    bool gone = dims >> d & 1;
    strides[d] = gone ? 0 : grad.stride(from);
    if (!gone || f.flag(3)) from++;
  }
  if (f.outs[0].numel()) copy_elements(strided_view(grad, sizes, strides, grad.impl()->offset), f.outs[0]);
}

// d(product)/d(x[i]) = the product of all others, which division cannot give where there are zeros.
template <class T>
void product_gradient(int64_t rows, int64_t n, const T* x, const T* grad, T* out) {
  for (int64_t r = 0; r < rows; r++, x += n, out += n) {
    T before = 1;
    for (int64_t i = 0; i < n; i++) {
      out[i] = before;
      before *= x[i];
    }
    T after = grad[r];
    for (int64_t i = n; i-- > 0;) {
      out[i] *= after;
      after *= x[i];
    }
  }
}
void prod_backward_shape(Frame& f) {
  differentiable_argument(f, 0);
  differentiable_argument(f, 1);
  check_same_dtype(f, 0, 1);
  const Tensor& x = f.tensor(1);
  check_shape(f, 0, reduced_sizes(x.sizes(), dims_argument(f, 2, x.dim()), f.flag(3)));
  f.output(0, x.sizes(), x.dtype());
}
void prod_backward_kernel(Frame& f) {
  const Tensor& input = f.tensor(1);
  DimSet dims = dims_argument(f, 2, input.dim());
  Tensor x = with_dims_last(in_kernel_dtype(input), dims), grad = as_contiguous(in_kernel_dtype(f.tensor(0)));
  Tensor back = new_tensor(x.sizes(), x.dtype());
  int64_t n = reduced_count(input.sizes(), dims), rows = grad.numel();
  if (x.dtype() == DType::F64)
    product_gradient(rows, n, x.data<double>(), grad.data<double>(), back.data<double>());
  else product_gradient(rows, n, x.data<float>(), grad.data<float>(), back.data<float>());
  // back has the reduced dimensions last; its strides in the order of the input's dimensions undo that.
  Dims strides(static_cast<size_t>(input.dim()));
  int at = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < input.dim(); d++)
      if ((dims >> d & 1) == static_cast<DimSet>(pass)) strides[static_cast<size_t>(d)] = back.stride(at++);
  copy_elements(strided_view(back, input.sizes(), strides, 0), f.outs[0]);
}
}  // namespace

constinit const Op sum_op{
    .schema = "sum(Tensor input, int[]? dim=None, bool keepdim=False, *, DType? dtype=None) -> Tensor",
    .doc =
        "Sum over the dimensions `dim`, all when None. Integers and bool are summed in int64, 16-bit floats "
        "in float32.",
    .shape = sum_shape,
    .kernels = {KernelRow{.name = "cascade", .run = sum_kernel<Reduce::Sum>}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto keepdim) {
                         return reduction_expand(dy, shape_of(input), dim, keepdim);
                       })},
    .batch = over_dims("dim"),
    .onnx = "ReduceSum(input, axes=dim, keepdims=keepdim)",
    .netdef = "ReduceSum(input, axes=dim, keepdims=keepdim)",
    .dtype_of_out = true,
    .samples = {shape(3, 4), shape(2, 3, 4).with("dim", {1}),
                shape(2, 3, 4).with("dim", {0, -1}).with("keepdim", true), shape(2, 0, 3).with("dim", {1}),
                shape()},
};

constinit const Op reduction_expand_op{
    .schema = "reduction_expand(Tensor input, int[] sizes, int[]? dim=None, bool keepdim=False) -> Tensor",
    .doc = "The result of a reduction shown in the shape of the reduction's input, `sizes`, without a copy.",
    .method = "function",
    .view = reduction_expand_view,
    .derivative = {wrt("input",
                       [](auto dy, auto, auto, auto dim, auto keepdim) { return sum(dy, dim, keepdim); })},
    .onnx = none("a gradient: written as Unsqueeze and Expand where a graph is exported with it"),
    .netdef = none("a gradient"),
    .samples = {shape(2, 4).with("sizes", {2, 3, 4}).with("dim", {1}), shape().with("sizes", {0, 3}),
                shape(1, 4).with("sizes", {5, 4}).with("dim", {0}).with("keepdim", true)},
};

constinit const Op mean_op{
    .schema = "mean(Tensor input, int[]? dim=None, bool keepdim=False, *, DType? dtype=None) -> Tensor",
    .doc = "Arithmetic mean over the dimensions `dim`, all when None; of no elements it is NaN.",
    .shape = mean_shape,
    .kernels = {KernelRow{.name = "cascade", .run = mean_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto keepdim) {
                         return mean_backward(dy, shape_of(input), dim, keepdim);
                       })},
    .batch = over_dims("dim"),
    .onnx = "ReduceMean(input, axes=dim, keepdims=keepdim)",
    .netdef = "ReduceMean(input, axes=dim, keepdims=keepdim)",
    .samples = {shape(3, 4), shape(2, 3, 4).with("dim", {0, 2}),
                shape(2, 3).with("dim", {1}).with("keepdim", true), shape()},
};
constinit const Op mean_backward_op{
    .schema = "mean_backward(Tensor grad, int[] sizes, int[]? dim=None, bool keepdim=False) -> Tensor",
    .doc = "Gradient of mean: grad repeated to `sizes` and divided by the number of elements averaged.",
    .method = "function",
    .shape = mean_backward_shape,
    .kernels = {KernelRow{.name = "expand", .run = mean_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto, auto dim, auto keepdim) { return mean(dy, dim, keepdim); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(2, 4).with("sizes", {2, 3, 4}).with("dim", {1}), shape().with("sizes", {2, 3})},
};

constinit const Op prod_op{
    .schema = "prod(Tensor input, int[]? dim=None, bool keepdim=False, *, DType? dtype=None) -> Tensor",
    .doc = "Product over the dimensions `dim`, all when None. Integers and bool are multiplied in int64.",
    .shape = sum_shape,
    .kernels = {KernelRow{.name = "cascade", .run = sum_kernel<Reduce::Product>}},
    .derivative = {wrt("input", [](auto dy, auto input, auto dim,
                                   auto keepdim) { return prod_backward(dy, input, dim, keepdim); })},
    .batch = over_dims("dim"),
    .onnx = "ReduceProd(input, axes=dim, keepdims=keepdim)",
    .netdef = none("Caffe2 has no product along dimensions"),
    .autocast = Autocast::Float32,
    .dtype_of_out = true,
    .samples = {shape(3, 4), shape(2, 3, 4).with("dim", {1}),
                shape(2, 0).with("dim", {1}).with("keepdim", true)},
};
constinit const Op prod_backward_op{
    .schema = "prod_backward(Tensor grad, Tensor input, int[]? dim=None, bool keepdim=False) -> Tensor",
    .doc = "Gradient of prod, right where elements are zero.",
    .method = "function",
    .shape = prod_backward_shape,
    .kernels = {KernelRow{.name = "two_passes", .run = prod_backward_kernel}},
    .body = eager_body(prod_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({2, 4}, {2, 3, 4}).with("dim", {1}), shapes({}, {3})},
};

}  // namespace moka::ops

MOKA_OP_TABLE(reduction, MOKA_REDUCTION_OPS)
