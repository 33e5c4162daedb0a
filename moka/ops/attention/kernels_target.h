// Rows of attention's blocks for one instruction set; kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <int N>
struct BytesOf {
  typedef int8_t type __attribute__((vector_size(N)));
};

template <class T>
struct Rows {
  using V = Vec<T>;
  static constexpr int L = lanes<T>;

  // n is a multiple of the lanes here and in exponentials.
  static T largest(const T* x, int64_t n) {
    V m = spread<V>(-std::numeric_limits<T>::infinity()), other = m;
    auto larger = [](V a, V b) { return number_maximum(Num<T, L>{a}, Num<T, L>{b}).v; };
    int64_t i = 0;
    for (; i + 2 * L <= n; i += 2 * L) {
      m = larger(load<V>(x + i), m);
      other = larger(load<V>(x + i + L), other);
    }
    if (i < n) m = larger(load<V>(x + i), m);
    return fold_lanes<T>(larger(m, other), [](auto a, auto b) __attribute__((always_inline)) {
      return (a > b) | (a != a) ? a : b;
    });
  }
  // x = exp(x - high); returns the sum. -inf gives 0.
  static T exponentials(T* x, int64_t n, T high) {
    const V h = spread<V>(high);
    V s = {};
    for (int64_t i = 0; i < n; i += L) {
      V e = number_exp(Num<T, L>{load<V>(x + i) - h}).v;
      s += e;
      store(x + i, e);
    }
    return add_lanes<T>(s);
  }
  static void scale(T* x, int64_t n, T a) {
    const V v = spread<V>(a);
    int64_t i = 0;
    for (; i + L <= n; i += L) store(x + i, V(load<V>(x + i) * v));
    for (; i < n; i++) x[i] *= a;
  }
  // -infinity where the byte is 0.
  static void hide(T* row, const uint8_t* seen, int64_t n) {
    using Bytes = typename BytesOf<L>::type;
    using Lane = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    const V low = spread<V>(-std::numeric_limits<T>::infinity());
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      const Vec<Lane> keep = settled(__builtin_convertvector(load<Bytes>(seen + i), Vec<Lane>) != 0);
      store(row + i, V(keep ? load<V>(row + i) : low));
    }
    for (; i < n; i++) row[i] = seen[i] ? row[i] : -std::numeric_limits<T>::infinity();
  }
  static void add(T* row, const T* bias, int64_t n) {
    int64_t i = 0;
    for (; i + L <= n; i += L) store(row + i, V(load<V>(row + i) + load<V>(bias + i)));
    for (; i < n; i++) row[i] += bias[i];
  }
  static T dot(const T* x, const T* y, int64_t n) {
    V s = {};
    int64_t i = 0;
    for (; i + L <= n; i += L) s += load<V>(x + i) * load<V>(y + i);
    T sum = add_lanes<T>(s);
    for (; i < n; i++) sum += x[i] * y[i];
    return sum;
  }
  // d = p * (d - shift)
  static void score_gradient(const T* p, T* d, int64_t n, T shift) {
    const V v = spread<V>(shift);
    int64_t i = 0;
    for (; i + L <= n; i += L) store(d + i, V(load<V>(p + i) * (load<V>(d + i) - v)));
    for (; i < n; i++) d[i] = p[i] * (d[i] - shift);
  }
};

#include "moka/ops/kernels/target_end.h"
