// Elements of less than 16 bits: floats of 8, 6 and 4 bits and integers of 4 and 2, one in each byte of memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "moka/tensor/dtype.h"

namespace moka {

bool is_narrow(DType dtype);
double decode_narrow(DType dtype, uint8_t bits);
// Rounded to nearest even. What is too large becomes infinity where the type has one, else NaN in the types without
// negative zero, else the largest number; integers keep their low bits, as every conversion between integers does.
uint8_t encode_narrow(DType dtype, double value);

}  // namespace moka
