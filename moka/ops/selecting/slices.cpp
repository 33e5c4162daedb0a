// Writes of whole slices at the places of an index along one dimension: index_add, index_copy, index_fill.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/parts.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// A contiguous tensor as [outer, count, inner] around dimension d; a 0-d tensor is one slice of one element.
struct Lines {
  int64_t outer = 1, count = 1, inner = 1;
};
Lines lines_of(std::span<const int64_t> sizes, int dim) {
  Lines l;
  for (size_t d = 0; d < sizes.size(); d++) {
    if (d == static_cast<size_t>(dim)) l.count = sizes[d];
    else (d < static_cast<size_t>(dim) ? l.outer : l.inner) *= sizes[d];
  }
  return l;
}
// Arguments: input, dim, index, then what is written. Places from the end count where `wraps` says so.
Tensor places_of(const Frame& f, int64_t limit, bool wraps = false) {
  Tensor index = to_dtype(f.tensor(2), DType::I64);
  Tensor out = new_tensor(index.sizes(), DType::I64);
  for (int64_t i = 0; i < index.numel(); i++) {
    int64_t at = index.data<int64_t>()[i];
    MOKA_CHECK_KIND(Index, at >= (wraps ? -limit : 0) && at < limit, f.name(), ": index ", at, " at place ",
                    i, " is out of bounds for dimension ", f.integer(1), " with size ", limit, " of shape ",
                    f.tensor(0).sizes());
    out.data<int64_t>()[i] = at < 0 ? at + limit : at;
  }
  return out;
}
void check_index(const Frame& f) {
  const Tensor& index = f.tensor(2);
  MOKA_CHECK_KIND(Index, index.dim() <= 1, f.name(), ": Index is supposed to be a vector, got shape ",
                  index.sizes());
  MOKA_CHECK_KIND(Index, index.dtype() == DType::I64 || index.dtype() == DType::I32, f.name(),
                  ": Expected dtype int32/int64 for index, got ", index.dtype());
  dim_argument(f, 1, f.tensor(0).dim());
  check_no_overlap(f, 2);
  check_no_overlap(f, 3);
}
void shape_with_source(Frame& f) {
  check_index(f);
  const Tensor &x = f.tensor(0), &source = f.tensor(3);
  int d = dim_argument(f, 1, x.dim());
  MOKA_CHECK(source.dtype() == x.dtype(), f.name(), ": self (", x.dtype(), ") and source (", source.dtype(),
             ") must have the same scalar type");
  int64_t count = f.tensor(2).numel();
  MOKA_CHECK_KIND(Index, (source.dim() ? (d < source.dim() ? source.size(d) : 1) : 1) == count, f.name(),
                  ": Number of indices (", count, ") should be equal to source.size(dim), source has shape ",
                  source.sizes());
  if (x.dim() && source.dim()) {
    MOKA_CHECK(source.dim() == x.dim(), f.name(),
               ": source must have as many dimensions as input, got shapes ", source.sizes(), " and ",
               x.sizes());
    for (int k = 0; k < x.dim(); k++)
      MOKA_CHECK(k == d || source.size(k) == x.size(k), f.name(), ": source shape ", source.sizes(),
                 " must match input shape ", x.sizes(), " outside dimension ", d);
  } else {
    MOKA_CHECK(source.dim() <= 1 && x.dim() <= 1, f.name(), ": shapes ", x.sizes(), " and ", source.sizes(),
               " do not fit");
  }
  exact_output(f, 0, x.sizes(), x.dtype());
}
void copy_input(Frame& f) {
  if (!(f.outs[0] == f.tensor(0))) copy_elements(f.tensor(0), f.outs[0]);
}

// Calls write(place in the result, place in the source) for every run of `inner` elements, in order of the index.
template <class F>
void for_runs(const Lines& l, const Tensor& places, int64_t inner, F write) {
  int64_t n = places.numel();
  const int64_t* at = places.data<int64_t>();
  parallel_for(0, l.outer, 8192 / (n * inner + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t o = first; o < last; o++)
      for (int64_t i = 0; i < n; i++) write((o * l.count + at[i]) * inner, (o * n + i) * inner);
  });
}

