// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/fft/passes.h"

#include <utility>

#include "moka/ops/kernels/by_isa.h"

#define MOKA_TARGET_PAGE "moka/ops/fft/passes_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka::fft {

template <class T>
void pass(int r, int64_t n, int64_t s, const Pair<T>* x, Pair<T>* y, const Pair<T>* roots, int64_t length) {
  MOKA_BY_ISA(Passes<T>::run)(r, n, s, x, y, roots, length);
}
template <class T>
void join_lines(int64_t n, const T* a, const T* b, Pair<T>* line) {
  MOKA_BY_ISA(Passes<T>::join)(n, a, b, line);
}
template <class T>
void split_spectra(int64_t n, const Pair<T>* line, T scale, bool forward, Pair<T>* to_a, Pair<T>* to_b) {
  MOKA_BY_ISA(Passes<T>::split)(n, line, scale, forward, to_a, to_b);
}

#define MOKA_INSTANTIATE(T)                                                                     \
  template void pass(int, int64_t, int64_t, const Pair<T>*, Pair<T>*, const Pair<T>*, int64_t); \
  template void join_lines(int64_t, const T*, const T*, Pair<T>*);                              \
  template void split_spectra(int64_t, const Pair<T>*, T, bool, Pair<T>*, Pair<T>*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka::fft
