// Whole slices of one dimension by index: index_select, embedding and their gradients; one_hot.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/indexing/indexing.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/index_values.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

namespace {
void shape_index_select(Frame& f) {
  const Tensor &x = f.tensor(0), &index = f.tensor(2);
  MOKA_CHECK(index.dim() <= 1, "index_select: the index must have at most 1 dimension, got shape ",
             index.sizes());
  check_integral(index, "index_select");
  MOKA_CHECK(x.dim() || index.numel() == 1, "index_select(): Index to scalar can have only 1 value, got ",
             index.numel(), " value(s)");
  Dims sizes(x.sizes());
  if (x.dim()) sizes[wrap_dim(f.integer(1), x.dim(), "index_select")] = index.numel();
  exact_output(f, 0, sizes, x.dtype());
}
void run_index_select(Frame& f) {
  const Tensor &x = f.tensor(0), &out = f.outs[0];
  if (out.numel() == 0 && f.tensor(2).numel() == 0) return;
  int d = wrap_dim(f.integer(1), x.dim(), "index_select");
  Tensor index = as_index(f.tensor(2), "index_select");
  if (x.dim() == 0) {
    checked_index(index.data<int64_t>()[0], 1, 0, "index_select");
    return copy_elements(x, out);
  }
  // Runs of whole inner dimensions.
  Tensor from = as_contiguous(x);
  int64_t outer = 1, run = static_cast<int64_t>(item_size(x.dtype())), n = index.numel(), count = x.size(d);
  for (int k = 0; k < d; k++) outer *= x.size(k);
  for (int k = d + 1; k < x.dim(); k++) run *= x.size(k);
  std::vector<int64_t> places(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++)
    places[static_cast<size_t>(i)] = checked_index(index.data<int64_t>()[i], count, d, "index_select");
  if (out.numel() == 0) return;
  const char* source = from.data<char>();
  char* to = out.data<char>();
  auto part = [&](auto copy) {
    parallel_for(0, outer * n, 16384 / run + 1, [&](int64_t first, int64_t last) {
      const char* block = source + first / n * count * run;
      size_t k = static_cast<size_t>(first % n);
      for (int64_t i = first; i < last; i++) {
        copy(to + i * run, block + places[k] * run);
        if (++k == places.size()) k = 0, block += count * run;
      }
    });
  };
  if (run == 4) part([](char* a, const char* b) { std::memcpy(a, b, 4); });
  else if (run == 8) part([](char* a, const char* b) { std::memcpy(a, b, 8); });
  else part([run](char* a, const char* b) { std::memcpy(a, b, static_cast<size_t>(run)); });
}

void shape_embedding(Frame& f) {
  const Tensor &weight = f.tensor(0), &indices = f.tensor(1);
  MOKA_CHECK(weight.dim() == 2, "embedding: the weight must be [rows, columns], got shape ", weight.sizes());
  check_integral(indices, "embedding");
  Dims sizes(indices.sizes());
  sizes.push_back(weight.size(1));
  f.output(0, sizes, weight.dtype());
}
void run_embedding(Frame& f) {
  Tensor weight = as_contiguous(f.tensor(0)), indices = as_index(f.tensor(1), "embedding");
  int64_t rows = weight.size(0);
  size_t row = static_cast<size_t>(weight.size(1)) * item_size(weight.dtype());
  const char* from = static_cast<const char*>(weight.raw_data());
  char* to = static_cast<char*>(f.outs[0].raw_data());
  for (int64_t i = 0; i < indices.numel(); i++) {
    int64_t at = indices.data<int64_t>()[i];
    MOKA_CHECK_KIND(Index, at >= 0 && at < rows, "embedding: index out of range in self: index ", at,
                    " at position ", i, " is outside the ", rows, " rows of the weight");
    std::memcpy(to + static_cast<size_t>(i) * row, from + static_cast<size_t>(at) * row, row);
  }
}

void shape_one_hot(Frame& f) {
  const Tensor& x = f.tensor(0);
  check_integral(x, "one_hot");
  MOKA_CHECK(f.integer(1) > 0, "one_hot: num_classes must be positive, got ", f.integer(1));
  Dims sizes(x.sizes());
  sizes.push_back(f.integer(1));
  f.output(0, sizes, DType::I64);
}
void run_one_hot(Frame& f) {
  Tensor x = as_index(f.tensor(0), "one_hot");
  int64_t classes = f.integer(1);
  int64_t* out = f.outs[0].data<int64_t>();
  std::memset(out, 0, f.outs[0].bytes());
  for (int64_t i = 0; i < x.numel(); i++) {
    int64_t c = x.data<int64_t>()[i];
    MOKA_CHECK(c >= 0, "one_hot: Class values must be non-negative, got ", c, " at position ", i);
    MOKA_CHECK(c < classes, "one_hot: Class values must be smaller than num_classes: class ", c,
               " at position ", i, " is outside 0 to ", classes - 1);
    out[i * classes + c] = 1;
  }
}

// The gradients of index_select and embedding are both: zeros, to which slices are added.
void run_index_add(Frame& f) {
  const Tensor &dy = f.tensor(0), &out = f.outs[0];
  std::memset(out.raw_data(), 0, out.bytes());
  Tensor index = as_index(f.tensor(3), "index_add");
  if (out.dim() == 0) return add_into(as_contiguous(dy), out);
  int d = wrap_dim(f.integer(2), out.dim(), "index_add");
  Dims sizes(out.sizes());
  sizes[d] = 1;
  for (int64_t i = 0; i < index.numel() && out.numel(); i++) {
    int64_t at = checked_index(index.data<int64_t>()[i], out.size(d), d, "index_add");
    add_into(strided_view(dy, sizes, dy.strides(), dy.impl()->offset + i * dy.stride(d)),
             strided_view(out, sizes, out.strides(), out.impl()->offset + at * out.stride(d)));
  }
}
void shape_embedding_backward(Frame& f) {
  const auto weight = f.ints(1);
  MOKA_CHECK(weight.size() == 2, "embedding_backward: the weight must be [rows, columns], got shape ",
             weight);
  Dims sizes(f.tensor(2).sizes());
  sizes.push_back(weight[1]);
  check_shape(f, 0, sizes);
  f.output(0, weight, f.tensor(0).dtype());
}
void run_embedding_backward(Frame& f) {
  KernelOutput sums(f, 0);
  const Tensor& out = sums.tensor();
  std::memset(out.raw_data(), 0, out.bytes());
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))), indices = as_index(f.tensor(2), f.name());
  const int64_t columns = out.size(1);
  by_kernel_dtype(out.dtype(), [&]<class T>(T*) {
    const T* from = dy.data<T>();
    T* to = out.data<T>();
    for (int64_t i = 0; i < indices.numel(); i++) {
      const int64_t row = checked_index(indices.data<int64_t>()[i], out.size(0), 0, f.name());
      for (int64_t c = 0; c < columns; c++) to[row * columns + c] += from[i * columns + c];
    }
  });
  sums.finish();
}
}  // namespace