void run_index_add(Frame& f) {
  Tensor x = f.tensor(0);
  KernelOutput out(f, 0);
  copy_elements(x, out.tensor());
  Lines l = lines_of(x.sizes(), dim_argument(f, 1, x.dim()));
  Tensor places = places_of(f, l.count);
  if (places.numel() == 0 || x.numel() == 0) return out.finish();
  Tensor source = as_contiguous(in_kernel_dtype(f.tensor(3)));
  auto add = [&]<class T>(T*, T alpha) {
    for_runs(l, places, l.inner, [&](int64_t to, int64_t from) {
      T* a = out.data<T>() + to;
      const T* b = source.data<T>() + from;
      if (alpha == T(1))
        for (int64_t k = 0; k < l.inner; k++) a[k] = static_cast<T>(a[k] + b[k]);
      else
        for (int64_t k = 0; k < l.inner; k++) a[k] = static_cast<T>(a[k] + alpha * b[k]);
    });
  };
  MOKA_CHECK(is_floating(x.dtype()) || f.args[4].tag != Tag::Float, f.name(),
             ": For integral input tensors, argument alpha must not be a floating point number.");
  if (out.tensor().dtype() == DType::F64) add(static_cast<double*>(nullptr), f.number(4));
  else if (out.tensor().dtype() == DType::F32)
    add(static_cast<float*>(nullptr), static_cast<float>(f.number(4)));
  else add(static_cast<int64_t*>(nullptr), f.args[4].as_int());
  out.finish();
}
void run_index_copy(Frame& f) {
  copy_input(f);
  const Tensor& out = f.outs[0];
  Lines l = lines_of(out.sizes(), dim_argument(f, 1, out.dim()));
  Tensor places = places_of(f, l.count);
  if (places.numel() == 0 || out.numel() == 0) return;
  Tensor source = as_contiguous(f.tensor(3));
  int64_t run = l.inner * static_cast<int64_t>(item_size(out.dtype()));
  for_runs(l, places, run, [&](int64_t to, int64_t from) {
    std::memcpy(out.data<char>() + to, source.data<char>() + from, static_cast<size_t>(run));
  });
}
void shape_index_fill(Frame& f) {
  check_index(f);
  if (f.args[3].tag == Tag::Tensor)
    MOKA_CHECK(f.tensor(3).dim() == 0,
               "index_fill: only supports a 0-dimensional value tensor, but got tensor with ",
               f.tensor(3).dim(), " dimension(s).");
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(is_complex(x.dtype()) || f.args[3].tag != Tag::Floats,
             "index_fill: a complex value cannot be converted to Scalar of type ", x.dtype());
  f.output(0, x.sizes(), x.dtype());
}
void run_index_fill(Frame& f) {
  copy_input(f);
  const Tensor& out = f.outs[0];
  Lines l = lines_of(out.sizes(), dim_argument(f, 1, out.dim()));
  Tensor places = places_of(f, l.count, true);
  if (places.numel() == 0 || out.numel() == 0) return;
  // One slice of the value, copied to every place.
  const int64_t sizes[] = {l.inner};
  Tensor slice = new_tensor(sizes, out.dtype());
  if (f.args[3].tag == Tag::Tensor) {
    copy_elements(f.tensor(3), slice);
  } else {
    Tensor one = full(Dims{}, f.args[3], out.dtype());
    copy_elements(one, slice);
  }
  int64_t run = static_cast<int64_t>(slice.bytes());
  for_runs(l, places, run, [&](int64_t to, int64_t) {
    std::memcpy(out.data<char>() + to, slice.raw_data(), static_cast<size_t>(run));
  });
}

// index_reduce is scatter_reduce with one index for each slice.
Tensor reduce_slices(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source,
                     std::string_view reduce, bool include_self) {
  MOKA_CHECK(reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin",
             "index_reduce: Expected reduce to be one of prod, mean, amax or amin but got ", reduce);
  MOKA_CHECK_KIND(Index, index.dim() <= 1, "index_reduce: Index is supposed to be a vector, got shape ",
                  index.sizes());
  MOKA_CHECK(source.dtype() == x.dtype(),
             "index_reduce: self and source must have the same scalar type, got ", x.dtype(), " and ",
             source.dtype());
  if (x.dim() == 0) {
    Tensor wide = reduce_slices(reshape(x, Dims{1}), 0, index, reshape(source, Dims{index.numel()}), reduce,
                                include_self);
    return reshape(wide, Dims{});
  }
  int d = wrap_dim(dim, x.dim(), "index_reduce");
  Tensor from = source.dim() == 0 ? reshape(source, Dims{1}) : source;
  MOKA_CHECK(from.dim() == x.dim() && from.size(d) == index.numel(), "index_reduce: Number of indices (",
             index.numel(), ") should be equal to source.size(dim), source has shape ", source.sizes());
  Dims own(static_cast<size_t>(x.dim()), 1);
  own[static_cast<size_t>(d)] = index.numel();
  Tensor wide = expand(reshape(index, own), from.sizes());
  return scatter_reduce(x, int64_t(d), to_dtype(wide, DType::I64), from, reduce, include_self);
}
}  // namespace

