// Views by strides, diagonals and sliding windows, and their gradients.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/add_in_order.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
void set_view(Frame& f, std::span<const int64_t> sizes, std::span<const int64_t> strides, int64_t offset) {
  f.outs.resize(1);
  f.outs[0] = strided_view(f.tensor(0), sizes, strides, offset);
}
void zero(const Tensor& t) { std::memset(t.raw_data(), 0, t.bytes()); }

// The view of a whole into which a gradient goes; `view` makes it.
template <class View>
void add_through(Frame& f, const Tensor& dy, View view) {
  if (is_non_overlapping(view(f.outs[0]).sizes(), view(f.outs[0]).strides())) {
    zero(f.outs[0]);
    return copy_elements(dy, view(f.outs[0]));
  }
  KernelOutput out(f, 0);
  zero(out.tensor());
  Tensor from = as_contiguous(in_kernel_dtype(dy));
  Tensor to = view(out.tensor());
  if (from.dtype() == DType::F64) add_in_order<double>(from, to);
  else if (from.dtype() == DType::F32) add_in_order<float>(from, to);
  else add_in_order<int64_t>(from, to);
  out.finish();
}

// ---- as_strided
struct Strides {
  std::span<const int64_t> sizes, strides;
  int64_t offset;
};
void check_strides(const Frame& f, const Strides& s) {
  MOKA_CHECK(s.sizes.size() == s.strides.size(), f.name(), ": ", s.sizes.size(), " sizes but ",
             s.strides.size(), " strides");
  for (size_t d = 0; d < s.sizes.size(); d++)
    MOKA_CHECK(s.sizes[d] >= 0 && s.strides[d] >= 0, f.name(),
               ": sizes and strides must not be negative, got ", s.sizes, " and ", s.strides);
  MOKA_CHECK(s.offset >= 0, f.name(), ": the offset must not be negative, got ", s.offset);
}
void view_as_strided(Frame& f) {
  const Tensor& x = f.tensor(0);
  Strides s{f.ints(1), f.ints(2), f.has(3) ? f.integer(3) : x.impl()->offset};
  check_strides(f, s);
  set_view(f, s.sizes, s.strides, s.offset);
}
int64_t reach(const Strides& s) {
  int64_t last = s.offset;
  for (size_t d = 0; d < s.sizes.size(); d++) {
    if (s.sizes[d] == 0) return 0;
    last = checked_add(last, checked_mul(s.sizes[d] - 1, s.strides[d], "as_strided"), "as_strided");
  }
  return checked_add(last, 1, "as_strided");
}
// Memory like the input's storage as far as the input and the part reach.
Tensor storage_like(const Tensor& x, const Strides& part, DType dtype) {
  int64_t n = std::max(reach({x.sizes(), x.strides(), x.impl()->offset}), reach(part));
  const int64_t sizes[] = {n};
  Tensor memory = new_tensor(sizes, dtype, x.device());
  zero(memory);
  return memory;
}
Strides part_of(const Frame& f, int first, const Tensor& x) {
  Strides part{f.ints(first), f.ints(first + 1), f.has(first + 2) ? f.integer(first + 2) : x.impl()->offset};
  check_strides(f, part);
  return part;
}
Tensor show(const Tensor& memory, const Strides& s) {
  return strided_view(memory, s.sizes, s.strides, s.offset);
}
Tensor show_like(const Tensor& memory, const Tensor& x) {
  return strided_view(memory, x.sizes(), x.strides(), x.impl()->offset);
}

