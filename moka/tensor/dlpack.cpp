// DLPack both ways.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/dlpack.h"

#include <memory>

#include "moka/tensor/complex_half.h"
#include "moka/tensor/meta.h"

namespace moka::dlpack {

namespace {
// Type codes: 0 int, 1 uint, 2 float, 4 bfloat, 5 complex, 6 bool, 10 to 14 eight-bit floats.
struct Code {
  DType dtype;
  uint8_t code, bits;
};
constexpr Code codes[] = {
    {DType::Bool, 6, 8},      {DType::U8, 1, 8},          {DType::I8, 0, 8},      {DType::U16, 1, 16},
    {DType::I16, 0, 16},      {DType::U32, 1, 32},        {DType::I32, 0, 32},    {DType::U64, 1, 64},
    {DType::I64, 0, 64},      {DType::F16, 2, 16},        {DType::BF16, 4, 16},   {DType::F32, 2, 32},
    {DType::F64, 2, 64},      {complex_half, 5, 32},      {DType::C64, 5, 64},    {DType::C128, 5, 128},
    {DType::F8E4M3FN, 10, 8}, {DType::F8E4M3FNUZ, 11, 8}, {DType::F8E5M2, 12, 8}, {DType::F8E5M2FNUZ, 13, 8},
    {DType::F8E8M0, 14, 8},
};

// What keeps our memory alive while another library looks at it.
struct Export {
  Tensor keep;
  Dims sizes, strides;
};
DLTensor describe(Export& e) {
  const Tensor& t = e.keep;
  DLTensor d;
  const Code* code = nullptr;
  for (const Code& c : codes)
    if (c.dtype == t.dtype()) code = &c;
  MOKA_CHECK_KIND(Type, code, "dlpack: ", t.dtype(), " has no DLPack type");
  MOKA_CHECK(t.has_storage(), "dlpack: the tensor has no memory");
  MOKA_CHECK_KIND(NotImplemented, t.device() == Device{}, "dlpack: memory on ", t.device(),
                  " cannot be exported");
  d.data = t.raw_data();
  d.ndim = t.dim();
  d.dtype = {code->code, code->bits, 1};
  d.shape = e.sizes.data();
  d.strides = e.strides.data();
  return d;
}
std::unique_ptr<Export> exported(const Tensor& t) {
  check_has_values(t, "to_dlpack");
  auto e = std::make_unique<Export>(Export{t, Dims(t.sizes()), Dims(t.strides())});
  // Strides of dimensions with at most one element say nothing; some readers want 1.
  for (size_t d = 0; d < e->sizes.size(); d++)
    if (e->sizes[d] <= 1) e->strides[d] = 1;
  return e;
}

Tensor imported(const DLTensor& d, void (*free_data)(Storage*), void* context, bool read_only) {
  MOKA_CHECK_KIND(NotImplemented, d.device.type == 1,
                  "from_dlpack: only CPU memory can be read in this build, got "
                  "DLPack device type ",
                  d.device.type);
  MOKA_CHECK_KIND(Type, d.dtype.lanes == 1, "from_dlpack: vector types are not supported, got ",
                  d.dtype.lanes, " lanes");
  const Code* code = nullptr;
  for (const Code& c : codes)
    if (c.code == d.dtype.code && c.bits == d.dtype.bits) code = &c;
  MOKA_CHECK_KIND(Type, code, "from_dlpack: no tensor type for DLPack code ", int(d.dtype.code), " with ",
                  int(d.dtype.bits), " bits");
  MOKA_CHECK_KIND(Value, d.ndim >= 0 && d.ndim <= max_dims && (d.ndim == 0 || d.shape),
                  "from_dlpack: bad number of "
                  "dimensions ",
                  d.ndim);
  std::span<const int64_t> sizes(d.shape, static_cast<size_t>(d.ndim));
  int64_t n = checked_numel(sizes, "from_dlpack");
  Dims strides =
      d.strides ? Dims(std::span<const int64_t>(d.strides, sizes.size())) : contiguous_strides(sizes);
  int64_t reach = n ? 1 : 0;
  for (size_t k = 0; k < sizes.size(); k++) {
    MOKA_CHECK_KIND(Value, strides[k] >= 0 || sizes[k] <= 1,
                    "from_dlpack: negative strides are not supported, got ", strides,
                    "; copy the array first");
    if (sizes[k] <= 1) strides[k] = 1;
    else if (n)
      reach = checked_add(reach, checked_mul(sizes[k] - 1, strides[k], "from_dlpack"), "from_dlpack");
  }
  char* data = static_cast<char*>(d.data) + (d.data ? d.byte_offset : 0);
  MOKA_CHECK_KIND(Value, data || !n, "from_dlpack: no memory given");
  size_t bytes =
      static_cast<size_t>(checked_mul(reach, static_cast<int64_t>(item_size(code->dtype)), "from_dlpack"));
  MOKA_CHECK_KIND(Value,
                  reinterpret_cast<uintptr_t>(data) %
                          std::max<size_t>(item_size(code->dtype) / (is_complex(code->dtype) ? 2 : 1), 1) ==
                      0,
                  "from_dlpack: the memory is not aligned to its elements; copy the array first");
  return from_memory(data, bytes, sizes, strides, code->dtype, Device{}, free_data, context, read_only);
}

// Gives the structure back when reading it fails; until then the storage owns it.
template <class M>
struct Giver {
  M* m;
  ~Giver() {
    if (m && m->deleter) m->deleter(m);
  }
};
template <class M>
Tensor take(M* m, bool read_only) {
  Giver<M> giver{m};
  Tensor t = imported(
      m->tensor,
      [](Storage* s) {
        M* owned = static_cast<M*>(s->context);
        if (owned->deleter) owned->deleter(owned);
      },
      m, read_only);
  giver.m = nullptr;
  return t;
}
}  // namespace

Managed* to_managed(const Tensor& t) {
  auto e = exported(t);
  auto m = std::make_unique<Managed>();
  m->tensor = describe(*e);
  m->context = e.release();
  m->deleter = [](Managed* self) {
    delete static_cast<Export*>(self->context);
    delete self;
  };
  return m.release();
}
Versioned* to_versioned(const Tensor& t, bool copied) {
  auto e = exported(t);
  auto v = std::make_unique<Versioned>();
  v->tensor = describe(*e);
  v->flags = (t.impl()->storage->read_only ? read_only_flag : 0) | (copied ? copied_flag : 0);
  v->context = e.release();
  v->deleter = [](Versioned* self) {
    delete static_cast<Export*>(self->context);
    delete self;
  };
  return v.release();
}
Tensor from_managed(Managed* m) { return take(m, false); }
Tensor from_versioned(Versioned* v) {
  if (v->major != 1) {
    uint32_t major = v->major, minor = v->minor;
    if (v->deleter) v->deleter(v);
    fail("from_dlpack: DLPack version ", major, ".", minor, " is not supported; this build reads 1.x");
  }
  return take(v, v->flags & read_only_flag);
}

}  // namespace moka::dlpack
