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

template <class T, int Rows, int Vectors>
void block(int64_t k, const T* a, const T* b, T* c, int64_t ldc, bool accumulate) {
  using V = Vec<T>;
  constexpr int L = lanes<T>;
  V sum[Rows][Vectors];
  for_constants<Rows>([&](auto i) __attribute__((always_inline)) {
    for_constants<Vectors>([&](auto j) __attribute__((always_inline)) { sum[i][j] = V{}; });
  });
  for (; k > 0; k--, a += Rows, b += Vectors * L) {
    V right[Vectors];
    for_constants<Vectors>([&](auto j) __attribute__((always_inline)) { right[j] = load<V>(b + j * L); });
    for_constants<Rows>([&](auto i) __attribute__((always_inline)) {
      V left = spread<V>(a[i]);
      for_constants<Vectors>([&](auto j) __attribute__((always_inline)) { sum[i][j] += left * right[j]; });
    });
  }
  if (accumulate) {
    for_constants<Rows>([&](auto i) __attribute__((always_inline)) {
      for_constants<Vectors>([&](auto j) __attribute__((always_inline)) {
        T* at = c + i * ldc + j * L;
        store(at, load<V>(at) + sum[i][j]);
      });
    });
  } else {
    for_constants<Rows>([&](auto i) __attribute__((always_inline)) {
      for_constants<Vectors>([&](auto j)
                                 __attribute__((always_inline)) { store(c + i * ldc + j * L, sum[i][j]); });
    });
  }
}

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
  static void run(int64_t first, int64_t last, int64_t k, MatrixView<T> a, const T* x, T* y, int64_t y_step,
                  GemmStart<T> start) {
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
  static void run(int64_t first, int64_t last, int64_t k, MatrixView<T> a, const T* x, int64_t x_step, T* y,
                  int64_t y_step, GemmStart<T> start) {
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

#include "moka/ops/kernels/target_end.h"
