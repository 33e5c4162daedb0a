// The vector loops of reductions for one instruction set; kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

// NaN wins in both extrema.
template <Reduce What, class T, class V>
inline V combine(V a, V b) {
  if constexpr (What == Reduce::Sum) return wrapping_add<T>(a, b);
  else if constexpr (What == Reduce::Product) return wrapping_multiply<T>(a, b);
  else if constexpr (What == Reduce::Any) return a | b;
  else if constexpr (What == Reduce::All) return a & b;
  else if constexpr (What == Reduce::Maximum) {
    if constexpr (std::is_floating_point_v<T>) return settled(a > b) | settled(a != a) ? a : b;
    else return a > b ? a : b;
  } else {
    if constexpr (std::is_floating_point_v<T>) return settled(a < b) | settled(a != a) ? a : b;
    else return a < b ? a : b;
  }
}

// Elements that one set of accumulators takes: 64 for each of its lanes.
template <class T>
inline constexpr int64_t chunk = 64 * 4 * lanes<T>;

template <Reduce What, class T>
struct Rows {
  using W = Wide<What, T>;
  // The type in which lanes are joined: products of floats leave its range, where every step would be slow.
  using Joined = std::conditional_t<What == Reduce::Product, W, T>;
  template <class V>
  static Joined join(V v) {
    auto pair = [](auto a, auto b) __attribute__((always_inline)) { return combine<What, Joined>(a, b); };
    if constexpr (std::is_same_v<Joined, T>) {
      return fold_lanes<T>(v, pair);
    } else {
      typedef Joined H __attribute__((vector_size(sizeof(Joined) * lanes<T> / 2)));
      return fold_lanes<Joined>(pair(__builtin_convertvector(half_of<false, T>(v), H),
                                     __builtin_convertvector(half_of<true, T>(v), H)),
                                pair);
    }
  }
  static W one_chunk(const T* in, int64_t n) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    Joined total = neutral<What, Joined>();
    int64_t i = 0;
    if (n >= 4 * L) {
      V a = load<V>(in), b = load<V>(in + L), c = load<V>(in + 2 * L), d = load<V>(in + 3 * L);
      for (i = 4 * L; i + 4 * L <= n; i += 4 * L) {
        a = combine<What, T>(a, load<V>(in + i));
        b = combine<What, T>(b, load<V>(in + i + L));
        c = combine<What, T>(c, load<V>(in + i + 2 * L));
        d = combine<What, T>(d, load<V>(in + i + 3 * L));
      }
      a = combine<What, T>(combine<What, T>(a, b), combine<What, T>(c, d));
      for (; i + L <= n; i += L) a = combine<What, T>(a, load<V>(in + i));
      total = join(a);
    }
    for (; i < n; i++) total = combine<What, Joined>(total, Joined(in[i]));
    return total;
  }
  static void run(int64_t rows, int64_t n, const T* in, T* out) {
    for (int64_t r = 0; r < rows; r++, in += n) {
      W total = one_chunk(in, std::min(chunk<T>, n));
      for (int64_t i = chunk<T>; i < n; i += chunk<T>)
        total = combine<What, W>(total, one_chunk(in + i, std::min(chunk<T>, n - i)));
      out[r] = static_cast<T>(total);
    }
  }
};

