// gather and scatter: one index for every element.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/indexing/indexing.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/index_values.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

namespace {
void check_gather(const Tensor& x, const Tensor& index, int64_t dim, std::string_view op, bool limit) {
  int d = wrap_dim(dim, x.dim(), op);
  if (index.numel() == 0) return;
  MOKA_CHECK(index.dtype() == DType::I64 || index.dtype() == DType::I32, op,
             ": Expected dtype int32/int64 for index, got ", index.dtype());
  MOKA_CHECK(index.dim() == x.dim() || (index.dim() <= 1 && x.dim() <= 1), op, ": index of shape ",
             index.sizes(), " must have as many dimensions as the tensor of shape ", x.sizes());
  for (int k = 0; limit && k < index.dim() && k < x.dim(); k++)
    MOKA_CHECK(k == d || index.size(k) <= x.size(k), op, ": index of shape ", index.sizes(),
               " is larger than shape ", x.sizes(), " in dimension ", k);
}
// Calls f(element offset in `x` at the index, linear position in the index) for every element of `index`, row by row;
// `shared` lets threads share the rows.
template <class F>
void for_elements(const Tensor& x, const Tensor& index, int dim, std::string_view op, bool shared, F f) {
  if (index.numel() == 0) return;
  int n = index.dim(), last = n - 1;
  const int64_t index_step = n ? index.stride(last) : 1;
  int64_t limit = x.dim() ? x.size(dim) : 1, stride = x.dim() ? x.stride(dim) : 1;
  int64_t row = n ? index.size(last) : 1, step = n && x.dim() && dim != last ? x.stride(last) : 0;
  auto part = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const int64_t* v = index.data<int64_t>();
      int64_t rest = r, at = 0;
      for (int d = last; d-- > 0;) {
        int64_t k = rest % index.size(d);
        rest /= index.size(d);
        v += k * index.stride(d);
        if (d != dim) at += k * x.stride(d);
      }
      for (int64_t i = r * row; i < (r + 1) * row; i++, at += step, v += index_step) {
        int64_t k = *v;
        if (__builtin_expect(static_cast<uint64_t>(k) >= static_cast<uint64_t>(limit), 0)) {
          MOKA_CHECK(k >= -limit && k < 0, op, ": index ", k, " is out of bounds for dimension ", dim,
                     " with size ", limit);
          k += limit;
        }
        f(at + k * stride, i);
      }
    }
  };
  int64_t rows = index.numel() / row;
  if (shared) parallel_for(0, rows, 8192 / row + 1, part);
  else part(0, rows);
}
void shape_gather(Frame& f) {
  check_gather(f.tensor(0), f.tensor(2), f.integer(1), "gather", true);
  check_no_overlap(f, 0);
  check_no_overlap(f, 2);
  exact_output(f, 0, f.tensor(2).sizes(), f.tensor(0).dtype());
}
void run_gather(Frame& f) {
  const Tensor& x = f.tensor(0);
  Tensor index = f.tensor(2).dtype() == DType::I64 ? f.tensor(2) : as_index(f.tensor(2), "gather");
  if (index.numel() == 0) return;
  with_item_type(item_size(x.dtype()), [&]<class T>(T*) {
    const T* from = x.data<T>();
    T* to = f.outs[0].data<T>();
    for_elements(x, index, wrap_dim(f.integer(1), x.dim(), "gather"), "gather", true,
                 [&](int64_t at, int64_t i) { to[i] = from[at]; });
  });
}
void shape_scatter(Frame& f) {
  const Tensor &x = f.tensor(0), &index = f.tensor(2);
  check_gather(x, index, f.integer(1), f.name(), true);
  if (f.args[3].tag == Tag::Tensor) {
    const Tensor& src = f.tensor(3);
    MOKA_CHECK(src.dtype() == x.dtype(), f.name(), ": src is ", src.dtype(), " but the tensor is ",
               x.dtype());
    for (int d = 0; d < index.dim() && index.numel(); d++)
      MOKA_CHECK(d < src.dim() && index.size(d) <= src.size(d), f.name(), ": index of shape ", index.sizes(),
                 " is larger than src of shape ", src.sizes());
  }
  check_no_overlap(f, 2);
  check_no_overlap(f, 3);
  exact_output(f, 0, x.sizes(), x.dtype());
}
template <bool Add>
void run_scatter(Frame& f) {
  const Tensor& out = f.outs[0];
  if (!(out == f.tensor(0))) copy_elements(f.tensor(0), out);
  Tensor index = as_index(f.tensor(2), f.name());
  if (index.numel() == 0) return;
  Tensor src = new_tensor(index.sizes(), out.dtype());
  if (f.args[3].tag == Tag::Tensor) {
    const Tensor& given = f.tensor(3);
    copy_elements(strided_view(given, index.sizes(), given.strides(), given.impl()->offset), src);
  } else {
    double v = f.number(3);
    char item[16];
    convert_elements(&v, DType::F64, item, out.dtype(), 1);
    copy_elements(from_memory(
                      item, sizeof item, {}, {}, out.dtype(), out.device(), [](Storage*) {}, nullptr, true),
                  src);
  }
  int dim = wrap_dim(f.integer(1), out.dim(), f.name());
  size_t item = item_size(out.dtype());
  if constexpr (Add) {
    auto add = [&]<class T>(T*) {
      T* to = out.data<T>();
      const T* from = src.data<T>();
      // Rows of the result are apart where the last dimension is indexed.
      for_elements(out, index, dim, "scatter_add", dim == index.dim() - 1,
                   [&](int64_t at, int64_t i) { to[at] = static_cast<T>(to[at] + from[i]); });
    };
    switch (out.dtype()) {
      case DType::F32: return add(static_cast<float*>(nullptr));
      case DType::F64: return add(static_cast<double*>(nullptr));
      case DType::I32: return add(static_cast<int32_t*>(nullptr));
      case DType::I64: return add(static_cast<int64_t*>(nullptr));
      default: {
        bool whole = !is_floating(out.dtype());
        MOKA_CHECK_KIND(NotImplemented, !is_complex(out.dtype()), "scatter_add: not defined for ",
                        out.dtype());
        Tensor wide = to_dtype(out, whole ? DType::I64 : DType::F32), addends = to_dtype(src, wide.dtype());
        auto add_wide = [&]<class T>(T* to) {
          const T* from = addends.data<T>();
          for_elements(wide, index, dim, "scatter_add", dim == index.dim() - 1,
                       [&](int64_t at, int64_t i) { to[at] = static_cast<T>(to[at] + from[i]); });
        };
        if (whole) add_wide(wide.data<int64_t>());
        else add_wide(wide.data<float>());
        copy_elements(wide, out);
      }
    }
  } else {
    with_item_type(item, [&]<class T>(T*) {
      T* to = out.data<T>();
      const T* from = src.data<T>();
      for_elements(out, index, dim, "scatter", dim == index.dim() - 1,
                   [&](int64_t at, int64_t i) { to[at] = from[i]; });
    });
  }
}

