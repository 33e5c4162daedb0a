// The bits of elements of less than 16 bits.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/narrow.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace moka {

namespace {

struct Layout {
  int mantissa = 0, bias = 0, sign = 0;  // bits of the mantissa, bias of the exponent, place of the sign
  double largest = 0;
  uint8_t over = 0;  // what stands for larger numbers, without its sign
  uint8_t nan = 0;
  bool signed_zero = true;  // without it the bits of -0 are NaN
};

bool find_layout(DType dtype, Layout& out) {
  switch (dtype) {
    case DType::F8E4M3FN: out = {3, 7, 7, 448, 0x7e, 0x7f, true}; return true;
    case DType::F8E4M3FNUZ: out = {3, 8, 7, 240, 0x80, 0x80, false}; return true;
    case DType::F8E5M2: out = {2, 15, 7, 57344, 0x7c, 0x7f, true}; return true;
    case DType::F8E5M2FNUZ: out = {2, 16, 7, 57344, 0x80, 0x80, false}; return true;
    case DType::F6E2M3: out = {3, 1, 5, 7.5, 0x1f, 0x20, true}; return true;
    case DType::F6E3M2: out = {2, 3, 5, 28, 0x1f, 0x20, true}; return true;
    case DType::F4E2M1: out = {1, 1, 3, 6, 0x07, 0x08, true}; return true;
    default: return false;
  }
}

int integer_bits(DType dtype) {
  return dtype == DType::U4 || dtype == DType::I4 ? 4 : dtype == DType::U2 || dtype == DType::I2 ? 2 : 0;
}

// A power of two, chosen by the exponent of float32; the sign is lost.
uint8_t encode_exponent(double value) {
  const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  const uint32_t exponent = bits >> 23 & 0xff;
  if (exponent == 0xff) return 0xff;
  const bool half = bits & 0x400000, rest = bits & 0x3fffff;
  return static_cast<uint8_t>(exponent + (half && (rest || exponent > 0) ? 1 : 0));
}

}  // namespace

bool is_narrow(DType dtype) {
  Layout layout;
  return dtype == DType::F8E8M0 || integer_bits(dtype) != 0 || find_layout(dtype, layout);
}

double decode_narrow(DType dtype, uint8_t bits) {
  if (dtype == DType::F8E8M0) return bits == 0xff ? std::nan("") : std::ldexp(1.0, bits - 127);
  if (const int width = integer_bits(dtype)) {
    const int low = bits & ((1 << width) - 1);
    const bool extend = dtype == DType::I4 || dtype == DType::I2;
    return extend && low >> (width - 1) ? low - (1 << width) : low;
  }
  Layout layout;
  if (!find_layout(dtype, layout)) return std::nan("");
  const int sign = bits >> layout.sign & 1, rest = bits & ((1 << layout.sign) - 1);
  if (!layout.signed_zero && bits == 0x80) return std::nan("");
  if (dtype == DType::F8E4M3FN && rest == 0x7f) return std::nan("");
  if (dtype == DType::F8E5M2 && rest >= 0x7c) return rest > 0x7c ? std::nan("") : sign ? -INFINITY : INFINITY;
  const int exponent = rest >> layout.mantissa, fraction = rest & ((1 << layout.mantissa) - 1);
  const double value = exponent == 0 ? std::ldexp(double(fraction), 1 - layout.bias - layout.mantissa)
                                     : std::ldexp(double(fraction + (1 << layout.mantissa)),
                                                  exponent - layout.bias - layout.mantissa);
  return sign ? -value : value;
}

uint8_t encode_narrow(DType dtype, double value) {
  if (dtype == DType::F8E8M0) return encode_exponent(value);
  if (const int width = integer_bits(dtype)) {
    if (!(std::fabs(value) < 0x1p63)) return 0;
    const int low = static_cast<int>(static_cast<int64_t>(value) & ((1 << width) - 1));
    const bool extend =
        dtype == DType::I4 || dtype == DType::I2;  // memory holds them as bytes with their sign
    return static_cast<uint8_t>(extend && low >> (width - 1) ? low - (1 << width) : low);
  }
  Layout layout;
  if (!find_layout(dtype, layout)) return 0;
  const uint8_t sign = static_cast<uint8_t>(std::signbit(value) ? 1 << layout.sign : 0);
  if (std::isnan(value)) return layout.signed_zero && layout.sign == 7 ? layout.nan | sign : layout.nan;
  const double size = std::fabs(value);
  const int lowest = 1 - layout.bias;
  if (std::isinf(size)) return layout.signed_zero ? layout.over | sign : layout.over;
  int exponent = size > 0 ? std::max(std::ilogb(size), lowest) : lowest;
  double steps = std::nearbyint(std::ldexp(size, layout.mantissa - exponent));
  if (steps >= double(2 << layout.mantissa)) {
    steps /= 2;
    exponent++;
  }
  if (std::ldexp(steps, exponent - layout.mantissa) > layout.largest)
    return layout.signed_zero ? layout.over | sign : layout.over;
  const int whole = static_cast<int>(steps), normal = 1 << layout.mantissa;
  const int rest = whole < normal ? whole : ((exponent + layout.bias) << layout.mantissa) + (whole - normal);
  if (rest == 0 && !layout.signed_zero) return 0;
  return static_cast<uint8_t>(rest | sign);
}

}  // namespace moka
