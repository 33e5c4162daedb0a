// Weighted sums along axes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/resample/taps.h"

#include <algorithm>
#include <memory>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/scratch.h"

namespace moka {

namespace {
// [outer, in, inner] to [outer, out, inner]
template <class T>
void along_axis(const Taps& t, int64_t outer, int64_t inner, const T* x, T* y) {
  const int64_t out = t.out(), work = inner * static_cast<int64_t>(t.index.size());
  parallel_for(0, outer, 32768 / (work + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      const T* from = x + i * t.in * inner;
      T* to = y + i * out * inner;
      for (int64_t o = 0; o < out; o++, to += inner) {
        const int64_t begin = t.begin[static_cast<size_t>(o)], end = t.begin[static_cast<size_t>(o) + 1];
        if (inner == 1) {
          T sum = 0;
          for (int64_t k = begin; k < end; k++)
            sum += from[t.index[static_cast<size_t>(k)]] * static_cast<T>(t.weight[static_cast<size_t>(k)]);
          *to = sum;
          continue;
        }
        if (begin == end) std::fill_n(to, inner, T(0));
        for (int64_t k = begin; k < end; k++) {
          const T* row = from + t.index[static_cast<size_t>(k)] * inner;
          const T w = static_cast<T>(t.weight[static_cast<size_t>(k)]);
          if (k > begin)
            for (int64_t j = 0; j < inner; j++) to[j] += w * row[j];
          else if (w == T(1)) std::copy_n(row, inner, to);
          else
            for (int64_t j = 0; j < inner; j++) to[j] = w * row[j];
        }
      }
    }
  });
}
template <class T>
void along_axis_transposed(const Taps& t, int64_t outer, int64_t inner, const T* dy, T* dx) {
  const int64_t out = t.out(), work = inner * static_cast<int64_t>(t.index.size());
  parallel_for(0, outer, 32768 / (work + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      const T* from = dy + i * out * inner;
      T* to = dx + i * t.in * inner;
      std::fill_n(to, t.in * inner, T(0));
      for (int64_t o = 0; o < out; o++, from += inner)
        for (int64_t k = t.begin[static_cast<size_t>(o)]; k < t.begin[static_cast<size_t>(o) + 1]; k++) {
          T* row = to + t.index[static_cast<size_t>(k)] * inner;
          const T w = static_cast<T>(t.weight[static_cast<size_t>(k)]);
          for (int64_t j = 0; j < inner; j++) row[j] += w * from[j];
        }
    }
  });
}

// Runs `step(axis, outer, inner, from, to)` for the axes in the given order with memory for what lies between.
template <class T, class Step>
void chain(std::span<const Taps> axes, bool backward, int64_t outer, const T* x, T* y, Step step) {
  const size_t n = axes.size();
  std::vector<int64_t> sizes(n);
  for (size_t a = 0; a < n; a++) sizes[a] = backward ? axes[a].out() : axes[a].in;
  std::unique_ptr<Scratch<T>> held, before;
  const T* from = x;
  for (size_t a = 0; a < n; a++) {
    int64_t lead = outer, inner = 1;
    for (size_t b = 0; b < a; b++) lead *= sizes[b];
    for (size_t b = a + 1; b < n; b++) inner *= sizes[b];
    sizes[a] = backward ? axes[a].in : axes[a].out();
    T* to = y;
    before = std::move(held);
    if (a + 1 < n) {
      held = std::make_unique<Scratch<T>>(lead * sizes[a] * inner);
      to = held->data();
    }
    step(axes[a], lead, inner, from, to);
    from = to;
  }
}
}  // namespace

template <class T>
void apply_taps(std::span<const Taps> axes, int64_t outer, const T* x, T* y) {
  chain<T>(axes, false, outer, x, y, along_axis<T>);
}
template <class T>
void apply_taps_transposed(std::span<const Taps> axes, int64_t outer, const T* dy, T* dx) {
  chain<T>(axes, true, outer, dy, dx, along_axis_transposed<T>);
}

#define MOKA_INSTANTIATE(T)                                               \
  template void apply_taps(std::span<const Taps>, int64_t, const T*, T*); \
  template void apply_taps_transposed(std::span<const Taps>, int64_t, const T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
MOKA_INSTANTIATE(int64_t)
#undef MOKA_INSTANTIATE

}  // namespace moka
