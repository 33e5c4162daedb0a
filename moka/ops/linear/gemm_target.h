// The kernels of gemm for one instruction set; gemm_kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

// Calls f with 0 .. n-1 as constants: arrays indexed by them live in registers.
template <int... I, class F>
__attribute__((always_inline)) inline void for_each_index(std::integer_sequence<int, I...>, F f) {
  (f(std::integral_constant<int, I>{}), ...);
}
template <int N, class F>
__attribute__((always_inline)) inline void for_constants(F f) {
  for_each_index(std::make_integer_sequence<int, N>{}, f);
}

// Loops of fixed length are unrolled whole, so that the sums live in registers.
#define MOKA_EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

template <class V, int Rows, int Vectors, class T>
__attribute__((always_inline)) inline void finish_block(V (&sum)[Rows][Vectors], T* c, int64_t ldc,
                                                        bool accumulate) {
  constexpr int L = lanes<T>;
  if (accumulate) {
    MOKA_EACH(i, Rows) MOKA_EACH(j, Vectors) sum[i][j] += load<V>(c + i * ldc + j * L);
  }
  MOKA_EACH(i, Rows) MOKA_EACH(j, Vectors) store(c + i * ldc + j * L, sum[i][j]);
}

template <class T, int Rows, int Vectors>
void block(int64_t k, const T* a, const T* b, int64_t b_step, T* c, int64_t ldc, bool accumulate) {
  using V = Vec<T>;
  constexpr int L = lanes<T>;
  V sum[Rows][Vectors] = {};
  for (; k > 0; k--, a += Rows, b += b_step) {
    V right[Vectors];
    MOKA_EACH(j, Vectors) right[j] = load<V>(b + j * L);
    MOKA_EACH(i, Rows) {
      const V left = spread<V>(a[i]);
      MOKA_EACH(j, Vectors) sum[i][j] += left * right[j];
    }
  }
  finish_block(sum, c, ldc, accumulate);
}

// step() k times; meanwhile the memory at `ahead` comes into the second cache.
template <class T, class Step>
__attribute__((always_inline)) inline void each_step(int64_t k, const T* ahead, Step step) {
  for (; k >= fetch_steps; k -= fetch_steps, ahead += fetch_lines * (64 / sizeof(T))) {
    MOKA_EACH(line, fetch_lines) __builtin_prefetch(ahead + line * (64 / sizeof(T)), 0, 2);
    MOKA_EACH(i, fetch_steps) step();
  }
  for (; k > 0; k--) step();
}

// The same with rows of a where they lie, a_row apart. Three rows share a pointer: the processor adds once and twice a_row.
template <class T, int Rows, int Vectors>
void block_direct(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_step, T* c, int64_t ldc,
                  bool accumulate, const T* column, const T* ahead) {
  using V = Vec<T>;
  constexpr int L = lanes<T>, Pointers = (Rows + 2) / 3;
  V sum[Rows][Vectors] = {};
  if (column) {
    MOKA_EACH(i, Rows) MOKA_EACH(j, Vectors) sum[i][j] = load<V>(column + j * L);
  }
  const T* at[Pointers];
  MOKA_EACH(i, Pointers) at[i] = a + 3 * i * a_row;
  each_step(k, ahead, [&]() __attribute__((always_inline)) {
    V right[Vectors];
    MOKA_EACH(j, Vectors) right[j] = load<V>(b + j * L);
    MOKA_EACH(i, Rows) {
      const V left = spread<V>(at[i / 3][i % 3 * a_row]);
      MOKA_EACH(j, Vectors) sum[i][j] += left * right[j];
    }
    MOKA_EACH(i, Pointers) at[i]++;
    b += b_step;
  });
  finish_block(sum, c, ldc, accumulate);
}

