// Reductions into places: scatter_reduce, its gradient, and scatter's other forms.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <vector>

#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/wrapping.h"
#include "moka/ops/parts.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
enum class Into { Sum, Prod, Mean, Largest, Smallest };
Into reduction_of(const Frame& f, int i) {
  std::string_view name = f.string(i);
  if (name == "sum") return Into::Sum;
  if (name == "prod") return Into::Prod;
  if (name == "mean") return Into::Mean;
  if (name == "amax") return Into::Largest;
  if (name == "amin") return Into::Smallest;
  fail(f.name(), ": reduce argument must be either sum, prod, mean, amax or amin, got ", name);
}
void shape_scatter_reduce(Frame& f) {
  const Tensor &x = f.tensor(0), &index = f.tensor(2), &src = f.tensor(3);
  reduction_of(f, 4);
  MOKA_CHECK(index.dtype() == DType::I64 || index.dtype() == DType::I32, f.name(),
             ": Expected dtype int32/int64 for index, got ", index.dtype());
  MOKA_CHECK_KIND(NotImplemented, !is_complex(x.dtype()) || (f.string(4) != "amax" && f.string(4) != "amin"),
                  f.name(), ": ", f.string(4), " is not defined for ", x.dtype());
  MOKA_CHECK(src.dtype() == x.dtype(), f.name(), ": Expected self.dtype to be equal to src.dtype, got ",
             x.dtype(), " and ", src.dtype());
  int d = dim_argument(f, 1, x.dim());
  if (index.numel() > 0) {
    int n = std::max(x.dim(), 1);
    MOKA_CHECK(std::max(index.dim(), 1) == n && std::max(src.dim(), 1) == n, f.name(),
               ": Index tensor must have the same number of dimensions as self and src tensor, got shapes ",
               index.sizes(), ", ", x.sizes(), " and ", src.sizes());
    for (int k = 0; k < index.dim(); k++) {
      MOKA_CHECK(k == d || index.size(k) <= (x.dim() ? x.size(k) : 1), f.name(), ": Expected index ",
                 index.sizes(), " to be no larger than self ", x.sizes(), " apart from dimension ", d);
      MOKA_CHECK(index.size(k) <= (src.dim() ? src.size(k) : 1), f.name(), ": Expected index ", index.sizes(),
                 " to be no larger than src ", src.sizes());
    }
  }
  exact_output(f, 0, x.sizes(), x.dtype());
}
// Calls f(place in the contiguous tensor `x`, place in the contiguous index) for every index.
template <class F>
void for_places(const Frame& f, const Tensor& x, const Tensor& index, int dim, F call) {
  const int64_t* v = index.data<int64_t>();
  int n = index.dim();
  int64_t limit = x.dim() ? x.size(dim) : 1, step = x.dim() ? x.stride(dim) : 1, at = 0;
  Dims count(static_cast<size_t>(n));
  for (int64_t i = 0; i < index.numel(); i++) {
    int64_t to = v[i];
    MOKA_CHECK(to >= -limit && to < limit, f.name(), ": index ", to, " is out of bounds for dimension ", dim,
               " with size ", limit);
    call(at + (to < 0 ? to + limit : to) * step, i);
    for (int d = n; d-- > 0;) {
      int64_t own = d == dim || !x.dim() ? 0 : x.stride(d);
      at += own;
      if (++count[static_cast<size_t>(d)] < index.size(d)) break;
      at -= own * index.size(d);
      count[static_cast<size_t>(d)] = 0;
    }
  }
}
template <class T>
T start_of(Into into) {
  using L = std::numeric_limits<T>;
  if (into == Into::Prod) return T(1);
  if constexpr (std::is_arithmetic_v<T>) {
    if (into == Into::Largest) return L::has_infinity ? -L::infinity() : L::lowest();
    if (into == Into::Smallest) return L::has_infinity ? L::infinity() : L::max();
  }
  return T(0);
}
template <class T>
void reduce_into(const Frame& f, Into into, const Tensor& index, const Tensor& src, const Tensor& out,
                 int dim, bool include_self) {
  T* y = out.data<T>();
  const T* x = src.data<T>();
  std::vector<int64_t> counts;
  if (into == Into::Mean) counts.assign(static_cast<size_t>(out.numel()), include_self ? 1 : 0);
  if (!include_self) for_places(f, out, index, dim, [&](int64_t to, int64_t) { y[to] = start_of<T>(into); });
  for_places(f, out, index, dim, [&](int64_t to, int64_t from) {
    T v = x[from];
    switch (into) {
      case Into::Prod: y[to] = wrapping_multiply<T>(y[to], v); break;
      case Into::Largest:
        if constexpr (std::is_arithmetic_v<T>) y[to] = v != v || v > y[to] ? v : y[to];
        break;
      case Into::Smallest:
        if constexpr (std::is_arithmetic_v<T>) y[to] = v != v || v < y[to] ? v : y[to];
        break;
      case Into::Mean: counts[static_cast<size_t>(to)]++; [[fallthrough]];
      case Into::Sum: y[to] = wrapping_add<T>(y[to], v); break;
    }
  });
  for (size_t i = 0; i < counts.size(); i++) {
    if (counts[i] <= 1) continue;
    if constexpr (std::is_unsigned_v<T>) y[i] /= static_cast<T>(counts[i]);
    else if constexpr (!std::is_integral_v<T>) y[i] /= static_cast<T>(static_cast<double>(counts[i]));
    else y[i] = static_cast<T>(std::floor(static_cast<double>(y[i]) / static_cast<double>(counts[i])));
  }
}
Tensor index_of(const Tensor& t) { return to_dtype(t, DType::I64); }
// The corner of src that the index covers.
Tensor corner(const Tensor& src, const Tensor& index) {
  return strided_view(src, index.sizes(), src.strides(), src.impl()->offset);
}
void run_scatter_reduce(Frame& f) {
  Into into = reduction_of(f, 4);
  KernelOutput out(f, 0);
  copy_elements(f.tensor(0), out.tensor());
  Tensor index = index_of(f.tensor(2));
  if (index.numel() == 0) return out.finish();
  int dim = dim_argument(f, 1, f.tensor(0).dim());
  const Tensor& given = f.tensor(3);
  Tensor src = as_contiguous(in_kernel_dtype(given.dim() ? corner(given, index) : given));
  if (src.dtype() == DType::F64) reduce_into<double>(f, into, index, src, out.tensor(), dim, f.flag(5));
  else if (src.dtype() == DType::F32) reduce_into<float>(f, into, index, src, out.tensor(), dim, f.flag(5));
  else if (src.dtype() == DType::C64)
    reduce_into<std::complex<float>>(f, into, index, src, out.tensor(), dim, f.flag(5));
  else if (src.dtype() == DType::C128)
    reduce_into<std::complex<double>>(f, into, index, src, out.tensor(), dim, f.flag(5));
  else if (given.dtype() == DType::U64)
    reduce_into<uint64_t>(f, into, index, src, out.tensor(), dim, f.flag(5));
  else reduce_into<int64_t>(f, into, index, src, out.tensor(), dim, f.flag(5));
  out.finish();
}