// Only the corner of src that the index covers was read.
void run_gather_corner(Frame& f) {
  const Tensor &out = f.outs[0], &index = f.tensor(2);
  std::memset(out.raw_data(), 0, out.bytes());
  if (index.numel() == 0) return;
  copy_elements(gather(f.tensor(0), f.integer(1), index),
                strided_view(out, index.sizes(), out.strides(), out.impl()->offset));
}
}  // namespace

namespace ops {

constinit const Op gather_op{
    .schema = "gather(Tensor input, int dim, Tensor index) -> Tensor",
    .doc = "result[i][j] = input[index[i][j]][j] for dim 0, and so on.",
    .shape = shape_gather,
    .kernels = {KernelRow{"copy", run_gather}},
    .derivative = {wrt("input", [](auto dy, auto input, auto dim,
                                   auto index) { return scatter_add(zeros_like(input), dim, index, dy); })},
    .batch = over_dims("*dim"),
    .onnx = Format{{.map = "GatherElements(input, index, axis=dim)", .since = 11}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({4, 3}, {2, 3}).in(Domain::Index, 1, 4).with("dim", 0),
                shapes({2, 3}, {2, 0}).in(Domain::Index, 1, 3).with("dim", 1)},
};
constinit const Op scatter_op{
    .schema = "scatter(Tensor input, int dim, Tensor index, Operand src) -> Tensor",
    .doc = "input with result[index[i][j]][j] = src[i][j] for dim 0, and so on; the last write wins.",
    .shape = shape_scatter,
    .kernels = {KernelRow{"copy", run_scatter<false>}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto dim, auto index) { return scatter(dy, dim, index, 0); }),
                   wrt("src", [](auto dy, auto, auto dim, auto index,
                                 auto src) { return gather_corner(dy, dim, index, shape_of(src)); })},
    .batch = over_dims("*dim"),
    .onnx =
        Format{{.map = "ScatterElements(input, index, src, axis=dim ?? 0, reduction?='none')", .since = 11}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({4, 3}, {1, 3}, {1, 3}).in(Domain::Index, 1, 4).with("dim", 0),
                shapes({2, 3}, {2, 0}, {2, 3}).in(Domain::Index, 1, 3).with("dim", 1)},
};
constinit const Op scatter_add_op{
    .schema = "scatter_add(Tensor input, int dim, Tensor index, Tensor src) -> Tensor",
    .doc = "input to which src is added at the places of index.",
    .shape = shape_scatter,
    .kernels = {KernelRow{"add", run_scatter<true>}},
    .derivative = {wrt("input", [](auto dy) { return dy; }),
                   wrt("src", [](auto dy, auto, auto dim, auto index,
                                 auto src) { return gather_corner(dy, dim, index, shape_of(src)); })},
    .batch = over_dims("*dim"),
    .onnx =
        Format{{.map = "ScatterElements(input, index, src, axis=dim ?? 0, reduction='add')", .since = 16}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({4, 3}, {2, 3}, {2, 3}).in(Domain::Index, 1, 4).with("dim", 0),
                shapes({2, 3}, {2, 0}, {2, 3}).in(Domain::Index, 1, 3).with("dim", 1)},
};
constinit const Op gather_corner_op{
    .schema = "gather_corner(Tensor dy, int dim, Tensor index, int[] shape) -> Tensor",
    .doc = "gather(dy, dim, index) in the leading corner of zeros of the given shape.",
    .method = "none",
    .shape = [](Frame& f) { f.output(0, f.ints(3), f.tensor(0).dtype()); },
    .kernels = {KernelRow{"copy", run_gather_corner}},
    .derivative = {wrt("dy", [](auto ddx, auto dy, auto dim,
                                auto index) { return scatter_add(zeros_like(dy), dim, index, ddx); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};

}  // namespace ops
}  // namespace moka
