// Convolutions: recorded results (PyTorch 2.15), the direct sum over many geometries, and refusals.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/testing.h"

namespace moka::testing {
namespace {

TEST(Convolution, RecordedForwardAndGradients) {
  Tensor x = new_tensor(Dims{2, 2, 3, 3}, DType::F32), w = new_tensor(Dims{3, 2, 2, 2}, DType::F32),
         g = new_tensor(Dims{2, 3, 2, 2}, DType::F32);
  for (int i = 0; i < 36; i++) x.data<float>()[i] = float(i) / 10 - 1;
  for (int i = 0; i < 24; i++) w.data<float>()[i] = float(i % 5 - 2) / 4;
  for (int i = 0; i < 24; i++) g.data<float>()[i] = float(i % 4 - 1);
  Dims stride{2, 1}, padding{1, 0}, dilation{1, 1};
  expect_values(run_one("conv2d", {x, w, make({3}, {.5, -1, 0}), stride, padding}), {2, 3, 2, 2},
                {0.3, 0.3, 0.75, 0.675,  -0.325, -0.4,  -1.175, -1.15, -0.7, -0.6, -0.1, -0.1,
                 0.3, 0.3, -0.6, -0.675, -1.675, -1.75, -0.725, -0.7,  1.1,  1.2,  -0.1, -0.1});
  expect_values(run_one("conv2d_backward_input", {g, w, Dims{2, 2, 3, 3}, stride, padding}), {2, 2, 3, 3},
                {0.25,  -0.5, 0.0,  -0.5,  -0.75, 0.5,  -0.25, 0.0,  1.0,  -0.25, 0.25,  0.0,
                 0.0,   -0.5, -1.0, 0.25,  0.25,  -0.5, 0.25,  -0.5, 0.0,  -0.5,  -0.75, 0.5,
                 -0.25, 0.0,  1.0,  -0.25, 0.25,  0.0,  0.0,   -0.5, -1.0, 0.25,  0.25,  -0.5});
  expect_values(run_one("conv2d_backward_weight", {g, x, Dims{3, 2, 2, 2}, stride, padding}), {3, 2, 2, 2},
                {1.6, 2.2, 3.6, 4.0, 7.0, 7.6, 7.2, 7.6, 1.6, 2.2, 3.6, 4.0,
                 7.0, 7.6, 7.2, 7.6, 1.6, 2.2, 3.6, 4.0, 7.0, 7.6, 7.2, 7.6});
}

// The definition, one product after the other.
Tensor direct(const Tensor& x, const Tensor& w, Dims stride, Dims padding, Dims dilation, int64_t groups) {
  int64_t kh = w.size(2), kw = w.size(3), c = w.size(1), m = w.size(0);
  int64_t oh = (x.size(2) + 2 * padding[0] - dilation[0] * (kh - 1) - 1) / stride[0] + 1,
          ow = (x.size(3) + 2 * padding[1] - dilation[1] * (kw - 1) - 1) / stride[1] + 1;
  Tensor y = new_tensor(Dims{x.size(0), m, oh, ow}, DType::F64);
  for (int64_t n = 0, at = 0; n < x.size(0); n++)
    for (int64_t o = 0; o < m; o++)
      for (int64_t i = 0; i < oh; i++)
        for (int64_t j = 0; j < ow; j++, at++) {
          double sum = 0;
          for (int64_t q = 0; q < c; q++)
            for (int64_t u = 0; u < kh; u++)
              for (int64_t v = 0; v < kw; v++) {
                int64_t yy = i * stride[0] - padding[0] + u * dilation[0],
                        xx = j * stride[1] - padding[1] + v * dilation[1];
                if (yy < 0 || xx < 0 || yy >= x.size(2) || xx >= x.size(3)) continue;
                int64_t channel = o / (m / groups) * c + q;
                sum += x.data<double>()[((n * x.size(1) + channel) * x.size(2) + yy) * x.size(3) + xx] *
                       w.data<double>()[((o * c + q) * kh + u) * kw + v];
              }
          y.data<double>()[at] = sum;
        }
  return y;
}
double inner(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); i++) sum += a.data<double>()[i] * b.data<double>()[i];
  return sum;
}
struct Case {
  Dims x, w, stride, padding, dilation;
  int groups;
};
TEST(Convolution, EqualsItsDefinitionAndGradientsAreItsTransposes) {
  const Case cases[] = {{{1, 4, 7, 7}, {6, 2, 3, 3}, {2, 2}, {0, 0}, {1, 1}, 2},
                        {{2, 3, 20, 33}, {5, 3, 5, 2}, {1, 3}, {2, 1}, {2, 1}, 1},
                        {{2, 6, 9, 8}, {6, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1}, 6},
                        {{1, 40, 6, 6}, {30, 40, 3, 3}, {1, 1}, {1, 1}, {1, 1}, 1},
                        {{3, 2, 1, 1}, {4, 2, 1, 1}, {1, 1}, {0, 0}, {1, 1}, 1}};
  for (const Case& c : cases) {
    Tensor x = new_tensor(c.x, DType::F64), w = new_tensor(c.w, DType::F64);
    for (int64_t i = 0; i < x.numel(); i++) x.data<double>()[i] = double(i * 31 % 17) / 8 - 1;
    for (int64_t i = 0; i < w.numel(); i++) w.data<double>()[i] = double(i * 13 % 11) / 5 - 1;
    Tensor y = run_one("conv2d", {x, w, Arg(), c.stride, c.padding, c.dilation, c.groups});
    expect_close(y, direct(x, w, c.stride, c.padding, c.dilation, c.groups), 1e-10);
    Tensor g = new_tensor(y.sizes(), DType::F64);
    for (int64_t i = 0; i < g.numel(); i++) g.data<double>()[i] = double(i * 7 % 13) / 6 - 1;
    // <g, conv(x, w)> = <backward_input(g, w), x> = <backward_weight(g, x), w>
    double both = inner(g, y);
    EXPECT_NEAR(
        inner(run_one("conv2d_backward_input", {g, w, c.x, c.stride, c.padding, c.dilation, c.groups}), x),
        both, 1e-8);
    EXPECT_NEAR(
        inner(run_one("conv2d_backward_weight", {g, x, c.w, c.stride, c.padding, c.dilation, c.groups}), w),
        both, 1e-8);
  }
}
TEST(Convolution, RefusesWhatCannotBe) {
  EXPECT_EQ(error_of("conv2d", {spread({8, 32, 28, 28}), spread({4, 64, 3, 3})}),
            "conv2d: Given groups=1, weight of size [4, 64, 3, 3], expected input[8, 32, 28, 28] to have 64 "
            "channels, but got 32 channels instead");
  Tensor x = spread({1, 3, 4, 4}), w = spread({2, 3, 3, 3});
  EXPECT_NE(error_of("conv2d", {x, w, Arg(), Dims{0, 1}}).find("non-positive stride"), std::string::npos);
  EXPECT_NE(error_of("conv2d", {x, w, Arg(), Dims{1, 1}, Dims{-1, 0}}).find("padding must be at least 0"),
            std::string::npos);
  EXPECT_NE(error_of("conv2d", {x, w, Arg(), Dims{1, 1}, Dims{INT64_MAX / 2 + 1, 0}})
                .find("does not fit in 64 bits"),
            std::string::npos);
  EXPECT_NE(
      error_of("conv2d", {x, w, Arg(), Dims{1, 1}, Dims{0, 0}, Dims{3, 1}}).find("Kernel size: (7 x 3)"),
      std::string::npos);
  EXPECT_NE(error_of("conv2d", {x, w, Arg(), Dims{1, 1}, Dims{0, 0}, Dims{1, 1}, 0})
                .find("groups must be at least 1"),
            std::string::npos);
  EXPECT_NE(error_of("conv2d", {x, w, spread({3})}).find("bias must have shape [2]"), std::string::npos);
}
}  // namespace
}  // namespace moka::testing
