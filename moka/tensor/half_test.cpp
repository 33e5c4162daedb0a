// float16 and bfloat16: all 65,536 patterns, and rounding of floats, against the definition of the formats.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "moka/tensor/tensor.h"

namespace moka {
namespace {

// A binary format by its definition (IEEE 754, 3.4): sign, exponent of `exponent_bits`, fraction of `fraction_bits`.
struct Format {
  int exponent_bits, fraction_bits;
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  uint32_t fraction_mask() const { return (1u << fraction_bits) - 1; }
  uint32_t top_exponent() const { return (1u << exponent_bits) - 1; }
  uint32_t infinity() const { return top_exponent() << fraction_bits; }

  double value(uint32_t bits) const {
    const uint32_t exponent = bits >> fraction_bits & top_exponent(), fraction = bits & fraction_mask();
    const double sign = bits >> (exponent_bits + fraction_bits) ? -1 : 1;
    if (exponent == top_exponent())
      return fraction ? std::nan("") : sign * std::numeric_limits<double>::infinity();
    if (exponent == 0) return sign * std::ldexp(double(fraction), 1 - bias() - fraction_bits);
    return sign * std::ldexp(double(fraction | 1u << fraction_bits), int(exponent) - bias() - fraction_bits);
  }

  // The pattern nearest to `x`, ties to the even one, found by search over the ordered non-negative patterns;
  // `infinity` stands for the value that would follow the largest finite one.
  uint32_t nearest(float x) const {
    const uint32_t sign = std::signbit(x) ? 1u << (exponent_bits + fraction_bits) : 0;
    const double magnitude = std::fabs(double(x));
    uint32_t low = 0, high = infinity();  // value(low) <= magnitude
    while (high - low > 1) {
      const uint32_t middle = low + (high - low) / 2;
      (value(middle) <= magnitude ? low : high) = middle;
    }
    if (std::isinf(magnitude)) return sign | infinity();
    const double below = value(low), above = high == infinity() ? std::ldexp(1.0, bias() + 1) : value(high);
    const double to_below = magnitude - below, to_above = above - magnitude;
    if (to_below != to_above) return sign | (to_below < to_above ? low : high);
    return sign | (low % 2 == 0 ? low : high);
  }
};
constexpr Format half{5, 10}, brain{8, 7};

template <class T>
T of_bits(uint32_t bits) {
  T out;
  out.bits = static_cast<uint16_t>(bits);
  return out;
}

template <class T>
void expect_every_pattern_right(Format format) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    const float got = static_cast<float>(of_bits<T>(bits));
    const double expected = format.value(bits);
    const T back(got);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
      ASSERT_EQ(std::signbit(got), bits >> 15 != 0) << bits;
      // Quiet, with the payload that it had.
      ASSERT_EQ(back.bits, bits | 1u << (format.fraction_bits - 1)) << bits;
    } else {
      ASSERT_EQ(double(got), expected) << bits;
      ASSERT_EQ(std::signbit(got), bits >> 15 != 0) << bits;
      ASSERT_EQ(back.bits, bits) << "the value does not come back";
    }
  }
}

TEST(Half, EveryFloat16PatternHasItsValueAndComesBack) { expect_every_pattern_right<Float16>(half); }
TEST(Half, EveryBFloat16PatternHasItsValueAndComesBack) { expect_every_pattern_right<BFloat16>(brain); }

// Floats where rounding decides: on, just below and just above the middle between neighbours, for every pattern.
template <class T>
void expect_rounding_right(Format format) {
  auto check = [&](float x) {
    ASSERT_EQ(T(x).bits, format.nearest(x)) << std::hexfloat << x;
    ASSERT_EQ(T(-x).bits, format.nearest(-x)) << std::hexfloat << -x;
  };
  for (uint32_t bits = 0; bits < format.infinity(); bits++) {
    const double above =
        bits + 1 == format.infinity() ? std::ldexp(1.0, format.bias() + 1) : format.value(bits + 1);
    const auto middle = static_cast<float>((format.value(bits) + above) / 2);
    check(middle);
    check(std::nextafter(middle, 0.0f));
    check(std::nextafter(middle, std::numeric_limits<float>::infinity()));
  }
  std::mt19937 random(13);
  for (int i = 0; i < 200'000; i++) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(static_cast<float>(T(x))));
    } else {
      check(x);
    }
  }
  for (float x : {0.0f, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::min(),
                  std::numeric_limits<float>::max(), std::numeric_limits<float>::infinity(), 65504.0f,
                  65519.996f, 65520.0f, 5.9604645e-8f, 2.9802322e-8f})
    check(x);
}

TEST(Half, Float16RoundsToTheNearestAndTiesToEven) { expect_rounding_right<Float16>(half); }
TEST(Half, BFloat16RoundsToTheNearestAndTiesToEven) { expect_rounding_right<BFloat16>(brain); }

TEST(Half, TensorConversionsAgreeWithTheScalarOnes) {
  Tensor patterns = new_tensor(Dims{65536}, DType::U16);
  for (int i = 0; i < 65536; i++) patterns.data<uint16_t>()[i] = static_cast<uint16_t>(i);
  std::vector<float> floats(65536);
  std::vector<double> doubles(65536);
  std::vector<uint16_t> back(65536);
  for (DType dtype : {DType::F16, DType::BF16}) {
    const Format format = dtype == DType::F16 ? half : brain;
    convert_elements(patterns.raw_data(), dtype, floats.data(), DType::F32, 65536);
    convert_elements(patterns.raw_data(), dtype, doubles.data(), DType::F64, 65536);
    convert_elements(floats.data(), DType::F32, back.data(), dtype, 65536);
    for (uint32_t i = 0; i < 65536; i++) {
      const double expected = format.value(i);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(floats[i]) && std::isnan(doubles[i]));
        continue;
      }
      ASSERT_EQ(double(floats[i]), expected);
      ASSERT_EQ(doubles[i], expected);
      ASSERT_EQ(back[i], i);
    }
  }
}

}  // namespace
}  // namespace moka
