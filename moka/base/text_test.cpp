// Message text: numbers that read back to themselves, shapes, parts of every kind.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "moka/base/error.h"
#include "moka/base/small_vector.h"

namespace moka {
namespace {

TEST(Text, PartsOfEveryKindAreJoined) {
  const std::vector<int64_t> shape{2, 3};
  EXPECT_EQ(cat("want ", 3, ", got ", shape, ' ', true, std::string(" and "), uint8_t(200)),
            "want 3, got [2, 3] true and 200");
  EXPECT_EQ(cat(), "");
  EXPECT_EQ(cat(Dims{}), "[]");
  EXPECT_EQ(cat(Dims{-1}), "[-1]");
}

TEST(Text, IntegersAtTheirLimits) {
  EXPECT_EQ(cat(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(cat(std::numeric_limits<int64_t>::max()), "9223372036854775807");
  EXPECT_EQ(cat(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(cat(int8_t(-128)), "-128");
}

TEST(Text, FloatsReadAsFloats) {
  EXPECT_EQ(cat(1.0), "1.0");
  EXPECT_EQ(cat(-0.0), "-0.0");
  EXPECT_EQ(cat(0.1), "0.1");
  EXPECT_EQ(cat(0.5f), "0.5");
  EXPECT_EQ(cat(1e300), "1e+300");
  EXPECT_EQ(cat(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(cat(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(cat(std::nan("")), "nan");
}

TEST(Text, EveryFiniteDoubleReadsBackToItself) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 100'000; i++) {
    const uint64_t bits = random();
    const double value = std::bit_cast<double>(bits);
    if (!std::isfinite(value)) continue;
    const std::string text = cat(value);
    ASSERT_EQ(std::bit_cast<uint64_t>(std::strtod(text.c_str(), nullptr)), bits) << text;
    ASSERT_NE(text.find_first_of(".e"), text.npos) << text;
  }
}

TEST(Error, CarriesKindMessageAndContext) {
  try {
    MOKA_CHECK_KIND(Index, 1 > 2, "row ", 7, " of ", 3);
    FAIL() << "nothing was raised";
  } catch (Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Index);
    EXPECT_STREQ(e.what(), "row 7 of 3");
    e.add_context("in node conv1");
    EXPECT_EQ(e.message(), "row 7 of 3\n  in node conv1");
  }
}

TEST(Error, ChecksThatHoldCostNoText) {
  int calls = 0;
  auto text = [&] { return ++calls, "expensive"; };
  MOKA_CHECK(true, text());
  EXPECT_EQ(calls, 0);
  EXPECT_THROW(MOKA_CHECK(false, text()), Error);
  EXPECT_EQ(calls, 1);
}

TEST(Error, BrokenPromisesNameThePlace) {
  try {
    MOKA_ASSERT(2 + 2 == 5);
    FAIL() << "nothing was raised";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Internal);
    EXPECT_NE(e.message().find("2 + 2 == 5"), std::string::npos);
    EXPECT_NE(e.message().find("text_test.cpp:"), std::string::npos);
  }
}

}  // namespace
}  // namespace moka
