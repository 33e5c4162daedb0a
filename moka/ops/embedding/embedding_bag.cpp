// Sums, means and maxima over bags of rows.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/embedding/embedding.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
enum class Mode { Sum, Mean, Max };
Mode mode_argument(const Frame& f, int i) {
  std::string_view m = f.string(i);
  if (m == "sum") return Mode::Sum;
  if (m == "mean") return Mode::Mean;
  if (m == "max") return Mode::Max;
  fail_kind(ErrorKind::Value, f.name(), ": mode must be 'sum', 'mean' or 'max', got '", m, "'");
}
struct Bags {
  int64_t rows, width, count;  // of the table; `count` indices
  Tensor indices, offsets;  // int64
  std::vector<int64_t> starts;  // of each bag, and behind the last one
  int64_t padding = -1;
  bool counts(int64_t i) const { return indices.data<int64_t>()[i] != padding; }
};
void check_indices(const Frame& f, int i) {
  const Tensor& t = tensor_argument(f, i);
  MOKA_CHECK(t.dtype() == DType::I64 || t.dtype() == DType::I32, f.name(), ": ", argument_name(f, i),
             " must be int64 or int32, got ", t.dtype());
  MOKA_CHECK(t.dim() == 1, f.name(), ": ", argument_name(f, i), " must have 1 dimension, got shape ",
             t.sizes());
}
// Arguments `at`..: indices, offsets; `settings`..: include_last_offset, padding_idx.
Bags read_bags(const Frame& f, const Dims& table, int at, int settings) {
  Bags b{.rows = table[0], .width = table[1]};
  b.indices = as_contiguous(to_dtype(f.tensor(at), DType::I64));
  b.offsets = as_contiguous(to_dtype(f.tensor(at + 1), DType::I64));
  b.count = b.indices.numel();
  if (f.has(settings + 1)) {
    b.padding = f.integer(settings + 1);
    MOKA_CHECK(b.padding >= -b.rows && b.padding < b.rows, f.name(),
               ": padding_idx must be within the number of embeddings, between ", -b.rows, " and ",
               b.rows - 1, ", got ", b.padding);
    if (b.padding < 0) b.padding += b.rows;
  }
  const int64_t* o = b.offsets.data<int64_t>();
  b.starts.assign(o, o + b.offsets.numel());
  if (!f.flag(settings)) b.starts.push_back(b.count);
  MOKA_CHECK(!b.starts.empty(), f.name(), ": include_last_offset needs at least one offset");
  MOKA_CHECK(b.starts.size() == 1 || b.starts[0] == 0, f.name(), ": offsets must begin with 0, got ",
             b.starts[0]);
  for (size_t i = 0; i < b.starts.size(); i++)
    MOKA_CHECK(b.starts[i] >= 0 && b.starts[i] <= b.count && (i == 0 || b.starts[i] >= b.starts[i - 1]),
               f.name(), ": offsets must not decrease nor exceed the ", b.count, " indices, got ",
               b.starts[i]);
  const int64_t* v = b.indices.data<int64_t>();
  for (int64_t i = 0; i < b.count; i++)
    MOKA_CHECK(v[i] >= 0 && v[i] < b.rows, f.name(),
               ": Expected idx >= 0 && idx < num_embeddings, but index ", v[i], " at position ", i,
               " is outside the ", b.rows, " rows of the weight");
  return b;
}
int64_t bag_count(const Frame& f, int offsets, int settings) {
  return f.tensor(offsets).numel() - (f.flag(settings) ? 1 : 0);
}
// visit(bag, first index, behind the last one, how many count)
template <class F>
void each_bag(const Bags& b, F visit) {
  const int64_t bags = static_cast<int64_t>(b.starts.size()) - 1;
  for (int64_t i = 0; i < bags; i++) {
    const int64_t first = b.starts[static_cast<size_t>(i)], last = b.starts[static_cast<size_t>(i) + 1];
    int64_t n = 0;
    for (int64_t k = first; k < last; k++) n += b.counts(k);
    visit(i, first, last, n);
  }
}
Tensor operand(const Frame& f, int i) {
  return f.has(i) ? as_contiguous(in_kernel_dtype(f.tensor(i))) : Tensor();
}

