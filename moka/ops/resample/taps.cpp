// Weighted sums along axes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/resample/taps.h"

#include <algorithm>
#include <memory>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"

#define MOKA_TARGET_PAGE "moka/ops/resample/taps_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
// Weights of a table in the type of the elements.
template <class T>
struct Weights {
  std::vector<T> values;
  int64_t each = 0;  // how many every output has, 0: not the same number
  explicit Weights(const Taps& t) {
    for (const double w : t.weight) values.push_back(static_cast<T>(w));
    const int64_t out = t.out(), all = static_cast<int64_t>(values.size());
    each = out ? all / out : 0;
    for (int64_t o = 0; o <= out; o++)
      if (t.begin[static_cast<size_t>(o)] != o * each) each = 0;
  }
};
// One row, with K entries for every output.
template <int K, class T>
void row_by(int64_t out, const int64_t* index, const T* weight, const T* from, T* to) {
  for (int64_t o = 0; o < out; o++, index += K, weight += K) {
    T sum = from[index[0]] * weight[0];
    for (int k = 1; k < K; k++) sum += from[index[k]] * weight[k];
    to[o] = sum;
  }
}
template <class T>
void along_row(const Taps& t, const Weights<T>& w, const T* from, T* to) {
  const int64_t out = t.out();
  if (w.each == 1) return row_by<1>(out, t.index.data(), w.values.data(), from, to);
  if (w.each == 2) return row_by<2>(out, t.index.data(), w.values.data(), from, to);
  if (w.each == 4) return row_by<4>(out, t.index.data(), w.values.data(), from, to);
  for (int64_t o = 0; o < out; o++) {
    T sum = 0;
    for (int64_t k = t.begin[static_cast<size_t>(o)]; k < t.begin[static_cast<size_t>(o) + 1]; k++)
      sum += from[t.index[static_cast<size_t>(k)]] * w.values[static_cast<size_t>(k)];
    to[o] = sum;
  }
}
// [outer, in, inner] to [outer, out, inner]
template <class T>
void along_axis(const Taps& t, int64_t outer, int64_t inner, const T* x, T* y) {
  constexpr int at_once = 8;
  const int64_t out = t.out(), work = inner * static_cast<int64_t>(t.index.size());
  const Weights<T> weights(t);
  parallel_for(0, outer, 32768 / (work + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      const T* from = x + i * t.in * inner;
      T* to = y + i * out * inner;
      if (inner == 1) {
        along_row(t, weights, from, to);
        continue;
      }
      for (int64_t o = 0; o < out; o++, to += inner) {
        const int64_t begin = t.begin[static_cast<size_t>(o)], end = t.begin[static_cast<size_t>(o) + 1];
        const T* own = weights.values.data() + begin;
        const int64_t* index = t.index.data() + begin;
        if (begin == end) std::fill_n(to, inner, T(0));
        else if (end - begin == 1 && *own == T(1)) std::copy_n(from + *index * inner, inner, to);
        else
          for (int64_t k = 0; k < end - begin; k += at_once) {
            const T* rows[at_once];
            const int count = static_cast<int>(std::min<int64_t>(at_once, end - begin - k));
            for (int r = 0; r < count; r++) rows[r] = from + index[k + r] * inner;
            MOKA_BY_ISA(WeightedRows<T>::run)(inner, count, rows, own + k, k > 0, to);
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

// Runs `step(axis, outer, inner, from, to)` for all axes with memory for what lies between. What grows begins with the
// last axis, whose sums are the slowest, and what shrinks ends with it.
template <class T, class Step>
void chain(std::span<const Taps> axes, bool backward, int64_t outer, const T* x, T* y, Step step) {
  const size_t n = axes.size();
  std::vector<int64_t> sizes(n);
  for (size_t a = 0; a < n; a++) sizes[a] = backward ? axes[a].out() : axes[a].in;
  double before_all = 1, after_all = 1;
  for (const Taps& t : axes) before_all *= double(t.in), after_all *= double(t.out());
  const bool last_first = (after_all >= before_all) != backward;
  std::unique_ptr<Scratch<T>> held, before;
  const T* from = x;
  for (size_t step_number = 0; step_number < n; step_number++) {
    const size_t a = last_first ? n - 1 - step_number : step_number;
    int64_t lead = outer, inner = 1;
    for (size_t b = 0; b < a; b++) lead *= sizes[b];
    for (size_t b = a + 1; b < n; b++) inner *= sizes[b];
    sizes[a] = backward ? axes[a].in : axes[a].out();
    T* to = y;
    before = std::move(held);
    if (step_number + 1 < n) {
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
