// Tensor: a counted handle to (storage, offset, sizes, strides, dtype). Views share storage.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "moka/base/checked.h"
#include "moka/base/error.h"
#include "moka/base/intrusive.h"
#include "moka/base/small_vector.h"
#include "moka/tensor/device.h"
#include "moka/tensor/dtype.h"

namespace moka {

// One block of memory, shared by all views of it.
struct Storage {
  std::atomic<uint32_t> references{1};
  std::atomic<uint32_t> version{0};  // counts in-place writes; autograd compares it
  Device device{};
  bool small = false;       // the bytes lie behind this struct, which a thread-local free list keeps
  bool read_only = false;   // mapped files and borrowed constants refuse in-place writes
  bool of_file = false;     // the bytes are pages of a mapped file, which come back whenever they are read
  void* data = nullptr;
  size_t bytes = 0;
  void (*free_data)(Storage*) = nullptr;  // null: the device's allocator takes the memory back
  void* context = nullptr;                // for free_data

  static constexpr size_t small_bytes = 128;
};
void add_ref(Storage* s);
void release(Storage* s);

// Layers of a call that a tensor asks for. Bits, so that a call ORs those of its operands.
namespace layer {
inline constexpr uint32_t autograd = 1;   // requires grad, or was computed from something that does
inline constexpr uint32_t capture = 2;    // a trace is being recorded
inline constexpr uint32_t batch = 4;      // vmap
inline constexpr uint32_t autocast = 8;
inline constexpr uint32_t profile = 16;
inline constexpr uint32_t count = 5;
}  // namespace layer

// Counts writes through x.data apart from those through x, as in PyTorch.
struct VersionCounter {
  std::atomic<uint32_t> references{1};
  std::atomic<uint32_t> value{0};
};
inline void add_ref(VersionCounter* c) { c->references.fetch_add(1, std::memory_order_relaxed); }
inline void release(VersionCounter* c) {
  if (c->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete c;
}

// How a view that follows its base's gradients came about; all but Plain refuse in-place writes that are recorded.
enum class ViewOrigin : uint8_t {
  Plain,
  NoGrad,     // made while nothing was recorded
  Several,    // one of the results of split, unbind, ...
  Inference,  // made under inference_mode
  Function,   // returned by a custom function
};

// Attached by the autograd layer; this layer only knows how to drop it.
struct TensorExtra {
  virtual ~TensorExtra() = default;
};

struct TensorImpl {
  std::atomic<uint32_t> references{1};
  uint32_t layers = 0;
  DType dtype = DType::F32;
  uint8_t ndim = 0;
  bool inference = false;  // made under inference_mode: may not enter the tape
  ViewOrigin origin = ViewOrigin::Plain;
  uint32_t view_version = 0;  // of a view: the storage's version when its gradient history was last right
  TensorImpl* base = nullptr;  // of a view that follows the gradients of a whole tensor: that tensor, counted
  VersionCounter* counter = nullptr;  // of x.data and its views, counted; null: the storage's version counts
  Storage* storage = nullptr;  // null in shape-only tensors
  int64_t offset = 0;  // in elements
  int64_t numel = 0;
  TensorExtra* extra = nullptr;  // owned
  void* python = nullptr;  // the Python object that wraps this tensor, borrowed; the bindings keep it true
  int64_t* sizes = inline_dims;  // sizes and strides lie here or, above 6 dimensions, in one heap block
  int64_t* strides = inline_dims + inline_limit;

  static constexpr int inline_limit = 6;
  int64_t inline_dims[2 * inline_limit];
};
void add_ref(TensorImpl* t);
void release(TensorImpl* t);
namespace detail {
void destroy(TensorImpl* t);
void destroy(Storage* s);
}  // namespace detail

inline constexpr int max_dims = 64;

class Tensor {
 public:
  Tensor() = default;
  static Tensor adopt(TensorImpl* p) { return Tensor(Ref<TensorImpl>::adopt(p)); }
  static Tensor share(TensorImpl* p) { return Tensor(Ref<TensorImpl>::share(p)); }

  bool defined() const { return static_cast<bool>(impl_); }
  explicit operator bool() const { return defined(); }
  TensorImpl* impl() const { return impl_.get(); }
  TensorImpl* detach() { return impl_.detach(); }

  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->storage ? impl_->storage->device : Device{}; }
  int dim() const { return impl_->ndim; }
  int64_t numel() const { return impl_->numel; }
  std::span<const int64_t> sizes() const { return {impl_->sizes, impl_->ndim}; }
  std::span<const int64_t> strides() const { return {impl_->strides, impl_->ndim}; }
  int64_t size(int d) const { return impl_->sizes[d < 0 ? d + impl_->ndim : d]; }
  int64_t stride(int d) const { return impl_->strides[d < 0 ? d + impl_->ndim : d]; }
  size_t bytes() const { return static_cast<size_t>(numel()) * item_size(dtype()); }
  bool has_storage() const { return impl_->storage != nullptr; }
  uint32_t version() const { return version_of(impl_.get()); }
  static uint32_t version_of(const TensorImpl* t) {
    std::atomic<uint32_t>* v = version_counter(t);
    return v ? v->load(std::memory_order_relaxed) : 0;
  }
  // To be called after every write into the memory.
  void raise_version() const {
    if (std::atomic<uint32_t>* v = version_counter(impl_.get())) v->fetch_add(1, std::memory_order_relaxed);
  }
  // Shared by all tensors that count writes together; null in shape-only tensors.
  static std::atomic<uint32_t>* version_counter(const TensorImpl* t) {
    if (t->counter) return &t->counter->value;
    return t->storage ? &t->storage->version : nullptr;
  }

  void* raw_data() const {
    return static_cast<char*>(impl_->storage->data) +
           impl_->offset * static_cast<int64_t>(item_size(impl_->dtype));
  }
  template <class T>
  T* data() const {
    return static_cast<T*>(raw_data());
  }

  bool is_contiguous() const;

  friend bool operator==(const Tensor& a, const Tensor& b) { return a.impl_ == b.impl_; }  // identity

 private:
  explicit Tensor(Ref<TensorImpl> p) : impl_(std::move(p)) {}
  Ref<TensorImpl> impl_;
};

// Whether new tensors of this thread are inference tensors: outside the tape for good.
extern thread_local bool inference_mode __attribute__((tls_model("initial-exec")));

// Uninitialised, contiguous.
Tensor new_tensor(std::span<const int64_t> sizes, DType dtype, Device device = {});
Tensor new_strided_tensor(std::span<const int64_t> sizes, std::span<const int64_t> strides, DType dtype,
                          Device device = {});
// Same memory, other geometry; bounds are checked against the storage.
Tensor strided_view(const Tensor& base, std::span<const int64_t> sizes, std::span<const int64_t> strides,
                    int64_t offset);
// Another handle on the same elements.
Tensor alias_of(const Tensor& t);
// Shape and dtype without memory: for shape inference and for saving only what a derivative needs.
Tensor shape_only(std::span<const int64_t> sizes, DType dtype);
// Borrows memory that `free_data(storage)` gives back; context is handed to it.
Tensor from_memory(void* data, size_t bytes, std::span<const int64_t> sizes, std::span<const int64_t> strides,
                   DType dtype, Device device, void (*free_data)(Storage*), void* context, bool read_only);

Dims contiguous_strides(std::span<const int64_t> sizes);
bool is_contiguous(std::span<const int64_t> sizes, std::span<const int64_t> strides);
// No two index tuples meet at one address.
bool is_non_overlapping(std::span<const int64_t> sizes, std::span<const int64_t> strides);
// Shape to which both broadcast; an error names `op`.
Dims broadcast_shape(std::span<const int64_t> a, std::span<const int64_t> b, std::string_view op);
// Wraps a negative dimension; an error names op, argument and rank.
int wrap_dim(int64_t dim, int ndim, std::string_view op);

// Element conversion between contiguous runs; every pair of numeric types. Floats become integers through int64 (out of
// range saturates there, NaN becomes 0) and integers wrap to narrower ones, as in PyTorch.
void convert_elements(const void* from, DType from_type, void* to, DType to_type, int64_t n);
// to[...] = from[...] with broadcasting and conversion; the shapes must broadcast to `to`.
void copy_elements(const Tensor& from, const Tensor& to);
Tensor as_contiguous(const Tensor& t);
Tensor to_dtype(const Tensor& t, DType dtype);  // a new contiguous tensor unless it is one already
// Reads or writes one element as double / int64 (slow; tests, item(), printing).
double element_as_double(const Tensor& t, int64_t linear_index);
int64_t element_as_int(const Tensor& t, int64_t linear_index);

// ---- inline parts
inline void add_ref(Storage* s) { s->references.fetch_add(1, std::memory_order_relaxed); }
// The last owner need not count down: nobody else can take a new reference.
inline bool drop_reference(std::atomic<uint32_t>& references) {
  return references.load(std::memory_order_acquire) == 1 ||
         references.fetch_sub(1, std::memory_order_acq_rel) == 1;
}
inline void release(Storage* s) {
  if (drop_reference(s->references)) detail::destroy(s);
}
inline void add_ref(TensorImpl* t) { t->references.fetch_add(1, std::memory_order_relaxed); }
inline void release(TensorImpl* t) {
  if (drop_reference(t->references)) detail::destroy(t);
}
inline bool Tensor::is_contiguous() const { return moka::is_contiguous(sizes(), strides()); }
inline bool is_contiguous(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  uint64_t expected = 1;  // may wrap where another size is 0
  bool in_order = true;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 0) return true;
    in_order = in_order && (sizes[i] == 1 || static_cast<uint64_t>(strides[i]) == expected);
    expected *= static_cast<uint64_t>(sizes[i]);
  }
  return in_order;
}

}  // namespace moka
