// Operators that show the same memory in another shape.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/define.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

bool view_strides(std::span<const int64_t> old_sizes, std::span<const int64_t> old_strides,
                  std::span<const int64_t> sizes, Dims& strides) {
  strides = Dims(sizes.size());
  // Group the old dimensions into runs that lie contiguously; every run must be covered by whole new dimensions.
  int64_t d = static_cast<int64_t>(sizes.size()) - 1;
  int64_t run = 1, run_stride = 1;
  bool open = false;
  for (size_t i = old_sizes.size(); i-- > 0;) {
    if (old_sizes[i] == 1) continue;
    if (!open) {
      run = 1;
      run_stride = old_strides[i];
      open = true;
    }
    run *= old_sizes[i];
    size_t next = i;
    while (next > 0 && old_sizes[next - 1] == 1) next--;
    bool ends = next == 0 || old_strides[next - 1] != old_strides[i] * old_sizes[i];
    if (!ends) continue;
    int64_t covered = 1;
    while (d >= 0 && (covered < run || sizes[d] == 1)) {
      strides[d] = run_stride * covered;
      covered *= sizes[d];
      d--;
    }
    if (covered != run) return false;
    open = false;
  }
  for (; d >= 0; d--) {
    if (sizes[d] != 1) return false;
    strides[d] = 1;
  }
  return true;
}

Dims infer_sizes(std::span<const int64_t> sizes, int64_t numel, std::string_view op) {
  Dims out(sizes);
  int64_t known = 1;
  int unknown = -1;
  for (size_t i = 0; i < sizes.size(); i++) {
    if (sizes[i] == -1) {
      MOKA_CHECK(unknown < 0, op, ": only one size may be -1, got ", sizes);
      unknown = static_cast<int>(i);
    } else {
      MOKA_CHECK(sizes[i] >= 0, op, ": negative size ", sizes[i], " in ", sizes);
      known = checked_mul(known, sizes[i], "reshape");
    }
  }
  if (unknown >= 0) {
    MOKA_CHECK(known != 0 || numel != 0, op, ": cannot reshape a tensor of 0 elements into shape ", sizes,
               " because the unspecified dimension size -1 can be any value");
    MOKA_CHECK(known != 0 && numel % known == 0, op, ": shape '", sizes, "' is invalid for input of size ",
               numel);
    out[static_cast<size_t>(unknown)] = numel / known;
  } else {
    MOKA_CHECK(known == numel, op, ": shape '", sizes, "' is invalid for input of size ", numel, ": it has ",
               known, " elements");
  }
  return out;
}

