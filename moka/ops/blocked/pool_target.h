// Max pooling of blocked pictures for one instruction set; layout.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

// One output row: windows over rows [y0, y1) of a plane of blocks. NaN wins, as in max_pool2d.
struct BlockedPool {
  static void row(const float* plane, const Window& w, int64_t y0, int64_t y1, int64_t b, float* to) {
    using V = Vec<float>;
    constexpr int L = lanes<float>;
    constexpr float low = -std::numeric_limits<float>::infinity();
    for (int64_t ox = 0; ox < w.x.out; ox++, to += b) {
      const int64_t x = ox * w.x.stride - w.x.padding;
      const Range taps = valid_range(w.x.kernel, w.x.dilation, x, w.x.in);
      const float* first = plane + (x + taps.first * w.x.dilation) * b;
      const int64_t across = w.x.dilation * b, down = w.y.dilation * w.x.in * b;
      int64_t c = 0;
      for (; c + L <= b; c += L) {
        V most = spread<V>(low);
        for (int64_t y = y0; y < y1; y++) {
          const float* at = first + y * down + c;
          for (int64_t t = taps.first; t < taps.last; t++, at += across)
            most = number_maximum(Num<float, L>{load<V>(at)}, Num<float, L>{most}).v;
        }
        store(to + c, most);
      }
      for (; c < b; c++) {
        float most = low;
        for (int64_t y = y0; y < y1; y++)
          for (int64_t t = taps.first; t < taps.last; t++) {
            const float v = first[y * down + (t - taps.first) * across + c];
            most = v > most || v != v ? v : most;
          }
        to[c] = most;
      }
    }
  }
};

#include "moka/ops/kernels/target_end.h"