// weight, indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx, scale_grad_by_freq
void bag_shape(Frame& f) {
  const Tensor& w = floating_argument(f, 0);
  MOKA_CHECK(w.dim() == 2, "embedding_bag: weight must have shape [rows, columns], got ", w.sizes());
  check_indices(f, 1);
  check_indices(f, 2);
  const Mode mode = mode_argument(f, 3);
  if (optional_argument(f, 4, 0)) {
    MOKA_CHECK_KIND(NotImplemented, mode == Mode::Sum,
                    "embedding_bag: per_sample_weights belong to mode 'sum', got mode '", f.string(3), "'");
    check_shape(f, 4, f.tensor(1).sizes());
  }
  const int64_t bags = bag_count(f, 2, 5);
  MOKA_CHECK(bags >= 0, "embedding_bag: include_last_offset needs at least one offset");
  f.output(0, Dims{bags, w.size(1)}, w.dtype());
  f.output(1, mode == Mode::Max ? Dims{bags, w.size(1)} : Dims{0, 0}, DType::I64);
}
template <class T>
void bag(Frame& f, T* y) {
  Tensor w = operand(f, 0), scale = operand(f, 4);
  Bags b = read_bags(f, Dims(w.sizes()), 1, 5);
  const Mode mode = mode_argument(f, 3);
  const int64_t *v = b.indices.data<int64_t>(), n = b.width;
  int64_t* places = f.outs[1].data<int64_t>();
  each_bag(b, [&](int64_t i, int64_t first, int64_t last, int64_t counted) {
    T* to = y + i * n;
    std::fill_n(to, n, mode == Mode::Max && counted ? -std::numeric_limits<T>::infinity() : T(0));
    if (mode == Mode::Max) std::fill_n(places + i * n, n, int64_t(-1));
    for (int64_t k = first; k < last; k++) {
      if (!b.counts(k)) continue;
      const T* row = w.data<T>() + v[k] * n;
      if (mode == Mode::Max) {
        for (int64_t c = 0; c < n; c++)
          if (row[c] > to[c] || places[i * n + c] < 0) {
            to[c] = row[c];
            places[i * n + c] = v[k];
          }
      } else {
        const T factor = scale ? scale.data<T>()[k] : T(1);
        for (int64_t c = 0; c < n; c++) to[c] += factor * row[c];
      }
    }
    if (mode == Mode::Mean && counted)
      for (int64_t c = 0; c < n; c++) to[c] /= static_cast<T>(counted);
  });
}
void bag_kernel(Frame& f) {
  KernelOutput y(f, 0);
  if (y.tensor().dtype() == DType::F64) bag(f, y.data<double>());
  else bag(f, y.data<float>());
  y.finish();
}

// grad, sizes, indices, offsets, places, mode, per_sample_weights, include_last_offset, padding_idx, scale_grad_by_freq
Dims check_backward(const Frame& f) {
  floating_argument(f, 0);
  Dims table = ints_argument(f, 1);
  MOKA_CHECK(table.size() == 2, f.name(), ": sizes must be those of the weight, got ", table);
  check_indices(f, 2);
  check_indices(f, 3);
  Dims out{bag_count(f, 3, 7), table[1]};
  check_shape(f, 0, out);
  MOKA_CHECK(f.tensor(4).dtype() == DType::I64, f.name(), ": places must be int64");
  if (mode_argument(f, 5) == Mode::Max) check_shape(f, 4, out);
  if (optional_argument(f, 6, 0)) check_shape(f, 6, f.tensor(2).sizes());
  return table;
}
void bag_backward_shape(Frame& f) { f.output(0, check_backward(f), f.tensor(0).dtype()); }
template <class T>
void bag_backward(Frame& f, T* dw) {
  Tensor dy = operand(f, 0), scale = operand(f, 6), places = as_contiguous(f.tensor(4));
  Dims table = ints_argument(f, 1);
  Bags b = read_bags(f, table, 2, 7);
  const Mode mode = mode_argument(f, 5);
  const int64_t *v = b.indices.data<int64_t>(), n = b.width;
  std::vector<int64_t> often(f.flag(9) ? static_cast<size_t>(b.rows) : 0);
  for (int64_t k = 0; k < b.count && !often.empty(); k++) often[static_cast<size_t>(v[k])]++;
  std::fill_n(dw, b.rows * n, T(0));
  each_bag(b, [&](int64_t i, int64_t first, int64_t last, int64_t counted) {
    const T* grad = dy.data<T>() + i * n;
    if (mode == Mode::Max) {
      for (int64_t c = 0; c < n; c++) {
        const int64_t at = places.data<int64_t>()[i * n + c];
        MOKA_CHECK(at < b.rows, "embedding_bag_backward: place ", at, " is outside the weight's ", b.rows,
                   " rows");
        if (at >= 0) dw[at * n + c] += grad[c];
      }
      return;
    }
    for (int64_t k = first; k < last; k++) {
      if (!b.counts(k)) continue;
      T factor = scale ? scale.data<T>()[k] : T(1);
      if (mode == Mode::Mean) factor /= static_cast<T>(counted);
      if (!often.empty()) factor /= static_cast<T>(often[static_cast<size_t>(v[k])]);
      for (int64_t c = 0; c < n; c++) dw[v[k] * n + c] += factor * grad[c];
    }
  });
}
void bag_backward_kernel(Frame& f) {
  KernelOutput dw(f, 0);
  if (dw.tensor().dtype() == DType::F64) bag_backward(f, dw.data<double>());
  else bag_backward(f, dw.data<float>());
  dw.finish();
}