// One row times four panels of two vectors, beside each other in c, added to `start` if there is one: enough sums to hide
// the time of one.
template <class T>
void row_panels(int64_t k, const T* a, int64_t a_step, const T* const* b, int64_t b_step, const T* start,
                T* c) {
  using V = Vec<T>;
  constexpr int L = lanes<T>;
  V sum[4][2];
  for_constants<4>([&](auto i) __attribute__((always_inline)) {
    sum[i][0] = start ? load<V>(start + 2 * i * L) : V{};
    sum[i][1] = start ? load<V>(start + (2 * i + 1) * L) : V{};
  });
  const T *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
  for (int64_t p = 0, at = 0; p < k; p++, a += a_step, at += b_step) {
    const V left = spread<V>(*a);
    sum[0][0] += left * load<V>(b0 + at), sum[0][1] += left * load<V>(b0 + at + L);
    sum[1][0] += left * load<V>(b1 + at), sum[1][1] += left * load<V>(b1 + at + L);
    sum[2][0] += left * load<V>(b2 + at), sum[2][1] += left * load<V>(b2 + at + L);
    sum[3][0] += left * load<V>(b3 + at), sum[3][1] += left * load<V>(b3 + at + L);
  }
  for_constants<4>([&](auto i) __attribute__((always_inline)) {
    store(c + 2 * i * L, sum[i][0]), store(c + (2 * i + 1) * L, sum[i][1]);
  });
}

// ---- packing

template <class T, int L>
__attribute__((always_inline)) inline void copy_vector(T* to, const T* from) {
  typedef T V __attribute__((vector_size(L * sizeof(T))));
  store(to, load<V>(from));
}
// n elements, at most L of them at a time; the last vector may overlap the one before.
template <class T, int L>
__attribute__((always_inline)) inline void copy_run(T* to, const T* from, int64_t n) {
  if constexpr (L == 1) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
  } else {
    if (n < L) return copy_run<T, L / 2>(to, from, n);
    int64_t i = 0;
    for (; i + L <= n; i += L) copy_vector<T, L>(to + i, from + i);
    if (i < n) copy_vector<T, L>(to + n - L, from + n - L);
  }
}

// Half of an exchange of lanes at distance `step`: of the pair (a, b) the rows of blocks that lie on their diagonal stay.
template <int Step, bool Upper, class V, int... I>
__attribute__((always_inline)) inline V exchange_half(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
  return Upper ? __builtin_shufflevector(a, b, (I & Step ? L + I : I + Step)...)
               : __builtin_shufflevector(a, b, (I & Step ? L + I - Step : I)...);
}
template <int Step, class V, int L>
__attribute__((always_inline)) inline void exchange(V (&rows)[L]) {
  for_constants<L>([&](auto i) __attribute__((always_inline)) {
    if constexpr (!(i & Step)) {
      V a = rows[i], b = rows[i + Step];
      rows[i] = exchange_half<Step, false>(a, b, std::make_integer_sequence<int, L>{});
      rows[i + Step] = exchange_half<Step, true>(a, b, std::make_integer_sequence<int, L>{});
    }
  });
}
template <class V, int L>
__attribute__((always_inline)) inline void transpose_block(V (&rows)[L]) {
  if constexpr (L >= 16) exchange<8>(rows);
  if constexpr (L >= 8) exchange<4>(rows);
  if constexpr (L >= 4) exchange<2>(rows);
  if constexpr (L >= 2) exchange<1>(rows);
}

template <class T>
struct Packing {
  // to[i * width + j] = from[i * row + j] for i < k and j < n; zeros for n <= j < width.
  static void along(int64_t k, int64_t n, const T* from, int64_t row, T* to, int64_t width) {
    for (int64_t i = 0; i < k; i++, from += row, to += width) {
      copy_run<T, lanes<T>>(to, from, n);
      for (int64_t j = n; j < width; j++) to[j] = T(0);
    }
  }
  // to[j * width + i] = from[i * row + j] for i < n and j < k; zeros for n <= i < width.
  static void across(int64_t k, int64_t n, const T* from, int64_t row, T* to, int64_t width) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    for (int64_t i = 0; i < width; i += L) {
      const int64_t rest = width - i, full = n - i;
      const T* first = from + i * row;
      int64_t j = 0;
      for (; j + L <= k; j += L) {
        V rows[L];
        for_constants<L>([&](auto r) __attribute__((always_inline)) {
          rows[r] = r < full ? load<V>(first + r * row + j) : V{};
        });
        transpose_block(rows);
        T* at = to + j * width + i;
        // A vector may write over the columns that follow, which are still to come.
        if (rest >= L || (i == 0 && (k - (j + L)) * width >= L))
          for_constants<L>([&](auto c) __attribute__((always_inline)) { store(at + c * width, rows[c]); });
        else
          for_constants<L>([&](auto c) __attribute__((always_inline)) {
            T column[L];
            store(column, rows[c]);
            copy_run<T, L / 2>(at + c * width, column, rest);
          });
      }
      for (; j < k; j++)
        for (int64_t r = 0; r < L && r < rest; r++)
          to[j * width + i + r] = r < full ? first[r * row + j] : T(0);
    }
  }
};

