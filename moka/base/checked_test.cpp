// Size arithmetic against 128-bit integers, at the borders and at random.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/checked.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace moka {
namespace {

__extension__ typedef __int128 Wide;
constexpr int64_t least = INT64_MIN, most = INT64_MAX;

bool fits(Wide value) { return value >= least && value <= most; }

// The result, or `failed` when an error came.
struct Outcome {
  bool failed;
  int64_t value;
};
Outcome outcome_of(auto&& call) {
  try {
    return {false, call()};
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Runtime);
    return {true, 0};
  }
}

const std::vector<int64_t>& border_values() {
  static const std::vector<int64_t> values = [] {
    std::vector<int64_t> out{0, least, most};
    for (int shift = 0; shift < 63; shift++)
      for (int64_t delta : {-1, 0, 1})
        for (int64_t sign : {-1, 1}) out.push_back(sign * ((int64_t(1) << shift) + delta));
    return out;
  }();
  return values;
}

void expect_right(int64_t a, int64_t b) {
  const Wide product = Wide(a) * b, sum = Wide(a) + b;
  const Outcome mul = outcome_of([&] { return checked_mul(a, b, "test"); });
  const Outcome add = outcome_of([&] { return checked_add(a, b, "test"); });
  ASSERT_EQ(mul.failed, !fits(product)) << a << " * " << b;
  ASSERT_EQ(add.failed, !fits(sum)) << a << " + " << b;
  if (!mul.failed) {
    ASSERT_EQ(Wide(mul.value), product) << a << " * " << b;
  }
  if (!add.failed) {
    ASSERT_EQ(Wide(add.value), sum) << a << " + " << b;
  }
}

TEST(Checked, BorderValuesAgreeWith128Bits) {
  for (int64_t a : border_values())
    for (int64_t b : border_values()) expect_right(a, b);
}

TEST(Checked, RandomValuesAgreeWith128Bits) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 200'000; i++) {
    // Random numbers of random lengths: as many of the products fit as do not.
    const int64_t a = static_cast<int64_t>(random()) >> (random() % 64);
    const int64_t b = static_cast<int64_t>(random()) >> (random() % 64);
    expect_right(a, b);
  }
}

TEST(Checked, TheErrorNamesTheNumbers) {
  try {
    checked_mul(most, 2, "reshape");
    FAIL() << "nothing was raised";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "reshape: 9223372036854775807 * 2 does not fit in 64 bits");
  }
  EXPECT_THROW(checked_add(least, -1, "offset"), Error);
}

TEST(Checked, NumberOfElementsAgreesWith128Bits) {
  std::mt19937_64 random(5);
  const int64_t sizes[] = {
      0, 1, 2, 3, 1 << 10, INT32_MAX, int64_t(1) << 31, int64_t(1) << 32, int64_t(1) << 62, most};
  for (int i = 0; i < 100'000; i++) {
    std::vector<int64_t> shape(random() % 6);
    for (int64_t& size : shape) size = sizes[random() % std::size(sizes)];
    bool empty = false;
    Wide exact = 1;
    bool over = false;
    for (int64_t size : shape) {
      empty = empty || size == 0;
      if (!over && size) exact *= size;
      over = over || exact > most;
    }
    const Outcome got = outcome_of([&] { return checked_numel(shape, "test"); });
    ASSERT_EQ(got.failed, !empty && over);
    if (!got.failed) {
      ASSERT_EQ(Wide(got.value), empty ? Wide(0) : exact);
    }
  }
}

TEST(Checked, NoDimensionsMeanOneElementAndNegativeSizesAreRefused) {
  EXPECT_EQ(checked_numel({}, "test"), 1);
  const std::vector<int64_t> negative{2, -1}, behind_zero{0, -1};
  EXPECT_THROW(checked_numel(negative, "test"), Error);
  EXPECT_THROW(checked_numel(behind_zero, "test"), Error);  // a zero does not excuse it
}

}  // namespace
}  // namespace moka
