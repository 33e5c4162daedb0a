// Making, dropping and viewing tensors. Handles and small blocks come from thread-local pools.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "moka/base/thread_local.h"
#include "moka/tensor/allocator.h"
#include "moka/tensor/strings.h"
#include "moka/tensor/wrapper.h"

namespace moka {

thread_local bool inference_mode = false;

namespace {
constexpr int kept_blocks = 256;

constexpr size_t round64(size_t n) { return (n + 63) & ~size_t(63); }
constexpr size_t storage_header = round64(sizeof(Storage));
MOKA_THREAD_LOCAL BlockPool<TensorImpl, round64(sizeof(TensorImpl)), 64, kept_blocks> impls;
MOKA_THREAD_LOCAL BlockPool<Storage, storage_header + Storage::small_bytes, 64, kept_blocks> storages;

// A block of a pool for one handle.
void* block_of(auto& pool) {
  void* p = pool.take();
  if (!p) fail_kind(ErrorKind::OutOfMemory, "out of memory: cannot allocate a tensor handle");
  return p;
}

TensorImpl* make_impl(int ndim) {
  TensorImpl* t = new (block_of(impls)) TensorImpl;
  t->ndim = static_cast<uint8_t>(ndim);
  if (ndim > TensorImpl::inline_limit) {
    if (ndim > max_dims) {
      impls.give(t);
      fail("tensor: at most ", max_dims, " dimensions, got ", ndim);
    }
    t->sizes = static_cast<int64_t*>(std::malloc(2 * sizeof(int64_t) * static_cast<size_t>(ndim)));
    if (!t->sizes) {
      impls.give(t);
      fail_kind(ErrorKind::OutOfMemory, "out of memory: cannot allocate a tensor handle");
    }
    t->strides = t->sizes + ndim;
  }
  return t;
}

Storage* make_storage(size_t bytes, Device device, DType dtype) {
  Storage* s = new (block_of(storages)) Storage;
  s->device = device;
  s->bytes = bytes;
  if (__builtin_expect(dtype == DType::String, 0)) {
    try {
      MOKA_CHECK_KIND(NotImplemented, device.type == 0, "tensors of strings are made on the cpu only");
      detail::make_text_storage(s);
    } catch (...) {
      storages.give(s);
      throw;
    }
    return s;
  }
  if (device.type == 0 && bytes <= Storage::small_bytes) {
    s->small = true;
    s->data = reinterpret_cast<char*>(s) + storage_header;
    if (int byte = detail::fill_byte.load(std::memory_order_relaxed); byte >= 0)
      std::memset(s->data, byte, Storage::small_bytes);
    return s;
  }
  try {
    s->data = allocator(device).allocate(bytes ? bytes : 1);
  } catch (...) {
    storages.give(s);
    throw;
  }
  return s;
}

size_t checked_bytes(int64_t elements, DType dtype, const char* what) {
  return static_cast<size_t>(checked_mul(elements, static_cast<int64_t>(item_size(dtype)), what));
}

// One past the largest element index that sizes and strides reach; 0 for an empty tensor.
int64_t reach(std::span<const int64_t> sizes, std::span<const int64_t> strides, const char* what) {
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); i++) {
    if (sizes[i] == 0) return 0;
    MOKA_CHECK(strides[i] >= 0, what, ": negative stride ", strides[i], " in ", strides);
    last = checked_add(last, checked_mul(sizes[i] - 1, strides[i], what), what);
  }
  return checked_add(last, 1, what);
}
}  // namespace

namespace detail {
void destroy(Storage* s) {
  if (s->free_data) {
    s->free_data(s);
  } else if (!s->small) {
    allocator(s->device).deallocate(s->data, s->bytes ? s->bytes : 1);
  }
  storages.give(s);
}

void destroy(TensorImpl* t) {
  delete t->extra;
  if (t->base) release(t->base);
  if (t->counter) release(t->counter);
  if (t->storage) release(t->storage);
  if (t->sizes != t->inline_dims) std::free(t->sizes);
  impls.give(t);
}
}  // namespace detail

Dims contiguous_strides(std::span<const int64_t> sizes) {
  Dims strides(sizes.size());
  int64_t step = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = step;
    // Sizes of an empty tensor may be huge: its strides never address anything.
    if (__builtin_mul_overflow(step, std::max<int64_t>(sizes[i], 1), &step)) step = 1;
  }
  return strides;
}