// Arguments: dy, input, size, stride, offset.
void run_as_strided_backward(Frame& f) {
  const Tensor& x = f.tensor(1);
  Strides part = part_of(f, 2, x);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  Tensor sums = storage_like(x, part, dy.dtype());
  auto run = [&]<class T>(T*) {
    add_in_order<T>(dy, show(sums, part));
    if (is_non_overlapping(x.sizes(), x.strides())) return;
    // Elements that the input shows several times share their gradient.
    Tensor counts = storage_like(x, part, dy.dtype()), ones = new_tensor(x.sizes(), dy.dtype());
    std::fill_n(ones.data<T>(), ones.numel(), T(1));
    add_in_order<T>(ones, show_like(counts, x));
    for (int64_t i = 0; i < sums.numel(); i++)
      if (counts.data<T>()[i] > 1) sums.data<T>()[i] /= counts.data<T>()[i];
  };
  if (dy.dtype() == DType::F64) run(static_cast<double*>(nullptr));
  else run(static_cast<float*>(nullptr));
  copy_elements(show_like(sums, x), f.outs[0]);
}
void run_as_strided_again(Frame& f) {
  const Tensor& x = f.tensor(1);
  Strides part = part_of(f, 2, x);
  Tensor memory = storage_like(x, part, f.tensor(0).dtype());
  copy_elements(f.tensor(0), show_like(memory, x));
  copy_elements(show(memory, part), f.outs[0]);
}
// Arguments: input, src, size, stride, offset.
void run_as_strided_scatter(Frame& f) {
  const Tensor& x = f.tensor(0);
  Strides part = part_of(f, 2, x);
  Tensor memory = storage_like(x, part, x.dtype());
  copy_elements(x, show_like(memory, x));
  copy_elements(f.tensor(1), show(memory, part));
  copy_elements(show_like(memory, x), f.outs[0]);
}
void shape_as_strided_scatter(Frame& f) {
  const Tensor &x = f.tensor(0), &src = f.tensor(1);
  Strides part = part_of(f, 2, x);
  MOKA_CHECK(std::equal(src.sizes().begin(), src.sizes().end(), part.sizes.begin(), part.sizes.end()),
             f.name(), ": src has shape ", src.sizes(), " but the part has shape ", part.sizes);
  if (x.has_storage()) strided_view(x, part.sizes, part.strides, part.offset);  // checks that it lies inside
  f.output(0, x.sizes(), x.dtype());
}

// ---- diagonals
struct Diagonal {
  Dims sizes, strides;
  int64_t offset;
};
Diagonal diagonal_of(const Frame& f, const Tensor& x, int first) {
  int64_t shift = f.integer(first);
  int a = wrap_dim(f.integer(first + 1), x.dim(), f.name());
  int b = wrap_dim(f.integer(first + 2), x.dim(), f.name());
  MOKA_CHECK(a != b, f.name(), ": the two dimensions must differ, got ", a, " twice for shape ", x.sizes());
  int64_t rows = x.size(a), columns = x.size(b);
  // Offsets past the matrix give nothing; comparing first keeps the differences in range.
  int64_t length = shift >= 0 ? (shift >= columns ? 0 : std::min(rows, columns - shift))
                              : (-(shift + 1) >= rows ? 0 : std::min(rows + shift, columns));
  Diagonal out{Dims(), Dims(), x.impl()->offset};
  for (int d = 0; d < x.dim(); d++)
    if (d != a && d != b) {
      out.sizes.push_back(x.size(d));
      out.strides.push_back(x.stride(d));
    }
  out.sizes.push_back(length);
  out.strides.push_back(checked_add(x.stride(a), x.stride(b), "diagonal"));
  if (length > 0) out.offset += shift >= 0 ? shift * x.stride(b) : -shift * x.stride(a);
  return out;
}
Tensor show(const Tensor& x, const Diagonal& d) { return strided_view(x, d.sizes, d.strides, d.offset); }
void view_diagonal(Frame& f) {
  Diagonal d = diagonal_of(f, f.tensor(0), 1);
  set_view(f, d.sizes, d.strides, d.offset);
}
void shape_given(Frame& f) { f.output(0, f.ints(1), f.tensor(0).dtype()); }
void run_diagonal_backward(Frame& f) {
  zero(f.outs[0]);
  copy_elements(f.tensor(0), show(f.outs[0], diagonal_of(f, f.outs[0], 2)));
}
void shape_diag_embed(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(x.dim() > 0, "diag_embed: expected at least 1 dimension, got a 0-d tensor");
  int n = x.dim() + 1;
  int a = wrap_dim(f.integer(2), n, "diag_embed"), b = wrap_dim(f.integer(3), n, "diag_embed");
  MOKA_CHECK(a != b, "diag_embed: the two dimensions must differ, got ", a, " twice");
  int64_t shift = f.integer(1),
          side = checked_add(x.size(-1), shift < 0 ? -(shift + 1) : shift, "diag_embed");
  if (shift < 0) side = checked_add(side, 1, "diag_embed");
  Dims sizes;
  for (int d = 0, k = 0; d < n; d++) sizes.push_back(d == a || d == b ? side : x.size(k++));
  f.output(0, sizes, x.dtype());
}
void run_diag_embed(Frame& f) {
  zero(f.outs[0]);
  copy_elements(f.tensor(0), show(f.outs[0], diagonal_of(f, f.outs[0], 1)));
}
void run_diagonal_scatter(Frame& f) {
  if (!(f.outs[0] == f.tensor(0))) copy_elements(f.tensor(0), f.outs[0]);
  copy_elements(f.tensor(1), show(f.outs[0], diagonal_of(f, f.outs[0], 2)));
}
void check_src(const Frame& f, std::span<const int64_t> sizes) {
  const Tensor& src = f.tensor(1);
  MOKA_CHECK(std::equal(src.sizes().begin(), src.sizes().end(), sizes.begin(), sizes.end()), f.name(),
             ": src must have the shape ", sizes, " of the part that it replaces, got ", src.sizes());
}
void shape_diagonal_scatter(Frame& f) {
  check_src(f, diagonal_of(f, f.tensor(0), 2).sizes);
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}