// The gradients of input and src, by the rules of each reduction; places that several elements share get their parts.
std::tuple<Tensor, Tensor> reduce_gradient(const Tensor& dy, const Tensor& x, int64_t dim,
                                           const Tensor& index, const Tensor& whole, std::string_view reduce,
                                           bool include_self, const Tensor& y) {
  if (index.numel() == 0) return {dy, zeros_like(whole)};
  bool cut =
      !std::equal(whole.sizes().begin(), whole.sizes().end(), index.sizes().begin(), index.sizes().end());
  Tensor src = whole;
  Dims pad;
  for (int d = whole.dim(); cut && d-- > 0;) {
    src = narrow(src, d, int64_t(0), index.size(d));
    pad.push_back(0);
    pad.push_back(whole.size(d) - index.size(d));
  }
  auto put = [&](const Tensor& to, const Tensor& from, std::string_view how, bool self) {
    return scatter_reduce(to, dim, index, from, how, self);
  };
  auto as_numbers = [&](const Tensor& truth) { return to(truth, dy.dtype()); };
  Tensor dx = dy, ds;
  if (reduce == "sum") {
    ds = gather(dy, dim, index);
  } else if (reduce == "prod") {
    Tensor no_zeros = where(eq(x, 0), 1, x);
    dx = dy * put(no_zeros, src, "prod", include_self) / no_zeros;
    Tensor zero = eq(src, 0);
    Tensor zeros_there = gather(put(zeros_like(x), as_numbers(zero), "sum", true), dim, index);
    Tensor only_zero = logical_and(zero, eq(zeros_there, 1));
    Tensor without = put(x, where(only_zero, 1, src), "prod", include_self);
    ds = where(only_zero, gather(dy * without, dim, index), gather(dy * y, dim, index) / where(zero, 1, src));
  } else if (reduce == "mean") {
    Tensor count = put(include_self ? ones_like(dy) : zeros_like(dy), ones_like(src), "sum", true);
    count = where(eq(count, 0), 1, count);
    dx = dy / count;
    ds = gather(dy, dim, index) / gather(count, dim, index);
  } else {
    Tensor self_is = as_numbers(eq(x, y)), src_is = as_numbers(eq(src, gather(y, dim, index)));
    Tensor shared = dy / put(self_is, src_is, "sum", true);
    dx = self_is * shared;
    ds = src_is * gather(shared, dim, index);
  }
  if (!include_self) dx = scatter(dx, dim, index, 0);
  if (cut) ds = pad_constant(ds, pad);
  return {dx, ds};
}

