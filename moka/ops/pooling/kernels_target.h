// The most common pooling, 2 x 2 with stride 2, for one instruction set; kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <class T>
struct Pairs {
  static T larger(T best, T v) { return v > best || v != v ? v : best; }
  using V = Vec<T>;
  static constexpr int L = lanes<T>;
  static V larger(V best, V v) { return settled(v > best) | settled(v != v) ? v : best; }

  // Every second element of 2 L neighbours, and back.
  template <int First, int... I>
  static V second(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (2 * I + First)...);
  }
  template <int First, int... I>
  static V zip(V even, V odd, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(even, odd, (I % 2 ? L + First + I / 2 : First + I / 2)...);
  }
  static void split(const T* p, V& even, V& odd) {
    V a = load<V>(p), b = load<V>(p + L);
    even = second<0>(a, b, std::make_integer_sequence<int, L>{});
    odd = second<1>(a, b, std::make_integer_sequence<int, L>{});
  }
  static void join(T* p, V even, V odd) {
    store(p, zip<0>(even, odd, std::make_integer_sequence<int, L>{}));
    store(p + L, zip<L / 2>(even, odd, std::make_integer_sequence<int, L>{}));
  }

  static void forward(const T* top, const T* bottom, T* out, int64_t n) {
    int64_t j = 0;
    for (; j + L <= n; j += L) {
      V a, b, c, d;
      split(top + 2 * j, a, b);
      split(bottom + 2 * j, c, d);
      store(out + j, larger(larger(larger(a, b), c), d));
    }
    for (; j < n; j++)
      out[j] = larger(larger(larger(top[2 * j], top[2 * j + 1]), bottom[2 * j]), bottom[2 * j + 1]);
  }
  static void backward(const T* top, const T* bottom, const T* grad, T* to_top, T* to_bottom, int64_t n) {
    int64_t j = 0;
    const V zero = {};
    for (; j + L <= n; j += L) {
      V a, b, c, d, g = load<V>(grad + j);
      split(top + 2 * j, a, b);
      split(bottom + 2 * j, c, d);
      auto is_b = settled(b > a) | settled(b != b);
      V best = is_b ? b : a;
      auto is_c = settled(c > best) | settled(c != c);
      best = is_c ? c : best;
      auto is_d = settled(d > best) | settled(d != d);
      join(to_top + 2 * j, is_b | is_c | is_d ? zero : g, is_b & ~is_c & ~is_d ? g : zero);
      join(to_bottom + 2 * j, is_c & ~is_d ? g : zero, is_d ? g : zero);
    }
    for (; j < n; j++) {
      T a = top[2 * j], b = top[2 * j + 1], c = bottom[2 * j], d = bottom[2 * j + 1], g = grad[j];
      bool is_b = b > a || b != b;
      T best = is_b ? b : a;
      bool is_c = c > best || c != c;
      best = is_c ? c : best;
      bool is_d = d > best || d != d;
      to_top[2 * j] = is_b || is_c || is_d ? T(0) : g;
      to_top[2 * j + 1] = is_b && !is_c && !is_d ? g : T(0);
      to_bottom[2 * j] = is_c && !is_d ? g : T(0);
      to_bottom[2 * j + 1] = is_d ? g : T(0);
    }
  }
};

#include "moka/ops/kernels/target_end.h"
