// Losses against recorded results (PyTorch 2.15); targets that are no class are refused by their place.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/testing.h"

namespace moka::testing {
namespace {

TEST(CrossEntropy, WeightsSmoothingAndIgnoredTargets) {
  Tensor scores = make({3, 3}, {1, 2, 3, 0, 0, 0, -1, 4, 2}, DType::F64),
         target = make({3}, {2, -100, 0}, DType::I64), weight = make({3}, {1, 2, .5}, DType::F64);
  expect_values(run_one("cross_entropy", {scores, target, weight, -100, "mean", 0.1}), {}, {3.466246});
  expect_values(run_one("cross_entropy_backward",
                        {make({}, {1}, DType::F64), scores, target, weight, -100, "mean", 0.1}),
                {3, 3}, {0.011789, 0.048009, -0.059798, 0, 0, 0, -0.618224, 0.549018, 0.069205});
}
TEST(CrossEntropy, ProbabilitiesAgreeWithIndices) {
  Tensor scores = spread({4, 6}), target = make({4}, {0, 5, 2, 2}, DType::I64),
         certain = new_tensor(Dims{4, 6}, DType::F32);
  for (int i = 0; i < 24; i++) certain.data<float>()[i] = i % 6 == element_as_int(target, i / 6);
  for (const char* reduction : {"mean", "sum", "none"})
    expect_close(run_one("cross_entropy", {scores, target, Arg(), -100, reduction}),
                 run_one("cross_entropy", {scores, certain, Arg(), -100, reduction}), 1e-5);
}
TEST(CrossEntropy, NamesTheFirstBadTarget) {
  EXPECT_EQ(error_of("cross_entropy", {spread({3, 4}), make({3}, {1, 9, -1}, DType::I64)}),
            "cross_entropy: Target 9 is out of bounds: entry 1 must be one of 4 classes (0 to 3, or "
            "ignore_index=-100)");
  EXPECT_NE(error_of("nll_loss", {spread({3, 4}), make({3}, {1, 2, -1}, DType::I64)})
                .find("Target -1 is out of bounds"),
            std::string::npos);
  EXPECT_NE(error_of("cross_entropy", {spread({3, 4}), make({2}, {1, 2}, DType::I64)})
                .find("Expected input batch_size (3) to match target batch_size (2)"),
            std::string::npos);
  EXPECT_NE(error_of("nll_loss", {spread({3, 4}), make({3}, {1, 2, 0}, DType::I64), Arg(), -100, "average"})
                .find("'mean', 'sum' or 'none'"),
            std::string::npos);
}
TEST(NllLoss, PicksTheTargets) {
  Tensor x = make({2, 3}, {-1, -2, -3, -4, -5, -6}), t = make({2}, {2, 0}, DType::I64);
  expect_values(run_one("nll_loss", {x, t}), {}, {3.5});
  expect_values(run_one("nll_loss_backward", {make({}, {2}), t, Arg(), Dims{2, 3}}), {2, 3},
                {0, 0, -1, -1, 0, 0});
}
TEST(ElementwiseLosses, ReduceAsAsked) {
  Tensor a = make({2, 2}, {1, 2, 3, 4}), b = make({2, 2}, {1, 0, 0, 0});
  expect_values(run_one("mse_loss", {a, b}), {}, {29.0 / 4});
  expect_values(run_one("l1_loss", {a, b, "sum"}), {}, {9});
  expect_values(run_one("mse_loss", {a, b, "none"}), {2, 2}, {0, 4, 9, 16});
  expect_values(run_one("binary_cross_entropy_with_logits",
                        {make({3}, {0, 100, -100}), make({3}, {1, 1, 1}), Arg(), Arg(), "none"}),
                {3}, {std::log(2.0), 0, 100});
}
}  // namespace
}  // namespace moka::testing
