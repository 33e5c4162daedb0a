// Fused cells over one row for one instruction set; kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <class T>
struct Cells {
  static constexpr int L = lanes<T>;
  using N = Num<T, L>;
  using V = Vec<T>;

  // f(place, how many): whole vectors, then what is left.
  template <class F>
  static void each(int64_t n, F f) {
    int64_t i = 0;
    for (; i + L <= n; i += L) f(i, int64_t(L));
    if (i < n) f(i, n - i);
  }
  static N get(const T* p, int64_t n) { return {n == L ? load<V>(p) : load_part<V>(p, n, T(0))}; }
  static void put(T* p, N v, int64_t n) {
    if (n == L) store(p, v.v);
    else store_part(p, v.v, n);
  }

  // a: the input's part of the gates, u: the state's; c may be where the new c goes.
  static void lstm(int64_t h, const T* a, const T* u, const T* c, T* act, T* c_new, T* m) {
    each(h, [&](int64_t j, int64_t n) {
      N i = number_sigmoid(get(a + j, n) + get(u + j, n)),
        f = number_sigmoid(get(a + h + j, n) + get(u + h + j, n)),
        g = number_tanh(get(a + 2 * h + j, n) + get(u + 2 * h + j, n)),
        o = number_sigmoid(get(a + 3 * h + j, n) + get(u + 3 * h + j, n));
      N cell = f * get(c + j, n) + i * g;
      put(act + j, i, n);
      put(act + h + j, f, n);
      put(act + 2 * h + j, g, n);
      put(act + 3 * h + j, o, n);
      put(c_new + j, cell, n);
      put(m + j, o * number_tanh(cell), n);
    });
  }
  // dc is added to and becomes the gradient of the c before; m, where given, gets o tanh(c) again.
  static void lstm_backward(int64_t h, const T* dm, const T* act, const T* c, const T* c_new, T* dc, T* da,
                            T* m) {
    each(h, [&](int64_t j, int64_t n) {
      N i = get(act + j, n), f = get(act + h + j, n), g = get(act + 2 * h + j, n),
        o = get(act + 3 * h + j, n);
      N t = number_tanh(get(c_new + j, n)), d = get(dm + j, n);
      N cell = get(dc + j, n) + d * o * (1 - t * t);
      if (m) put(m + j, o * t, n);
      put(da + j, cell * g * i * (1 - i), n);
      put(da + h + j, cell * get(c + j, n) * f * (1 - f), n);
      put(da + 2 * h + j, cell * i * (1 - g * g), n);
      put(da + 3 * h + j, d * t * o * (1 - o), n);
      put(dc + j, cell * f, n);
    });
  }
  static void gru(int64_t h, const T* a, const T* u, const T* before, T* kept, T* state) {
    each(h, [&](int64_t j, int64_t n) {
      N r = number_sigmoid(get(a + j, n) + get(u + j, n)),
        z = number_sigmoid(get(a + h + j, n) + get(u + h + j, n)), un = get(u + 2 * h + j, n),
        c = number_tanh(get(a + 2 * h + j, n) + r * un);
      put(kept + j, r, n);
      put(kept + h + j, z, n);
      put(kept + 2 * h + j, c, n);
      put(kept + 3 * h + j, un, n);
      put(state + j, c + z * (get(before + j, n) - c), n);
    });
  }
  // da: gradient of the input's part, du: of the state's, dh becomes the direct part of the gradient of the state before.
  static void gru_backward(int64_t h, T* dh, const T* kept, const T* before, T* da, T* du) {
    each(h, [&](int64_t j, int64_t n) {
      N r = get(kept + j, n), z = get(kept + h + j, n), c = get(kept + 2 * h + j, n),
        un = get(kept + 3 * h + j, n);
      N d = get(dh + j, n), dn = d * (1 - z) * (1 - c * c), dr = dn * un * r * (1 - r),
        dz = d * (get(before + j, n) - c) * z * (1 - z);
      put(da + j, dr, n);
      put(da + h + j, dz, n);
      put(da + 2 * h + j, dn, n);
      put(du + j, dr, n);
      put(du + h + j, dz, n);
      put(du + 2 * h + j, dn * r, n);
      put(dh + j, d * z, n);
    });
  }
  static void plain(int64_t h, bool relu, const T* a, const T* u, T* state) {
    each(h, [&](int64_t j, int64_t n) {
      N v = get(a + j, n) + get(u + j, n);
      put(state + j, relu ? number_where(v < T(0), T(0), v) : number_tanh(v), n);
    });
  }
  static void plain_backward(int64_t h, bool relu, const T* dh, const T* state, T* da) {
    each(h, [&](int64_t j, int64_t n) {
      N y = get(state + j, n), d = get(dh + j, n);
      put(da + j, relu ? number_where(y > T(0), d, T(0)) : d * (1 - y * y), n);
    });
  }
};

#include "moka/ops/kernels/target_end.h"