namespace {
void set_view(Frame& f, const Tensor& base, std::span<const int64_t> sizes, std::span<const int64_t> strides,
              int64_t offset) {
  f.outs.resize(1);
  f.outs[0] = strided_view(base, sizes, strides, offset);
}

void run_view(Frame& f) {
  const Tensor& x = f.tensor(0);
  Dims sizes = infer_sizes(f.ints(1), x.numel(), "view");
  Dims strides = contiguous_strides(sizes);
  if (x.numel() != 0 && !x.is_contiguous())
    MOKA_CHECK(view_strides(x.sizes(), x.strides(), sizes, strides), "view: shape ", sizes,
               " cannot show a tensor of sizes ", x.sizes(), " and strides ", x.strides(),
               " without a copy; use reshape");
  set_view(f, x, sizes, strides, x.impl()->offset);
}

void reshape_to(Frame& f, std::span<const int64_t> wanted, std::string_view op) {
  const Tensor& x = f.tensor(0);
  Dims sizes = infer_sizes(wanted, x.numel(), op);
  Dims strides = contiguous_strides(sizes);
  if (x.numel() == 0 || x.is_contiguous() || !x.has_storage() ||
      view_strides(x.sizes(), x.strides(), sizes, strides))
    return set_view(f, x, sizes, strides, x.impl()->offset);
  Tensor copy = as_contiguous(x);
  set_view(f, copy, sizes, contiguous_strides(sizes), 0);
}
void run_reshape(Frame& f) { reshape_to(f, f.ints(1), "reshape"); }

void run_flatten(Frame& f) {
  const Tensor& x = f.tensor(0);
  if (x.dim() == 0) {
    const int64_t one[] = {1};
    return reshape_to(f, one, "flatten");
  }
  int first = wrap_dim(f.integer(1), x.dim(), "flatten"), last = wrap_dim(f.integer(2), x.dim(), "flatten");
  MOKA_CHECK(first <= last, "flatten: start_dim ", first, " comes after end_dim ", last);
  if (first == last) {  // nothing to join: input itself
    f.outs.resize(1);
    f.outs[0] = x;
    return;
  }
  Dims sizes;
  int64_t joined = 1;
  for (int d = 0; d < x.dim(); d++) {
    if (d < first || d > last) {
      sizes.push_back(x.size(d));
      continue;
    }
    joined = checked_mul(joined, x.size(d), "flatten");
    if (d == last) sizes.push_back(joined);
  }
  reshape_to(f, sizes, "flatten");
}

void run_unflatten(Frame& f) {
  const Tensor& x = f.tensor(0);
  int dim = wrap_dim(f.integer(1), x.dim(), "unflatten");
  Dims inner = infer_sizes(f.ints(2), x.size(dim), "unflatten");
  Dims sizes;
  for (int d = 0; d < x.dim(); d++) {
    if (d == dim) sizes.append(inner);
    else sizes.push_back(x.size(d));
  }
  reshape_to(f, sizes, "unflatten");
}

void run_permute(Frame& f) {
  const Tensor& x = f.tensor(0);
  std::span<const int64_t> dims = f.ints(1);
  MOKA_CHECK(static_cast<int>(dims.size()) == x.dim(),
             "permute: number of dimensions in the tensor input does not match the length of the desired "
             "ordering of dimensions i.e. input.dim() = ",
             x.dim(), " is not equal to len(dims) = ", dims.size());
  Dims sizes(dims.size()), strides(dims.size());
  uint64_t seen = 0;
  for (size_t i = 0; i < dims.size(); i++) {
    int d = wrap_dim(dims[i], x.dim(), "permute");
    MOKA_CHECK(!(seen >> d & 1), "permute: dimension ", d, " comes twice in ", dims);
    seen |= uint64_t(1) << d;
    sizes[i] = x.size(d);
    strides[i] = x.stride(d);
  }
  set_view(f, x, sizes, strides, x.impl()->offset);
}

void run_permute_inverse(Frame& f) {
  std::span<const int64_t> dims = f.ints(1);
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(static_cast<int>(dims.size()) == x.dim(), "permute_inverse: ", dims.size(),
             " dimensions given for a ", x.dim(), "-d tensor");
  Dims sizes(x.sizes()), strides(x.strides());
  for (size_t i = 0; i < dims.size(); i++) {
    int d = wrap_dim(dims[i], x.dim(), "permute_inverse");
    sizes[d] = x.size(static_cast<int>(i));
    strides[d] = x.stride(static_cast<int>(i));
  }
  set_view(f, x, sizes, strides, x.impl()->offset);
}

void swap_dims(Frame& f, int64_t a, int64_t b, std::string_view op) {
  const Tensor& x = f.tensor(0);
  int p = wrap_dim(a, x.dim(), op), q = wrap_dim(b, x.dim(), op);
  Dims sizes(x.sizes()), strides(x.strides());
  if (x.dim()) {
    std::swap(sizes[p], sizes[q]);
    std::swap(strides[p], strides[q]);
  }
  set_view(f, x, sizes, strides, x.impl()->offset);
}
void run_transpose(Frame& f) { swap_dims(f, f.integer(1), f.integer(2), "transpose"); }
void run_t(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(x.dim() <= 2, "t: expected at most 2 dimensions, got shape ", x.sizes(),
             "; use transpose(dim0, dim1)");
  if (x.dim() == 2) swap_dims(f, 0, 1, "t");
  else set_view(f, x, x.sizes(), x.strides(), x.impl()->offset);
}

void squeeze_where(Frame& f, uint64_t chosen) {
  const Tensor& x = f.tensor(0);
  Dims sizes, strides;
  for (int d = 0; d < x.dim(); d++) {
    if (x.size(d) == 1 && (chosen >> d & 1)) continue;
    sizes.push_back(x.size(d));
    strides.push_back(x.stride(d));
  }
  set_view(f, x, sizes, strides, x.impl()->offset);
}
void run_squeeze(Frame& f) { squeeze_where(f, ~uint64_t(0)); }
void run_squeeze_dim(Frame& f) {
  uint64_t chosen = 0;
  for (int64_t d : f.ints(1)) chosen |= uint64_t(1) << wrap_dim(d, f.tensor(0).dim(), "squeeze");
  squeeze_where(f, chosen);
}
void run_unsqueeze(Frame& f) {
  const Tensor& x = f.tensor(0);
  int d = wrap_dim(f.integer(1), x.dim() + 1, "unsqueeze");
  Dims sizes(x.sizes()), strides(x.strides());
  int64_t step = d < x.dim() ? x.size(d) * x.stride(d) : 1;
  sizes.insert(static_cast<size_t>(d), 1);
  strides.insert(static_cast<size_t>(d), step);
  set_view(f, x, sizes, strides, x.impl()->offset);
}

void run_expand(Frame& f) {
  const Tensor& x = f.tensor(0);
  std::span<const int64_t> wanted = f.ints(1);
  int lead = static_cast<int>(wanted.size()) - x.dim();
  MOKA_CHECK(lead >= 0, "expand: shape ", wanted, " has fewer dimensions than the tensor's ", x.sizes());
  Dims sizes(wanted), strides(wanted.size());
  for (size_t i = wanted.size(); i-- > 0;) {
    int d = static_cast<int>(i) - lead;
    if (d < 0) {
      MOKA_CHECK(wanted[i] >= 0, "expand: a new leading dimension needs a size, got ", wanted);
      const bool last = i + 1 == wanted.size();
      strides[i] = wanted[i] != 1 ? 0 : last ? 1 : sizes[i + 1] * strides[i + 1];  // as unsqueeze has it
    } else if (wanted[i] == -1 || wanted[i] == x.size(d)) {
      sizes[i] = x.size(d);
      strides[i] = x.stride(d);
    } else {
      MOKA_CHECK(x.size(d) == 1, "expand: The expanded size of the tensor (", wanted[i],
                 ") must match the existing size (", x.size(d), ") at non-singleton dimension ", i,
                 ".  Target sizes: ", wanted, ".  Tensor sizes: ", x.sizes());
      MOKA_CHECK(wanted[i] >= 0, "expand: negative size ", wanted[i], " in ", wanted);
      strides[i] = 0;
    }
  }
  set_view(f, x, sizes, strides, x.impl()->offset);
}

void slice_to(Frame& f, int64_t dim, int64_t start, int64_t end, int64_t step) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(x.dim() > 0, "slice: a 0-d tensor cannot be sliced");
  int d = wrap_dim(dim, x.dim(), "slice");
  MOKA_CHECK_KIND(Value, step > 0, "slice: the step must be positive, got ", step);
  int64_t n = x.size(d);
  auto limit = [n](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + n : v, 0, n); };
  start = limit(start);
  end = std::max(limit(end), start);
  Dims sizes(x.sizes()), strides(x.strides());
  sizes[d] = (end - start) / step + ((end - start) % step != 0);
  // A view of at most one element never uses its stride, which might not fit 64 bits.
  if (sizes[d] > 1) strides[d] = checked_mul(strides[d], step, "slice");
  set_view(f, x, sizes, strides, x.impl()->offset + (sizes[d] ? start * x.stride(d) : 0));
}
void run_slice(Frame& f) {
  slice_to(f, f.integer(1), f.has(2) ? f.integer(2) : 0, f.has(3) ? f.integer(3) : INT64_MAX, f.integer(4));
}
void run_narrow(Frame& f) {
  const Tensor& x = f.tensor(0);
  int d = wrap_dim(f.integer(1), x.dim(), "narrow");
  MOKA_CHECK(x.dim() > 0, "narrow: cannot be applied to a 0-dim tensor");
  int64_t start = f.integer(2), length = f.integer(3), n = x.size(d);
  MOKA_CHECK_KIND(Index, start >= -n && start <= n, "narrow: start ", start,
                  " is out of bounds for dimension ", d, " of shape ", x.sizes(), " (expected -", n, " to ",
                  n, ")");
  if (start < 0) start += n;
  MOKA_CHECK(length >= 0 && start >= 0 && start <= n && length <= n - start, "narrow: start ", f.integer(2),
             " and length ", length, " reach outside dimension ", d, " of shape ", x.sizes());
  slice_to(f, d, start, start + length, 1);
}
void run_select(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK_KIND(Index, x.dim() > 0, "select: a 0-d tensor cannot be indexed; use item()");
  int d = wrap_dim(f.integer(1), x.dim(), "select");
  int64_t i = f.integer(2), n = x.size(d);
  MOKA_CHECK_KIND(Index, i >= -n && i < n, "select: index ", i, " is out of bounds for dimension ", d,
                  " with size ", n, " (shape ", x.sizes(), ")");
  if (i < 0) i += n;
  Dims sizes(x.sizes()), strides(x.strides());
  int64_t offset = x.impl()->offset + i * strides[d];
  sizes.erase(static_cast<size_t>(d));
  strides.erase(static_cast<size_t>(d));
  set_view(f, x, sizes, strides, offset);
}
void run_alias(Frame& f) {
  const Tensor& x = f.tensor(0);
  set_view(f, x, x.sizes(), x.strides(), x.impl()->offset);
}

