// Searches: places in sorted boundaries, membership, the k-th smallest, orders.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/parts.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// NaN is larger than every number.
template <class T>
bool less(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return b != b ? a == a : a < b;
  else return a < b;
}
Tensor number_tensor(const Arg& a) {
  if (a.tag == Tag::Tensor) return a.as_tensor();
  Tensor t = new_tensor({}, a.tag == Tag::Float ? DType::F64 : a.tag == Tag::Bool ? DType::Bool : DType::I64);
  if (a.tag == Tag::Float) *t.data<double>() = a.f;
  else if (a.tag == Tag::Bool) *t.data<bool>() = a.b;
  else *t.data<int64_t>() = a.i;
  return t;
}
// One type in which both compare exactly: int64 for integers, else double.
DType common_type(const Tensor& a, const Tensor& b) {
  return is_floating(a.dtype()) || is_floating(b.dtype()) ? DType::F64 : DType::I64;
}
DType place_type(bool out_int32) { return out_int32 ? DType::I32 : DType::I64; }

// Calls f(value) -> place for n values and writes the places.
template <class F>
void write_places(const Tensor& out, int64_t n, F find) {
  auto run = [&]<class T>(T* to) {
    parallel_for(0, n, 1024, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) to[i] = static_cast<T>(find(i));
    });
  };
  if (out.dtype() == DType::I32) run(out.data<int32_t>());
  else run(out.data<int64_t>());
}
template <class T>
int64_t place_of(const T* begin, int64_t n, T value, bool right) {
  const T* at = right ? std::upper_bound(begin, begin + n, value, less<T>)
                      : std::lower_bound(begin, begin + n, value, less<T>);
  return at - begin;
}
// The same through an order of the elements.
template <class T>
int64_t place_of(const T* begin, const int64_t* order, int64_t n, T value, bool right) {
  int64_t low = 0, high = n;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    T v = begin[order[middle]];
    if (right ? !less(value, v) : less(v, value)) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Arguments: sorted_sequence, input, out_int32, right, side, sorter.
bool goes_right(const Frame& f) {
  if (!f.has(4)) return f.flag(3);
  std::string_view side = f.string(4);
  MOKA_CHECK(side == "left" || side == "right", "searchsorted(): side can only be 'left' or 'right' but got ",
             side);
  MOKA_CHECK(!(f.flag(3) && side == "left"),
             "searchsorted(): side and right can't be set to opposites, got side of "
             "left while right was True");
  return side == "right";
}
void shape_searchsorted(Frame& f) {
  const Tensor& bounds = f.tensor(0);
  goes_right(f);
  MOKA_CHECK(bounds.dim() > 0,
             "searchsorted(): boundaries tensor should have positive dimension, got a 0-d tensor");
  std::span<const int64_t> sizes;
  if (f.args[1].tag == Tag::Tensor) {
    const Tensor& x = f.tensor(1);
    sizes = x.sizes();
    MOKA_CHECK(
        bounds.dim() == 1 || (x.dim() == bounds.dim() &&
                              std::equal(x.sizes().begin(), x.sizes().end() - 1, bounds.sizes().begin())),
        "searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
        "tensor and input value tensor must match, but we got boundaries tensor ",
        bounds.sizes(), " and input value tensor ", x.sizes());
  } else {
    MOKA_CHECK(bounds.dim() == 1,
               "searchsorted(): input value can be a scalar only when boundaries tensor dimension "
               "is 1, but we got shape ",
               bounds.sizes());
  }
  if (const Tensor& sorter = f.maybe(5)) {
    MOKA_CHECK(std::equal(sorter.sizes().begin(), sorter.sizes().end(), bounds.sizes().begin(),
                          bounds.sizes().end()),
               "searchsorted(): boundary and sorter must have the same size, but got boundary tensor ",
               bounds.sizes(), " and got sorter tensor ", sorter.sizes());
    MOKA_CHECK(sorter.dtype() == DType::I64,
               "searchsorted(): sorter must be a tensor of long dtype but got dtype ", sorter.dtype());
  }
  exact_output(f, 0, sizes, place_type(f.flag(2)));
}
void run_searchsorted(Frame& f) {
  Tensor x = number_tensor(f.args[1]);
  DType type = common_type(f.tensor(0), x);
  Tensor bounds = to_dtype(f.tensor(0), type), values = to_dtype(x, type);
  int64_t n = bounds.size(-1), each = bounds.dim() == 1 ? values.numel() : x.size(-1);
  Tensor sorter;
  if (const Tensor& given = f.maybe(5)) {
    sorter = as_contiguous(given);
    for (int64_t i = 0; i < sorter.numel(); i++)
      MOKA_CHECK(sorter.data<int64_t>()[i] >= 0 && sorter.data<int64_t>()[i] < n,
                 "searchsorted(): sorter index out of range");
  }
  bool right = goes_right(f);
  auto run = [&]<class T>(T*) {
    write_places(f.outs[0], values.numel(), [&](int64_t i) {
      int64_t line = bounds.dim() == 1 || each == 0 ? 0 : i / each * n;
      T v = values.data<T>()[i];
      if (sorter) return place_of(bounds.data<T>() + line, sorter.data<int64_t>() + line, n, v, right);
      return place_of(bounds.data<T>() + line, n, v, right);
    });
  };
  if (type == DType::F64) run(static_cast<double*>(nullptr));
  else run(static_cast<int64_t*>(nullptr));
}
// Arguments: input, boundaries, out_int32, right.
void shape_bucketize(Frame& f) {
  const Tensor& bounds = f.tensor(1);
  MOKA_CHECK(bounds.dim() == 1, "bucketize(): boundaries tensor must be 1 dimension, but got shape ",
             bounds.sizes());
  std::span<const int64_t> sizes;
  if (f.args[0].tag == Tag::Tensor) sizes = f.tensor(0).sizes();
  exact_output(f, 0, sizes, place_type(f.flag(2)));
}
void run_bucketize(Frame& f) {
  Tensor x = number_tensor(f.args[0]);
  DType type = common_type(f.tensor(1), x);
  Tensor bounds = to_dtype(f.tensor(1), type), values = to_dtype(x, type);
  auto run = [&]<class T>(T*) {
    write_places(f.outs[0], values.numel(), [&](int64_t i) {
      return place_of(bounds.data<T>(), bounds.numel(), values.data<T>()[i], f.flag(3));
    });
  };
  if (type == DType::F64) run(static_cast<double*>(nullptr));
  else run(static_cast<int64_t*>(nullptr));
}

// Arguments: elements, test_elements, assume_unique, invert.
void shape_isin(Frame& f) {
  MOKA_CHECK(f.args[0].tag == Tag::Tensor || f.args[1].tag == Tag::Tensor,
             "isin: one of the two must be a tensor");
  std::span<const int64_t> sizes;
  if (f.args[0].tag == Tag::Tensor) sizes = f.tensor(0).sizes();
  f.output(0, sizes, DType::Bool);
}
void run_isin(Frame& f) {
  Tensor x = number_tensor(f.args[0]), among = number_tensor(f.args[1]);
  DType type = common_type(x, among);
  x = to_dtype(x, type);
  among = to_dtype(among, type);
  bool invert = f.flag(3);
  auto run = [&]<class T>(T*) {
    std::vector<T> sorted;
    for (int64_t i = 0; i < among.numel(); i++)
      if (T v = among.data<T>()[i]; v == v) sorted.push_back(v);  // NaN equals nothing
    std::sort(sorted.begin(), sorted.end());
    bool* out = f.outs[0].data<bool>();
    parallel_for(0, x.numel(), 1024, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) {
        T v = x.data<T>()[i];
        out[i] = (v == v && std::binary_search(sorted.begin(), sorted.end(), v)) != invert;
      }
    });
  };
  if (type == DType::F64) run(static_cast<double*>(nullptr));
  else run(static_cast<int64_t*>(nullptr));
}

