// Transforms of Winograd convolutions for one instruction set; winograd.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

// One axis: values at N + 2 places, and a 3-tap filter, become values of polynomials at the points, whose products give
// N outputs. The points lie close to 1, which keeps the powers close to 1 and so the rounding small: with 0, 1, -1, 2 and
// -2 the largest error of 128 channels is seven times as large.
template <int N>
struct Interpolation;

template <>
struct Interpolation<2> {  // points 0, 1, -1, infinity
  template <class V>
  static void input(V* v, int step) {
    const V odd = v[step], even = v[2 * step];
    v[0] = even - v[0], v[3 * step] = v[3 * step] - odd;
    v[step] = even + odd, v[2 * step] = even - odd;
  }
  template <class V>
  static void filter(const V* g, int step, V* to, int to_step) {
    const V half = (g[0] + g[2 * step]) * 0.5f, odd = g[step] * 0.5f;
    to[0] = -g[0], to[3 * to_step] = g[2 * step];
    to[to_step] = half + odd, to[2 * to_step] = half - odd;
  }
  template <class V>
  static void output(const V* m, int step, V* to, int to_step) {
    const V sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
    to[0] = m[0] + sum, to[to_step] = difference + m[3 * step];
  }
};

template <>
struct Interpolation<4> {  // points 0, p, -p, q, -q, infinity
  static constexpr float p = 2.f / 3, q = 4.f / 3, p2 = p * p, q2 = q * q;
  template <class V>
  static void input(V* v, int step) {
    const V v0 = v[0], v1 = v[step], v2 = v[2 * step], v3 = v[3 * step], v4 = v[4 * step], v5 = v[5 * step];
    const V even_p = v4 - v2 * q2, odd_p = (v3 - v1 * q2) * p;
    const V even_q = v4 - v2 * p2, odd_q = (v3 - v1 * p2) * q;
    v[0] = v0 * (p2 * q2) - v2 * (p2 + q2) + v4;
    v[step] = even_p + odd_p, v[2 * step] = even_p - odd_p;
    v[3 * step] = even_q + odd_q, v[4 * step] = even_q - odd_q;
    v[5 * step] = v1 * (p2 * q2) - v3 * (p2 + q2) + v5;
  }
  template <class V>
  static void filter(const V* g, int step, V* to, int to_step) {
    const V g0 = g[0], g1 = g[step], g2 = g[2 * step];
    const V even_p = (g0 + g2 * p2) * (0.5f / (p2 * (p2 - q2))), odd_p = g1 * (0.5f / (p * (p2 - q2)));
    const V even_q = (g0 + g2 * q2) * (0.5f / (q2 * (q2 - p2))), odd_q = g1 * (0.5f / (q * (q2 - p2)));
    to[0] = g0 * (1 / (p2 * q2)), to[5 * to_step] = g2;
    to[to_step] = even_p + odd_p, to[2 * to_step] = even_p - odd_p;
    to[3 * to_step] = even_q + odd_q, to[4 * to_step] = even_q - odd_q;
  }
  template <class V>
  static void output(const V* m, int step, V* to, int to_step) {
    const V sum_p = m[step] + m[2 * step], difference_p = m[step] - m[2 * step];
    const V sum_q = m[3 * step] + m[4 * step], difference_q = m[3 * step] - m[4 * step];
    to[0] = m[0] + sum_p + sum_q;
    to[to_step] = difference_p * p + difference_q * q;
    to[2 * to_step] = sum_p * p2 + sum_q * q2;
    to[3 * to_step] = difference_p * (p2 * p) + difference_q * (q2 * q) + m[5 * step];
  }
};

template <int N>
struct Winograd {
  static constexpr int M = N + 2;
  using V = Vec<float>;
  static constexpr int L = lanes<float>;

  // A tile whose first pixel is at `from`, of which rows [y0, y1) and columns [x0, x1) lie in the picture; zeros elsewhere.
  // `channels` of it become M * M values each, `apart` from each other at `to`, in whole vectors.
  static void input(const float* from, const WinogradSteps& at, int64_t channels, float* to, int64_t apart) {
    for (int64_t c = 0; c < channels; c += L) {
      const int64_t some = channels - c < L ? channels - c : L;
      V v[M][M];
      for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
          const float* pixel = from + i * at.row + j * at.pixel + c;
          v[i][j] = i < at.y0 || i >= at.y1 || j < at.x0 || j >= at.x1 ? V{}
                    : some == L                                        ? load<V>(pixel)
                                                                       : load_part<V>(pixel, some, 0.f);
        }
      for (int j = 0; j < M; j++) Interpolation<N>::input(&v[0][j], M);
      for (int i = 0; i < M; i++) {
        Interpolation<N>::input(&v[i][0], 1);
        for (int j = 0; j < M; j++) store(to + (i * M + j) * apart + c, v[i][j]);
      }
    }
  }

  // Nine taps of L filters each at `from`, `step` apart.
  static void filter(const float* from, int64_t step, float* to, int64_t apart) {
    V g[3][3], half[M][3], all[M];
    for (int i = 0; i < 9; i++) g[i / 3][i % 3] = load<V>(from + i * step);
    for (int j = 0; j < 3; j++) Interpolation<N>::filter(&g[0][j], 3, &half[0][j], 3);
    for (int i = 0; i < M; i++) {
      Interpolation<N>::filter(&half[i][0], 1, all, 1);
      for (int j = 0; j < M; j++) store(to + (i * M + j) * apart, all[j]);
    }
  }
  static void filters(const float* from, int64_t width, float* to, int64_t apart) {
    for (int64_t o = 0; o < width; o += L) filter(from + o, width, to + o, apart);
  }

  // The other way, with what follows: outputs in rows below y1 and columns below x1 are written, `filters` of each.
  static void output(const float* from, int64_t apart, int64_t filters, const float* bias,
                     const float* addend, bool relu, float* to, const WinogradSteps& at) {
    for (int64_t o = 0; o < filters; o += L) {
      const int64_t some = filters - o < L ? filters - o : L;
      V m[M], half[N][M], all[N][N];
      for (int j = 0; j < M; j++) {
        for (int i = 0; i < M; i++) m[i] = load<V>(from + (i * M + j) * apart + o);
        Interpolation<N>::output(m, 1, &half[0][j], M);
      }
      for (int i = 0; i < N; i++) Interpolation<N>::output(&half[i][0], 1, &all[i][0], 1);
      const V start = load<V>(bias + o);
      for (int i = 0; i < at.y1; i++)
        for (int j = 0; j < at.x1; j++) {
          const int64_t place = i * at.row + j * at.pixel + o;
          V v = all[i][j] + start;
          if (addend) v += some == L ? load<V>(addend + place) : load_part<V>(addend + place, some, 0.f);
          if (relu) v = v < V{} ? V{} : v;
          if (some == L) store(to + place, v);
          else store_part(to + place, v, some);
        }
    }
  }
};

#include "moka/ops/kernels/target_end.h"
