// Largest and smallest values and their places. NaN wins, as in PyTorch; of equal values the first is taken.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/kernels/given_output.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/ops/reduction/support.h"

namespace moka::ops {

namespace {
void check_ordered(const Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(is_floating(x.dtype()) || is_integral(x.dtype()) || x.dtype() == DType::Bool, f.name(),
             ": takes floating, integer and bool tensors, got ", x.dtype());
}

void extremum_shape(Frame& f) {
  check_ordered(f);
  const Tensor& x = f.tensor(0);
  DimSet dims = dims_argument(f, 1, x.dim());
  MOKA_CHECK(f.has(1) || x.numel() != 0, f.name(),
             "(): Expected reduction dim to be specified for input.numel() == 0, of shape ", x.sizes(),
             ": there is no result for no elements");
  check_not_empty(f, x.sizes(), dims);
  exact_output(f, 0, reduced_sizes(x.sizes(), dims, f.flag(2)), x.dtype());
}
template <Reduce What>
void extremum_kernel(Frame& f) {
  KernelOutput out(f, 0);
  reduce_tensor(What, in_kernel_dtype(f.tensor(0)), dims_argument(f, 1, f.tensor(0).dim()), out.tensor());
  out.finish();
}

// Places along one dimension, or in the flattened tensor when `dims` holds all.
void places(bool maximum, const Tensor& input, DimSet dims, int64_t* to) {
  Tensor x = as_contiguous(in_kernel_dtype(input));
  Stage s;
  bool all = x.dim() == 0 || dims == (x.dim() >= 64 ? ~DimSet(0) : (DimSet(1) << x.dim()) - 1);
  if (all) s.count = x.numel();
  else
    for (int d = 0, found = 0; d < x.dim(); d++) {
      if (dims >> d & 1) s.count = x.size(d), found = 1;
      else (found ? s.inner : s.outer) *= x.size(d);
    }
  if (s.outer * s.inner == 0) return;
  if (x.dtype() == DType::F64) find_extremum(maximum, s.outer, s.count, s.inner, x.data<double>(), to);
  else if (x.dtype() == DType::F32) find_extremum(maximum, s.outer, s.count, s.inner, x.data<float>(), to);
  else find_extremum(maximum, s.outer, s.count, s.inner, x.data<int64_t>(), to);
}
void argmax_shape(Frame& f) {
  check_ordered(f);
  const Tensor& x = f.tensor(0);
  DimSet dims = dim_or_all_argument(f, 1, x.dim());
  check_not_empty(f, x.sizes(), dims);
  exact_output(f, 0, reduced_sizes(x.sizes(), dims, f.flag(2)), DType::I64);
}
template <bool Maximum>
void argmax_kernel(Frame& f) {
  places(Maximum, f.tensor(0), dim_or_all_argument(f, 1, f.tensor(0).dim()), f.outs[0].data<int64_t>());
}

void max_dim_shape(Frame& f) {
  check_ordered(f);
  const Tensor& x = f.tensor(0);
  int dim = dim_argument(f, 1, x.dim());
  DimSet dims = x.dim() ? DimSet(1) << dim : 0;
  check_not_empty(f, x.sizes(), dims);
  Dims sizes = reduced_sizes(x.sizes(), dims, f.flag(2));
  exact_output(f, 0, sizes, x.dtype());
  exact_output(f, 1, sizes, DType::I64);
}
template <bool Maximum>
void max_dim_kernel(Frame& f) {
  const Tensor& x = f.tensor(0);
  int dim = dim_argument(f, 1, x.dim());
  DimSet dims = x.dim() ? DimSet(1) << dim : 0;
  places(Maximum, x, dims, f.outs[1].data<int64_t>());
  KernelOutput values(f, 0);
  reduce_tensor(Maximum ? Reduce::Maximum : Reduce::Minimum, in_kernel_dtype(x), dims, values.tensor());
  values.finish();
}

// The gradient goes to all elements that are the extremum, in equal shares.
constexpr auto extremum_gradient = [](auto dy, auto input, auto dim, auto keepdim, auto y) {
  auto chosen = eq(input, reduction_expand(y, shape_of(input), dim, keepdim));
  return mul(chosen, reduction_expand(dy / sum(chosen, dim, keepdim), shape_of(input), dim, keepdim));
};

// Of the whole tensor: of NaNs too.
constexpr auto whole_extremum_gradient = [](auto dy, auto input, auto y) {
  auto chosen = logical_or(eq(input, y), logical_and(isnan(input), isnan(y)));
  return where(chosen, dy / sum(chosen), 0);
};

// ---- elements chosen by their places along one dimension

struct Selection {
  int64_t outer = 1, size = 1, chosen = 1, inner = 1;
};
// `whole` are the sizes of the tensor chosen from, argument `indices` holds places along argument `dim`; without keepdim
// the dimension is missing in it.
Selection selection(const Frame& f, std::span<const int64_t> whole, int indices, int dim_at, bool keepdim,
                    Dims& chosen_sizes) {
  const Tensor& places = tensor_argument(f, indices);
  MOKA_CHECK(places.dtype() == DType::I64, f.name(), ": indices must be int64, got ", places.dtype());
  int dim = dim_argument(f, dim_at, static_cast<int>(whole.size()));
  Selection s;
  chosen_sizes = Dims(whole);
  if (!whole.empty()) {
    s.size = whole[static_cast<size_t>(dim)];
    if (keepdim) {
      MOKA_CHECK(places.dim() == static_cast<int>(whole.size()), f.name(), ": indices must have ",
                 whole.size(), " dimensions, got shape ", places.sizes());
      s.chosen = chosen_sizes[static_cast<size_t>(dim)] = places.size(dim);
    } else {
      chosen_sizes.erase(static_cast<size_t>(dim));
    }
    for (size_t d = 0; d < whole.size(); d++)
      if (d != static_cast<size_t>(dim)) (d < static_cast<size_t>(dim) ? s.outer : s.inner) *= whole[d];
  }
  check_shape(f, indices, chosen_sizes);
  return s;
}
// visit(place in the chosen tensor, place in the whole tensor), both in elements.
template <class F>
void each_selected(const Frame& f, const Selection& s, const int64_t* places, F visit) {
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t k = 0; k < s.chosen; k++)
      for (int64_t i = 0; i < s.inner; i++) {
        int64_t from = (o * s.chosen + k) * s.inner + i, at = places[from];
        MOKA_CHECK_KIND(Index, at >= 0 && at < s.size, f.name(), ": index ", at,
                        " is out of range for a dimension of size ", s.size);
        visit(from, (o * s.size + at) * s.inner + i);
      }
}
void take_selected_shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  Dims sizes;
  selection(f, x.sizes(), 1, 2, f.flag(3), sizes);
  f.output(0, sizes, x.dtype());
}
template <class T>
void take(const Frame& f, const Selection& s, const Tensor& places, const T* from, T* to) {
  each_selected(f, s, places.data<int64_t>(),
                [&](int64_t chosen, int64_t whole) { to[chosen] = from[whole]; });
}
void take_selected_kernel(Frame& f) {
  Dims sizes;
  Selection s = selection(f, f.tensor(0).sizes(), 1, 2, f.flag(3), sizes);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0))), at = as_contiguous(f.tensor(1));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) take(f, s, at, x.data<double>(), out.data<double>());
  else take(f, s, at, x.data<float>(), out.data<float>());
  out.finish();
}
void put_selected_shape(Frame& f) {
  const Tensor& grad = floating_argument(f, 0);
  Dims whole = ints_argument(f, 2), sizes;
  checked_numel(whole, "put_selected");
  selection(f, whole, 1, 3, f.flag(4), sizes);
  check_shape(f, 0, sizes);
  f.output(0, whole, grad.dtype());
}
template <class T>
void put(const Frame& f, const Selection& s, const Tensor& places, const T* from, T* to, int64_t n) {
  std::fill_n(to, n, T(0));
  each_selected(f, s, places.data<int64_t>(),
                [&](int64_t chosen, int64_t whole) { to[whole] += from[chosen]; });
}
void put_selected_kernel(Frame& f) {
  Dims whole = ints_argument(f, 2), sizes;
  Selection s = selection(f, whole, 1, 3, f.flag(4), sizes);
  Tensor grad = as_contiguous(in_kernel_dtype(f.tensor(0))), at = as_contiguous(f.tensor(1));
  KernelOutput out(f, 0);
  if (grad.dtype() == DType::F64)
    put(f, s, at, grad.data<double>(), out.data<double>(), out.tensor().numel());
  else put(f, s, at, grad.data<float>(), out.data<float>(), out.tensor().numel());
  out.finish();
}
}  // namespace