// grad, weight, indices, offsets, include_last_offset, padding_idx
void weights_backward_shape(Frame& f) {
  const Tensor& w = floating_argument(f, 1);
  floating_argument(f, 0);
  check_same_dtype(f, 0, 1);
  MOKA_CHECK(w.dim() == 2, f.name(), ": weight must have shape [rows, columns], got ", w.sizes());
  check_indices(f, 2);
  check_indices(f, 3);
  check_shape(f, 0, Dims{bag_count(f, 3, 4), w.size(1)});
  f.output(0, f.tensor(2).sizes(), w.dtype());
}
template <class T>
void weights_backward(Frame& f, T* out) {
  Tensor dy = operand(f, 0), w = operand(f, 1);
  Bags b = read_bags(f, Dims(w.sizes()), 2, 4);
  std::fill_n(out, b.count, T(0));
  each_bag(b, [&](int64_t i, int64_t first, int64_t last, int64_t) {
    for (int64_t k = first; k < last; k++) {
      if (!b.counts(k)) continue;
      const T *grad = dy.data<T>() + i * b.width, *row = w.data<T>() + b.indices.data<int64_t>()[k] * b.width;
      for (int64_t c = 0; c < b.width; c++) out[k] += grad[c] * row[c];
    }
  });
}
void weights_backward_kernel(Frame& f) {
  KernelOutput out(f, 0);
  if (out.tensor().dtype() == DType::F64) weights_backward(f, out.data<double>());
  else weights_backward(f, out.data<float>());
  out.finish();
}

// ---- the gradients in differentiable operators
struct BagOf {
  Tensor bag;     // of each index
  Tensor counts;  // whether the index does: 0 or 1
};
BagOf bags_of(const Any& indices, const Any& offsets, int64_t bags, const Any& padding, int64_t rows,
              DType dtype) {
  Tensor v = to(indices.tensor(), DType::I64);
  Tensor place = arange(int64_t(0), v.numel(), int64_t(1));
  Tensor bag = searchsorted(to(offsets.tensor(), DType::I64), place, false, true) - 1;
  Tensor counts = lt(bag, bags);  // what follows the last offset belongs to no bag
  if (!padding.is_none()) {
    const int64_t hidden = padding.to_int();
    counts = logical_and(counts, ne(v, hidden < 0 ? hidden + rows : hidden));
  }
  return {clamp(bag, 0, std::max<int64_t>(bags - 1, 0)), to(counts, dtype)};
}
Tensor shares(const Tensor& t, const Tensor& index, int64_t n) {  // 1 / (sum of t over equal indices)
  Dims sizes{n};
  return index_select(reciprocal(clamp_min(index_add_zeros(t, sizes, 0, index), 1)), 0, index);
}
void bag_gradient_parts(const Any* in, Any* out) {
  const Tensor& dy = in[0].tensor();
  Dims table(in[1].ints());
  std::string_view mode = in[5].string();
  if (mode == "max") {
    const Tensor& places = in[4].tensor();
    Tensor g = where(ge(places, 0), dy, 0);
    out[0] = Any(scatter_add(full(table, 0.0, dy.dtype()), 0, clamp_min(places, 0), g));
    return;
  }
  const int64_t bags = dy.size(0);
  Tensor v = to(in[2].tensor(), DType::I64);
  if (bags == 0 || v.numel() == 0) {
    out[0] = Any(full(table, 0.0, dy.dtype()));
    return;
  }
  auto [bag, counts] = bags_of(in[2], in[3], bags, in[8], table[0], dy.dtype());
  Tensor factor = counts;
  if (!in[6].is_none()) factor = factor * in[6].tensor();
  if (mode == "mean") factor = factor * shares(counts, bag, bags);
  if (in[9].to_bool()) factor = factor * shares(counts * 0 + 1, v, table[0]);
  out[0] = Any(index_add_zeros(index_select(dy, 0, bag) * unsqueeze(factor, 1), table, 0, v));
}
void weights_gradient_parts(const Any* in, Any* out) {
  const Tensor &dy = in[0].tensor(), &w = in[1].tensor();
  if (dy.size(0) == 0 || in[2].tensor().numel() == 0) {
    out[0] = Any(full(Dims(in[2].tensor().sizes()), 0.0, w.dtype()));
    return;
  }
  auto [bag, counts] = bags_of(in[2], in[3], dy.size(0), in[5], w.size(0), dy.dtype());
  Tensor rows = index_select(w, 0, to(in[2].tensor(), DType::I64));
  out[0] = Any(sum(index_select(dy, 0, bag) * rows, Dims{1}) * counts);
}