// Splits along `dim` into the given sizes.
void split_into(Frame& f, int d, std::span<const int64_t> sizes) {
  const Tensor& x = f.tensor(0);
  f.outs.resize(sizes.size());
  int64_t at = 0;
  for (size_t i = 0; i < sizes.size(); i++) {
    Dims s(x.sizes());
    s[d] = sizes[i];
    f.outs[i] = strided_view(x, s, x.strides(), x.impl()->offset + (sizes[i] ? at * x.stride(d) : 0));
    at += sizes[i];
  }
}
void run_split(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(x.dim() > 0, "split: a 0-d tensor cannot be split");
  int d = wrap_dim(f.integer(2), x.dim(), "split");
  std::span<const int64_t> sizes = f.ints(1);
  int64_t total = 0;
  for (int64_t s : sizes) {
    MOKA_CHECK(s >= 0, "split: negative size ", s, " in ", sizes);
    total = checked_add(total, s, "split");
  }
  if (sizes.size() == 1 && sizes[0] != x.size(d)) {  // one size: equal parts, the last may be smaller
    MOKA_CHECK(sizes[0] > 0, "split: the size of the parts must be positive, got ", sizes[0]);
    Dims parts;
    for (int64_t at = 0; at < x.size(d); at += sizes[0]) parts.push_back(std::min(sizes[0], x.size(d) - at));
    if (parts.empty()) parts.push_back(0);
    return split_into(f, d, parts);
  }
  MOKA_CHECK(total == x.size(d), "split: split_with_sizes expects split_sizes to sum exactly to ", x.size(d),
             " (input tensor's size at dimension ", d, "), but got split_sizes=", sizes, ", which sum to ",
             total);
  split_into(f, d, sizes);
}
void run_chunk(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(x.dim() > 0, "chunk: a 0-d tensor cannot be split");
  int64_t chunks = f.integer(1);
  MOKA_CHECK(chunks > 0, "chunk: chunk expects chunks to be greater than 0, got ", chunks);
  int d = wrap_dim(f.integer(2), x.dim(), "chunk");
  int64_t size = x.size(d) / chunks + (x.size(d) % chunks != 0);
  Dims parts;
  for (int64_t at = 0; at < x.size(d); at += size) parts.push_back(std::min(size, x.size(d) - at));
  if (parts.empty()) parts.resize(static_cast<size_t>(chunks), 0);  // of nothing as many as are wanted
  split_into(f, d, parts);
}
void run_unbind(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK_KIND(Index, x.dim() > 0, "unbind: a 0-d tensor cannot be unbound");
  int d = wrap_dim(f.integer(1), x.dim(), "unbind");
  Dims sizes(x.sizes()), strides(x.strides());
  sizes.erase(static_cast<size_t>(d));
  strides.erase(static_cast<size_t>(d));
  f.outs.resize(static_cast<size_t>(x.size(d)));
  for (int64_t i = 0; i < x.size(d); i++)
    f.outs[static_cast<size_t>(i)] = strided_view(x, sizes, strides, x.impl()->offset + i * x.stride(d));
}
}  // namespace

