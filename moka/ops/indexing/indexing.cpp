// x[i, :, j] read and written by index tensors and masks, and the places of what is not zero.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/indexing/indexing.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/index_values.h"
#include "moka/ops/indexing/mask_places.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/wrapping.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka {

namespace {
// x[i, :, j] with index tensors (None where a dimension is kept)
struct IndexPlan {
  Dims before, broadcast, after;  // sizes around the indexed dimensions in the result
  std::vector<int> dims;  // indexed dimensions of the input, in order
  std::vector<Tensor> indices;  // broadcast to `broadcast`, contiguous int64
  bool adjacent = true;  // else the broadcast part comes first
};

// Boolean masks become the index tensors of their true elements.
std::vector<Tensor> expand_masks(const Tensor& x, std::span<const Tensor> given, std::string_view op) {
  std::vector<Tensor> out;
  for (const Tensor& t : given) {
    if (!t || (t.dtype() != DType::Bool && t.dtype() != DType::U8)) {  // bytes are masks too
      out.push_back(t);
      continue;
    }
    check_sizes_known(t, op);
    MOKA_CHECK_KIND(Index, t.dim() > 0, op, ": a 0-d mask indexes no dimension; use where");
    int first = static_cast<int>(out.size());
    MOKA_CHECK_KIND(Index, first + t.dim() <= x.dim(), op, ": a mask of shape ", t.sizes(),
                    " does not fit shape ", x.sizes());
    for (int d = 0; d < t.dim(); d++)
      MOKA_CHECK_KIND(Index, t.size(d) == x.size(first + d), op, ": The shape of the mask ", t.sizes(),
                      " at index ", d, " does not match the shape of the indexed tensor ", x.sizes(),
                      " at index ", first + d);
    MaskPlaces places(as_contiguous(t));
    const int64_t sizes[] = {places.count()};
    int64_t* to[max_dims];
    for (int d = 0; d < t.dim(); d++) {
      out.push_back(new_tensor(sizes, DType::I64));
      to[d] = out.back().data<int64_t>();
    }
    places.write_indices(to, 1);
  }
  return out;
}

IndexPlan plan_index(const Tensor& x, std::span<const Tensor> given, std::string_view op) {
  IndexPlan p;
  std::vector<Tensor> list = expand_masks(x, given, op);
  MOKA_CHECK_KIND(Index, static_cast<int>(list.size()) <= x.dim(), op, ": ", list.size(),
                  " indices for shape ", x.sizes());
  bool first = true;
  for (size_t d = 0; d < list.size(); d++) {
    if (!list[d]) continue;
    check_integral(list[d], op);
    try {
      p.broadcast = first ? Dims(list[d].sizes()) : broadcast_shape(p.broadcast, list[d].sizes(), op);
    } catch (const Error&) {
      fail_kind(ErrorKind::Index, op,
                ": shape mismatch: indexing tensors could not be broadcast together, got ", p.broadcast,
                " and ", list[d].sizes());
    }
    first = false;
    if (!p.dims.empty() && p.dims.back() + 1 != static_cast<int>(d)) p.adjacent = false;
    p.dims.push_back(static_cast<int>(d));
  }
  MOKA_CHECK_KIND(Index, !p.dims.empty(), op, ": expected at least one index tensor");
  for (int d : p.dims) {
    if (is_meta(x) || is_meta(list[static_cast<size_t>(d)])) continue;  // for the sizes alone
    Tensor wide = new_tensor(p.broadcast, DType::I64);
    copy_elements(list[static_cast<size_t>(d)], wide);
    int64_t* v = wide.data<int64_t>();
    for (int64_t i = 0; i < wide.numel(); i++) v[i] = checked_index(v[i], x.size(d), d, op);
    p.indices.push_back(wide);
  }
  for (int d = 0; d < x.dim(); d++) {
    if (std::find(p.dims.begin(), p.dims.end(), d) != p.dims.end()) continue;
    (p.adjacent && d > p.dims.front() ? p.after : !p.adjacent ? p.after : p.before).push_back(x.size(d));
  }
  return p;
}

Dims result_sizes(const IndexPlan& p) {
  Dims sizes = p.before;
  sizes.append(p.broadcast);
  sizes.append(p.after);
  return sizes;
}

// Views of `x` with the kept dimensions in result order and, for each index position, the offset of its slice.
struct SliceWalk {
  Dims kept_sizes, kept_strides;  // dimensions of x that are kept, `before` then `after`
  std::vector<int64_t> offsets;  // by index position, in elements from x's start
};
SliceWalk walk_slices(const Tensor& x, const IndexPlan& p) {
  SliceWalk w;
  for (int d = 0; d < x.dim(); d++)
    if (std::find(p.dims.begin(), p.dims.end(), d) == p.dims.end()) {
      w.kept_sizes.push_back(x.size(d));
      w.kept_strides.push_back(x.stride(d));
    }
  int64_t n = p.indices[0].numel();
  w.offsets.assign(static_cast<size_t>(n), 0);
  if (!x.numel()) return w;  // strides beside empty dimensions may be of any size
  for (size_t k = 0; k < p.dims.size(); k++) {
    const int64_t* v = p.indices[k].data<int64_t>();
    int64_t stride = x.stride(p.dims[k]);
    for (int64_t i = 0; i < n; i++) w.offsets[static_cast<size_t>(i)] += v[i] * stride;
  }
  return w;
}

// Calls f(view of x's slice, view of the result's slice) for every index position.
template <class F>
void for_slices(const Tensor& x, const Tensor& out, const IndexPlan& p, F f) {
  SliceWalk w = walk_slices(x, p);
  size_t before = p.before.size(), middle = p.broadcast.size();
  Dims out_sizes(p.before), out_strides;
  out_sizes.append(p.after);
  for (size_t d = 0; d < before; d++) out_strides.push_back(out.stride(static_cast<int>(d)));
  for (size_t d = 0; d < p.after.size(); d++)
    out_strides.push_back(out.stride(static_cast<int>(before + middle + d)));
  bool empty = false;
  for (int64_t s : out_sizes) empty |= s == 0;
  if (empty) return;
  for (size_t i = 0; i < w.offsets.size(); i++) {
    int64_t rest = static_cast<int64_t>(i), at = out.impl()->offset;
    for (size_t d = middle; d-- > 0;) {
      at += rest % p.broadcast[d] * out.stride(static_cast<int>(before + d));
      rest /= p.broadcast[d];
    }
    f(strided_view(x, w.kept_sizes, w.kept_strides, x.impl()->offset + w.offsets[i]),
      strided_view(out, out_sizes, out_strides, at));
  }
}

// Calls f(place in x, place in the contiguous result, run) for every run of elements that lie together in both; places
// are in elements. Positions of the index come in order, so that of several writes to one place the last wins.
template <class F>
void for_index_runs(const Tensor& x, const IndexPlan& p, bool shared, F f) {
  SliceWalk w = walk_slices(x, p);
  size_t before = p.before.size();
  // Trailing kept dimensions that lie together make the run, the others are counted.
  int64_t run = 1, rows = 1, slices = 1;
  size_t whole = w.kept_sizes.size();
  while (whole > before && (w.kept_strides[whole - 1] == run || w.kept_sizes[whole - 1] == 1))
    run *= w.kept_sizes[--whole];
  for (size_t d = before; d < whole; d++) rows *= w.kept_sizes[d];
  for (size_t d = 0; d < before; d++) slices *= w.kept_sizes[d];
  int64_t positions = static_cast<int64_t>(w.offsets.size());
  if (run == 0 || rows == 0 || slices == 0) return;
  auto place = [&](int64_t linear, size_t first, size_t last) {
    int64_t at = 0;
    for (size_t d = last; d-- > first;) {
      at += linear % w.kept_sizes[d] * w.kept_strides[d];
      linear /= w.kept_sizes[d];
    }
    return at;
  };
  auto part = [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      int64_t at = place(i / positions, 0, before) + w.offsets[static_cast<size_t>(i % positions)];
      for (int64_t r = 0; r < rows; r++)
        f(at + (rows > 1 ? place(r, before, whole) : 0), (i * rows + r) * run, run);
    }
  };
  if (shared) parallel_for(0, slices * positions, 4096 / (rows * run) + 1, part);
  else part(0, slices * positions);
}
// One mask over the leading dimensions of a contiguous tensor: its runs move together. The general way has the words for
// masks that do not fit.
bool is_leading_mask(const Tensor& x, std::span<const Tensor> list) {
  if (list.empty() || !list[0] || list[0].dtype() != DType::Bool || !x.is_contiguous()) return false;
  const Tensor& mask = list[0];
  for (const Tensor& t : list.subspan(1))
    if (t) return false;
  return mask.dim() > 0 && mask.dim() <= x.dim() &&
         std::equal(mask.sizes().begin(), mask.sizes().end(), x.sizes().begin());
}
// One value at the true places.
bool fill_by_mask(const Tensor& out, std::span<const Tensor> list, const Tensor& value) {
  if (value.numel() != 1 || value.dim() > 1 || !is_leading_mask(out, list)) return false;
  Tensor mask = as_contiguous(list[0]), one = to_dtype(value, out.dtype());
  const uint8_t* m = mask.data<uint8_t>();
  const int64_t run = mask.numel() ? out.numel() / mask.numel() : 0;
  if (run == 0) return true;
  with_item_type(item_size(out.dtype()), [&]<class T>(T*) {
    T* to = out.data<T>();
    const T v = one.data<T>()[0];
    parallel_for(0, mask.numel(), 32768 / run + 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++)
        if (run == 1) to[i] = m[i] ? v : to[i];
        else if (m[i]) std::fill_n(to + i * run, run, v);
    });
  });
  return true;
}
// x[index] += values, or = values; `values` is contiguous in the shape of the result.
void write_runs(const Tensor& x, const IndexPlan& p, const Tensor& values, bool accumulate) {
  if (!accumulate) {
    size_t item = item_size(x.dtype());
    return with_item_copy(item, [&](auto copy) {
      char* to = x.data<char>();
      const char* from = values.data<char>();
      for_index_runs(x, p, false, [&](int64_t at, int64_t source, int64_t n) {
        copy(to + at * static_cast<int64_t>(item), from + source * static_cast<int64_t>(item), n);
      });
    });
  }
  auto add = [&]<class T>(T* to) {
    const T* from = values.data<T>();
    for_index_runs(x, p, false, [&](int64_t at, int64_t source, int64_t n) {
      for (int64_t k = 0; k < n; k++) to[at + k] = wrapping_add<T>(to[at + k], from[source + k]);
    });
  };
  switch (x.dtype()) {
    case DType::F32: return add(x.data<float>());
    case DType::F64: return add(x.data<double>());
    case DType::I32: return add(x.data<int32_t>());
    case DType::I64: return add(x.data<int64_t>());
    case DType::C64: return add(x.data<std::complex<float>>());
    case DType::C128: return add(x.data<std::complex<double>>());
    default: {
      DType type = is_floating(x.dtype()) ? DType::F32 : is_complex(x.dtype()) ? DType::C64 : DType::I64;
      Tensor wide = new_tensor(x.sizes(), type);
      copy_elements(x, wide);
      write_runs(wide, p, to_dtype(values, type), true);
      copy_elements(wide, x);
    }
  }
}