constinit const Op index_add_op{
    .schema = "index_add(Tensor input, int dim, Tensor index, Tensor source, *, Number alpha=1) -> Tensor",
    .doc = "input with alpha * source added to the slices of dimension dim at the places in index.",
    .shape = shape_with_source,
    .kernels = {KernelRow{"runs", run_index_add}},
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("source",
                       [](auto dy, auto, auto dim, auto index, auto source, auto alpha) {
                         return mul(reshape(index_select(dy, dim, index), shape_of(source)), alpha);
                       })},
    .onnx = none("written as ScatterND by an adapter"),
    .netdef = none("ScatterWeightedSum of Caffe2 writes in place"),
    .samples = {shapes({4, 3}, {2}, {2, 3}).in(Domain::Index, 1, 4).with("dim", 0),
                shapes({2, 3}, {0}, {2, 0}).in(Domain::Index, 1, 3).with("dim", -1).with("alpha", 2.0)},
};
constinit const Op index_copy_op{
    .schema = "index_copy(Tensor input, int dim, Tensor index, Tensor source) -> Tensor",
    .doc = "input with the slices of source at the places in index of dimension dim; the last write wins.",
    .shape = shape_with_source,
    .kernels = {KernelRow{"runs", run_index_copy}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto dim, auto index) { return index_fill(dy, dim, index, 0); }),
                   wrt("source",
                       [](auto dy, auto, auto dim, auto index, auto source) {
                         return reshape(index_select(dy, dim, index), shape_of(source));
                       })},
    .onnx = none("written as ScatterND by an adapter"),
    .netdef = none("ScatterAssign of Caffe2 writes in place"),
    // Repeated places would leave it open which slice counts: an index of one.
    .autocast = Autocast::Widest,
    .samples = {shapes({4, 3}, {1}, {1, 3}).in(Domain::Index, 1, 4).with("dim", 0),
                shapes({2, 3}, {0}, {2, 0}).in(Domain::Index, 1, 3).with("dim", -1)},
};
constinit const Op index_fill_op{
    .schema = "index_fill(Tensor input, int dim, Tensor index, Operand value) -> Tensor",
    .doc = "input with a value in the slices of dimension dim at the places in index.",
    .shape = shape_index_fill,
    .kernels = {KernelRow{"runs", run_index_fill}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto dim, auto index) { return index_fill(dy, dim, index, 0); }),
                   wrt("value", [](auto dy, auto, auto dim,
                                   auto index) { return sum(dy - index_fill(dy, dim, index, 0)); })},
    .onnx = none("written as ScatterND by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .writes_one_value = true,
    .samples = {shapes({4, 3}, {2}, {}).in(Domain::Index, 1, 4).with("dim", 0),
                shapes({2, 3}, {0}, {}).in(Domain::Index, 1, 3).with("dim", 1)},
};
constinit const Op index_reduce_op{
    .schema =
        "index_reduce(Tensor input, int dim, Tensor index, Tensor source, str reduce, *, bool "
        "include_self=True) -> Tensor",
    .doc = "input with slices of source reduced ('prod', 'mean', 'amax', 'amin') into the places in index.",
    .body = parts<reduce_slices>(),
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shapes({4, 3}, {2}, {2, 3})
                    .in(Domain::Distinct, 0)
                    .in(Domain::Index, 1, 4)
                    .in(Domain::Positive, 2)
                    .with("dim", 0)
                    .with("reduce", "prod"),
                shapes({2, 3}, {2}, {2, 2}).in(Domain::Index, 1, 3).with("dim", 1).with("reduce", "mean")},
};

}  // namespace moka::ops

MOKA_OP_TABLE(selecting, MOKA_SELECTING_OPS)