// ---- the same for slices: the part is the view that the operator of that name makes of the result
template <const Op& view>
Tensor part_by(const Frame& f, const Tensor& whole) {
  ArgRoom args;
  args[0] = whole;
  for (int i = 2; i < f.count; i++) args[i - 1] = f.args[i];
  Frame g(view, args, f.count - 1);
  view.view(g);
  return g.outs[0];
}
template <const Op& view>
void shape_part_scatter(Frame& f) {
  const Tensor& x = f.tensor(0);
  check_src(f, part_by<view>(f, shape_only(x.sizes(), x.dtype())).sizes());
  f.output(0, x.sizes(), x.dtype());
}
template <const Op& view>
void run_part_scatter(Frame& f) {
  if (!(f.outs[0] == f.tensor(0))) copy_elements(f.tensor(0), f.outs[0]);
  copy_elements(f.tensor(1), part_by<view>(f, f.outs[0]));
}

// ---- unfold
Strides windows_of(const Frame& f, const Tensor& x, int first, Dims& sizes, Dims& strides) {
  int64_t size = f.integer(first + 1), step = f.integer(first + 2);
  int d = x.dim() ? wrap_dim(f.integer(first), x.dim(), "unfold") : 0;
  int64_t length = x.dim() ? x.size(d) : 1;
  MOKA_CHECK(size >= 0 && size <= length, "unfold: size ", size, " must be between 0 and ", length,
             ", the size of dimension ", d, " of shape ", x.sizes());
  MOKA_CHECK(step > 0, "unfold: step must be positive, got ", step);
  sizes = Dims(x.sizes());
  strides = Dims(x.strides());
  if (x.dim()) {
    sizes[static_cast<size_t>(d)] = (length - size) / step + 1;
    strides.push_back(x.stride(d));
    if (sizes[static_cast<size_t>(d)] > 1)
      strides[static_cast<size_t>(d)] = checked_mul(x.stride(d), step, "unfold");
  } else {
    strides.push_back(1);
  }
  sizes.push_back(size);
  return {sizes, strides, x.impl()->offset};
}
void view_unfold(Frame& f) {
  Dims sizes, strides;
  Strides s = windows_of(f, f.tensor(0), 1, sizes, strides);
  set_view(f, s.sizes, s.strides, s.offset);
}
void run_unfold_backward(Frame& f) {
  add_through(f, f.tensor(0), [&](const Tensor& whole) {
    Dims sizes, strides;
    return show(whole, windows_of(f, whole, 2, sizes, strides));
  });
}

