// The table of element types and their promotion.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/dtype.h"

#include <atomic>
#include <mutex>

#include "moka/base/error.h"
#include "moka/tensor/complex_half.h"

namespace moka {

namespace detail {
using enum DTypeClass;
constinit DTypeInfo dtype_table[256] = {
    {"bool", "", 1, Bool, DType::Bool, "BOOL"},
    {"uint8", "", 1, Unsigned, DType::I32, "U8"},
    {"int8", "", 1, Signed, DType::I32, "I8"},
    {"uint16", "", 2, Unsigned, DType::I32, "U16"},
    {"int16", "short", 2, Signed, DType::I32, "I16"},
    {"uint32", "", 4, Unsigned, DType::I64, "U32"},
    {"int32", "int", 4, Signed, DType::I32, "I32"},
    {"uint64", "", 8, Unsigned, DType::I64, "U64"},
    {"int64", "long", 8, Signed, DType::I64, "I64"},
    {"float16", "half", 2, Float, DType::F32, "F16"},
    {"bfloat16", "", 2, Float, DType::F32, "BF16"},
    {"float32", "float", 4, Float, DType::F32, "F32"},
    {"float64", "double", 8, Float, DType::F64, "F64"},
    {"complex64", "cfloat", 8, Complex, DType::C64, "C64"},
    {"complex128", "cdouble", 16, Complex, DType::C128, ""},
    {"string", "", 16, String, DType::String, ""},
    {"float8_e4m3fn", "", 1, StorageOnly, DType::F32, "F8_E4M3"},
    {"float8_e4m3fnuz", "", 1, StorageOnly, DType::F32, "F8_E4M3FNUZ"},
    {"float8_e5m2", "", 1, StorageOnly, DType::F32, "F8_E5M2"},
    {"float8_e5m2fnuz", "", 1, StorageOnly, DType::F32, "F8_E5M2FNUZ"},
    {"float8_e8m0fnu", "", 1, StorageOnly, DType::F32, "F8_E8M0"},
    {"float6_e2m3fn", "", 1, StorageOnly, DType::F32, ""},
    {"float6_e3m2fn", "", 1, StorageOnly, DType::F32, ""},
    {"float4_e2m1fn", "", 1, StorageOnly, DType::F32, ""},
    {"uint4", "", 1, StorageOnly, DType::I32, ""},
    {"int4", "", 1, StorageOnly, DType::I32, ""},
    {"uint2", "", 1, StorageOnly, DType::I32, ""},
    {"int2", "", 1, StorageOnly, DType::I32, ""},
    {"complex32", "chalf", 4, Complex, DType::C64, ""},
};
}  // namespace detail

namespace {
std::atomic<int> count{static_cast<int>(complex_half) + 1};
std::atomic<DType> default_float_dtype{DType::F32};

// Unsigned types wider than 8 bits promote with signed ones only towards the signed side that holds them.
DType promote_integers(DType a, DType b) {
  size_t sa = item_size(a), sb = item_size(b);
  bool ua = family(a) == DTypeClass::Unsigned, ub = family(b) == DTypeClass::Unsigned;
  if (ua == ub) return sa >= sb ? a : b;
  size_t unsigned_size = ua ? sa : sb;
  DType wide_signed = ua ? b : a;
  if (item_size(wide_signed) > unsigned_size) return wide_signed;
  if (unsigned_size == 1) return DType::I16;
  if (unsigned_size == 2) return DType::I32;
  if (unsigned_size == 4) return DType::I64;
  fail_kind(ErrorKind::Type, "promotion: no integer type holds both ", a, " and ", b,
            "; convert one of them");
}

// float16 with bfloat16 meets at float32; else the wider wins.
DType promote_floats(DType a, DType b) {
  if (a == b) return a;
  if (item_size(a) == item_size(b)) return DType::F32;
  return item_size(a) > item_size(b) ? a : b;
}
}  // namespace

const DTypeInfo& info(DType dtype) { return detail::dtype_table[static_cast<int>(dtype)]; }
int dtype_count() { return count.load(); }

bool find_dtype(std::string_view name, DType& out) {
  for (int i = 0; i < dtype_count(); i++) {
    const DTypeInfo& entry = detail::dtype_table[i];
    if (entry.name == name || (!entry.alias.empty() && entry.alias == name)) {
      out = static_cast<DType>(i);
      return true;
    }
  }
  return false;
}

DType register_dtype(const DTypeInfo& entry) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  DType existing;
  MOKA_CHECK_KIND(Value, !find_dtype(entry.name, existing), "register_dtype: the name '", entry.name,
                  "' is taken");
  int n = count.load();
  MOKA_CHECK(n < 255, "register_dtype: all 255 types are taken");
  detail::dtype_table[n] = entry;
  count.store(n + 1);
  return static_cast<DType>(n);
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  auto rank = [](DTypeClass c) {
    switch (c) {
      case DTypeClass::Bool: return 0;
      case DTypeClass::Unsigned:
      case DTypeClass::Signed: return 1;
      case DTypeClass::Float: return 2;
      case DTypeClass::Complex: return 3;
      default: return -1;
    }
  };
  int ra = rank(family(a)), rb = rank(family(b));
  MOKA_CHECK_KIND(Type, ra >= 0 && rb >= 0, "promotion: ", a, " and ", b,
                  " have no common type; convert with .to(dtype) first");
  if (ra == 3 || rb == 3) {
    DType complex = ra == 3 ? a : b, other = ra == 3 ? b : a;
    if (is_complex(other)) return item_size(complex) >= item_size(other) ? complex : other;
    if (!is_floating(other)) return complex;
    const DType wanted = other == DType::BF16 ? DType::C64 : whole_type(other);
    return item_size(complex) >= item_size(wanted) ? complex : wanted;
  }
  if (ra != rb) return ra > rb ? a : b;
  return ra == 1 ? promote_integers(a, b) : promote_floats(a, b);
}

DType default_float() { return default_float_dtype.load(std::memory_order_relaxed); }
void set_default_float(DType dtype) {
  MOKA_CHECK_KIND(Type, is_floating(dtype), "set_default_dtype: expected a floating type, got ", dtype);
  default_float_dtype.store(dtype);
}

}  // namespace moka
