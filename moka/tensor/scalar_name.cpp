// Element types by the names that programs for PyTorch look for in messages.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/scalar_name.h"

#include "moka/base/error.h"
#include "moka/tensor/complex_half.h"

namespace moka {

std::string scalar_name(DType d) {
  switch (d) {
    case DType::F16: return "Half";
    case DType::F32: return "Float";
    case DType::F64: return "Double";
    case DType::BF16: return "BFloat16";
    case DType::U8: return "Byte";
    case DType::I8: return "Char";
    case DType::I16: return "Short";
    case DType::I32: return "Int";
    case DType::I64: return "Long";
    case DType::Bool: return "Bool";
    case complex_half: return "ComplexHalf";
    case DType::C64: return "ComplexFloat";
    case DType::C128: return "ComplexDouble";
    default: return cat(d);
  }
}

}  // namespace moka
