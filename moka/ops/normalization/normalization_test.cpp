// Normalizations against recorded results (PyTorch 2.15), and softmax at the ends of its range.
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "moka/ops/kernels/testing.h"

namespace moka::testing {
namespace {
constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                 inf = std::numeric_limits<double>::infinity();

TEST(BatchNorm, TrainsOnTheBatchsStatistics) {
  Tensor x = make({3, 2}, {1, 2, 3, 5, 0, -1}, DType::F64), weight = make({2}, {1, 2}, DType::F64),
         bias = make({2}, {0, 1}, DType::F64);
  auto out = run("batch_norm_train", {x, weight, bias});
  expect_values(out[0], {3, 2}, {-0.26726, 1.0, 1.336302, 3.449488, -1.069042, -1.449488});
  expect_values(out[1], {2}, {4.0 / 3, 2});
  expect_values(out[3], {2}, {7.0 / 3, 9});  // unbiased
  auto grads =
      run("batch_norm_backward", {make({3, 2}, {1, 0, 0, 1, 2, -1}, DType::F64), x, weight, out[1], out[2]});
  expect_values(grads[0], {3, 2}, {-0.171809, 0.0, 0.057265, 1e-06, 0.114545, -1e-06}, 1e-6);
  expect_values(grads[2], {2}, {3, 0});
}
TEST(BatchNorm, ImagesAndTablesAgree) {
  // A table [n, c] is the same as images of one pixel, here spread over images of several.
  Tensor table = spread({24, 5}), images = new_tensor(Dims{4, 5, 2, 3}, DType::F32);
  for (int64_t b = 0; b < 4; b++)
    for (int64_t c = 0; c < 5; c++)
      for (int64_t p = 0; p < 6; p++)
        images.data<float>()[(b * 5 + c) * 6 + p] = table.data<float>()[(b * 6 + p) * 5 + c];
  auto a = run("batch_norm_train", {table}), b = run("batch_norm_train", {images});
  for (int i : {1, 2, 3}) expect_close(a[i], b[i], 1e-6);
}
TEST(BatchNorm, UsesGivenStatistics) {
  expect_values(run_one("batch_norm", {make({1, 2, 2}, {1, 2, 3, 4}), make({2}, {2, 1}), make({2}, {0, 1}),
                                       make({2}, {1, 0}), make({2}, {4, 1}), 0.0}),
                {1, 2, 2}, {0, 1, 4, 5});
  EXPECT_NE(error_of("batch_norm_train", {spread({1, 3})}).find("more than one value a channel"),
            std::string::npos);
  EXPECT_NE(error_of("batch_norm", {spread({2, 3}), Arg(), Arg(), spread({2}), spread({3})})
                .find("running_mean must have shape [3]"),
            std::string::npos);
}
TEST(LayerNorm, NormalizesTheLastDimensions) {
  expect_values(run_one("layer_norm", {make({1, 3}, {1, 2, 4}), Dims{3}}), {1, 3},
                {-1.069042, -0.26726, 1.336302}, 2e-5);
  EXPECT_NE(error_of("layer_norm", {spread({2, 3}), Dims{2}}).find("must be the last dimensions"),
            std::string::npos);
}
TEST(Softmax, DoesNotOverflow) {
  expect_values(run_one("softmax", {make({3, 2}, {1000, 1000, -inf, 0, inf, 1}), 1}), {3, 2},
                {.5, .5, 0, 1, nan, nan});
  expect_values(run_one("log_softmax", {make({2}, {-1000, -1000}), 0}), {2},
                {-std::log(2.0), -std::log(2.0)});
}
TEST(Softmax, RowsAndColumnsAgree) {
  Tensor x = spread({5, 37}), turned = as_contiguous(strided_view(x, Dims{37, 5}, Dims{1, 37}, 0));
  for (const char* op : {"softmax", "log_softmax"}) {
    Tensor rows = run_one(op, {x, 1}), columns = run_one(op, {turned, 0});
    expect_close(rows, as_contiguous(strided_view(columns, Dims{5, 37}, Dims{1, 5}, 0)), 1e-6);
  }
}
}  // namespace
}  // namespace moka::testing
