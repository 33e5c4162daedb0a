// Optimizer steps against recorded results (PyTorch 2.15), and their marks on what they write.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/testing.h"

namespace moka::testing {
namespace {

std::vector<Tensor> zeros(std::initializer_list<int64_t> sizes) {
  Tensor t = new_tensor(Dims(sizes), DType::F32);
  for (int64_t i = 0; i < t.numel(); i++) t.data<float>()[i] = 0;
  return {t};
}
Arg list(const std::vector<Tensor>& v) { return Arg(std::span<const Tensor>(v)); }

TEST(Sgd, MomentumNesterovAndDecay) {
  std::vector<Tensor> p{make({2}, {1, 2})}, g1{make({2}, {.5, -1})}, g2{make({2}, {1, 1})},
      buffer = zeros({2});
  uint32_t version = p[0].version();
  run("sgd_step_", {list(p), list(g1), list(buffer), .1, .9, .0, .01, true, false, true});
  run("sgd_step_", {list(p), list(g2), list(buffer), .1, .9, .0, .01, true, false, false});
  expect_values(p[0], {2}, {0.670074, 2.071426});
  EXPECT_EQ(p[0].version(), version + 2);
}
TEST(Adam, DecoupledDecay) {
  std::vector<Tensor> p{make({2}, {1, 2})}, g1{make({2}, {.5, -1})}, g2{make({2}, {1, 1})},
      m = zeros({2}), v = zeros({2}), none;
  run("adam_step_", {list(p), list(g1), list(m), list(v), list(none), 1, .1, .9, .999, 1e-8, .01, true});
  run("adam_step_", {list(p), list(g2), list(m), list(v), list(none), 2, .1, .9, .999, 1e-8, .01, true});
  expect_values(p[0], {2}, {0.801583, 2.090639});
}
TEST(Optimizer, WritesThroughViewsAndRefusesWhatDoesNotFit) {
  Tensor whole = make({2, 2}, {1, 2, 3, 4});
  std::vector<Tensor> column{strided_view(whole, Dims{2}, Dims{2}, 0)}, grad{make({2}, {1, 1})}, none,
      longer{make({3}, {1, 1, 1})};
  run("sgd_step_", {list(column), list(grad), list(none), 1.0});
  expect_values(whole, {2, 2}, {0, 2, 2, 4});
  EXPECT_NE(error_of("sgd_step_", {list(column), list(longer), list(none), 1.0}).find("grads[0] must be"),
            std::string::npos);
  EXPECT_NE(
      error_of("sgd_step_", {list(column), list(grad), list(none), 1.0, .9}).find("needs momentum_buffers"),
      std::string::npos);
  std::vector<Tensor> twice{strided_view(whole, Dims{2}, Dims{0}, 0)};
  EXPECT_NE(
      error_of("sgd_step_", {list(twice), list(grad), list(none), 1.0}).find("shows some element twice"),
      std::string::npos);
}
}  // namespace
}  // namespace moka::testing
