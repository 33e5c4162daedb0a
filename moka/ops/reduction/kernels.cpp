// Reduction loops: rows are summed in chunks of vector accumulators, columns by cascades, so rounding errors stay small.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/reduction/kernels.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/kernels/settled.h"
#include "moka/ops/kernels/wrapping.h"

namespace moka {

namespace {
template <Reduce What, class T>
constexpr T neutral() {
  if constexpr (What == Reduce::Product || What == Reduce::All) return T(1);
  else if constexpr (What == Reduce::Maximum)
    return std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                       : std::numeric_limits<T>::lowest();
  else if constexpr (What == Reduce::Minimum)
    return std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  else return T(0);
}
// Sums of chunks are added in double.
template <Reduce What, class T>
using Wide = std::conditional_t<(What == Reduce::Sum || What == Reduce::Product) && std::is_same_v<T, float>,
                                double, T>;
}  // namespace

}  // namespace moka

#define MOKA_TARGET_PAGE "moka/ops/reduction/kernels_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
template <Reduce What, class T>
void reduce_rows(int64_t rows, int64_t n, const T* in, T* out) {
  constexpr int64_t part = 65536;
  if (n > 2 * part && rows < 64) {
    // Long rows are cut into parts of one length, whatever the number of threads.
    int64_t parts = (n + part - 1) / part;
    Scratch<T> partial(rows * parts);
    parallel_for(0, rows * parts, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) {
        int64_t from = i % parts * part;
        MOKA_BY_ISA(Rows<What, T>::run)(int64_t(1), std::min(part, n - from), in + i / parts * n + from,
                                        partial.data() + i);
      }
    });
    for (int64_t r = 0; r < rows; r++) {
      Wide<What, T> total = neutral<What, Wide<What, T>>();
      for (int64_t p = 0; p < parts; p++)
        total = baseline::combine<What, Wide<What, T>>(total, Wide<What, T>(partial[r * parts + p]));
      out[r] = static_cast<T>(total);
    }
    return;
  }
  parallel_for(0, rows, 32768 / (n + 8) + 1, [&](int64_t first, int64_t last) {
    MOKA_BY_ISA(Rows<What, T>::run)(last - first, n, in + first * n, out + first);
  });
}

template <Reduce What, class T>
void reduce_columns(int64_t outer, int64_t count, int64_t inner, const T* in, T* out) {
  constexpr int64_t tile = 256;
  int64_t tiles = (inner + tile - 1) / tile;
  int64_t most_rows = std::max<int64_t>(64, 65536 / inner / 64 * 64);
  if (outer * tiles < 16 && count >= 2 * most_rows) {
    // Few columns: the rows are cut into parts of one length and their results reduced again.
    int64_t parts = (count + most_rows - 1) / most_rows;
    Scratch<T> partial(outer * parts * inner);
    parallel_for(0, outer * parts, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) {
        int64_t from = i % parts * most_rows;
        MOKA_BY_ISA(Columns<What, T>::run)(std::min(most_rows, count - from), inner, inner,
                                           in + (i / parts * count + from) * inner,
                                           partial.data() + i * inner);
      }
    });
    for (int64_t o = 0; o < outer; o++)
      MOKA_BY_ISA(Columns<What, T>::run)(
          parts, inner, inner, static_cast<const T*>(partial.data()) + o * parts * inner, out + o * inner);
    return;
  }
  parallel_for(0, outer * tiles, 32768 / (count * std::min(tile, inner) + 8) + 1,
               [&](int64_t first, int64_t last) {
                 for (int64_t i = first; i < last; i++) {
                   int64_t o = i / tiles, from = i % tiles * tile, width = std::min(tile, inner - from);
                   MOKA_BY_ISA(Columns<What, T>::run)(count, inner, width, in + o * count * inner + from,
                                                      out + o * inner + from);
                 }
               });
}

template <Reduce What, class T>
void reduce_as(int64_t outer, int64_t count, int64_t inner, const T* in, T* out) {
  if (outer * inner == 0) return;
  if (count == 0) std::fill_n(out, outer * inner, neutral<What, T>());
  else if (inner == 1) reduce_rows<What, T>(outer, count, in, out);
  else reduce_columns<What, T>(outer, count, inner, in, out);
}

template <class T>
bool beats(bool maximum, T x, T best) {
  if constexpr (std::is_floating_point_v<T>) {
    if (best != best) return false;
    if (x != x) return true;
  }
  return maximum ? x > best : x < best;
}
}  // namespace