Tensor new_tensor(std::span<const int64_t> sizes, DType dtype, Device device) {
  int64_t n = checked_numel(sizes, "tensor");
  size_t bytes = checked_bytes(n, dtype, "tensor");
  Tensor out = Tensor::adopt(make_impl(static_cast<int>(sizes.size())));
  TensorImpl* t = out.impl();
  t->dtype = dtype;
  t->inference = inference_mode;
  t->numel = n;
  int64_t step = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    t->sizes[i] = sizes[i];
    t->strides[i] = step;
    if (__builtin_mul_overflow(step, std::max<int64_t>(sizes[i], 1), &step)) step = 1;
  }
  t->storage = make_storage(bytes, device, dtype);
  return out;
}

Tensor new_strided_tensor(std::span<const int64_t> sizes, std::span<const int64_t> strides, DType dtype,
                          Device device) {
  MOKA_CHECK(sizes.size() == strides.size(), "new_strided_tensor: ", sizes.size(), " sizes but ",
             strides.size(), " strides");
  int64_t n = checked_numel(sizes, "new_strided_tensor");
  size_t bytes = checked_bytes(reach(sizes, strides, "new_strided_tensor"), dtype, "new_strided_tensor");
  Tensor out = Tensor::adopt(make_impl(static_cast<int>(sizes.size())));
  TensorImpl* t = out.impl();
  t->dtype = dtype;
  t->inference = inference_mode;
  t->numel = n;
  std::copy(sizes.begin(), sizes.end(), t->sizes);
  std::copy(strides.begin(), strides.end(), t->strides);
  t->storage = make_storage(bytes, device, dtype);
  return out;
}

Tensor strided_view(const Tensor& base, std::span<const int64_t> sizes, std::span<const int64_t> strides,
                    int64_t offset) {
  MOKA_CHECK(sizes.size() == strides.size(), "strided_view: ", sizes.size(), " sizes but ", strides.size(),
             " strides");
  MOKA_CHECK(offset >= 0, "strided_view: negative offset ", offset);
  int64_t n = checked_numel(sizes, "strided_view");
  Storage* storage = base.impl()->storage;
  if (storage && n > 0) {
    int64_t end = checked_add(offset, reach(sizes, strides, "strided_view"), "strided_view");
    MOKA_CHECK(checked_bytes(end, base.dtype(), "strided_view") <= storage->bytes, "strided_view: sizes ",
               sizes, ", strides ", strides, " and offset ", offset, " reach past the ", storage->bytes,
               " bytes of the storage");
  }
  Tensor out = Tensor::adopt(make_impl(static_cast<int>(sizes.size())));
  TensorImpl* t = out.impl();
  t->dtype = base.dtype();
  t->inference = base.impl()->inference;
  if (VersionCounter* counter = base.impl()->counter) {
    add_ref(counter);
    t->counter = counter;
  }
  t->numel = n;
  t->offset = offset;
  std::copy(sizes.begin(), sizes.end(), t->sizes);
  std::copy(strides.begin(), strides.end(), t->strides);
  if (storage) {
    add_ref(storage);
    t->storage = storage;
  }
  return out;
}

Tensor alias_of(const Tensor& t) {
  const TensorImpl* from = t.impl();
  Tensor out = Tensor::adopt(make_impl(from->ndim));
  TensorImpl* to = out.impl();
  to->dtype = from->dtype;
  to->inference = from->inference;
  to->offset = from->offset;
  to->numel = from->numel;
  std::copy(from->sizes, from->sizes + from->ndim, to->sizes);
  std::copy(from->strides, from->strides + from->ndim, to->strides);
  to->layers = from->layers & layer::wrapper;
  if ((to->counter = from->counter)) add_ref(to->counter);
  if ((to->storage = from->storage)) add_ref(to->storage);
  return out;
}

Tensor shape_only(std::span<const int64_t> sizes, DType dtype) {
  int64_t n = checked_numel(sizes, "shape");
  Tensor out = Tensor::adopt(make_impl(static_cast<int>(sizes.size())));
  TensorImpl* t = out.impl();
  t->dtype = dtype;
  t->numel = n;
  Dims strides = contiguous_strides(sizes);
  std::copy(sizes.begin(), sizes.end(), t->sizes);
  std::copy(strides.begin(), strides.end(), t->strides);
  return out;
}