namespace ops {

constinit const Op index_select_op{
    .schema = "index_select(Tensor input, int dim, Tensor index) -> Tensor",
    .doc = "The slices of dimension dim at the places in index.",
    .shape = shape_index_select,
    .kernels = {KernelRow{"copy", run_index_select}},
    .derivative = {wrt("input", [](auto dy, auto input, auto dim,
                                   auto index) { return index_add_zeros(dy, shape_of(input), dim, index); })},
    .batch = over_dims("dim"),
    .onnx = "Gather(input, index, axis=dim)",
    .netdef = none("Gather of Caffe2 takes the first dimension; written by an adapter"),
    .samples = {shapes({4, 3}, {5}).in(Domain::Index, 1, 4).with("dim", 0),
                shapes({2, 3}, {0}).in(Domain::Index, 1, 3).with("dim", 1)},
};
constinit const Op embedding_op{
    .schema = "embedding(Tensor weight, Tensor indices) -> Tensor",
    .doc = "The rows of weight at the indices.",
    .method = "function",
    .shape = shape_embedding,
    .kernels = {KernelRow{"copy", run_embedding}},
    .derivative = {wrt("weight",
                       [](auto dy, auto weight, auto indices) {
                         return embedding_backward(dy, shape_of(weight), indices);
                       })},
    .batch = as_it_is("indices"),
    .onnx = none("written as Gather"),
    .netdef = "Gather(weight, indices)",
    .samples = {shapes({4, 3}, {2, 5}).in(Domain::Index, 1, 4), shapes({4, 3}, {0}).in(Domain::Index, 1, 4)},
};
constinit const Op one_hot_op{
    .schema = "one_hot(Tensor input, int num_classes) -> Tensor",
    .doc = "Vectors with a 1 at the place that input names.",
    .method = "function",
    .shape = shape_one_hot,
    .kernels = {KernelRow{"fill", run_one_hot}},
    .derivative = none("the result holds integers"),
    .onnx = none("written as OneHot by an adapter: depth and values are tensors"),
    .netdef = none("written as OneHot by an adapter: the size is a tensor"),
    .samples = {shape(5).in(Domain::Index, 0, 4).with("num_classes", 4),
                shape(0).in(Domain::Index).with("num_classes", 3)},
};
constinit const Op index_add_zeros_op{
    .schema = "index_add_zeros(Tensor dy, int[] shape, int dim, Tensor index) -> Tensor",
    .doc = "Zeros of the given shape to which the slices of dy are added at index.",
    .method = "none",
    .shape = shape_given,
    .kernels = {KernelRow{"add", run_index_add}},
    .derivative = {wrt(
        "dy", [](auto ddx, auto, auto, auto dim, auto index) { return index_select(ddx, dim, index); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op embedding_backward_op{
    .schema = "embedding_backward(Tensor dy, int[] shape, Tensor indices) -> Tensor",
    .doc = "Zeros of the weight's shape to which the rows of dy are added at the indices.",
    .method = "none",
    .shape = shape_embedding_backward,
    .kernels = {KernelRow{"add", run_embedding_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto indices) { return embedding(ddx, indices); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};

}  // namespace ops
}  // namespace moka