constinit const Op amax_op{
    .schema = "amax(Tensor input, int[]? dim=None, bool keepdim=False) -> Tensor",
    .doc =
        "Largest element over the dimensions `dim`, all when None; the gradient is shared equally among "
        "equal ones.",
    .shape = extremum_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "vector", .run = extremum_kernel<Reduce::Maximum>}},
    .derivative = {wrt("input", extremum_gradient)},
    .batch = over_dims("dim"),
    .onnx = "ReduceMax(input, axes=dim, keepdims=keepdim)",
    .netdef = "ReduceMax(input, axes=dim, keepdims=keepdim)",
    .samples = {shape(3, 4).in(Domain::Distinct), shape(2, 3, 4).in(Domain::Distinct).with("dim", {0, 2}),
                shape(2, 0).with("dim", {0}), shape()},
};
constinit const Op amin_op{
    .schema = "amin(Tensor input, int[]? dim=None, bool keepdim=False) -> Tensor",
    .doc =
        "Smallest element over the dimensions `dim`, all when None; the gradient is shared equally among "
        "equal ones.",
    .shape = extremum_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "vector", .run = extremum_kernel<Reduce::Minimum>}},
    .derivative = {wrt("input", extremum_gradient)},
    .batch = over_dims("dim"),
    .onnx = "ReduceMin(input, axes=dim, keepdims=keepdim)",
    .netdef = "ReduceMin(input, axes=dim, keepdims=keepdim)",
    .samples = {shape(3, 4).in(Domain::Distinct),
                shape(2, 3, 4).in(Domain::Distinct).with("dim", {1}).with("keepdim", true),
                shape(2, 0).with("dim", {0}), shape()},
};

constinit const Op argmax_op{
    .schema = "argmax(Tensor input, int? dim=None, bool keepdim=False) -> Tensor",
    .doc =
        "Place of the largest element along `dim`, the first of equal ones; in the flattened tensor when "
        "None.",
    .shape = argmax_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "vector", .run = argmax_kernel<true>}},
    .derivative = none("places do not change continuously"),
    .batch = over_dims("dim"),
    .onnx = "ArgMax(input, axis=dim, keepdims=keepdim, select_last_index=0)",
    .netdef = "ArgMax(input, axis=dim, keepdims=keepdim)",
    .samples = {shape(3, 4).with("dim", 1).no_gradient(),
                shape(2, 3, 4).with("dim", 0).with("keepdim", true).no_gradient(), shape(5).no_gradient(),
                shape().no_gradient()},
};
constinit const Op argmin_op{
    .schema = "argmin(Tensor input, int? dim=None, bool keepdim=False) -> Tensor",
    .doc =
        "Place of the smallest element along `dim`, the first of equal ones; in the flattened tensor when "
        "None.",
    .shape = argmax_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "vector", .run = argmax_kernel<false>}},
    .derivative = none("places do not change continuously"),
    .batch = over_dims("dim"),
    .onnx = "ArgMin(input, axis=dim, keepdims=keepdim, select_last_index=0)",
    .netdef = "ArgMin(input, axis=dim, keepdims=keepdim)",
    .samples = {shape(3, 4).with("dim", 1).no_gradient(), shape(2, 3, 4).with("dim", -2).no_gradient(),
                shape().no_gradient()},
};