// [count, stride] -> out over `width` neighbouring columns: 64 rows into the first accumulator, 64 of those into the
// second, the rest into the third.
template <Reduce What, class T>
struct Columns {
  template <int Vectors>
  static void tile(int64_t count, int64_t stride, const T* in, T* out) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    V high[Vectors], middle[Vectors], low[Vectors];
    const V none = neutral<What, T>() - V{};
    for (int v = 0; v < Vectors; v++) high[v] = middle[v] = none;
    for (int64_t r = 0; r < count;) {
      for (int v = 0; v < Vectors; v++) low[v] = none;
      for (int64_t last = std::min(r + 64, count); r < last; r++) {
        const T* row = in + r * stride;
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; v++) low[v] = combine<What, T>(low[v], load<V>(row + v * L));
      }
      for (int v = 0; v < Vectors; v++) middle[v] = combine<What, T>(middle[v], low[v]);
      if (r % 4096 == 0)
        for (int v = 0; v < Vectors; v++) {
          high[v] = combine<What, T>(high[v], middle[v]);
          middle[v] = none;
        }
    }
    for (int v = 0; v < Vectors; v++) store(out + v * L, combine<What, T>(high[v], middle[v]));
  }
  static void run(int64_t count, int64_t stride, int64_t width, const T* in, T* out) {
    constexpr int L = lanes<T>;
    int64_t c = 0;
    for (; c + 4 * L <= width; c += 4 * L) tile<4>(count, stride, in + c, out + c);
    for (; c + L <= width; c += L) tile<1>(count, stride, in + c, out + c);
    if (c == width) return;
    // The last columns: whole vectors where the memory behind the row belongs to later rows, copies for the last rows.
    int rest = static_cast<int>(width - c);
    int64_t whole = count - (L - rest + stride - 1) / stride;
    T result[L], row[L];
    for (int j = 0; j < L; j++) row[j] = neutral<What, T>();
    if (whole > 0) tile<1>(whole, stride, in + c, result);
    else {
      whole = 0;
      std::copy_n(row, L, result);
    }
    for (int64_t r = whole; r < count; r++)
      for (int j = 0; j < rest; j++) result[j] = combine<What, T>(result[j], in[r * stride + c + j]);
    std::copy_n(result, rest, out + c);
  }
};

template <class T>
struct Deviations {
  static void run(int64_t rows, int64_t n, const T* in, const T* mean, T* out) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    for (int64_t r = 0; r < rows; r++, in += n) {
      const V m = mean[r] - V{};
      double total = 0;
      for (int64_t from = 0; from < n; from += chunk<T>) {
        int64_t last = std::min(n, from + chunk<T>), i = from;
        V a = {}, b = {};
        for (; i + 2 * L <= last; i += 2 * L) {
          V x = load<V>(in + i) - m, y = load<V>(in + i + L) - m;
          a += x * x;
          b += y * y;
        }
        T sum = add_lanes<T>(a + b);
        for (; i < last; i++) sum += (in[i] - mean[r]) * (in[i] - mean[r]);
        total += sum;
      }
      out[r] = static_cast<T>(total);
    }
  }
};

// Sums of |a - b| or (a - b)^2 from one row to each of `rows` rows of n elements, four of them at a time.
template <class T, bool Squared>
struct Differences {
  using V = Vec<T>;
  static constexpr int L = lanes<T>;
  static V grown(V sum, V d) {
    if constexpr (Squared) return sum + d * d;
    else return sum + (d < V{} ? -d : d);
  }
  template <int Rows>
  static void some(int64_t n, const T* a, const T* b, T* out) {
    double total[Rows] = {};
    for (int64_t from = 0; from < n; from += chunk<T>) {
      const int64_t last = std::min(n, from + chunk<T>);
      V sum[Rows] = {};
      int64_t i = from;
      for (; i + L <= last; i += L) {
        const V x = load<V>(a + i);
#pragma GCC unroll 4
        for (int r = 0; r < Rows; r++) sum[r] = grown(sum[r], x - load<V>(b + r * n + i));
      }
      if (i < last) {
        const V x = load_part<V>(a + i, last - i, T(0));
        for (int r = 0; r < Rows; r++)
          sum[r] = grown(sum[r], x - load_part<V>(b + r * n + i, last - i, T(0)));
      }
      for (int r = 0; r < Rows; r++) total[r] += add_lanes<T>(sum[r]);
    }
    for (int r = 0; r < Rows; r++) out[r] = static_cast<T>(total[r]);
  }
  static void run(int64_t rows, int64_t n, const T* a, const T* b, T* out) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) some<4>(n, a, b + r * n, out + r);
    for (; r < rows; r++) some<1>(n, a, b + r * n, out + r);
  }
};

#include "moka/ops/kernels/target_end.h"