template <class T>
void reduce(Reduce what, int64_t outer, int64_t count, int64_t inner, const T* in, T* out) {
  if constexpr (std::is_same_v<T, uint8_t>) {
    if (what == Reduce::Any) reduce_as<Reduce::Any, T>(outer, count, inner, in, out);
    else reduce_as<Reduce::All, T>(outer, count, inner, in, out);
  } else {
    switch (what) {
      case Reduce::Product: return reduce_as<Reduce::Product, T>(outer, count, inner, in, out);
      case Reduce::Maximum: return reduce_as<Reduce::Maximum, T>(outer, count, inner, in, out);
      case Reduce::Minimum: return reduce_as<Reduce::Minimum, T>(outer, count, inner, in, out);
      default: return reduce_as<Reduce::Sum, T>(outer, count, inner, in, out);
    }
  }
}
template void reduce(Reduce, int64_t, int64_t, int64_t, const float*, float*);
template void reduce(Reduce, int64_t, int64_t, int64_t, const double*, double*);
template void reduce(Reduce, int64_t, int64_t, int64_t, const int64_t*, int64_t*);
template void reduce(Reduce, int64_t, int64_t, int64_t, const uint8_t*, uint8_t*);

template <class T>
void squared_deviations(int64_t rows, int64_t n, const T* in, const T* mean, T* out) {
  parallel_for(0, rows, 32768 / (n + 8) + 1, [&](int64_t first, int64_t last) {
    MOKA_BY_ISA(Deviations<T>::run)(last - first, n, in + first * n, mean + first, out + first);
  });
}
template void squared_deviations(int64_t, int64_t, const float*, const float*, float*);
template void squared_deviations(int64_t, int64_t, const double*, const double*, double*);

template <class T>
void row_differences(bool squared, int64_t rows, int64_t n, const T* a, const T* b, T* out) {
  if (squared) MOKA_BY_ISA(Differences<T, true>::run)(rows, n, a, b, out);
  else MOKA_BY_ISA(Differences<T, false>::run)(rows, n, a, b, out);
}
template void row_differences(bool, int64_t, int64_t, const float*, const float*, float*);
template void row_differences(bool, int64_t, int64_t, const double*, const double*, double*);

template <class T>
void sum_of_squares(int64_t n, const T* in, T* out) {
  constexpr int64_t part = 65536;
  const int64_t parts = (n + part - 1) / part;
  Scratch<T> partial(parts);
  parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    const T zero = 0;
    for (int64_t i = first; i < last; i++)
      MOKA_BY_ISA(Deviations<T>::run)(int64_t(1), std::min(part, n - i * part), in + i * part, &zero,
                                      partial.data() + i);
  });
  double total = 0;
  for (int64_t i = 0; i < parts; i++) total += partial[i];
  *out = static_cast<T>(total);
}
template void sum_of_squares(int64_t, const float*, float*);
template void sum_of_squares(int64_t, const double*, double*);

template <class T>
void find_extremum(bool maximum, int64_t outer, int64_t count, int64_t inner, const T* in, int64_t* places) {
  parallel_for(0, outer, 16384 / (count * inner + 1) + 1, [&](int64_t first, int64_t last) {
    Scratch<T> best(inner);
    for (int64_t o = first; o < last; o++) {
      const T* from = in + o * count * inner;
      int64_t* to = places + o * inner;
      if (inner == 1) {
        // The value first, with vectors; then its first place.
        T value;
        if (maximum) MOKA_BY_ISA(Rows<Reduce::Maximum, T>::run)(int64_t(1), count, from, &value);
        else MOKA_BY_ISA(Rows<Reduce::Minimum, T>::run)(int64_t(1), count, from, &value);
        int64_t i = 0;
        if (value != value)
          while (from[i] == from[i]) i++;
        else
          while (from[i] != value) i++;
        *to = i;
        continue;
      }
      std::copy_n(from, inner, best.data());
      std::fill_n(to, inner, int64_t(0));
      for (int64_t r = 1; r < count; r++)
        for (int64_t j = 0; j < inner; j++)
          if (beats(maximum, from[r * inner + j], best[j])) {
            best[j] = from[r * inner + j];
            to[j] = r;
          }
    }
  });
}
template void find_extremum(bool, int64_t, int64_t, int64_t, const float*, int64_t*);
template void find_extremum(bool, int64_t, int64_t, int64_t, const double*, int64_t*);
template void find_extremum(bool, int64_t, int64_t, int64_t, const int64_t*, int64_t*);

}  // namespace moka
