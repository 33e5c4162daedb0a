// Pooling: values by hand, NaN, the fast case against the general one, refusals.
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "moka/ops/kernels/testing.h"

namespace moka::testing {
namespace {
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(MaxPool, FindsMaximaAndTheirPlaces) {
  Tensor x = make({1, 2, 4}, {1, 5, 2, nan, 5, 0, 3, 4});
  auto both = run("max_pool2d_with_indices", {x, Dims{2, 2}});
  expect_values(both[0], {1, 1, 2}, {5, nan});
  expect_values(both[1], {1, 1, 2}, {1, 3});
  expect_values(run_one("max_pool2d_backward", {make({1, 1, 2}, {10, 20}), x, Dims{2, 2}}), {1, 2, 4},
                {0, 10, 0, 20, 0, 0, 0, 0});
}
TEST(MaxPool, FastCaseEqualsGeneralOne) {
  Tensor x = spread({2, 3, 9, 77});
  Tensor fast = run_one("max_pool2d", {x, Dims{2, 2}}),
         general = run("max_pool2d_with_indices", {x, Dims{2, 2}})[0];
  expect_close(fast, general, 0);
  // The gradient against the places.
  Tensor grad = spread({2, 3, 4, 38}), places = run("max_pool2d_with_indices", {x, Dims{2, 2}})[1];
  Tensor back = run_one("max_pool2d_backward", {grad, x, Dims{2, 2}}),
         want = new_tensor(Dims{2, 3, 9, 77}, DType::F32);
  for (int64_t i = 0; i < want.numel(); i++) want.data<float>()[i] = 0;
  for (int64_t i = 0; i < grad.numel(); i++)
    want.data<float>()[i / (4 * 38) * 9 * 77 + places.data<int64_t>()[i]] += grad.data<float>()[i];
  expect_close(back, want, 0);
  expect_close(run_one("max_pool2d_select", {x, x, Dims{2, 2}}), fast, 0);
}
TEST(AvgPool, CountsPaddingOrNot) {
  Tensor x = make({1, 2, 2}, {1, 2, 3, 4});
  expect_values(run_one("avg_pool2d", {x, Dims{2, 2}, Dims{1, 1}, Dims{1, 1}}), {1, 3, 3},
                {.25, .75, .5, 1, 2.5, 1.5, .75, 1.75, 1});
  expect_values(run_one("avg_pool2d", {x, Dims{2, 2}, Dims{1, 1}, Dims{1, 1}, false, false}), {1, 3, 3},
                {1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4});
}
TEST(AdaptiveAvgPool, SharesOutTheInput) {
  expect_values(run_one("adaptive_avg_pool2d", {make({1, 1, 5}, {1, 2, 3, 4, 5}), Dims{1, 3}}), {1, 1, 3},
                {1.5, 3, 4.5});
  expect_values(run_one("adaptive_avg_pool2d_backward", {make({1, 1, 3}, {2, 3, 4}), Dims{1, 1, 5}}),
                {1, 1, 5}, {1, 2, 1, 3, 2});
}
TEST(Pooling, RefusesWhatCannotBe) {
  Tensor x = spread({1, 3, 4, 4});
  EXPECT_NE(error_of("max_pool2d", {x, Dims{0, 2}}).find("kernel_size must be at least 1"),
            std::string::npos);
  EXPECT_NE(error_of("max_pool2d", {x, Dims{2, 2}, Arg(), Dims{3, 3}}).find("at most half of the window"),
            std::string::npos);
  EXPECT_NE(error_of("avg_pool2d", {x, Dims{5, 5}}).find("reaches over 5 places"), std::string::npos);
  EXPECT_NE(error_of("avg_pool2d", {spread({3, 3}), Dims{2, 2}}).find("got [3, 3]"), std::string::npos);
}
}  // namespace
}  // namespace moka::testing
