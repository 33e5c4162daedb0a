// Matrix products against the plain triple loop, over sizes that meet every edge of the blocks.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/testing.h"
#include "moka/ops/linear/gemm.h"

namespace moka::testing {
namespace {

template <class T>
void compare(int64_t m, int64_t n, int64_t k, bool a_turned, bool b_turned, int start) {
  DType d = sizeof(T) == 4 ? DType::F32 : DType::F64;
  Tensor a = spread({m, k}, d), b = spread({k, n}, d), c = spread({m, n}, d), bias = spread({m + n}, d),
         before = new_tensor(Dims{m, n}, d);
  copy_elements(c, before);
  MatrixView<T> av{a.data<T>(), k, 1}, bv{b.data<T>(), n, 1};
  if (a_turned) av = {a.data<T>(), 1, m};
  if (b_turned) bv = {b.data<T>(), 1, k};
  GemmStart<T> s;
  if (start == 1) s.row = bias.data<T>();
  if (start == 2) s.column = bias.data<T>();
  if (start == 3) s.accumulate = true;
  gemm<T>(m, n, k, av, bv, c.data<T>(), n, s);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      double want = start == 1   ? double(bias.data<T>()[i])
                    : start == 2 ? double(bias.data<T>()[j])
                    : start == 3 ? double(before.data<T>()[i * n + j])
                                 : 0.0;
      for (int64_t p = 0; p < k; p++)
        want += double(av.data[i * av.row + p * av.column]) * double(bv.data[p * bv.row + j * bv.column]);
      ASSERT_NEAR(double(c.data<T>()[i * n + j]), want, (sizeof(T) == 4 ? 2e-5 : 1e-12) * double(k + 1))
          << m << " x " << n << " x " << k << " at " << i << ", " << j << " start " << start;
    }
}
TEST(Gemm, EqualsTheTripleLoop) {
  constexpr int64_t sizes[][3] = {{1, 1, 1},     {1, 33, 70},   {33, 1, 70},   {3, 5, 7},   {12, 32, 256},
                                  {13, 33, 257}, {25, 49, 300}, {64, 10, 128}, {5, 80, 600}};
  int variant = 0;
  for (auto& s : sizes)
    for (int turned = 0; turned < 4; turned++, variant++) {
      compare<float>(s[0], s[1], s[2], turned & 1, turned & 2, variant % 4);
      compare<double>(s[0], s[1], s[2], turned & 1, turned & 2, (variant + 1) % 4);
    }
}
TEST(Gemm, PackedOnceIsTheSameProduct) {
  for (auto [m, n, k] :
       {std::array<int64_t, 3>{1, 5, 3}, {16, 512, 128}, {13, 70, 300}, {300, 33, 17}, {4, 40, 0}}) {
    Tensor a = spread({m, k}), b = spread({n, k}), bias = spread({n}), one = spread({m, n}),
           two = spread({m, n});
    for (int turned = 0; turned < 2; turned++) {
      MatrixView<float> right{b.data<float>(), turned ? n : 1, turned ? 1 : k};
      GemmStart<float> start{.column = turned ? bias.data<float>() : nullptr, .accumulate = !turned};
      gemm<float>(m, n, k, {a.data<float>(), k, 1}, right, one.data<float>(), n, start);
      PackedRight<float> packed(k, n, right);
      packed.multiply(m, {a.data<float>(), k, 1}, two.data<float>(), n, start);
      for (int64_t i = 0; i < m * n; i++)
        ASSERT_NEAR(one.data<float>()[i], two.data<float>()[i], 1e-4) << m << " x " << n << " x " << k;
    }
  }
}
TEST(Gemm, PanelsAreTheSameProduct) {
  for (auto [m, n, k] :
       {std::array<int64_t, 3>{1, 5, 3}, {1, 300, 70}, {2, 128, 16}, {25, 70, 300}, {13, 1, 17}})
    for (int64_t block : {32, 64}) {
      const int64_t depth = (k + 15) / 16 * 16, width = (n + block - 1) / block * block;
      Tensor a = spread({m, k}), b = spread({n, k}), bias = spread({n}), one = spread({m, n}),
             two = spread({m, n}), panels = spread({depth * width}), wide = spread({m, width});
      Panelled<float> packed{panels.data<float>(), depth, block};
      pack_panels<float>(k, n, {b.data<float>(), 1, k}, packed);
      gemm<float>(m, n, k, {a.data<float>(), k, 1}, {b.data<float>(), 1, k}, one.data<float>(), n,
                  {.column = bias.data<float>()});
      gemm_panels(m, n, k, {a.data<float>(), k, 1}, packed, two.data<float>(), n,
                  {.column = bias.data<float>()});
      gemm_direct<float>(m, n, k, a.data<float>(), k, packed, wide.data<float>(), width, false);
      gemm_direct<float>(m, n, k, a.data<float>(), k, packed, wide.data<float>(), width, true);
      for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
          const float want = one.data<float>()[i * n + j];
          ASSERT_NEAR(want, two.data<float>()[i * n + j], 1e-4) << m << " x " << n << " x " << k;
          ASSERT_NEAR(2 * (want - bias.data<float>()[j]), wide.data<float>()[i * width + j], 2e-4)
              << m << " x " << n << " x " << k;
        }
    }
}
void relu(void* out, const void* const* in, int64_t n, const Uniform*) {
  for (int64_t i = 0; i < n; i++)
    static_cast<float*>(out)[i] = std::max(0.0f, static_cast<const float*>(in[0])[i]);
}
TEST(Gemm, PanelsTakeWhatIsAddedAndWhatFollows) {
  const int before = num_threads();
  for (auto [m, n, k] : {std::array<int64_t, 3>{1, 300, 70},
                         {1, 31, 9},
                         {1, 1000, 1700},
                         {25, 70, 1700},
                         {40, 600, 1024},
                         {150, 33, 20},
                         {7, 40, 0}}) {
    const int64_t block = 32, depth = (k + 15) / 16 * 16, width = (n + block - 1) / block * block;
    Tensor a = spread({m, k}), b = spread({n, k}), bias = spread({n}), more = spread({m, n}),
           panels = spread({depth * width}), want = spread({m, n});
    Panelled<float> packed{panels.data<float>(), depth, block};
    pack_panels<float>(k, n, {b.data<float>(), 1, k}, packed);
    gemm<float>(m, n, k, {a.data<float>(), k, 1}, {b.data<float>(), 1, k}, want.data<float>(), n,
                {.column = bias.data<float>()});
    Tensor turned = new_tensor(Dims{k, m}, DType::F32), first;
    for (int64_t i = 0; i < m * k; i++) turned.data<float>()[i % k * m + i / k] = a.data<float>()[i];
    for (bool across : {false, true})
      for (bool itself : {false, true})
        for (int threads : {1, 2, 3}) {
          set_num_threads(threads);
          Tensor c = new_tensor(Dims{m, n}, DType::F32);
          copy_elements(more, c);
          const MatrixView<float> left = across ? MatrixView<float>{turned.data<float>(), 1, m}
                                                : MatrixView<float>{a.data<float>(), k, 1};
          gemm_panels(m, n, k, left, packed, c.data<float>(), n,
                      {.column = bias.data<float>(),
                       .matrix = itself ? c.data<float>() : more.data<float>(),
                       .step = n,
                       .after = relu});
          for (int64_t i = 0; i < m * n; i++)
            ASSERT_NEAR(std::max(0.0f, want.data<float>()[i] + more.data<float>()[i]), c.data<float>()[i],
                        2e-3)
                << m << " x " << n << " x " << k << " at " << i;
          if (!first) first = c;
          EXPECT_EQ(0, std::memcmp(first.raw_data(), c.raw_data(), c.bytes()))
              << m << " x " << n << " x " << k << ", " << threads << " threads, " << across << itself;
        }
  }
  set_num_threads(before);
}
TEST(Gemm, ThreadsDoNotChangeBits) {
  Tensor a = spread({150, 700}), b = spread({700, 130});
  int before = num_threads();
  set_num_threads(1);
  Tensor one = run_one("mm", {a, b});
  for (int threads : {2, 3, 4}) {
    set_num_threads(threads);
    Tensor other = run_one("mm", {a, b});
    EXPECT_EQ(0, std::memcmp(one.raw_data(), other.raw_data(), one.bytes())) << threads << " threads";
  }
  set_num_threads(before);
}
TEST(Matmul, TakesVectorsMatricesAndStacks) {
  Tensor m = make({2, 2}, {1, 2, 3, 4}), v = make({2}, {5, 6});
  expect_values(run_one("matmul", {v, v}), {}, {61});
  expect_values(run_one("matmul", {m, v}), {2}, {17, 39});
  expect_values(run_one("matmul", {v, m}), {2}, {23, 34});
  Tensor stack = make({2, 1, 1, 2}, {1, 0, 0, 1}), other = make({3, 2, 1}, {1, 2, 3, 4, 5, 6});
  expect_values(run_one("matmul", {stack, other}), {2, 3, 1, 1}, {1, 3, 5, 2, 4, 6});
  expect_values(
      run_one("matmul", {make({2, 2}, {1, 2, 3, 4}, DType::I32), make({2, 1}, {1, -1}, DType::I32)}), {2, 1},
      {-1, -1});
  expect_values(run_one("matmul", {make({2, 0}, {}), make({0, 3}, {})}), {2, 3}, {0, 0, 0, 0, 0, 0});
}
TEST(Matmul, GradientsSumOverBroadcastStacks) {
  Tensor grad = make({2, 1, 1}, {1, 2}), other = make({2, 2, 1}, {1, 2, 3, 4});
  expect_values(run_one("matmul_backward_input", {grad, other, Dims{1, 2}}), {1, 2}, {7, 10});
}
TEST(Matmul, NamesWhatDoesNotFit) {
  EXPECT_EQ(
      error_of("matmul", {spread({2, 3}), spread({4, 5})}),
      "matmul: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5): the columns of the first must be "
      "as many as the rows of the second");
  EXPECT_NE(error_of("mm", {spread({2, 3}), spread({3, 5}, DType::F64)}).find("has type float32"),
            std::string::npos);
  EXPECT_NE(
      error_of("linear", {spread({2, 3}), spread({4, 3}), spread({3})}).find("bias must have shape [4]"),
      std::string::npos);
}
}  // namespace
}  // namespace moka::testing
