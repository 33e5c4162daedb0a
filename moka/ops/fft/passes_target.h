// Passes for one instruction set; passes.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

// C complex numbers in one vector, real and imaginary parts in turns.
template <class T, int C>
struct Lanes {
  static constexpr int count = C;
  typedef T V __attribute__((vector_size(2 * C * sizeof(T))));
  using Root = fft::Pair<T>;
  V v;
  friend Lanes operator+(Lanes a, Lanes b) { return {a.v + b.v}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {a.v - b.v}; }
  friend Lanes operator*(Lanes a, T s) { return {a.v * s}; }

  static Lanes get(const Root* p) { return {load<V>(reinterpret_cast<const T*>(p))}; }
  static void put(Root* p, Lanes a) { store(reinterpret_cast<T*>(p), a.v); }
  template <int... I>
  static V alternating_at(T even, T odd, std::integer_sequence<int, I...>) {
    return V{(I & 1 ? odd : even)...};
  }
  static V alternating(T even, T odd) {
    return alternating_at(even, odd, std::make_integer_sequence<int, 2 * C>{});
  }
  template <int... I>
  static V swapped_at(V a, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, a, (I ^ 1)...);
  }
  static V swapped(V a) { return swapped_at(a, std::make_integer_sequence<int, 2 * C>{}); }
  template <int Part, int... I>
  static V doubled_at(V a, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, a, ((I & ~1) + Part)...);
  }
  template <int Part>
  static V doubled(V a) {
    return doubled_at<Part>(a, std::make_integer_sequence<int, 2 * C>{});
  }
  // a / i
  Lanes turned() const { return {swapped(v) * alternating(T(1), T(-1))}; }
  Lanes times(Root w) const { return {v * w.re + swapped(v) * alternating(-w.im, w.im)}; }
  // Lane by lane.
  Lanes times(Lanes w) const {
    return {v * doubled<0>(w.v) + swapped(v) * (doubled<1>(w.v) * alternating(T(-1), T(1)))};
  }
  // The imaginary multiple of v: (-im, re) * s.
  Lanes across(T s) const { return {swapped(v) * alternating(-s, s)}; }
  template <bool Upper, int... I>
  static V zip_at(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b,
                                   ((I & 2 ? 2 * C : 0) + (I / 4 + (Upper ? C / 2 : 0)) * 2 + (I & 1))...);
  }
  template <bool Upper>
  static Lanes zip(Lanes a, Lanes b) {
    return {zip_at<Upper>(a.v, b.v, std::make_integer_sequence<int, 2 * C>{})};
  }
  template <int... I>
  static V reversed_at(V a, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, a, (2 * C - 2 - (I & ~1) + (I & 1))...);
  }
  Lanes reversed() const { return {reversed_at(v, std::make_integer_sequence<int, 2 * C>{})}; }
};

template <class T>
struct Passes {
  using Root = fft::Pair<T>;
  static constexpr int L = lanes<T>, widest = L / 2;

