// Counts of values: histograms, and the distinct ones.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "moka/ops/kernels/given_output.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/ops/reduction/lines.h"
#include "moka/ops/unwritten.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
// ---- bincount: the size of the result depends on values
void run_bincount(Frame& f) {
  f.sizes_of_values();
  const Tensor& x = tensor_argument(f, 0);
  const Tensor& w = f.maybe(1);
  check_sizes_known(x, f.name());
  int64_t least = f.integer(2);
  MOKA_CHECK(is_integral(x.dtype()) && x.dim() == 1, f.name(),
             ": input must be 1-d and hold integers that are not negative, got ", x);
  MOKA_CHECK(least >= 0, f.name(), ": minlength must not be negative, got ", least);
  MOKA_CHECK(!w || (w.dim() == 1 && w.numel() == x.numel()), f.name(),
             ": weights must have the shape of input, ", x.sizes(), ", got ",
             w ? w.sizes() : std::span<const int64_t>());
  Tensor at = as_contiguous(to_dtype(x, DType::I64));
  const int64_t* p = at.data<int64_t>();
  int64_t n = at.numel(), size = least;
  for (int64_t i = 0; i < n; i++) {
    MOKA_CHECK(p[i] >= 0, f.name(), ": input must not be negative, but element ", i, " is ", p[i]);
    size = std::max(size, checked_add(p[i], 1, "bincount"));
  }
  f.outs.resize(1);
  const int64_t sizes[] = {size};
  f.outs[0] = new_tensor(sizes, !w ? DType::I64 : w.dtype() == DType::F32 ? DType::F32 : DType::F64);
  auto count = [&](auto* out, const auto* weight) {
    std::fill_n(out, size, 0);
    for (int64_t i = 0; i < n; i++) out[p[i]] += weight ? weight[i] : 1;
  };
  if (!w) count(f.outs[0].data<int64_t>(), static_cast<const int64_t*>(nullptr));
  else if (w.dtype() == DType::F32) count(f.outs[0].data<float>(), as_contiguous(w).data<float>());
  else count(f.outs[0].data<double>(), as_contiguous(to_dtype(w, DType::F64)).data<double>());
}

// ---- histc
void histc_shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  MOKA_CHECK(f.integer(1) > 0, f.name(), ": bins must be positive, got ", f.integer(1));
  const int64_t sizes[] = {f.integer(1)};
  exact_output(f, 0, sizes, x.dtype());
}
template <class T>
void histogram(const Frame& f, const Tensor& x, T* out) {
  int64_t bins = f.integer(1), n = x.numel();
  const T* p = x.data<T>();
  T low = static_cast<T>(f.number(2)), high = static_cast<T>(f.number(3));
  if (low == high && n) {
    auto [a, b] = std::minmax_element(p, p + n);
    low = *a;
    high = *b;
  }
  if (low == high) {
    low -= 1;
    high += 1;
  }
  MOKA_CHECK(std::isfinite(double(low)) && std::isfinite(double(high)), f.name(), ": range of [", double(low),
             ", ", double(high), "] is not finite");
  MOKA_CHECK(low < high, f.name(), ": max must be larger than min, got ", double(low), " and ", double(high));
  std::fill_n(out, bins, T(0));
  for (int64_t i = 0; i < n; i++) {
    if (!(p[i] >= low && p[i] <= high)) continue;
    int64_t k = static_cast<int64_t>((p[i] - low) * static_cast<T>(bins) / (high - low));
    out[std::min(k, bins - 1)] += 1;
  }
}
void histc_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput out(f, 0);
  if (x.dtype() == DType::F64) histogram(f, x, out.data<double>());
  else histogram(f, x, out.data<float>());
  out.finish();
}