// ---- view(dtype)
void view_bits(Frame& f) {
  const Tensor& x = f.tensor(0);
  DType to = f.args[1].dtype;
  int64_t from_size = static_cast<int64_t>(item_size(x.dtype())),
          to_size = static_cast<int64_t>(item_size(to));
  MOKA_CHECK(x.dtype() != DType::String && to != DType::String, "view: strings have no bits to show");
  Dims sizes(x.sizes()), strides(x.strides());
  int64_t offset = x.impl()->offset;
  if (from_size != to_size) {
    MOKA_CHECK(x.dim() > 0, "view: self.dim() cannot be 0 to view ", x.dtype(), " as ", to,
               ", whose elements have another size");
    MOKA_CHECK(strides.back() == 1 || x.size(-1) <= 1, "view: self.stride(-1) must be 1 to view ", x.dtype(),
               " as ", to, ", it is ", strides.back());
    if (to_size < from_size) {
      int64_t ratio = from_size / to_size;
      sizes.back() = checked_mul(sizes.back(), ratio, "view");
      for (size_t d = 0; d + 1 < strides.size(); d++) strides[d] = checked_mul(strides[d], ratio, "view");
      offset = checked_mul(offset, ratio, "view");
    } else {
      int64_t ratio = to_size / from_size;
      MOKA_CHECK(sizes.back() % ratio == 0, "view: self.size(-1) must be divisible by ", ratio, " to view ",
                 x.dtype(), " as ", to, "; the shape is ", x.sizes());
      MOKA_CHECK(offset % ratio == 0, "view: self.storage_offset() must be divisible by ", ratio, " to view ",
                 x.dtype(), " as ", to, ", but is ", offset);
      sizes.back() /= ratio;
      for (size_t d = 0; d + 1 < strides.size(); d++) {
        MOKA_CHECK(strides[d] % ratio == 0, "view: self.stride(", static_cast<int64_t>(d),
                   ") must be divisible by ", ratio, " to view ", x.dtype(), " as ", to,
                   ", but the strides are ", x.strides());
        strides[d] /= ratio;
      }
      offset /= ratio;
    }
    strides.back() = 1;
  }
  f.outs.resize(1);
  if (f.infer || !x.has_storage()) {
    f.outs[0] = shape_only(sizes, to);
    return;
  }
  // The bounds of the new geometry are those of the old one in bytes.
  Tensor same = strided_view(x, x.sizes(), x.strides(), x.impl()->offset);
  TensorImpl* t = same.impl();
  t->dtype = to;
  t->offset = offset;
  t->numel = checked_numel(sizes, "view");
  std::copy(sizes.begin(), sizes.end(), t->sizes);
  std::copy(strides.begin(), strides.end(), t->strides);
  f.outs[0] = same;
}
}  // namespace