bool select_by_mask(const Tensor& x, std::span<const Tensor> list, Tensor& out) {
  if (!x.has_storage() || !is_leading_mask(x, list)) return false;
  const Tensor& mask = list[0];
  check_sizes_known(mask, "index");
  MaskPlaces places(as_contiguous(mask));
  Dims sizes{places.count()};
  int64_t run = static_cast<int64_t>(item_size(x.dtype()));
  for (int d = mask.dim(); d < x.dim(); d++) {
    sizes.push_back(x.size(d));
    run *= x.size(d);
  }
  out = new_tensor(sizes, x.dtype(), x.device());
  if (out.numel() && !is_meta(out)) places.compress(x.data<char>(), run, out.data<char>());
  return true;
}
void view_index(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK_KIND(NotImplemented, !f.infer,
                  "index: the shape of the result may depend on the values of masks");
  int given = 0;
  for (const Tensor& t : f.tensors(1)) given += static_cast<bool>(t);
  for (size_t d = 0; d < f.tensors(1).size(); d++)
    if (const Tensor& t = f.tensors(1)[d]; t && (t.dtype() == DType::Bool || t.dtype() == DType::U8))
      f.sizes_of_values(given == 1 ? static_cast<int>(d) : -1);
  f.outs.resize(1);
  if (select_by_mask(x, f.tensors(1), f.outs[0])) return;
  IndexPlan p = plan_index(x, f.tensors(1), "index");
  if (p.indices.size() < p.dims.size()) {
    f.outs[0] = new_tensor(result_sizes(p), x.dtype(), meta_device);
    return;
  }
  f.outs[0] = new_tensor(result_sizes(p), x.dtype(), x.device());
  size_t item = item_size(x.dtype());
  with_item_copy(item, [&](auto copy) {
    const char* from = x.has_storage() ? x.data<char>() : nullptr;
    char* to = f.outs[0].data<char>();
    for_index_runs(x, p, true, [&](int64_t at, int64_t target, int64_t n) {
      copy(to + target * static_cast<int64_t>(item), from + at * static_cast<int64_t>(item), n);
    });
  });
}
void run_index_backward(Frame& f) {
  const Tensor& out = f.outs[0];
  std::memset(out.raw_data(), 0, out.bytes());
  IndexPlan p = plan_index(out, f.tensors(2), "index_backward");
  check_shape(f, 0, result_sizes(p));
  write_runs(out, p, as_contiguous(to_dtype(f.tensor(0), out.dtype())), true);
}
void shape_index_put(Frame& f) {
  // One value where a mask says so is a fill, which converts.
  const Tensor& values = f.tensor(2);
  bool fill = values.numel() == 1 && !f.flag(3);
  for (const Tensor& t : f.tensors(1)) fill = fill && (!t || t.dtype() == DType::Bool);
  MOKA_CHECK(fill || values.dtype() == f.tensor(0).dtype(),
             "index_put: expected values of the tensor's type ", f.tensor(0).dtype(), ", got ",
             values.dtype(), "; convert them first");
  if (f.given & 1 && f.outs[0] == f.tensor(0)) return;  // the kernel writes into its input
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
void run_index_put(Frame& f) {
  const Tensor& out = f.outs[0];
  if (!(out == f.tensor(0))) copy_elements(f.tensor(0), out);
  if (!f.flag(3) && fill_by_mask(out, f.tensors(1), f.tensor(2))) return;
  IndexPlan p = plan_index(out, f.tensors(1), "index_put");
  Tensor values = new_tensor(result_sizes(p), out.dtype(), out.device());
  try {
    copy_elements(f.tensor(2), values);
  } catch (const Error&) {
    fail("index_put: shape mismatch: value tensor of shape ", f.tensor(2).sizes(),
         " cannot be broadcast to indexing result of shape ", values.sizes());
  }
  write_runs(out, p, values, f.flag(3));
}

void shape_index_put_backward(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
void run_index_put_backward(Frame& f) {
  const Tensor& out = f.outs[0];
  copy_elements(f.tensor(0), out);
  if (f.flag(2)) return;  // what was added to still counts
  IndexPlan p = plan_index(out, f.tensors(1), "index_put_backward");
  Tensor zeros = new_tensor(result_sizes(p), out.dtype(), out.device());
  std::memset(zeros.raw_data(), 0, zeros.bytes());
  for_slices(out, zeros, p, [](const Tensor& to, const Tensor& from) { copy_elements(from, to); });
}

void view_nonzero(Frame& f) {
  f.sizes_of_values();
  check_sizes_known(f.tensor(0), f.name());
  Tensor x = to_dtype(f.tensor(0), DType::Bool);
  MaskPlaces places(x);
  const int64_t sizes[] = {places.count(), x.dim()};
  f.outs.resize(1);
  f.outs[0] = new_tensor(sizes, DType::I64);
  int64_t* to[max_dims];
  for (int d = 0; d < x.dim(); d++) to[d] = f.outs[0].data<int64_t>() + d;
  places.write_indices(to, x.dim());
}
}  // namespace

namespace ops {

constinit const Op index_op{
    .schema = "index(Tensor input, Tensor?[] indices) -> Tensor",
    .doc =
        "Advanced indexing: input[indices], None keeps a dimension; bool tensors select their true places.",
    .method = "none",
    .view = view_index,
    .derivative = {wrt("input", [](auto dy, auto input,
                                   auto indices) { return index_backward(dy, shape_of(input), indices); })},
    .onnx = none("written as Gather or GatherND by an adapter"),
    .netdef = none("written as Gather"),
    .samples = {},
};
constinit const Op index_backward_op{
    .schema = "index_backward(Tensor dy, int[] shape, Tensor?[] indices) -> Tensor",
    .doc = "Zeros of the given shape to which dy is added at the indices.",
    .method = "none",
    .shape = shape_given,
    .kernels = {KernelRow{"add", run_index_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto indices) { return index(ddx, indices); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op index_put_op{
    .schema = "index_put(Tensor input, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor",
    .doc = "input with values written (or added) at the indices.",
    .shape = shape_index_put,
    .kernels = {KernelRow{"copy", run_index_put}},
    .derivative = {wrt("input", [](auto dy, auto, auto indices, auto,
                                   auto accumulate) { return index_put_backward(dy, indices, accumulate); }),
                   wrt("values", [](auto dy, auto, auto indices) { return index(dy, indices); })},
    .onnx = none("written as ScatterND"),
    .netdef = none("Caffe2 has no such operator"),
    .writes_one_value = true,
    .samples = {},
};
constinit const Op index_put_backward_op{
    .schema = "index_put_backward(Tensor dy, Tensor?[] indices, bool accumulate) -> Tensor",
    .doc = "dy with zeros at the indices, or dy itself if values were added there.",
    .method = "none",
    .shape = shape_index_put_backward,
    .kernels = {KernelRow{"copy", run_index_put_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto indices,
                                auto accumulate) { return index_put_backward(ddx, indices, accumulate); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op nonzero_op{
    .schema = "nonzero(Tensor input) -> Tensor",
    .doc = "The indices of elements that are not zero, one row each.",
    .view = view_nonzero,
    .derivative = none("the result holds indices"),
    .onnx = none("written as NonZero and Transpose"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {},
};

}  // namespace ops
}  // namespace moka
MOKA_OP_TABLE(indexing, MOKA_INDEXING_OPS)