// ---- the k-th smallest. Arguments: input, k, dim, keepdim
void shape_kthvalue(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  int dim = dim_argument(f, 2, x.dim());
  int64_t k = f.integer(1), n = x.dim() ? x.size(dim) : 1;
  MOKA_CHECK_KIND(Index, n > 0, "kthvalue(): Expected reduction dim ", dim,
                  " to have non-zero size, got shape ", x.sizes());
  MOKA_CHECK(k >= 1 && k <= n, "kthvalue(): selected number k out of range for dimension ", dim, ": k is ", k,
             ", the dimension has ", n);
  Dims sizes(x.sizes());
  if (x.dim()) {
    if (f.flag(3)) sizes[static_cast<size_t>(dim)] = 1;
    else sizes.erase(static_cast<size_t>(dim));
  }
  exact_output(f, 0, sizes, x.dtype());
  exact_output(f, 1, sizes, DType::I64);
}
void run_kthvalue(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput values(f, 0);
  int dim = dim_argument(f, 2, x.dim());
  int64_t count = x.dim() ? x.size(dim) : 1, inner = 1;
  for (int d = dim + 1; d < x.dim(); d++) inner *= x.size(d);
  int64_t* places = f.outs[1].data<int64_t>();
  auto run = [&]<class T>(T* to) {
    parallel_for(0, f.outs[1].numel(), 4096 / count + 1, [&](int64_t first, int64_t last) {
      Scratch<int64_t> order(count);
      for (int64_t l = first; l < last; l++) {
        const T* line = x.data<T>() + l / inner * count * inner + l % inner;
        for (int64_t i = 0; i < count; i++) order.data()[i] = i;
        auto before = [&](int64_t a, int64_t b) {
          if (less(line[a * inner], line[b * inner])) return true;
          if (less(line[b * inner], line[a * inner])) return false;
          return a < b;
        };
        int64_t* kth = order.data() + f.integer(1) - 1;
        std::nth_element(order.data(), kth, order.data() + count, before);
        to[l] = line[*kth * inner];
        places[l] = *kth;
      }
    });
  };
  if (x.dtype() == DType::F64) run(values.data<double>());
  else if (x.dtype() == DType::F32) run(values.data<float>());
  else run(values.data<int64_t>());
  values.finish();
}

