// Softmax and its logarithm, forward and backward.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/normalization/kernels.h"
#include "moka/ops/number.h"

#define MOKA_TARGET_PAGE "moka/ops/normalization/softmax_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
// f(outer index, first column, columns) over vectors of columns.
template <class T, class F>
void each_columns(int64_t outer, int64_t count, int64_t inner, F f) {
#if defined(__x86_64__)
  int64_t L = isa() == Isa::Avx512 ? 64 / sizeof(T) : isa() == Isa::Avx2 ? 32 / sizeof(T) : 16 / sizeof(T);
#else
  int64_t L = 16 / sizeof(T);
#endif
  int64_t tiles = (inner + L - 1) / L;
  parallel_for(0, outer * tiles, 2048 / (count * L + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      int64_t c = i % tiles * L;
      f(i / tiles, c, L < inner - c ? L : inner - c);
    }
  });
}
}  // namespace

template <class T>
void softmax_forward(bool logarithm, int64_t outer, int64_t count, int64_t inner, const T* x, T* y) {
  if (outer * count * inner == 0) return;
  if (inner == 1) {
    auto rows = MOKA_BY_ISA(Softmax<T>::rows);
    parallel_for(0, outer, 4096 / (count + 1) + 1,
                 [&](int64_t first, int64_t last) { rows(logarithm, first, last, count, x, y); });
    return;
  }
  auto columns = MOKA_BY_ISA(Softmax<T>::columns);
  each_columns<T>(outer, count, inner, [&](int64_t o, int64_t c, int64_t w) {
    columns(logarithm, count, inner, c, w, x + o * count * inner, y + o * count * inner);
  });
}

template <class T>
void row_logsumexp(int64_t rows, int64_t n, const T* x, T* out) {
  auto run = MOKA_BY_ISA(Softmax<T>::rows_logsumexp);
  parallel_for(0, rows, 4096 / (n + 1) + 1,
               [&](int64_t first, int64_t last) { run(first, last, n, x, out); });
}

template <class T>
void softmax_backward_loop(bool logarithm, int64_t outer, int64_t count, int64_t inner, const T* dy,
                           const T* y, T* dx) {
  if (outer * count * inner == 0) return;
  if (inner == 1) {
    auto rows = MOKA_BY_ISA(Softmax<T>::rows_backward);
    parallel_for(0, outer, 8192 / (count + 1) + 1,
                 [&](int64_t first, int64_t last) { rows(logarithm, first, last, count, dy, y, dx); });
    return;
  }
  auto columns = MOKA_BY_ISA(Softmax<T>::columns_backward);
  each_columns<T>(outer, count, inner, [&](int64_t o, int64_t c, int64_t w) {
    int64_t at = o * count * inner;
    columns(logarithm, count, inner, c, w, dy + at, y + at, dx + at);
  });
}

#define MOKA_INSTANTIATE(T)                                                     \
  template void row_logsumexp(int64_t, int64_t, const T*, T*);                  \
  template void softmax_forward(bool, int64_t, int64_t, int64_t, const T*, T*); \
  template void softmax_backward_loop(bool, int64_t, int64_t, int64_t, const T*, const T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka
