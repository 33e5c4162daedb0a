// Elements by rank: medians, the most frequent.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <vector>

#include "moka/ops/kernels/given_output.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/ops/reduction/lines.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
template <class T>
struct Ranked {
  T value;
  int64_t place;
};
// NaN is the largest value; equal ones keep their order.
template <class T>
bool ranks_before(const Ranked<T>& a, const Ranked<T>& b) {
  bool nan_a = a.value != a.value, nan_b = b.value != b.value;
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && a.value != b.value) return a.value < b.value;
  return a.place < b.place;
}
void ranked_shape(Frame& f, int dim_at, bool keepdim) {
  const Tensor& x = ordered_argument(f, 0);
  int dim = dim_argument(f, dim_at, x.dim());
  check_not_empty(f, x.sizes(), x.dim() ? DimSet(1) << dim : 0);
  Dims sizes = reduced_sizes(x.sizes(), x.dim() ? DimSet(1) << dim : 0, keepdim);
  exact_output(f, 0, sizes, x.dtype());
  exact_output(f, 1, sizes, DType::I64);
}
// choose(line, count) -> the chosen element of each line.
template <class F>
void choose_ranked(Frame& f, int dim_at, F choose) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  Stage s = lines_along(x.sizes(), dim_argument(f, dim_at, x.dim()));
  KernelOutput values(f, 0);
  int64_t* places = f.outs[1].data<int64_t>();
  with_kernel_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.data<T>();
    parallel_for(0, s.outer * s.inner, 4096 / (s.count + 1) + 1, [&](int64_t first, int64_t last) {
      Scratch<Ranked<T>> line(s.count);
      for (int64_t l = first; l < last; l++) {
        const T* from = in + l / s.inner * s.count * s.inner + l % s.inner;
        for (int64_t k = 0; k < s.count; k++) line[k] = {from[k * s.inner], k};
        Ranked<T> chosen = choose(line.data(), s.count);
        values.data<T>()[l] = chosen.value;
        places[l] = chosen.place;
      }
    });
  });
  values.finish();
}
template <class T>
Ranked<T> nth(Ranked<T>* line, int64_t count, int64_t k) {
  std::nth_element(line, line + k, line + count, ranks_before<T>);
  return line[k];
}
// The lower median. With NaN the median is the first NaN, unless they are ignored.
template <class T>
Ranked<T> median_of(Ranked<T>* line, int64_t count, bool ignore_nan) {
  int64_t numbers = count;
  if constexpr (std::is_floating_point_v<T>) {
    int64_t first_nan = -1;
    numbers = 0;
    for (int64_t k = 0; k < count; k++) {
      if (line[k].value == line[k].value) numbers++;
      else if (first_nan < 0) first_nan = k;
    }
    if (first_nan >= 0 && (!ignore_nan || numbers == 0)) return line[first_nan];
  }
  return nth(line, count, (numbers - 1) / 2);
}

void median_dim_shape(Frame& f) { ranked_shape(f, 1, f.flag(2)); }
template <bool IgnoreNan>
void median_dim_kernel(Frame& f) {
  choose_ranked(f, 1, [](auto* line, int64_t count) { return median_of(line, count, IgnoreNan); });
}
void mode_kernel(Frame& f) {
  choose_ranked(f, 1, [](auto* line, int64_t count) {
    std::sort(line, line + count, ranks_before<decltype(line->value)>);
    int64_t best = 0, most = 0;
    for (int64_t k = 0, run = 0; k < count; k++) {
      run = k > 0 && line[k].value == line[k - 1].value ? run + 1 : 1;
      bool ends = k + 1 == count || !(line[k + 1].value == line[k].value);
      if (ends && run > most) {
        most = run;
        best = k;
      }
    }
    return line[best];
  });
}

void median_shape(Frame& f) {
  const Tensor& x = ordered_argument(f, 0);
  MOKA_CHECK(x.numel() || is_floating(x.dtype()), f.name(), ": no elements of type ", x.dtype(),
             " have no median");
  exact_output(f, 0, Dims(), x.dtype());
}
template <bool IgnoreNan>
void median_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput out(f, 0);
  with_kernel_type(x, [&](auto zero) {
    using T = decltype(zero);
    int64_t n = x.numel();
    if (n == 0) {
      *out.data<T>() = static_cast<T>(std::numeric_limits<T>::quiet_NaN());
      return;
    }
    Scratch<Ranked<T>> line(n);
    for (int64_t k = 0; k < n; k++) line[k] = {x.data<T>()[k], k};
    *out.data<T>() = median_of(line.data(), n, IgnoreNan).value;
  });
  out.finish();
}
// All elements equal to the median share its gradient, as PyTorch does for the whole tensor.
auto median_gradient = [](auto dy, auto x, auto y) {
  auto chosen = logical_or(eq(x, y), logical_and(isnan(x), isnan(y)));
  return where(chosen, dy, 0) / sum(chosen);
};
auto selected_gradient = [](auto dy, auto x, auto dim, auto keepdim, auto, auto places) {
  return put_selected(dy, places, shape_of(x), dim, keepdim);
};
}  // namespace

constinit const Op median_op{
    .schema = "median(Tensor input) -> Tensor",
    .doc = "The median of all elements, the lower of two; NaN where there is one.",
    .shape = median_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "select", .run = median_kernel<false>}},
    .derivative = {wrt("input", median_gradient)},
    .onnx = none("written as TopK"),
    .netdef = none("written as TopK"),
    .samples = {shape(3, 4).in(Domain::Distinct), shape()},
};
constinit const Op median_dim_op{
    .schema = "median.dim(Tensor input, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "The medians along `dim`, the lower of two, and their places.",
    .shape = median_dim_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "select", .run = median_dim_kernel<false>}},
    .derivative = {wrt("input", selected_gradient)},
    .onnx = none("written as TopK"),
    .netdef = none("written as TopK"),
    .samples = {shape(3, 4).in(Domain::Distinct).with("dim", 1),
                shape(3, 4).in(Domain::Distinct).with("dim", 0).with("keepdim", true)},
};
constinit const Op nanmedian_op{
    .schema = "nanmedian(Tensor input) -> Tensor",
    .doc = "The median of the elements that are not NaN, the lower of two.",
    .shape = median_shape,
    .kernels = {KernelRow{.name = "select", .run = median_kernel<true>}},
    .derivative = {wrt("input", median_gradient)},
    .onnx = none("written as TopK"),
    .netdef = none("written as TopK"),
    .samples = {shape(3, 4).in(Domain::Distinct), shape()},
};
constinit const Op nanmedian_dim_op{
    .schema = "nanmedian.dim(Tensor input, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "The medians along `dim` of the elements that are not NaN, and their places.",
    .shape = median_dim_shape,
    .kernels = {KernelRow{.name = "select", .run = median_dim_kernel<true>}},
    .derivative = {wrt("input", selected_gradient)},
    .onnx = none("written as TopK"),
    .netdef = none("written as TopK"),
    .samples = {shape(3, 4).in(Domain::Distinct).with("dim", 1),
                shape(3, 4).in(Domain::Distinct).with("dim", 0).with("keepdim", true)},
};
constinit const Op mode_op{
    .schema = "mode(Tensor input, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "The most frequent element along `dim`, the smallest of several, and its last place.",
    .shape = median_dim_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "sort", .run = mode_kernel}},
    .derivative = {wrt("input", selected_gradient)},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4).in(Domain::Distinct), shape(3, 4).in(Domain::Distinct).with("dim", 0), shape()},
};

}  // namespace moka::ops