Tensor order_of(const Tensor& x, int64_t dim, bool descending, bool stable) {
  return op_results(sort, x, dim, descending, stable)[1];
}
Tensor sorted_rows(const Tensor& x) { return op_results(sort, x, int64_t(0))[0]; }
}  // namespace

constinit const Op searchsorted_op{
    .schema =
        "searchsorted(Tensor sorted_sequence, Operand input, *, bool out_int32=False, bool right=False, str? "
        "side=None, Tensor? sorter=None) -> Tensor",
    .doc =
        "Where each value would be inserted into the sorted last dimension: before equal ones, or after "
        "(right).",
    .method = "function",
    .shape = shape_searchsorted,
    .kernels = {in_unsigned_order, KernelRow{"binary", run_searchsorted}},
    .derivative = none("the result holds indices"),
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({4}, {2, 3}), shapes({2, 3}, {2, 2}).with("right", true), shapes({0}, {2})},
};
constinit const Op bucketize_op{
    .schema =
        "bucketize(Operand input, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor",
    .doc = "The bucket between sorted boundaries into which each value falls.",
    .method = "function",
    .shape = shape_bucketize,
    .kernels = {in_unsigned_order, KernelRow{"binary", run_bucketize}},
    .derivative = none("the result holds indices"),
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Bucketize of Caffe2 takes the boundaries as an argument"),
    .samples = {shapes({2, 3}, {4}), shapes({2}, {0}).with("out_int32", true)},
};
constinit const Op isin_op{
    .schema =
        "isin(Operand elements, Operand test_elements, *, bool assume_unique=False, bool invert=False) -> "
        "Tensor",
    .doc = "Whether each element is among the test elements.",
    .method = "function",
    .shape = shape_isin,
    .kernels = {KernelRow{"binary", run_isin}},
    .derivative = none("the result holds truth values"),
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({2, 3}, {4}).in(Domain::Integer), shapes({3}, {0}).with("invert", true)},
};
constinit const Op kthvalue_op{
    .schema =
        "kthvalue(Tensor input, int k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "The k-th smallest element along dim and its place; NaN is the largest.",
    .shape = shape_kthvalue,
    .kernels = {in_unsigned_order, KernelRow{"select", run_kthvalue}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto, auto dim, auto keepdim, auto, auto indices) {
                         return put_selected(dy, indices, shape_of(input), dim, keepdim);
                       })},
    .onnx = none("written as TopK and Gather"),
    .netdef = none("written as TopK and Gather"),
    .samples = {shape(3, 4).in(Domain::Distinct).with("k", 2),
                shape(2, 5).in(Domain::Distinct).with("k", 1).with("dim", 0).with("keepdim", true),
                shape().with("k", 1)},
};
constinit const Op argsort_op{
    .schema = "argsort(Tensor input, int dim=-1, bool descending=False, bool stable=False) -> Tensor",
    .doc = "The places of the elements in order along dim; always stable.",
    .body = parts<order_of>(),
    .derivative = none("the result holds indices"),
    .onnx = none("written as TopK over the whole dimension"),
    .netdef = none("Caffe2 sorts only through TopK"),
    .samples = {shape(3, 4), shape(2, 3).with("dim", 0).with("descending", true), shape(0)},
};
constinit const Op msort_op{
    .schema = "msort(Tensor input) -> Tensor",
    .doc = "The elements in order along the first dimension.",
    .body = parts<sorted_rows>(),
    .onnx = none("written as TopK over the whole dimension"),
    .netdef = none("Caffe2 sorts only through TopK"),
    .samples = {shape(3, 4).in(Domain::Distinct), shape(0)},
};

}  // namespace moka::ops