// Rows of a lie together: a dot product a row, four rows at once.
template <class T>
struct RowDots {
  template <int Rows>
  static void rows(int64_t k, const T* a, int64_t row, const T* x, T* out) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    V sum[Rows][2] = {};
    int64_t j = 0;
    for (; j + 2 * L <= k; j += 2 * L) {
      V x0 = load<V>(x + j), x1 = load<V>(x + j + L);
#pragma GCC unroll 4
      for (int i = 0; i < Rows; i++) {
        sum[i][0] += load<V>(a + i * row + j) * x0;
        sum[i][1] += load<V>(a + i * row + j + L) * x1;
      }
    }
    for (; j + L <= k; j += L) {
      V x0 = load<V>(x + j);
#pragma GCC unroll 4
      for (int i = 0; i < Rows; i++) sum[i][0] += load<V>(a + i * row + j) * x0;
    }
#pragma GCC unroll 4
    for (int i = 0; i < Rows; i++) {
      T total = add_lanes<T>(sum[i][0] + sum[i][1]);
      for (int64_t t = j; t < k; t++) total += a[i * row + t] * x[t];
      out[i] = total;
    }
  }
  static void run(int64_t first, int64_t last, int64_t k, const MatrixView<T>& a, const T* x, T* y,
                  int64_t y_step, const GemmStart<T>& start) {
    T out[4];
    for (int64_t i = first; i < last; i += 4) {
      int64_t n = last - i < 4 ? last - i : 4;
      if (n == 4) rows<4>(k, a.data + i * a.row, a.row, x, out);
      else
        for (int64_t r = 0; r < n; r++) rows<1>(k, a.data + (i + r) * a.row, a.row, x, out + r);
      for (int64_t r = 0; r < n; r++) {
        T* to = y + (i + r) * y_step;
        *to = out[r] + (start.accumulate ? *to : start.row ? start.row[i + r] : T(0));
      }
    }
  }
};

// Columns of a lie together: four vectors of results at once run down the columns.
template <class T>
struct ColumnSums {
  template <int Vectors>
  static void columns(int64_t k, const T* a, int64_t column, const T* x, int64_t x_step, T* out) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    V sum[Vectors] = {};
    for (int64_t j = 0; j < k; j++) {
      V xj = spread<V>(x[j * x_step]);
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; i++) sum[i] += load<V>(a + j * column + i * L) * xj;
    }
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; i++) store(out + i * L, sum[i]);
  }
  static void run(int64_t first, int64_t last, int64_t k, const MatrixView<T>& a, const T* x, int64_t x_step,
                  T* y, int64_t y_step, const GemmStart<T>& start) {
    constexpr int L = lanes<T>;
    T out[4 * L];
    for (int64_t i = first; i < last;) {
      int64_t n = last - i;
      if (n >= 4 * L) {
        n = 4 * L;
        columns<4>(k, a.data + i, a.column, x, x_step, out);
      } else if (n >= L) {
        n = L;
        columns<1>(k, a.data + i, a.column, x, x_step, out);
      } else {
        for (int64_t r = 0; r < n; r++) {
          T sum = 0;
          for (int64_t j = 0; j < k; j++) sum += a.data[i + r + j * a.column] * x[j * x_step];
          out[r] = sum;
        }
      }
      for (int64_t r = 0; r < n; r++) {
        T* to = y + (i + r) * y_step;
        *to = out[r] + (start.accumulate ? *to : start.row ? start.row[i + r] : T(0));
      }
      i += n;
    }
  }
};

#undef MOKA_EACH
#include "moka/ops/kernels/target_end.h"