constinit const Op as_strided_op{
    .schema = "as_strided(Tensor input, int[] size, int[] stride, int? storage_offset=None) -> Tensor",
    .doc =
        "The memory of input with other sizes, strides and offset, counted in elements from the storage's "
        "start.",
    .view = view_as_strided,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto size, auto stride, auto offset) {
                         return as_strided_backward(dy, input, size, stride, offset);
                       })},
    .onnx = none("graphs have no memory to share"),
    .netdef = none("graphs have no memory to share"),
    .samples = {shape(3, 4).with("size", {2, 2}).with("stride", {4, 1}).with("storage_offset", 1),
                shape(5).with("size", {3, 2}).with("stride", {1, 1}),
                shape(2).with("size", {0}).with("stride", {1})},
};
constinit const Op as_strided_backward_op{
    .schema =
        "as_strided_backward(Tensor dy, Tensor input, int[] size, int[] stride, int? storage_offset) -> "
        "Tensor",
    .doc = "The gradient of as_strided: dy added where the part read, in memory that lies like the input's.",
    .method = "none",
    .shape = [](Frame& f) { f.output(0, f.tensor(1).sizes(), f.tensor(0).dtype()); },
    .kernels = {KernelRow{"add", run_as_strided_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto input, auto size, auto stride,
                                auto offset) { return as_strided_again(ddx, input, size, stride, offset); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op as_strided_again_op{
    .schema =
        "as_strided_again(Tensor values, Tensor input, int[] size, int[] stride, int? storage_offset) -> "
        "Tensor",
    .doc = "as_strided of values laid out in memory like input.",
    .method = "none",
    .shape = [](Frame& f) { f.output(0, f.ints(2), f.tensor(0).dtype()); },
    .kernels = {KernelRow{"copy", run_as_strided_again}},
    .derivative = {wrt("values",
                       [](auto dy, auto, auto input, auto size, auto stride, auto offset) {
                         return as_strided_backward(dy, input, size, stride, offset);
                       })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op as_strided_scatter_op{
    .schema =
        "as_strided_scatter(Tensor input, Tensor src, int[] size, int[] stride, int? storage_offset=None) -> "
        "Tensor",
    .doc = "input with src at the elements that as_strided with these sizes, strides and offset shows.",
    .shape = shape_as_strided_scatter,
    .kernels = {KernelRow{"copy", run_as_strided_scatter}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto, auto size, auto stride, auto offset) {
                         // dy without what the part covers
                         return dy - as_strided_backward(as_strided_again(dy, input, size, stride, offset),
                                                         input, size, stride, offset);
                       }),
                   wrt("src", [](auto dy, auto input, auto, auto size, auto stride,
                                 auto offset) { return as_strided_again(dy, input, size, stride, offset); })},
    .onnx = none("graphs have no memory to share"),
    .netdef = none("graphs have no memory to share"),
    .samples = {shapes({3, 4}, {2, 2}).with("size", {2, 2}).with("stride", {4, 1}).with("storage_offset", 1),
                shapes({2}, {0}).with("size", {0}).with("stride", {1})},
};
constinit const Op diagonal_op{
    .schema = "diagonal(Tensor input, int offset=0, int dim1=0, int dim2=1) -> Tensor",
    .doc =
        "The diagonals of the matrices that dim1 and dim2 span, as a view; offset > 0 lies above the main "
        "one.",
    .view = view_diagonal,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto offset, auto dim1, auto dim2) {
                         return diagonal_backward(dy, shape_of(input), offset, dim1, dim2);
                       })},
    .onnx = none("written as Gather by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("offset", -1).with("dim1", 2).with("dim2", 0),
                shape(2, 3).with("offset", 5)},
};
constinit const Op diagonal_backward_op{
    .schema = "diagonal_backward(Tensor dy, int[] shape, int offset, int dim1, int dim2) -> Tensor",
    .doc = "Zeros of the given shape with dy on the diagonals.",
    .method = "none",
    .shape = shape_given,
    .kernels = {KernelRow{"copy", run_diagonal_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto offset, auto dim1,
                                auto dim2) { return diagonal(ddx, offset, dim1, dim2); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op diag_embed_op{
    .schema = "diag_embed(Tensor input, int offset=0, int dim1=-2, int dim2=-1) -> Tensor",
    .doc = "Matrices of zeros whose diagonals hold the last dimension of input.",
    .shape = shape_diag_embed,
    .kernels = {KernelRow{"copy", run_diag_embed}},
    .derivative = {wrt("input", [](auto dy, auto, auto offset, auto dim1,
                                   auto dim2) { return diagonal(dy, offset, dim1, dim2); })},
    .onnx = none("written as ScatterND by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(2, 3), shape(3).with("offset", -1).with("dim1", 1).with("dim2", 0), shape(0)},
};
constinit const Op diagonal_scatter_op{
    .schema = "diagonal_scatter(Tensor input, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor",
    .doc = "input with src on the diagonals that diagonal() shows.",
    .shape = shape_diagonal_scatter,
    .kernels = {KernelRow{"copy", run_diagonal_scatter}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto src, auto offset, auto dim1, auto dim2) {
                         return diagonal_scatter(dy, zeros(shape_of(src)), offset, dim1, dim2);
                       }),
                   wrt("src", [](auto dy, auto, auto, auto offset, auto dim1,
                                 auto dim2) { return diagonal(dy, offset, dim1, dim2); })},
    .onnx = none("written as ScatterND by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3}),
                shapes({2, 3, 4}, {3, 2}).with("offset", -1).with("dim1", 2).with("dim2", 0)},
};
constinit const Op select_scatter_op{
    .schema = "select_scatter(Tensor input, Tensor src, int dim, int index) -> Tensor",
    .doc = "input with src at the index of dimension dim.",
    .shape = shape_part_scatter<select_op>,
    .kernels = {KernelRow{"copy", run_part_scatter<select_op>}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto src, auto dim, auto index) {
                         return select_scatter(dy, zeros(shape_of(src)), dim, index);
                       }),
                   wrt("src",
                       [](auto dy, auto, auto, auto dim, auto index) { return select(dy, dim, index); })},
    .onnx = none("written as ScatterND by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {4}).with("dim", 0).with("index", 1),
                shapes({2, 3}, {2}).with("dim", -1).with("index", -1)},
};
constinit const Op slice_scatter_op{
    .schema =
        "slice_scatter(Tensor input, Tensor src, int dim=0, int? start=None, int? end=None, int step=1) -> "
        "Tensor",
    .doc = "input with src in the slice of dimension dim.",
    .shape = shape_part_scatter<slice_op>,
    .kernels = {KernelRow{"copy", run_part_scatter<slice_op>}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto src, auto dim, auto start, auto end, auto step) {
                         return slice_scatter(dy, zeros(shape_of(src)), dim, start, end, step);
                       }),
                   wrt("src", [](auto dy, auto, auto, auto dim, auto start, auto end,
                                 auto step) { return slice(dy, dim, start, end, step); })},
    .onnx = none("written as ScatterND by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({5, 3}, {2, 3}).with("start", 1).with("end", 4).with("step", 2),
                shapes({4}, {0}).with("start", 4)},
};
constinit const Op unfold_op{
    .schema = "unfold(Tensor input, int dimension, int size, int step) -> Tensor",
    .doc =
        "All windows of `size` elements along a dimension, `step` apart, as a view with a new last "
        "dimension.",
    .method = "method",
    .view = view_unfold,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dimension, auto size, auto step) {
                         return unfold_backward(dy, shape_of(input), dimension, size, step);
                       })},
    .onnx = none("written as Gather by an adapter"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(7, 2).with("dimension", 0).with("size", 3).with("step", 2),
                shape(5).with("dimension", -1).with("size", 2).with("step", 1),
                shape(3).with("dimension", 0).with("size", 0).with("step", 1)},
};
constinit const Op unfold_backward_op{
    .schema = "unfold_backward(Tensor dy, int[] shape, int dimension, int size, int step) -> Tensor",
    .doc = "Zeros of the given shape to which the windows in dy are added.",
    .method = "none",
    .shape = shape_given,
    .kernels = {KernelRow{"add", run_unfold_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto dimension, auto size,
                                auto step) { return unfold(ddx, dimension, size, step); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op view_dtype_op{
    .schema = "view.dtype(Tensor input, DType dtype) -> Tensor",
    .doc =
        "The same bytes read as elements of another type; the last dimension grows or shrinks with their "
        "size.",
    .method = "none",
    .view = view_bits,
    .derivative = none("bits have no gradient"),
    .onnx = none("ONNX's BitCast is not in the opsets that are written"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {},
};

}  // namespace moka::ops

MOKA_OP_TABLE(arranging, MOKA_ARRANGING_OPS)