Tensor from_memory(void* data, size_t bytes, std::span<const int64_t> sizes, std::span<const int64_t> strides,
                   DType dtype, Device device, void (*free_data)(Storage*), void* context, bool read_only) {
  MOKA_CHECK(sizes.size() == strides.size(), "from_memory: ", sizes.size(), " sizes but ", strides.size(),
             " strides");
  MOKA_CHECK_KIND(Type, dtype != DType::String, "from_memory: tensors of strings keep their own memory");
  int64_t n = checked_numel(sizes, "from_memory");
  MOKA_CHECK(checked_bytes(reach(sizes, strides, "from_memory"), dtype, "from_memory") <= bytes,
             "from_memory: sizes ", sizes, " and strides ", strides, " of ", dtype, " reach past the ", bytes,
             " bytes given");
  Tensor out = Tensor::adopt(make_impl(static_cast<int>(sizes.size())));
  TensorImpl* t = out.impl();
  t->dtype = dtype;
  t->inference = inference_mode;
  t->numel = n;
  std::copy(sizes.begin(), sizes.end(), t->sizes);
  std::copy(strides.begin(), strides.end(), t->strides);
  Storage* s = new (block_of(storages)) Storage;
  s->device = device;
  s->data = data;
  s->bytes = bytes;
  s->free_data = free_data;
  s->context = context;
  s->read_only = read_only;
  t->storage = s;
  return out;
}

namespace {
struct Axis {
  int64_t stride, last;
  int64_t reach;  // of this axis and all with smaller strides
};
// Whether steps along the first n axes (by rising stride), not all zero, can take an offset back to zero; also true when
// that is too long to find out.
bool meets_again(const Axis* axes, size_t n, int64_t offset, bool moved, int& budget) {
  if (n == 0) return offset == 0 && moved;
  if (budget-- <= 0) return true;
  const Axis& a = axes[n - 1];
  int64_t rest = n > 1 ? axes[n - 2].reach : 0;
  // |offset + step * stride| must not be more than what the remaining axes can take back.
  int64_t low = std::max(-a.last, -((rest + offset) / a.stride)),
          high = std::min(a.last, (rest - offset) / a.stride);
  for (int64_t step = low; step <= high; step++)
    if (meets_again(axes, n - 1, offset + step * a.stride, moved || step != 0, budget)) return true;
  return false;
}
}  // namespace

bool is_non_overlapping(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  SmallVector<int, 8> order;
  for (size_t i = 0; i < sizes.size(); i++) {
    if (sizes[i] == 0) return true;
    if (sizes[i] > 1) order.push_back(static_cast<int>(i));
  }
  std::sort(order.begin(), order.end(), [&](int a, int b) { return strides[a] < strides[b]; });
  int64_t needed = 1;
  bool nested = true;  // every stride jumps over all that the smaller ones reach
  SmallVector<Axis, 8> axes;
  for (int d : order) {
    int64_t reach = axes.empty() ? 0 : axes.back().reach, step;
    if (strides[d] == 0) return false;
    nested &= strides[d] >= needed;
    if (__builtin_mul_overflow(strides[d], sizes[d], &needed)) needed = INT64_MAX;
    if (__builtin_mul_overflow(strides[d], sizes[d] - 1, &step) || __builtin_add_overflow(reach, step, &step))
      step = INT64_MAX;
    axes.push_back({strides[d], sizes[d] - 1, step});
  }
  if (nested) return true;
  int budget = 10000;
  return !meets_again(axes.data(), axes.size(), 0, false, budget);
}

Dims broadcast_shape(std::span<const int64_t> a, std::span<const int64_t> b, std::string_view op) {
  size_t n = std::max(a.size(), b.size());
  Dims out(n);
  for (size_t i = 0; i < n; i++) {
    int64_t x = i < n - a.size() ? 1 : a[i - (n - a.size())];
    int64_t y = i < n - b.size() ? 1 : b[i - (n - b.size())];
    if (x != y && x != 1 && y != 1)
      fail(op, ": The size of tensor a (", x, ") must match the size of tensor b (", y,
           ") at non-singleton dimension ", static_cast<int64_t>(i), ": shapes ", a, " and ", b,
           " do not broadcast, sizes must be equal or 1");
    out[i] = x == 1 ? y : x;
  }
  return out;
}

int wrap_dim(int64_t dim, int ndim, std::string_view op) {
  int limit = std::max(ndim, 1);  // a 0-d tensor takes dimensions -1 and 0
  MOKA_CHECK_KIND(Index, dim >= -limit && dim < limit, op,
                  ": Dimension out of range (expected to be in range of [", -limit, ", ", limit - 1,
                  "], but got ", dim, ")");
  return static_cast<int>(dim < 0 ? dim + limit : dim);
}

Tensor as_contiguous(const Tensor& t) {
  if (t.is_contiguous()) return t;
  Tensor out = new_tensor(t.sizes(), t.dtype(), t.device());
  copy_elements(t, out);
  return out;
}

Tensor to_dtype(const Tensor& t, DType dtype) {
  if (t.dtype() == dtype && t.is_contiguous()) return t;
  Tensor out = new_tensor(t.sizes(), dtype, t.device());
  copy_elements(t, out);
  return out;
}

}  // namespace moka