constinit const Op max_op{
    .schema = "max(Tensor input) -> Tensor",
    .doc = "Largest element of the whole tensor.",
    .body = body([](auto input) { return amax(input); }),
    .derivative = {wrt("input", whole_extremum_gradient)},
    .onnx = none("written as ReduceMax"),
    .netdef = none("written as ReduceMax"),
    .samples = {shape(3, 4).in(Domain::Distinct), shape()},
};
constinit const Op min_op{
    .schema = "min(Tensor input) -> Tensor",
    .doc = "Smallest element of the whole tensor.",
    .body = body([](auto input) { return amin(input); }),
    .derivative = {wrt("input", whole_extremum_gradient)},
    .onnx = none("written as ReduceMin"),
    .netdef = none("written as ReduceMin"),
    .samples = {shape(3, 4).in(Domain::Distinct), shape()},
};
constinit const Op max_other_op{
    .schema = "max.other(Tensor input, Tensor other) -> Tensor",
    .doc = "The larger of two elements, broadcasting; the same as maximum.",
    .body = body([](auto input, auto other) { return maximum(input, other); }),
    .onnx = none("written as Max by maximum"),
    .netdef = none("written as Max by maximum"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1}, {3})},
};
constinit const Op min_other_op{
    .schema = "min.other(Tensor input, Tensor other) -> Tensor",
    .doc = "The smaller of two elements, broadcasting; the same as minimum.",
    .body = body([](auto input, auto other) { return minimum(input, other); }),
    .onnx = none("written as Min by minimum"),
    .netdef = none("written as Min by minimum"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1}, {3})},
};
constinit const Op max_dim_op{
    .schema = "max.dim(Tensor input, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "Largest elements along `dim` and their places.",
    .shape = max_dim_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "vector", .run = max_dim_kernel<true>}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto keepdim, auto, auto indices) {
                         return put_selected(dy, indices, shape_of(input), dim, keepdim);
                       })},
    .batch = over_dims("dim"),
    .onnx = none("written as ReduceMax and ArgMax"),
    .netdef = none("written as ReduceMax and ArgMax"),
    .samples = {shape(3, 4).in(Domain::Distinct).with("dim", 1),
                shape(2, 3, 4).in(Domain::Distinct).with("dim", 0).with("keepdim", true),
                shape().with("dim", 0)},
};
constinit const Op min_dim_op{
    .schema = "min.dim(Tensor input, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "Smallest elements along `dim` and their places.",
    .shape = max_dim_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "vector", .run = max_dim_kernel<false>}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto keepdim, auto, auto indices) {
                         return put_selected(dy, indices, shape_of(input), dim, keepdim);
                       })},
    .batch = over_dims("dim"),
    .onnx = none("written as ReduceMin and ArgMin"),
    .netdef = none("written as ReduceMin and ArgMin"),
    .samples = {shape(3, 4).in(Domain::Distinct).with("dim", 1),
                shape(2, 3, 4).in(Domain::Distinct).with("dim", -1), shape().with("dim", 0)},
};

constinit const Op take_selected_op{
    .schema = "take_selected(Tensor input, Tensor indices, int dim, bool keepdim=True) -> Tensor",
    .doc =
        "The elements of input at the places along `dim` that a reduction or sort found; without keepdim "
        "indices lacks "
        "that dimension.",
    .method = "function",
    .shape = take_selected_shape,
    .kernels = {KernelRow{.name = "loop", .run = take_selected_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto indices, auto dim, auto keepdim) {
                         return put_selected(dy, indices, shape_of(input), dim, keepdim);
                       })},
    .onnx = none("a gradient of a gradient"),
    .netdef = none("a gradient of a gradient"),
    .samples = {shapes({3, 4}, {3, 2}).in(Domain::Index, 1, 4).with("dim", 1),
                shapes({3, 4}, {4}).in(Domain::Index, 1, 3).with("dim", 0).with("keepdim", false)},
};
constinit const Op put_selected_op{
    .schema = "put_selected(Tensor grad, Tensor indices, int[] sizes, int dim, bool keepdim=True) -> Tensor",
    .doc = "Gradient of take_selected: grad added into zeros of shape `sizes`.",
    .method = "function",
    .shape = put_selected_shape,
    .kernels = {KernelRow{.name = "loop", .run = put_selected_kernel}},
    .derivative = {wrt("grad", [](auto dy, auto, auto indices, auto, auto dim,
                                  auto keepdim) { return take_selected(dy, indices, dim, keepdim); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 2}, {3, 2})
                    .in(Domain::Real, 0)
                    .in(Domain::Index, 1, 4)
                    .with("sizes", {3, 4})
                    .with("dim", 1),
                shapes({4}, {4})
                    .in(Domain::Real, 0)
                    .in(Domain::Index, 1, 3)
                    .with("sizes", {3, 4})
                    .with("dim", 0)
                    .with("keepdim", false)},
};

}  // namespace moka::ops
