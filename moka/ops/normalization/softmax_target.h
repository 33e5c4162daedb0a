// Vector loops of softmax for one instruction set; softmax_kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <class T>
struct Softmax {
  using V = Vec<T>;
  static constexpr int L = lanes<T>;

  static V exp_of(V v) { return number_exp(Num<T, L>{v}).v; }
  static V largest(V a, V b) { return settled(a > b) | settled(a != a) ? a : b; }
  static T largest_of(const T* x, int64_t n) {
    int64_t i = 0;
    const T low = -std::numeric_limits<T>::infinity();
    V m = spread<V>(low);
    for (; i + L <= n; i += L) m = largest(load<V>(x + i), m);
    if (i < n) m = largest(load_part<V>(x + i, n - i, low), m);
    return fold_lanes<T>(
        m, [](auto a, auto b) __attribute__((always_inline)) { return (a > b) | (a != a) ? a : b; });
  }
  // y = exp(x - high), its sum; y may be null
  static T exp_sum(const T* x, int64_t n, T high, T* y) {
    int64_t i = 0;
    const V h = spread<V>(high);
    V s = {};
    for (; i + L <= n; i += L) {
      V e = exp_of(load<V>(x + i) - h);
      s += e;
      if (y) store(y + i, e);
    }
    if (i < n) {
      V e = exp_of(load_part<V>(x + i, n - i, -std::numeric_limits<T>::infinity()) - h);
      // -inf - -inf is NaN in the lanes past the end.
      T buffer[L] = {};
      store_part(buffer, e, n - i);
      e = load<V>(buffer);
      s += e;
      if (y) store_part(y + i, e, n - i);
    }
    return add_lanes<T>(s);
  }
  static void rows(bool logarithm, int64_t first, int64_t last, int64_t n, const T* x, T* y) {
    for (int64_t r = first; r < last; r++) {
      const T* in = x + r * n;
      T* out = y + r * n;
      T high = largest_of(in, n);
      T sum = exp_sum(in, n, high, logarithm ? nullptr : out);
      int64_t i = 0;
      if (logarithm) {
        // Two steps: high + log(sum) would lose the logarithm beside a large value.
        T logarithm_of_sum = std::log(sum);
        const V h = spread<V>(high), s = spread<V>(logarithm_of_sum);
        for (; i + L <= n; i += L) store(out + i, V(load<V>(in + i) - h - s));
        for (; i < n; i++) out[i] = in[i] - high - logarithm_of_sum;
      } else {
        T scale = 1 / sum;
        const V s = spread<V>(scale);
        for (; i + L <= n; i += L) store(out + i, V(load<V>(out + i) * s));
        for (; i < n; i++) out[i] *= scale;
      }
    }
  }
  static void rows_logsumexp(int64_t first, int64_t last, int64_t n, const T* x, T* out) {
    for (int64_t r = first; r < last; r++) {
      T high = largest_of(x + r * n, n);
      out[r] = high + std::log(exp_sum(x + r * n, n, high, nullptr));
    }
  }
  static void rows_backward(bool logarithm, int64_t first, int64_t last, int64_t n, const T* dy, const T* y,
                            T* dx) {
    for (int64_t r = first; r < last; r++) {
      const T *grad = dy + r * n, *out = y + r * n;
      T* to = dx + r * n;
      V s = {};
      T rest = 0;
      int64_t i = 0;
      for (; i + L <= n; i += L) s += logarithm ? load<V>(grad + i) : load<V>(grad + i) * load<V>(out + i);
      for (; i < n; i++) rest += logarithm ? grad[i] : grad[i] * out[i];
      T total = add_lanes<T>(s) + rest;
      const V t = spread<V>(total);
      for (i = 0; i + L <= n; i += L) {
        V g = load<V>(grad + i), v = load<V>(out + i);
        store(to + i, V(logarithm ? g - exp_of(v) * t : (g - t) * v));
      }
      for (; i < n; i++) to[i] = logarithm ? grad[i] - std::exp(out[i]) * total : (grad[i] - total) * out[i];
    }
  }

  // [count, inner] for columns [c, c + width): across the inner dimension.
  static V get(const T* p, int64_t n) { return n == L ? load<V>(p) : load_part<V>(p, n, T(0)); }
  static void put(T* p, V v, int64_t n) {
    if (n == L) store(p, v);
    else store_part(p, v, n);
  }
  static void columns(bool logarithm, int64_t count, int64_t inner, int64_t c, int64_t w, const T* x, T* y) {
    V high = get(x + c, w), sum = {};
    for (int64_t k = 1; k < count; k++) high = largest(get(x + k * inner + c, w), high);
    for (int64_t k = 0; k < count; k++) {
      V e = exp_of(get(x + k * inner + c, w) - high);
      sum += e;
      if (!logarithm) put(y + k * inner + c, e, w);
    }
    if (logarithm) {
      T lane[L];
      store(lane, sum);
      for (int i = 0; i < L; i++) lane[i] = std::log(lane[i]);
      V s = load<V>(lane);
      for (int64_t k = 0; k < count; k++) put(y + k * inner + c, get(x + k * inner + c, w) - high - s, w);
    } else {
      for (int64_t k = 0; k < count; k++) put(y + k * inner + c, get(y + k * inner + c, w) / sum, w);
    }
  }
  static void columns_backward(bool logarithm, int64_t count, int64_t inner, int64_t c, int64_t w,
                               const T* dy, const T* y, T* dx) {
    V total = {};
    for (int64_t k = 0; k < count; k++) {
      V g = get(dy + k * inner + c, w);
      total += logarithm ? g : g * get(y + k * inner + c, w);
    }
    for (int64_t k = 0; k < count; k++) {
      V g = get(dy + k * inner + c, w), v = get(y + k * inner + c, w);
      put(dx + k * inner + c, logarithm ? g - exp_of(v) * total : (g - total) * v, w);
    }
  }
};

#include "moka/ops/kernels/target_end.h"
