// Reductions: values by hand, NaN rules, shapes of nothing, and the same bits for every number of threads.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <limits>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/testing.h"

namespace moka::testing {
namespace {
constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                 inf = std::numeric_limits<double>::infinity();

TEST(Reduction, SumsOverAnyDimensions) {
  Tensor x = make({2, 3, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  expect_values(run_one("sum", {x}), {}, {78});
  expect_values(run_one("sum", {x, Dims{1}}), {2, 2}, {9, 12, 27, 30});
  expect_values(run_one("sum", {x, Dims{0, -1}, true}), {1, 3, 1}, {18, 26, 34});
  expect_values(run_one("mean", {x, Dims{0}}), {3, 2}, {4, 5, 6, 7, 8, 9});
  expect_values(run_one("prod", {x, Dims{1}}), {2, 2}, {15, 48, 693, 960});
}
TEST(Reduction, NothingSumsToZeroAndHasNoMaximum) {
  Tensor x = make({2, 0}, {});
  expect_values(run_one("sum", {x, Dims{1}}), {2}, {0, 0});
  expect_values(run_one("mean", {x, Dims{1}}), {2}, {nan, nan});
  EXPECT_NE(error_of("amax", {x, Dims{1}}).find("Expected reduction dim 1 to have non-zero size"),
            std::string::npos);
}
TEST(Reduction, NanWinsAndTheFirstOfEqualsIsTaken) {
  Tensor x = make({2, 3}, {1, nan, 2, 5, 3, 5});
  expect_values(run_one("amax", {x, Dims{1}}), {2}, {nan, 5});
  expect_values(run_one("amin", {x, Dims{1}}), {2}, {nan, 3});
  expect_values(run_one("argmax", {x, 1}), {2}, {1, 0});
  auto both = run("max.dim", {x, 0});
  expect_values(both[0], {3}, {5, nan, 5});
  expect_values(both[1], {3}, {1, 0, 1});
}
TEST(Reduction, LongSumsStayExact) {
  int64_t n = 3000001;
  Tensor x = new_tensor(Dims{n}, DType::F32);
  for (int64_t i = 0; i < n; i++) x.data<float>()[i] = 0.1f;
  EXPECT_NEAR(element_as_double(run_one("sum", {x}), 0), double(0.1f) * double(n),
              0.3);  // off by 0.17 for every instruction set; one accumulator by thousands
}
TEST(Reduction, ThreadsDoNotChangeBits) {
  Tensor rows = spread({3, 200000}), columns = spread({200000, 3});
  int before = num_threads();
  set_num_threads(1);
  Tensor a = run_one("sum", {rows, Dims{1}}), b = run_one("sum", {columns, Dims{0}});
  set_num_threads(3);
  Tensor c = run_one("sum", {rows, Dims{1}}), d = run_one("sum", {columns, Dims{0}});
  set_num_threads(before);
  EXPECT_EQ(0, std::memcmp(a.raw_data(), c.raw_data(), a.bytes()));
  EXPECT_EQ(0, std::memcmp(b.raw_data(), d.raw_data(), b.bytes()));
}
TEST(Reduction, VarianceAndLogSumExp) {
  Tensor x = make({2, 3}, {1, 2, 4, 0, 0, 6});
  expect_values(run_one("var", {x, Dims{1}}), {2}, {7.0 / 3, 12});
  expect_values(run_one("std", {x, Dims{1}, 0}), {2}, {std::sqrt(14.0 / 9), std::sqrt(8.0)});
  expect_values(run_one("logsumexp", {make({2, 2}, {1000, 1000, -inf, -inf}), Dims{1}}), {2},
                {1000 + std::log(2.0), -inf});
}
TEST(Reduction, OrderPutsNanLast) {
  auto sorted = run("sort", {make({4}, {2, nan, -1, 2})});
  expect_values(sorted[0], {4}, {-1, 2, 2, nan});
  expect_values(sorted[1], {4}, {2, 0, 3, 1});
  auto top = run("topk", {make({2, 3}, {1, 3, 2, 4, 4, 5}), 2});
  expect_values(top[0], {2, 2}, {3, 2, 5, 4});
  expect_values(top[1], {2, 2}, {1, 2, 2, 0});
  expect_values(run_one("cumsum", {make({2, 2}, {1, 2, 3, 4}), 0}), {2, 2}, {1, 2, 4, 6});
}
TEST(Reduction, RefusesWrongDimensions) {
  Tensor x = make({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_NE(error_of("sum", {x, Dims{2}}).find("dim must be between -2 and 1"), std::string::npos);
  EXPECT_NE(error_of("sum", {x, Dims{0, -2}}).find("twice"), std::string::npos);
  EXPECT_NE(error_of("topk", {x, 4}).find("must be between 0 and 3"), std::string::npos);
}
}  // namespace
}  // namespace moka::testing
