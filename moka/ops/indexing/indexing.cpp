// Gathering and scattering by index tensors. Every index is checked, in release builds too; an error names the first bad
// one and the limit.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/indexing/indexing.h"

#include <algorithm>
#include <complex>
#include <cstring>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/mask_places.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

namespace {
int64_t checked_index(int64_t i, int64_t size, int d, std::string_view op) {
  MOKA_CHECK_KIND(Index, i >= -size && i < size, op, ": index ", i, " is out of bounds for dimension ", d,
                  " with size ", size);
  return i < 0 ? i + size : i;
}
void check_integral(const Tensor& t, std::string_view op) {
  MOKA_CHECK_KIND(Index, is_integral(t.dtype()), op, ": indices must be integers, got ", t.dtype());
}
// An index tensor as contiguous int64.
Tensor as_index(const Tensor& t, std::string_view op) {
  check_integral(t, op);
  return to_dtype(t, DType::I64);
}

// ---- index: x[i, :, j] with index tensors (None where a dimension is kept)
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
    MOKA_CHECK_KIND(Index, t.dim() > 0, op, ": a 0-d mask indexes no dimension; use where");
    int first = static_cast<int>(out.size());
    MOKA_CHECK_KIND(Index, first + t.dim() <= x.dim(), op, ": a mask of shape ", t.sizes(),
                    " does not fit shape ", x.sizes());
    for (int d = 0; d < t.dim(); d++)
      MOKA_CHECK_KIND(Index, t.size(d) == x.size(first + d), op, ": the mask has shape ", t.sizes(),
                      " but the indexed dimensions of ", x.sizes(), " start at ", first);
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
// Copies runs of elements between two memories; `place` of one and the other.
template <class F>
void with_item_copy(size_t item, F f) {
  switch (item) {
    case 1:
      return f([](char* to, const char* from, int64_t n) {
        n == 1 ? void(*to = *from) : void(std::memcpy(to, from, static_cast<size_t>(n)));
      });
    case 4:
      return f([](char* to, const char* from, int64_t n) {
        if (n == 1) std::memcpy(to, from, 4);
        else std::memcpy(to, from, static_cast<size_t>(n) * 4);
      });
    case 8:
      return f([](char* to, const char* from, int64_t n) {
        if (n == 1) std::memcpy(to, from, 8);
        else std::memcpy(to, from, static_cast<size_t>(n) * 8);
      });
    default:
      return f([item](char* to, const char* from, int64_t n) {
        std::memcpy(to, from, static_cast<size_t>(n) * item);
      });
  }
}
template <class F>
void with_item_type(size_t item, F f) {
  struct Pair {
    uint64_t a, b;
  };
  if (item == 1) f(static_cast<uint8_t*>(nullptr));
  else if (item == 2) f(static_cast<uint16_t*>(nullptr));
  else if (item == 4) f(static_cast<uint32_t*>(nullptr));
  else if (item == 8) f(static_cast<uint64_t*>(nullptr));
  else f(static_cast<Pair*>(nullptr));
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
      for (int64_t k = 0; k < n; k++) to[at + k] = static_cast<T>(to[at + k] + from[source + k]);
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

template <class T>
void add_run(const Tensor& from, const Tensor& to) {
  Tensor source = as_contiguous(from);
  const T* a = source.data<T>();
  T* base = to.data<T>();
  for (int64_t i = 0; i < source.numel(); i++) {
    int64_t rest = i, at = 0;
    for (int d = to.dim(); d-- > 0;) {
      at += rest % to.size(d) * to.stride(d);
      rest /= to.size(d);
    }
    base[at] = static_cast<T>(base[at] + a[i]);
  }
}
void add_into(const Tensor& from, const Tensor& to) {
  switch (to.dtype()) {
    case DType::F32: return add_run<float>(from, to);
    case DType::F64: return add_run<double>(from, to);
    case DType::I32: return add_run<int32_t>(from, to);
    case DType::I64: return add_run<int64_t>(from, to);
    default: {
      Tensor wide = to_dtype(to, compute_dtype(to.dtype()) == DType::I32 ? DType::I64 : DType::F32);
      add_into(to_dtype(from, wide.dtype()), wide);
      copy_elements(wide, to);
    }
  }
}

bool select_by_mask(const Tensor& x, std::span<const Tensor> list, Tensor& out) {
  if (!x.has_storage() || !is_leading_mask(x, list)) return false;
  const Tensor& mask = list[0];
  MaskPlaces places(as_contiguous(mask));
  Dims sizes{places.count()};
  int64_t run = static_cast<int64_t>(item_size(x.dtype()));
  for (int d = mask.dim(); d < x.dim(); d++) {
    sizes.push_back(x.size(d));
    run *= x.size(d);
  }
  out = new_tensor(sizes, x.dtype(), x.device());
  if (out.numel()) places.compress(x.data<char>(), run, out.data<char>());
  return true;
}
void view_index(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK_KIND(NotImplemented, !f.infer,
                  "index: the shape of the result may depend on the values of masks");
  f.outs.resize(1);
  if (select_by_mask(x, f.tensors(1), f.outs[0])) return;
  IndexPlan p = plan_index(x, f.tensors(1), "index");
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
void shape_given(Frame& f) { f.output(0, f.ints(1), f.tensor(0).dtype()); }
void run_index_backward(Frame& f) {
  const Tensor& out = f.outs[0];
  std::memset(out.raw_data(), 0, out.bytes());
  IndexPlan p = plan_index(out, f.tensors(2), "index_backward");
  write_runs(out, p, to_dtype(f.tensor(0), out.dtype()), true);
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

// ---- index_select and embedding: whole slices of one dimension
void shape_index_select(Frame& f) {
  const Tensor &x = f.tensor(0), &index = f.tensor(2);
  MOKA_CHECK(index.dim() <= 1, "index_select: the index must have at most 1 dimension, got shape ",
             index.sizes());
  check_integral(index, "index_select");
  Dims sizes(x.sizes());
  if (x.dim()) sizes[wrap_dim(f.integer(1), x.dim(), "index_select")] = index.numel();
  f.output(0, sizes, x.dtype());
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
      for (int64_t i = first; i < last; i++)
        copy(to + i * run, source + (i / n * count + places[static_cast<size_t>(i % n)]) * run);
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
    MOKA_CHECK_KIND(Index, at >= 0 && at < rows, "embedding: index ", at, " at position ", i,
                    " is outside the ", rows, " rows of the weight");
    std::memcpy(to + static_cast<size_t>(i) * row, from + static_cast<size_t>(at) * row, row);
  }
}

// ---- gather and scatter: one index for every element
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
  f.output(0, x.sizes(), x.dtype());
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
    MOKA_CHECK(c >= 0 && c < classes, "one_hot: class ", c, " at position ", i, " is outside 0 to ",
               classes - 1);
    out[i * classes + c] = 1;
  }
}

void view_nonzero(Frame& f) {
  MOKA_CHECK_KIND(NotImplemented, !f.infer, "nonzero: the shape of the result depends on values");
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
constinit const Op gather_op{
    .schema = "gather(Tensor input, int dim, Tensor index) -> Tensor",
    .doc = "result[i][j] = input[index[i][j]][j] for dim 0, and so on.",
    .shape = shape_gather,
    .kernels = {KernelRow{"copy", run_gather}},
    .derivative = {wrt("input", [](auto dy, auto input, auto dim,
                                   auto index) { return scatter_add(mul(input, 0), dim, index, dy); })},
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
// Only the corner of src that the index covers was read.
void run_gather_corner(Frame& f) {
  const Tensor &out = f.outs[0], &index = f.tensor(2);
  std::memset(out.raw_data(), 0, out.bytes());
  if (index.numel() == 0) return;
  copy_elements(gather(f.tensor(0), f.integer(1), index),
                strided_view(out, index.sizes(), out.strides(), out.impl()->offset));
}
constinit const Op gather_corner_op{
    .schema = "gather_corner(Tensor dy, int dim, Tensor index, int[] shape) -> Tensor",
    .doc = "gather(dy, dim, index) in the leading corner of zeros of the given shape.",
    .method = "none",
    .shape = [](Frame& f) { f.output(0, f.ints(3), f.tensor(0).dtype()); },
    .kernels = {KernelRow{"copy", run_gather_corner}},
    .derivative = {wrt("dy", [](auto ddx, auto dy, auto dim,
                                auto index) { return scatter_add(mul(dy, 0), dim, index, ddx); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
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
constinit const Op nonzero_op{
    .schema = "nonzero(Tensor input) -> Tensor",
    .doc = "The indices of elements that are not zero, one row each.",
    .view = view_nonzero,
    .derivative = none("the result holds indices"),
    .onnx = none("written as NonZero and Transpose"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {},
};
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
void run_embedding_backward(Frame& f) {
  const Tensor& out = f.outs[0];
  std::memset(out.raw_data(), 0, out.bytes());
  Tensor dy = to_dtype(f.tensor(0), out.dtype()), indices = as_index(f.tensor(2), "embedding_backward");
  int64_t columns = out.size(1);
  auto add = [&]<class T>(T*) {
    const T* from = dy.data<T>();
    T* to = out.data<T>();
    for (int64_t i = 0; i < indices.numel(); i++) {
      int64_t row = checked_index(indices.data<int64_t>()[i], out.size(0), 0, "embedding_backward");
      for (int64_t c = 0; c < columns; c++) to[row * columns + c] += from[i * columns + c];
    }
  };
  if (out.dtype() == DType::F32) return add(static_cast<float*>(nullptr));
  if (out.dtype() == DType::F64) return add(static_cast<double*>(nullptr));
  fail_kind(ErrorKind::NotImplemented, "embedding_backward: not defined for ", out.dtype(),
            "; use float32 weights");
}
constinit const Op embedding_backward_op{
    .schema = "embedding_backward(Tensor dy, int[] shape, Tensor indices) -> Tensor",
    .doc = "Zeros of the weight's shape to which the rows of dy are added at the indices.",
    .method = "none",
    .shape = shape_given,
    .kernels = {KernelRow{"add", run_embedding_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto indices) { return embedding(ddx, indices); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};

}  // namespace ops
}  // namespace moka

MOKA_OP_TABLE(indexing, MOKA_INDEXING_OPS)