void same_shape(Frame& f) {
  tensor_argument(f, 1);
  f.output(0, tensor_argument(f, 0).sizes(), f.tensor(0).dtype());
}
}  // namespace

constinit const Op embedding_bag_op{
    .schema =
        "embedding_bag(Tensor weight, Tensor indices, Tensor offsets, str mode='mean', Tensor? "
        "per_sample_weights=None, "
        "bool include_last_offset=False, int? padding_idx=None, bool scale_grad_by_freq=False) -> (Tensor "
        "output, Tensor "
        "places)",
    .doc =
        "The 'sum' (weighted by per_sample_weights), 'mean' or 'max' of the rows of weight at the indices of "
        "each bag; "
        "bag i begins at offsets[i]. Indices equal to padding_idx do not count. places are the rows of "
        "maxima.",
    .method = "function",
    .shape = bag_shape,
    .kernels = {KernelRow{.name = "loop", .run = bag_kernel}},
    .derivative = {wrt("weight",
                       [](auto dy, auto weight, auto indices, auto offsets, auto mode,
                          auto per_sample_weights, auto include_last_offset, auto padding_idx,
                          auto scale_grad_by_freq, auto, auto places) {
                         return embedding_bag_backward(dy, shape_of(weight), indices, offsets, places, mode,
                                                       per_sample_weights, include_last_offset, padding_idx,
                                                       scale_grad_by_freq);
                       }),
                   wrt("per_sample_weights",
                       [](auto dy, auto weight, auto indices, auto offsets, auto, auto,
                          auto include_last_offset, auto padding_idx) {
                         return embedding_bag_weights_backward(dy, weight, indices, offsets,
                                                               include_last_offset, padding_idx);
                       })},
    .onnx = none("ONNX has no bags"),
    .netdef = none("SparseLengthsSum of Caffe2 takes lengths, not offsets"),
    .samples = {shapes({4, 3}, {5}, {1}).in(Domain::Index, 1, 4).in(Domain::Index, 2, 1),
                shapes({4, 3}, {5}, {1})
                    .in(Domain::Distinct, 0)
                    .in(Domain::Index, 1, 4)
                    .in(Domain::Index, 2, 1)
                    .with("mode", "max"),
                shapes({4, 3}, {0}, {1}).in(Domain::Index, 1, 4).in(Domain::Index, 2, 1).with("mode", "sum")},
};
constinit const Op embedding_bag_backward_op{
    .schema =
        "embedding_bag_backward(Tensor grad, int[] sizes, Tensor indices, Tensor offsets, Tensor places, str "
        "mode='mean', Tensor? per_sample_weights=None, bool include_last_offset=False, int? "
        "padding_idx=None, bool "
        "scale_grad_by_freq=False) -> Tensor",
    .doc = "Gradient of embedding_bag with respect to weight, whose shape is `sizes`.",
    .method = "none",
    .shape = bag_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = bag_backward_kernel}},
    .body = eager_body(bag_gradient_parts),
    .onnx = none("a gradient"),
    .netdef = none("a gradient"),
    .samples = {},
};
constinit const Op embedding_bag_weights_backward_op{
    .schema =
        "embedding_bag_weights_backward(Tensor grad, Tensor weight, Tensor indices, Tensor offsets, bool "
        "include_last_offset=False, int? padding_idx=None) -> Tensor",
    .doc = "Gradient of embedding_bag with respect to per_sample_weights.",
    .method = "none",
    .shape = weights_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = weights_backward_kernel}},
    .body = eager_body(weights_gradient_parts),
    .onnx = none("a gradient"),
    .netdef = none("a gradient"),
    .samples = {},
};
constinit const Op scale_gradient_op{
    .schema = "scale_gradient(Tensor input, Tensor factor) -> Tensor",
    .doc = "input as it is; the gradient that flows back is multiplied by factor; 0 stops even NaN.",
    .method = "function",
    .shape = same_shape,
    .kernels = {KernelRow{.name = "copy", .run = [](Frame& f) { copy_elements(f.tensor(0), f.outs[0]); }}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto factor) { return where(eq(factor, 0), 0, mul(dy, factor)); })},
    .onnx = none("it acts on gradients alone"),
    .netdef = none("it acts on gradients alone"),
    .samples = {shapes({2, 3}, {2, 1}).no_gradient(), shapes({0}, {1}).no_gradient()},
};

}  // namespace moka::ops

MOKA_OP_TABLE(embedding, MOKA_EMBEDDING_OPS)