  template <class P>
  static void four(P a0, P a1, P a2, P a3, P (&sums)[4]) {
    const P s02 = a0 + a2, d02 = a0 - a2, s13 = a1 + a3, d13 = (a1 - a3).turned();
    sums[0] = s02 + s13;
    sums[1] = d02 + d13;
    sums[2] = s02 - s13;
    sums[3] = d02 - d13;
  }
  template <int C>
  static void some(int r, int64_t n, int64_t s, const Root* x, Root* y, const Root* roots, int64_t length) {
    const int64_t m = n / r, step = s * m;
    using P = Lanes<T, C>;
    if (r == 2) {
      for (int64_t p = 0; p < m; p++) {
        const Root w = roots[p * s], *a = x + s * p;
        Root* out = y + s * 2 * p;
        for (int64_t q = 0; q < s; q += C) {
          const P u = P::get(a + q), v = P::get(a + q + step);
          P::put(out + q, u + v);
          P::put(out + q + s, (u - v).times(w));
        }
      }
    } else if (r == 4) {
      for (int64_t p = 0; p < m; p++) {
        const Root w1 = roots[p * s], w2 = roots[2 * p * s], w3 = roots[3 * p * s], *a = x + s * p;
        Root* out = y + s * 4 * p;
        for (int64_t q = 0; q < s; q += C) {
          P sums[4];
          four(P::get(a + q), P::get(a + q + step), P::get(a + q + 2 * step), P::get(a + q + 3 * step), sums);
          P::put(out + q, sums[0]);
          P::put(out + q + s, sums[1].times(w1));
          P::put(out + q + 2 * s, sums[2].times(w2));
          P::put(out + q + 3 * s, sums[3].times(w3));
        }
      }
    } else if (r == 3) {
      const T sine = T(0.86602540378443864676372317075294L);
      for (int64_t p = 0; p < m; p++) {
        const Root w1 = roots[p * s], w2 = roots[2 * p * s], *a = x + s * p;
        Root* out = y + s * 3 * p;
        for (int64_t q = 0; q < s; q += C) {
          const P a0 = P::get(a + q), a1 = P::get(a + q + step), a2 = P::get(a + q + 2 * step), sum = a1 + a2,
                  difference = (a1 - a2).turned() * sine, middle = a0 - sum * T(0.5);
          P::put(out + q, a0 + sum);
          P::put(out + q + s, (middle + difference).times(w1));
          P::put(out + q + 2 * s, (middle - difference).times(w2));
        }
      }
    } else {
      P in[fft::largest_radix];
      Root w[fft::largest_radix];
      for (int k = 0; k < r; k++) w[k] = roots[k * (length / r)];
      for (int64_t p = 0; p < m; p++) {
        const Root* a = x + s * p;
        Root* out = y + s * r * p;
        for (int64_t q = 0; q < s; q += C) {
          for (int j = 0; j < r; j++) in[j] = P::get(a + q + j * step);
          // Pairs j, r - j share their products: the roots are conjugates.
          P total = in[0];
          for (int j = 1; j < r; j++) total = total + in[j];
          P::put(out + q, total);
          for (int k = 1; 2 * k < r; k++) {
            P even = in[0], odd{};
            for (int j = 1; 2 * j < r; j++) {
              const Root c = w[k * j % r];
              even = even + (in[j] + in[r - j]) * c.re;
              odd = odd + (in[j] - in[r - j]).across(c.im);
            }
            P::put(out + q + k * s, (even + odd).times(roots[p * k * s]));
            P::put(out + q + (r - k) * s, (even - odd).times(roots[p * (r - k) * s]));
          }
        }
      }
    }
  }
  // The first pass over factor 4: neighbours are of different p.
  static void first_four(int64_t n, const Root* x, Root* y, const Root* roots) {
    constexpr int C = widest;
    using P = Lanes<T, C>;
    const int64_t m = n / 4;
    for (int64_t p = 0; p < m; p += C) {
      Root second[C], third[C];
      for (int i = 0; i < C; i++) second[i] = roots[2 * (p + i)], third[i] = roots[3 * (p + i)];
      P sums[4];
      four(P::get(x + p), P::get(x + p + m), P::get(x + p + 2 * m), P::get(x + p + 3 * m), sums);
      sums[1] = sums[1].times(P::get(roots + p));
      sums[2] = sums[2].times(P::get(second));
      sums[3] = sums[3].times(P::get(third));
      if constexpr (C == 1) {
        for (int k = 0; k < 4; k++) P::put(y + 4 * p + k, sums[k]);
      } else {
        const P a = P::template zip<false>(sums[0], sums[2]), b = P::template zip<false>(sums[1], sums[3]),
                c = P::template zip<true>(sums[0], sums[2]), d = P::template zip<true>(sums[1], sums[3]);
        P::put(y + 4 * p, P::template zip<false>(a, b));
        P::put(y + 4 * p + C, P::template zip<true>(a, b));
        P::put(y + 4 * p + 2 * C, P::template zip<false>(c, d));
        P::put(y + 4 * p + 3 * C, P::template zip<true>(c, d));
      }
    }
  }
  // As many numbers at a time as lie together.
  template <int C>
  static void fitting(int r, int64_t n, int64_t s, const Root* x, Root* y, const Root* roots,
                      int64_t length) {
    if constexpr (C > 1) {
      if (s % C) return fitting<C / 2>(r, n, s, x, y, roots, length);
    }
    some<C>(r, n, s, x, y, roots, length);
  }
  static void run(int r, int64_t n, int64_t s, const Root* x, Root* y, const Root* roots, int64_t length) {
    if (r == 4 && s == 1 && n / 4 % widest == 0) return first_four(n, x, y, roots);
    fitting<widest>(r, n, s, x, y, roots, length);
  }

  template <bool Upper, int... I>
  static Vec<T> paired_at(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, ((I & 1) * L + I / 2 + (Upper ? L / 2 : 0))...);
  }
  static void join(int64_t n, const T* a, const T* b, Root* line) {
    T* to = reinterpret_cast<T*>(line);
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      const Vec<T> u = load<Vec<T>>(a + i), v = b ? load<Vec<T>>(b + i) : Vec<T>{};
      store(to + 2 * i, paired_at<false>(u, v, std::make_integer_sequence<int, L>{}));
      store(to + 2 * i + L, paired_at<true>(u, v, std::make_integer_sequence<int, L>{}));
    }
    for (; i < n; i++) line[i] = {a[i], b ? b[i] : T(0)};
  }
  static void split(int64_t n, const Root* line, T scale, bool forward, Root* to_a, Root* to_b) {
    constexpr int C = widest;
    using P = Lanes<T, C>;
    const int64_t half = n / 2 + 1;
    const T h = scale * T(0.5), sign = forward ? h : -h;
    auto one = [&](int64_t k) {
      const Root u = line[k], v = line[k ? n - k : 0];
      to_a[k] = {(u.re + v.re) * h, (u.im - v.im) * sign};
      if (to_b) to_b[k] = {(u.im + v.im) * h, (v.re - u.re) * sign};
    };
    one(0);
    int64_t k = 1;
    const auto factor = P::alternating(h, sign), minus = P::alternating(T(1), T(-1));
    for (; k + C <= half; k += C) {
      const P u = P::get(line + k), v = P::get(line + n - k - C + 1).reversed();
      P::put(to_a + k, {(u.v + v.v * minus) * factor});
      if (to_b) P::put(to_b + k, {(P::swapped(u.v) * minus + P::swapped(v.v)) * factor});
    }
    for (; k < half; k++) one(k);
  }
};

#include "moka/ops/kernels/target_end.h"