// ---- unique: rows [count, length] are compared element by element
template <class T>
int compare_rows(const T* a, const T* b, int64_t length) {
  for (int64_t i = 0; i < length; i++) {
    bool nan_a = a[i] != a[i], nan_b = b[i] != b[i];
    if (nan_a || nan_b) {
      if (nan_a != nan_b) return nan_a ? 1 : -1;
      continue;
    }
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}
// NaN is different from itself, in order and in groups.
template <class T>
bool same_rows(const T* a, const T* b, int64_t length) {
  for (int64_t i = 0; i < length; i++)
    if (!(a[i] == b[i])) return false;
  return true;
}
void run_unique(Frame& f) {
  f.sizes_of_values(-1);
  const Tensor& input = ordered_argument(f, 0);
  if (input.dtype() == DType::U64 && !is_meta(input)) return run_in_unsigned_order(f);
  check_sizes_known(input, f.name());
  bool whole = !f.has(1), consecutive = f.flag(2);
  Tensor x = as_contiguous(in_kernel_dtype(input));
  int dim = whole ? 0 : dim_argument(f, 1, input.dim());
  Dims sizes = whole || input.dim() == 0 ? Dims{input.numel()} : Dims(input.sizes());
  int64_t count = sizes[static_cast<size_t>(dim)], length = 1;
  MOKA_CHECK(count != 0 || input.numel() == 0, f.name(), ": internal sizes");
  for (size_t d = 0; d < sizes.size(); d++)
    if (d != static_cast<size_t>(dim)) length *= sizes[d];
  MOKA_CHECK(whole || input.dim() == 0 || count == 0 || length != 0, f.name(),
             ": There are 0 sized dimensions, and they aren't selected, so unique cannot be applied (shape ",
             input.sizes(), ")");
  Tensor lines =
      strided_view(x, sizes, Dims(whole || input.dim() == 0 ? Dims{1} : Dims(x.strides())), x.impl()->offset);
  // The dimension in front, so that a row is contiguous.
  Dims order_sizes{count}, order_strides{lines.stride(dim)};
  for (size_t d = 0; d < sizes.size(); d++)
    if (d != static_cast<size_t>(dim)) {
      order_sizes.push_back(sizes[d]);
      order_strides.push_back(lines.stride(static_cast<int>(d)));
    }
  Tensor rows = as_contiguous(strided_view(lines, order_sizes, order_strides, lines.impl()->offset));
  std::vector<int64_t> order(static_cast<size_t>(count)), first, counts;
  std::iota(order.begin(), order.end(), 0);
  Dims inverse_sizes = whole ? Dims(input.sizes()) : Dims{count};
  Tensor inverse = new_tensor(inverse_sizes, DType::I64);
  with_kernel_type(rows, [&](auto zero) {
    using T = decltype(zero);
    const T* p = rows.data<T>();
    if (!consecutive)
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return compare_rows(p + a * length, p + b * length, length) < 0;
      });
    for (size_t k = 0; k < order.size(); k++) {
      if (k == 0 || !same_rows(p + order[k] * length, p + order[k - 1] * length, length)) {
        first.push_back(order[k]);
        counts.push_back(0);
      }
      counts.back()++;
      inverse.data<int64_t>()[order[k]] = static_cast<int64_t>(first.size()) - 1;
    }
  });
  int64_t groups = static_cast<int64_t>(first.size());
  Dims packed_sizes = order_sizes;
  packed_sizes[0] = groups;
  Tensor packed = new_tensor(packed_sizes, rows.dtype());
  size_t bytes = static_cast<size_t>(length) * item_size(rows.dtype());
  for (int64_t g = 0; g < groups && bytes; g++)
    std::memcpy(static_cast<char*>(packed.raw_data()) + static_cast<size_t>(g) * bytes,
                static_cast<const char*>(rows.raw_data()) +
                    static_cast<size_t>(first[static_cast<size_t>(g)]) * bytes,
                bytes);
  // Back into the order of the dimensions.
  Dims result_sizes = sizes, result_strides(sizes.size());
  result_sizes[static_cast<size_t>(dim)] = groups;
  int at = 1;
  for (size_t d = 0; d < sizes.size(); d++)
    result_strides[d] = d == static_cast<size_t>(dim) ? packed.stride(0) : packed.stride(at++);
  Tensor values = new_tensor(result_sizes, input.dtype());
  copy_elements(strided_view(packed, result_sizes, result_strides, 0), values);
  const int64_t group_sizes[] = {groups};
  Tensor group_counts = new_tensor(group_sizes, DType::I64);
  std::copy(counts.begin(), counts.end(), group_counts.data<int64_t>());
  f.outs.resize(3);
  f.outs[0] = values;
  f.outs[1] = inverse;
  f.outs[2] = group_counts;
}
}  // namespace

constinit const Op bincount_op{
    .schema = "bincount(Tensor input, Tensor? weights=None, int minlength=0) -> Tensor",
    .doc = "How often each integer from 0 on occurs in input, or the sum of its weights.",
    .view = run_bincount,
    .derivative = none("takes integers"),
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(6).in(Domain::Index, 0, 4).no_gradient(),
                shape(0).in(Domain::Index, 0, 4).no_gradient()},
};
constinit const Op histc_op{
    .schema = "histc(Tensor input, int bins=100, Number min=0, Number max=0) -> Tensor",
    .doc =
        "The number of elements in each of `bins` equal parts of [min, max], of the range of input where "
        "both are 0.",
    .shape = histc_shape,
    .kernels = {KernelRow{.name = "loop", .run = histc_kernel}},
    .derivative = none("counts do not change continuously"),
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4).with("bins", 4).no_gradient(),
                shape(5).with("bins", 3).with("min", -1).with("max", 1).no_gradient()},
};
constinit const Op unique_all_op{
    .schema =
        "unique_all(Tensor input, int? dim=None, bool consecutive=False) -> (Tensor values, Tensor inverse, "
        "Tensor "
        "counts)",
    .doc =
        "The distinct elements, or slices along `dim`, in order (or as they follow each other when "
        "consecutive), where "
        "each element went, and how many there are of each.",
    .method = "function",
    .view = run_unique,
    .derivative = {unwritten("the choice does not change continuously")},
    .onnx = none("written as Unique by an adapter"),
    .netdef = none("Caffe2's Unique is for 1-D integers"),
    .samples = {shape(6).in(Domain::Integer).no_gradient(),
                shape(3, 2).in(Domain::Integer).with("dim", 0).no_gradient()},
};

}  // namespace moka::ops
