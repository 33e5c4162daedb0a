// Pixels times filters for one instruction set; pointwise.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

#define MOKA_EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

struct Pixels {
  static constexpr int width = lanes<float>;

  // Rows pixels of Blocks blocks of filters, with what follows them: the sums stay in registers.
  template <int Rows, int Blocks>
  static void tile(const PointwiseSteps& s, const float* x, const float* w, const float* bias,
                   const float* addend, float* out, const float* ahead) {
    using V = Vec<float>;
    constexpr int L = width, steps = 4;
    V sum[Rows][Blocks];
    MOKA_EACH(i, Rows) MOKA_EACH(j, Blocks) sum[i][j] = load<V>(bias + j * L);
    const float* taken = w;
    const auto step = [&](const float* at) __attribute__((always_inline)) {
      V right[Blocks];
      MOKA_EACH(j, Blocks) right[j] = load<V>(taken + j * s.w_block);
      MOKA_EACH(i, Rows) {
        const V left = spread<V>(at[i * L]);
        MOKA_EACH(j, Blocks) sum[i][j] += left * right[j];
      }
      taken += L;
    };
    for (int64_t c = 0; c < s.channels; c += L, x += s.x_block) {
      const int64_t some = s.channels - c < L ? s.channels - c : L;
      int64_t k = 0;
      for (; k + steps <= some; k += steps, ahead += L) {
        MOKA_EACH(j, Blocks) __builtin_prefetch(ahead + j * s.w_block, 0, 2);
        MOKA_EACH(i, steps) step(x + k + i);
      }
      for (; k < some; k++) step(x + k);
    }
    if (addend) {
      MOKA_EACH(i, Rows) MOKA_EACH(j, Blocks) sum[i][j] += load<V>(addend + j * s.out_block + i * L);
    }
    if (s.clamped) {  // NaN stays
      const V low = 0 - V{}, high = s.high - V{};
      MOKA_EACH(i, Rows) MOKA_EACH(j, Blocks) {
        const V v = sum[i][j] < low ? low : sum[i][j];
        sum[i][j] = v > high ? high : v;
      }
    }
    MOKA_EACH(i, Rows) MOKA_EACH(j, Blocks) store(out + j * s.out_block + i * L, sum[i][j]);
  }

  template <int Rows>
  static void rows(const PointwiseSteps& s, int64_t blocks, const float* x, const float* w, const float* bias,
                   const float* addend, float* out, const float* ahead) {
    if (blocks == 2) tile<Rows, 2>(s, x, w, bias, addend, out, ahead);
    else tile<Rows, 1>(s, x, w, bias, addend, out, ahead);
  }
  // count <= most_pixels pixels of one or two blocks of filters.
  static void some(const PointwiseSteps& s, int64_t count, int64_t blocks, const float* x, const float* w,
                   const float* bias, const float* addend, float* out, const float* ahead) {
    using Call = decltype(&rows<1>);
    static constexpr Call calls[] = {rows<1>, rows<2>, rows<3>, rows<4>,  rows<5>,  rows<6>,
                                     rows<7>, rows<8>, rows<9>, rows<10>, rows<11>, rows<12>};
    calls[count - 1](s, blocks, x, w, bias, addend, out, ahead);
  }
};

#undef MOKA_EACH
#include "moka/ops/kernels/target_end.h"
