// Running sums, sorting and the k largest.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <limits>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/differentiable.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/ops/reduction/support.h"

namespace moka::ops {

namespace {
Stage along(std::span<const int64_t> sizes, int dim) {
  Stage s;
  for (size_t d = 0; d < sizes.size(); d++) {
    if (d == static_cast<size_t>(dim)) s.count = sizes[d];
    else (d < static_cast<size_t>(dim) ? s.outer : s.inner) *= sizes[d];
  }
  return s;
}
void check_ordered(const Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(is_floating(x.dtype()) || is_integral(x.dtype()) || x.dtype() == DType::Bool, f.name(),
             ": takes floating, integer and bool tensors, got ", x.dtype());
}

// ---- cumsum

// Sums of float run in double.
template <class T>
void running_sum(const Stage& s, const T* in, T* out, bool backwards) {
  using W = std::conditional_t<std::is_same_v<T, float>, double,
                               std::conditional_t<std::is_same_v<T, int64_t>, uint64_t, T>>;
  parallel_for(0, s.outer, 16384 / (s.count * s.inner + 1) + 1, [&](int64_t first, int64_t last) {
    Scratch<W> total(s.inner);
    int64_t o = first;
    // Four lines side by side: each sum waits for the one before.
    for (; s.inner == 1 && o + 4 <= last; o += 4) {
      const int64_t step = backwards ? -1 : 1, n = s.count;
      const T* from = in + o * n + (backwards ? n - 1 : 0);
      T* to = out + o * n + (backwards ? n - 1 : 0);
      W a = 0, b = 0, c = 0, d = 0;
      for (int64_t k = 0; k < n; k++, from += step, to += step) {
        to[0] = static_cast<T>(a += static_cast<W>(from[0]));
        to[n] = static_cast<T>(b += static_cast<W>(from[n]));
        to[2 * n] = static_cast<T>(c += static_cast<W>(from[2 * n]));
        to[3 * n] = static_cast<T>(d += static_cast<W>(from[3 * n]));
      }
    }
    for (; o < last; o++) {
      std::fill_n(total.data(), s.inner, W(0));
      for (int64_t k = 0; k < s.count; k++) {
        int64_t at = (o * s.count + (backwards ? s.count - 1 - k : k)) * s.inner;
        for (int64_t i = 0; i < s.inner; i++) {
          total[i] += static_cast<W>(in[at + i]);
          out[at + i] = static_cast<T>(total[i]);
        }
      }
    }
  });
}
void cumsum_shape(Frame& f) {
  if (!is_complex(tensor_argument(f, 0).dtype())) check_ordered(f);
  const Tensor& x = f.tensor(0);
  dim_argument(f, 1, x.dim());
  f.output(0, x.sizes(), named_type(f, 2, is_differentiable(x.dtype()) ? x.dtype() : DType::I64));
}
void run_cumsum(Frame& f, bool backwards) {
  Tensor x = f.tensor(0);
  DType type = f.outs[0].dtype();
  if (kernel_dtype(type) != kernel_dtype(x.dtype())) x = to_dtype(x, type);
  x = as_contiguous(in_kernel_dtype(x));
  Stage s = along(x.sizes(), dim_argument(f, 1, x.dim()));
  KernelOutput out(f, 0);
  if (x.numel() != 0) {
    if (x.dtype() == DType::F64) running_sum(s, x.data<double>(), out.data<double>(), backwards);
    else if (x.dtype() == DType::F32) running_sum(s, x.data<float>(), out.data<float>(), backwards);
    else running_sum(s, x.data<int64_t>(), out.data<int64_t>(), backwards);
  }
  out.finish();
}
void cumsum_kernel(Frame& f) { run_cumsum(f, false); }
void cumsum_backward_shape(Frame& f) {
  const Tensor& grad = differentiable_argument(f, 0);
  dim_argument(f, 1, grad.dim());
  f.output(0, grad.sizes(), grad.dtype());
}
void cumsum_backward_kernel(Frame& f) { run_cumsum(f, true); }

// ---- sort and topk: NaN is the largest value

template <class T>
struct Entry {
  T value;
  int64_t place;
};
template <class T>
bool precedes(const Entry<T>& a, const Entry<T>& b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a.value != a.value) return false;
    if (b.value != b.value) return true;
  }
  return a.value < b.value;
}
// A float and its place as one number, whose order is that of the floats (NaN last, the zeros equal) and then of places.
uint64_t sort_key(float x, int64_t place, bool descending) {
  const int32_t bits = std::bit_cast<int32_t>(x == 0 ? 0.f : x);
  uint32_t high = static_cast<uint32_t>(bits < 0 ? ~bits : bits | std::numeric_limits<int32_t>::min());
  if (x != x) high = UINT32_MAX;
  return uint64_t(descending ? ~high : high) << 32 | static_cast<uint64_t>(place);
}
// The smallest `keep` keys in order, in front.
void order_keys(uint64_t* keys, int64_t keep, int64_t count) {
  if (keep < count) std::nth_element(keys, keys + keep, keys + count);
  std::sort(keys, keys + keep);
}
// Few of many are kept in order while the others pass by; most do not beat the last one that is kept.
void keep_few(uint64_t* keys, int64_t keep, int64_t count, bool descending, const float* in, int64_t step) {
  for (int64_t k = 0; k < keep; k++) keys[k] = sort_key(in[k * step], k, descending);
  std::sort(keys, keys + keep);
  float worst = in[static_cast<int64_t>(keys[keep - 1] & UINT32_MAX) * step];
  for (int64_t i = keep; i < count; i++) {
    const float x = in[i * step];
    if (descending ? x <= worst : x >= worst) continue;
    const uint64_t key = sort_key(x, i, descending);
    if (key >= keys[keep - 1]) continue;
    int64_t k = keep - 1;
    for (; k > 0 && keys[k - 1] > key; k--) keys[k] = keys[k - 1];
    keys[k] = key;
    worst = in[static_cast<int64_t>(keys[keep - 1] & UINT32_MAX) * step];
  }
}
void order_floats(const Stage& s, int64_t keep, bool descending, const float* in, float* values,
                  int64_t* places) {
  parallel_for(0, s.outer * s.inner, 2048 / (s.count + 1) + 1, [&](int64_t first, int64_t last) {
    Scratch<uint64_t> keys(s.count);
    for (int64_t l = first; l < last; l++) {
      const int64_t o = l / s.inner, i = l % s.inner;
      const float* from = in + o * s.count * s.inner + i;
      if (keep > 0 && keep <= 64 && keep * 8 <= s.count) {
        keep_few(keys.data(), keep, s.count, descending, from, s.inner);
      } else {
        for (int64_t k = 0; k < s.count; k++) keys[k] = sort_key(from[k * s.inner], k, descending);
        order_keys(keys.data(), keep, s.count);
      }
      for (int64_t k = 0; k < keep; k++) {
        const int64_t place = static_cast<int64_t>(keys[k] & UINT32_MAX), at = (o * keep + k) * s.inner + i;
        values[at] = from[place * s.inner];
        places[at] = place;
      }
    }
  });
}
// The first `keep` of each line in order, equal ones in their old order.
template <class T>
void order(const Stage& s, int64_t keep, bool descending, const T* in, T* values, int64_t* places) {
  int64_t lines = s.outer * s.inner;
  parallel_for(0, lines, 2048 / (s.count + 1) + 1, [&](int64_t first, int64_t last) {
    Scratch<Entry<T>> line(s.count);
    for (int64_t l = first; l < last; l++) {
      int64_t o = l / s.inner, i = l % s.inner;
      for (int64_t k = 0; k < s.count; k++) line[k] = {in[(o * s.count + k) * s.inner + i], k};
      auto before = [descending](const Entry<T>& a, const Entry<T>& b) {
        if (descending ? precedes(b, a) : precedes(a, b)) return true;
        if (descending ? precedes(a, b) : precedes(b, a)) return false;
        return a.place < b.place;
      };
      if (keep < s.count) std::partial_sort(line.data(), line.data() + keep, line.data() + s.count, before);
      else std::sort(line.data(), line.data() + s.count, before);
      for (int64_t k = 0; k < keep; k++) {
        int64_t at = (o * keep + k) * s.inner + i;
        values[at] = line[k].value;
        places[at] = line[k].place;
      }
    }
  });
}
void run_order(Frame& f, int dim, bool descending) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  Stage s = along(x.sizes(), dim);
  KernelOutput values(f, 0);
  int64_t keep = x.dim() ? values.tensor().size(dim) : values.tensor().numel();
  int64_t* places = f.outs[1].data<int64_t>();
  if (values.tensor().numel()) {
    if (x.dtype() == DType::F64) order(s, keep, descending, x.data<double>(), values.data<double>(), places);
    else if (x.dtype() == DType::F32 && s.count <= int64_t(UINT32_MAX))
      order_floats(s, keep, descending, x.data<float>(), values.data<float>(), places);
    else if (x.dtype() == DType::F32)
      order(s, keep, descending, x.data<float>(), values.data<float>(), places);
    else order(s, keep, descending, x.data<int64_t>(), values.data<int64_t>(), places);
  }
  values.finish();
}
void sort_shape(Frame& f) {
  check_ordered(f);
  const Tensor& x = f.tensor(0);
  dim_argument(f, 1, x.dim());
  exact_output(f, 0, x.sizes(), x.dtype());
  exact_output(f, 1, x.sizes(), DType::I64);
}
void sort_kernel(Frame& f) { run_order(f, dim_argument(f, 1, f.tensor(0).dim()), f.flag(2)); }