namespace ops {

constinit const Op reshape_op{
    .schema = "reshape(Tensor input, int[] shape) -> Tensor",
    .doc =
        "The same elements in order in another shape; one size may be -1. A view where possible, else a "
        "copy.",
    .view = run_reshape,
    .derivative = {wrt("input", [](auto dy, auto input) { return reshape(dy, shape_of(input)); })},
    .batch = batch_view_sizes,
    .onnx = Format{{.map = "Reshape(input, shape=shape, consumed_inputs?=None)", .until = 5},
                   {.map = "Reshape(input, shape, allowzero?=0)", .since = 5}},
    .netdef = "Reshape(input, shape=shape) -> (output, old_shape)",
    .samples = {shape(2, 6).with("shape", {3, 4}), shape(2, 0).with("shape", {0, 5}),
                shape(4).with("shape", {2, -1})},
};
constinit const Op view_op{
    .schema = "view(Tensor input, int[] size) -> Tensor",
    .doc = "The same memory in another shape; an error where that needs a copy.",
    .method = "method",
    .view = run_view,
    .derivative = {wrt("input", [](auto dy, auto input) { return reshape(dy, shape_of(input)); })},
    .batch = batch_view_sizes,
    .onnx = none("written as Reshape"),
    .netdef = none("written as Reshape"),
    .samples = {shape(2, 6).with("size", {3, 4}), shape(2, 0).with("size", {0, 5})},
};
constinit const Op flatten_op{
    .schema = "flatten(Tensor input, int start_dim=0, int end_dim=-1) -> Tensor",
    .doc = "Joins the dimensions from start_dim to end_dim into one.",
    .view = run_flatten,
    .derivative = {wrt("input", [](auto dy, auto input) { return reshape(dy, shape_of(input)); })},
    .batch = over_dims("=start_dim end_dim"),
    .onnx = none("Flatten gives two dimensions always; written as Reshape or Flatten by an adapter"),
    .netdef = none("Flatten gives two dimensions always; written as Flatten by an adapter"),
    .samples = {shape(2, 3, 4).with("start_dim", 1), shape(0, 3), shape()},
};
constinit const Op unflatten_op{
    .schema = "unflatten(Tensor input, int dim, int[] sizes) -> Tensor",
    .doc = "Splits dimension dim into the given sizes; one may be -1.",
    .view = run_unflatten,
    .derivative = {wrt("input", [](auto dy, auto input) { return reshape(dy, shape_of(input)); })},
    .batch = over_dims("dim"),
    .onnx = none("written as Reshape"),
    .netdef = none("written as Reshape"),
    .samples = {shape(2, 6).with("dim", 1).with("sizes", {2, 3}),
                shape(0, 4).with("dim", 1).with("sizes", {-1, 2})},
};
constinit const Op permute_op{
    .schema = "permute(Tensor input, int[] dims) -> Tensor",
    .doc = "Dimension i of the result is dimension dims[i] of input.",
    .view = run_permute,
    .derivative = {wrt("input", [](auto dy, auto, auto dims) { return permute_inverse(dy, dims); })},
    .batch = batch_permute,
    .onnx = "Transpose(input, perm=dims)",
    .netdef = "Transpose(input, axes=dims)",
    .samples = {shape(2, 3, 4).with("dims", {2, 0, 1}), shape(0, 3).with("dims", {1, 0})},
};
constinit const Op permute_inverse_op{
    .schema = "permute_inverse(Tensor input, int[] dims) -> Tensor",
    .doc = "Undoes permute(dims).",
    .method = "none",
    .view = run_permute_inverse,
    .derivative = {wrt("input", [](auto dy, auto, auto dims) { return permute(dy, dims); })},
    .onnx = none("a gradient's part: written as Transpose"),
    .netdef = none("a gradient's part: written as Transpose"),
    .samples = {shape(2, 3, 4).with("dims", {2, 0, 1}), shape(0, 3).with("dims", {1, 0})},
};
constinit const Op transpose_op{
    .schema = "transpose(Tensor input, int dim0, int dim1) -> Tensor",
    .doc = "Exchanges two dimensions.",
    .view = run_transpose,
    .derivative = {wrt("input",
                       [](auto dy, auto, auto dim0, auto dim1) { return transpose(dy, dim0, dim1); })},
    .batch = over_dims("dim0 dim1"),
    .onnx = none("written as Transpose with all dimensions"),
    .netdef = none("written as Transpose with all dimensions"),
    .samples = {shape(2, 3, 4).with("dim0", 0).with("dim1", -1), shape(0, 3).with("dim0", 0).with("dim1", 1)},
};
constinit const Op t_op{
    .schema = "t(Tensor input) -> Tensor",
    .doc = "The transpose of a matrix.",
    .view = run_t,
    .derivative = {wrt("input", [](auto dy) { return t(dy); })},
    .batch = batch_t,
    .onnx = none("written as Transpose"),
    .netdef = none("written as Transpose"),
    .samples = {shape(2, 3), shape(4)},
};
constinit const Op squeeze_op{
    .schema = "squeeze(Tensor input) -> Tensor",
    .doc = "Drops all dimensions of size 1.",
    .view = run_squeeze,
    .derivative = {wrt("input", [](auto dy, auto input) { return reshape(dy, shape_of(input)); })},
    .batch = batch_squeeze,
    .onnx = none("written as Squeeze with its axes"),
    .netdef = none("written as Squeeze with its axes"),
    .samples = {shape(1, 3, 1), shape(1)},
};
constinit const Op squeeze_dim_op{
    .schema = "squeeze.dim(Tensor input, int[1] dim) -> Tensor",
    .doc = "Drops the named dimensions where they have size 1.",
    .view = run_squeeze_dim,
    .derivative = {wrt("input", [](auto dy, auto input) { return reshape(dy, shape_of(input)); })},
    .batch = over_dims("dim"),
    .onnx =
        Format{{.map = "Squeeze(input, axes=dim)", .until = 13}, {.map = "Squeeze(input, dim)", .since = 13}},
    .netdef = "Squeeze(input, dims=dim)",
    .samples = {shape(1, 3, 1).with("dim", {0}), shape(1, 2).with("dim", {-1})},
};
constinit const Op unsqueeze_op{
    .schema = "unsqueeze(Tensor input, int dim) -> Tensor",
    .doc = "Inserts a dimension of size 1.",
    .view = run_unsqueeze,
    .derivative = {wrt("input", [](auto dy, auto input) { return reshape(dy, shape_of(input)); })},
    .batch = over_dims("dim+"),
    .onnx = Format{{.map = "Unsqueeze(input, axes=one(dim))", .until = 13},
                   {.map = "Unsqueeze(input, one(dim))", .since = 13}},
    .netdef = "ExpandDims(input, dims=one(dim))",
    .samples = {shape(2, 3).with("dim", 1), shape().with("dim", 0), shape(0).with("dim", -1)},
};
constinit const Op expand_op{
    .schema = "expand(Tensor input, int[] size) -> Tensor",
    .doc = "Repeats dimensions of size 1 without a copy; -1 keeps a size.",
    .method = "method",
    .view = run_expand,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .batch = batch_view_sizes,
    .onnx = Format{{.map = "Expand(input, size)", .since = 8}},
    .netdef = "Expand(input, size)",
    .samples = {shape(2, 1).with("size", {2, 3}), shape(3).with("size", {2, -1}), shape(1).with("size", {0})},
};
constinit const Op slice_op{
    .schema = "slice(Tensor input, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor",
    .doc = "Every step-th element of dimension dim from start up to end; negative ends count from the back.",
    .method = "none",
    .view = run_slice,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto start, auto end, auto step) {
                         return slice_backward(dy, shape_of(input), dim, start, end, step);
                       })},
    .batch = over_dims("dim"),
    .onnx =
        Format{{.map = "Slice(input, axes=one(dim), starts=one(start), ends=one(end), =step:1)", .until = 10},
               {.map = "Slice(input, one(start), one(end), one(dim), one(step))", .since = 10}},
    .netdef = none("Slice of Caffe2 takes all dimensions; written by an adapter"),
    .samples = {shape(5, 3).with("start", 1).with("end", 4).with("step", 2),
                shape(4).with("dim", 0).with("start", -2), shape(3, 2).with("dim", 1).with("start", 2)},
};
constinit const Op narrow_op{
    .schema = "narrow(Tensor input, int dim, int start, int length) -> Tensor",
    .doc = "length elements of dimension dim from start on.",
    .view = run_narrow,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto start, auto length) {
                         return narrow_backward(dy, shape_of(input), dim, start, length);
                       })},
    .batch = over_dims("dim"),
    .onnx = none("written as Slice"),
    .netdef = none("written as Slice"),
    .samples = {shape(5, 3).with("dim", 0).with("start", 1).with("length", 2),
                shape(4).with("dim", 0).with("start", 4).with("length", 0)},
};
constinit const Op select_op{
    .schema = "select(Tensor input, int dim, int index) -> Tensor",
    .doc = "The slice at index of dimension dim, without that dimension.",
    .view = run_select,
    .derivative = {wrt("input", [](auto dy, auto input, auto dim,
                                   auto index) { return select_backward(dy, shape_of(input), dim, index); })},
    .batch = over_dims("dim"),
    .onnx = none("written as Gather with a 0-d index"),
    .netdef = none("written as Slice and Squeeze"),
    .samples = {shape(5, 3).with("dim", 0).with("index", 1), shape(4).with("dim", 0).with("index", -1)},
};
constinit const Op detach_op{
    .schema = "detach(Tensor input) -> Tensor",
    .doc = "The same memory, outside the tape: no gradient flows through it.",
    .view = run_alias,
    .derivative = none("detaching is what it is for"),
    .batch = as_it_is(),
    .onnx = none("no computation: drops out of graphs"),
    .netdef = "StopGradient(input)",
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op alias_op{
    .schema = "alias(Tensor input) -> Tensor",
    .doc = "A view of all of input.",
    .method = "none",
    .view = run_alias,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .batch = as_it_is(),
    .onnx = "Identity(input)",
    .netdef = "Alias(input)",
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op split_op{
    .schema = "split(Tensor input, int[] split_size_or_sections, int dim=0) -> Tensor[]",
    .doc = "Views along dim: of the given sizes, or of one size with a smaller rest.",
    .view = run_split,
    .derivative = {wrt("input", [](auto dys, auto, auto, auto dim) { return concat(dys, dim); })},
    .batch = over_dims("dim"),
    .onnx = none("the number of results is read from the graph: written by an adapter"),
    .netdef = none("the number of results is read from the graph: written by an adapter"),
    .samples = {shape(5, 3).with("split_size_or_sections", {2, 3}),
                shape(5).with("split_size_or_sections", {2})},
};
constinit const Op chunk_op{
    .schema = "chunk(Tensor input, int chunks, int dim=0) -> Tensor[]",
    .doc = "At most `chunks` views of equal size along dim; the last may be smaller.",
    .view = run_chunk,
    .derivative = {wrt("input", [](auto dys, auto, auto, auto dim) { return concat(dys, dim); })},
    .batch = over_dims("dim"),
    .onnx = none("written as Split"),
    .netdef = none("written as Split"),
    .samples = {shape(5, 3).with("chunks", 2), shape(4).with("chunks", 5)},
};
constinit const Op unbind_op{
    .schema = "unbind(Tensor input, int dim=0) -> Tensor[]",
    .doc = "All slices of dimension dim, without it.",
    .view = run_unbind,
    .derivative = {wrt("input", [](auto dys, auto, auto dim) { return stack(dys, dim); })},
    .batch = over_dims("dim"),
    .onnx = none("written as Split and Squeeze"),
    .netdef = none("written as Split and Squeeze"),
    .samples = {shape(3, 2), shape(2, 3).with("dim", 1)},
};

}  // namespace ops
}  // namespace moka