// scatter(..., value=) and scatter(..., reduce=)
Tensor scatter_number(const Tensor& x, int64_t dim, const Tensor& index, const Any& value) {
  return EagerReading::call(scatter_op, x, dim, index, value).tensor();
}
Tensor scatter_with(const Tensor& x, int64_t dim, const Tensor& index, const Any& src,
                    std::string_view reduce) {
  MOKA_CHECK(reduce == "add" || reduce == "multiply",
             "scatter: reduce argument must be either add or multiply, got ", reduce);
  Tensor from = src.is_tensor() ? src.tensor() : expand(full(Dims{}, src, x.dtype()).tensor(), index.sizes());
  return scatter_reduce(x, dim, index, from, reduce == "add" ? "sum" : "prod", true);
}
}  // namespace

constinit const Op scatter_reduce_op{
    .schema =
        "scatter_reduce(Tensor input, int dim, Tensor index, Tensor src, str reduce, *, bool "
        "include_self=True) -> Tensor",
    .doc =
        "input with src reduced ('sum', 'prod', 'mean', 'amax', 'amin') into the places that index names "
        "along dim.",
    .shape = shape_scatter_reduce,
    .kernels = {KernelRow{"loop", run_scatter_reduce}},
    .derivative = {wrt(
        "input src",
        [](auto dy, auto input, auto dim, auto index, auto src, auto reduce, auto include_self, auto y) {
          auto g = op_results(scatter_reduce_backward, dy, input, dim, index, src, reduce, include_self, y);
          return results(g[0], g[1]);
        })},
    .onnx = none("written as ScatterElements by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({4, 3}, {2, 3}, {2, 3}).in(Domain::Index, 1, 4).with("dim", 0).with("reduce", "sum"),
                shapes({4, 3}, {2, 3}, {2, 3}).in(Domain::Index, 1, 4).with("dim", 0).with("reduce", "mean"),
                shapes({3}, {4}, {5}).in(Domain::Index, 1, 3).with("dim", 0).with("reduce", "prod"),
                shapes({4, 3}, {2, 3}, {2, 3})
                    .in(Domain::Index, 1, 4)
                    .with("dim", 0)
                    .with("reduce", "amax")
                    .with("include_self", false)},
};
constinit const Op scatter_reduce_backward_op{
    .schema =
        "scatter_reduce_backward(Tensor dy, Tensor input, int dim, Tensor index, Tensor src, str reduce, "
        "bool "
        "include_self, Tensor result) -> (Tensor input_gradient, Tensor src_gradient)",
    .doc = "The gradients of scatter_reduce.",
    .method = "none",
    .body = parts<reduce_gradient>(),
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op scatter_value_op{
    .schema = "scatter.value(Tensor input, int dim, Tensor index, Number value) -> Tensor",
    .doc = "input with one value at the places of index.",
    .body = parts<scatter_number>(),
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shapes({4, 3}, {1, 3}).in(Domain::Index, 1, 4).with("dim", 0).with("value", 2.0),
                shapes({2, 3}, {2, 0}).in(Domain::Index, 1, 3).with("dim", 1).with("value", 1)},
};
constinit const Op scatter_reduced_op{
    .schema = "scatter.reduce(Tensor input, int dim, Tensor index, Operand src, *, str reduce) -> Tensor",
    .doc = "input with src added ('add') or multiplied ('multiply') into the places of index.",
    .body = parts<scatter_with>(),
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shapes({4, 3}, {2, 3}, {2, 3}).in(Domain::Index, 1, 4).with("dim", 0).with("reduce", "add"),
                shapes({3}, {2}, {2}).in(Domain::Index, 1, 3).with("dim", 0).with("reduce", "multiply")},
};

}  // namespace moka::ops
