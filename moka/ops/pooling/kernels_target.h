// The most common pooling, 2 x 2 with stride 2, for one instruction set; kernels.cpp includes this once for each. The
// loops are plain: the compiler vectorizes them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <class T>
struct Pairs {
  static T larger(T best, T v) { return v > best || v != v ? v : best; }
  static void forward(const T* __restrict top, const T* __restrict bottom, T* __restrict out, int64_t n) {
    for (int64_t j = 0; j < n; j++)
      out[j] = larger(larger(larger(top[2 * j], top[2 * j + 1]), bottom[2 * j]), bottom[2 * j + 1]);
  }
  static void backward(const T* __restrict top, const T* __restrict bottom, const T* __restrict grad, T* __restrict to_top,
                       T* __restrict to_bottom, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
      T a = top[2 * j], b = top[2 * j + 1], c = bottom[2 * j], d = bottom[2 * j + 1], g = grad[j];
      int is_b = (b > a) | (b != b);
      T best = is_b ? b : a;
      int is_c = (c > best) | (c != c);
      best = is_c ? c : best;
      int is_d = (d > best) | (d != d);
      to_top[2 * j] = is_b | is_c | is_d ? T(0) : g;
      to_top[2 * j + 1] = is_b & !is_c & !is_d ? g : T(0);
      to_bottom[2 * j] = is_c & !is_d ? g : T(0);
      to_bottom[2 * j + 1] = is_d ? g : T(0);
    }
  }
};

#include "moka/ops/kernels/target_end.h"