void topk_shape(Frame& f) {
  check_ordered(f);
  const Tensor& x = f.tensor(0);
  int dim = dim_argument(f, 2, x.dim());
  int64_t k = f.integer(1), size = x.dim() ? x.size(dim) : 1;
  MOKA_CHECK(k >= 0 && k <= size, "topk: selected index k out of range: it must be between 0 and ", size,
             ", the size of dimension ", dim, ", got ", k);
  Dims sizes(x.sizes());
  if (x.dim()) sizes[static_cast<size_t>(dim)] = k;
  exact_output(f, 0, sizes, x.dtype());
  exact_output(f, 1, sizes, DType::I64);
}
void topk_kernel(Frame& f) { run_order(f, dim_argument(f, 2, f.tensor(0).dim()), f.flag(3)); }
}  // namespace

constinit const Op cumsum_op{
    .schema = "cumsum(Tensor input, int dim, *, DType? dtype=None) -> Tensor",
    .doc = "Sums of the elements up to each place along `dim`; integers are summed in int64.",
    .shape = cumsum_shape,
    .kernels = {KernelRow{.name = "loop", .run = cumsum_kernel}},
    .derivative = {wrt("input", [](auto dy, auto, auto dim) { return cumsum_backward(dy, dim); })},
    .batch = over_dims("dim"),
    .onnx = "CumSum(input, dim, exclusive?=0, reverse?=0)",
    .netdef = none("Caffe2 has no running sum"),
    .dtype_of_out = true,
    .samples = {shape(3, 4).with("dim", 1), shape(2, 3, 4).with("dim", 0), shape(0, 3).with("dim", 0),
                shape().with("dim", 0)},
};
constinit const Op cumsum_backward_op{
    .schema = "cumsum_backward(Tensor grad, int dim, *, DType? dtype=None) -> Tensor",
    .doc = "Gradient of cumsum: sums from each place to the end.",
    .method = "function",
    .shape = cumsum_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = cumsum_backward_kernel}},
    .derivative = {wrt("grad", [](auto dy, auto, auto dim) { return cumsum(dy, dim); })},
    .onnx = "CumSum(grad, dim, exclusive?=0, reverse=1)",
    .netdef = none("Caffe2 has no running sum"),
    .samples = {shape(3, 4).with("dim", 1), shape(0, 3).with("dim", 0)},
};

