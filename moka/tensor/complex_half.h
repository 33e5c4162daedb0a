// complex32: two float16 numbers in memory, computed as complex64.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/tensor/dtype.h"

namespace moka {

// The first registered type, so that it needs no place among those that files and rewrites know.
inline constexpr DType complex_half = DType::BuiltinCount;

// The type of the real and imaginary parts of a complex type, and the complex type of such parts.
constexpr DType part_type(DType complex) {
  return complex == complex_half ? DType::F16 : complex == DType::C64 ? DType::F32 : DType::F64;
}
constexpr DType whole_type(DType part) {
  return part == DType::F16 ? complex_half : part == DType::F64 ? DType::C128 : DType::C64;
}

}  // namespace moka
