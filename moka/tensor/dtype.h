// Element types: a small index into a table that third parties may extend.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moka {

// The built-in types; register_dtype hands out further values. Order within a family is by width.
enum class DType : uint8_t {
  Bool,
  U8,
  I8,
  U16,
  I16,
  U32,
  I32,
  U64,
  I64,
  F16,
  BF16,
  F32,
  F64,
  C64,
  C128,
  String,
  F8E4M3FN,
  F8E4M3FNUZ,
  F8E5M2,
  F8E5M2FNUZ,
  F8E8M0,
  F6E2M3,
  F6E3M2,
  F4E2M1,
  U4,
  I4,
  U2,
  I2,
  BuiltinCount,
};

enum class DTypeClass : uint8_t { Bool, Unsigned, Signed, Float, Complex, String, StorageOnly };

struct DTypeInfo {
  std::string_view name;      // "float32", as in moka.float32
  std::string_view alias;     // "float", or empty
  uint8_t size;           // bytes of one element; 4- and 2-bit types hold one element a byte in memory
  DTypeClass family;
  DType compute;  // the type in which kernels work on it: F32, F64, I32, I64, Bool, C64, C128
  std::string_view safetensors;  // code in safetensors files, or empty
};

const DTypeInfo& info(DType dtype);
DType register_dtype(const DTypeInfo& info);  // names must be new; at most 255 types
int dtype_count();
// By name or alias; false when there is none.
bool find_dtype(std::string_view name, DType& out);

namespace detail {
extern DTypeInfo dtype_table[256];
}
inline size_t item_size(DType d) { return detail::dtype_table[static_cast<int>(d)].size; }
inline DTypeClass family(DType d) { return detail::dtype_table[static_cast<int>(d)].family; }
inline bool is_floating(DType d) { return family(d) == DTypeClass::Float; }
inline bool is_complex(DType d) { return family(d) == DTypeClass::Complex; }
inline bool is_integral(DType d) {
  return family(d) == DTypeClass::Unsigned || family(d) == DTypeClass::Signed;
}
inline bool is_differentiable(DType d) { return is_floating(d) || is_complex(d); }
inline DType compute_dtype(DType d) { return detail::dtype_table[static_cast<int>(d)].compute; }

// The type in which values of both can be held, by PyTorch's lattice (categories bool < integer < float < complex).
DType promote(DType a, DType b);
// The type that floating results take when every operand is integral. Starts as F32.
DType default_float();
void set_default_float(DType dtype);

inline void append_text(std::string& out, DType dtype) { out.append(info(dtype).name); }

}  // namespace moka