constinit const Op sort_op{
    .schema =
        "sort(Tensor input, int dim=-1, bool descending=False, bool stable=False) -> (Tensor values, Tensor "
        "indices)",
    .doc = "Elements in order along `dim` and the places they came from; always stable, NaN is the largest.",
    .shape = sort_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "introsort", .run = sort_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto, auto, auto, auto indices) {
                         return put_selected(dy, indices, shape_of(input), dim, true);
                       })},
    .batch = over_dims("dim"),
    .onnx = none("written as TopK over the whole dimension"),
    .netdef = none("Caffe2 sorts only through TopK"),
    .samples = {shape(3, 4).in(Domain::Distinct),
                shape(2, 5, 3).in(Domain::Distinct).with("dim", 1).with("descending", true), shape(0, 3),
                shape()},
};
constinit const Op topk_op{
    .schema =
        "topk(Tensor input, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, "
        "Tensor indices)",
    .doc =
        "The k largest (or smallest) elements along `dim` in order, and their places; of equal ones the "
        "first.",
    .shape = topk_shape,
    .kernels = {in_unsigned_order, KernelRow{.name = "partial_sort", .run = topk_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto, auto dim, auto, auto, auto, auto indices) {
                         return put_selected(dy, indices, shape_of(input), dim, true);
                       })},
    .batch = over_dims("dim"),
    .onnx = {{.map = "TopK(input, list(k), axis=dim, largest=largest, sorted=sorted)", .since = 11}},
    .netdef = "TopK(input, k=k, axis=dim, =largest:True)",
    .samples = {shape(3, 4).in(Domain::Distinct).with("k", 2),
                shape(2, 5, 3).in(Domain::Distinct).with("k", 3).with("dim", 1).with("largest", false),
                shape(3, 4).with("k", 0)},
};

}  // namespace moka::ops
