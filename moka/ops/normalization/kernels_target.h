// Vector loops of normalization for one instruction set; kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

// Sums over a run of n values are taken in vectors and added to a double.
template <class T>
struct Run {
  static double sum(const T* x, int64_t n) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    double total = 0;
    for (int64_t from = 0; from < n; from += most_run) {
      int64_t last = from + most_run < n ? from + most_run : n, i = from;
      V a = {}, b = {}, c = {}, d = {};
      for (; i + 4 * L <= last; i += 4 * L) {
        a += load<V>(x + i);
        b += load<V>(x + i + L);
        c += load<V>(x + i + 2 * L);
        d += load<V>(x + i + 3 * L);
      }
      for (; i + L <= last; i += L) a += load<V>(x + i);
      T s = add_lanes<T>((a + b) + (c + d));
      for (; i < last; i++) s += x[i];
      total += s;
    }
    return total;
  }
  static double squares(const T* x, int64_t n, T mean) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    const V m = spread<V>(mean);
    double total = 0;
    for (int64_t from = 0; from < n; from += most_run) {
      int64_t last = from + most_run < n ? from + most_run : n, i = from;
      V a = {}, b = {};
      for (; i + 2 * L <= last; i += 2 * L) {
        V u = load<V>(x + i) - m, v = load<V>(x + i + L) - m;
        a += u * u;
        b += v * v;
      }
      for (; i + L <= last; i += L) {
        V u = load<V>(x + i) - m;
        a += u * u;
      }
      T s = add_lanes<T>(a + b);
      for (; i < last; i++) s += (x[i] - mean) * (x[i] - mean);
      total += s;
    }
    return total;
  }
  // sums of dy and of dy * (x - mean)
  static void products(const T* dy, const T* x, int64_t n, T mean, double* sums) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    const V m = spread<V>(mean);
    for (int64_t from = 0; from < n; from += most_run) {
      int64_t last = from + most_run < n ? from + most_run : n, i = from;
      V a = {}, b = {}, c = {}, d = {};
      for (; i + 2 * L <= last; i += 2 * L) {
        V g = load<V>(dy + i), h = load<V>(dy + i + L);
        a += g;
        b += g * (load<V>(x + i) - m);
        c += h;
        d += h * (load<V>(x + i + L) - m);
      }
      for (; i + L <= last; i += L) {
        V g = load<V>(dy + i);
        a += g;
        b += g * (load<V>(x + i) - m);
      }
      T s = add_lanes<T>(a + c), p = add_lanes<T>(b + d);
      for (; i < last; i++) {
        s += dy[i];
        p += dy[i] * (x[i] - mean);
      }
      sums[0] += s;
      sums[1] += p;
    }
  }
  // y = x * scale, times weight where there is one.
  static void scaled(const T* x, int64_t n, T scale, const T* weight, T* y) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    const V s = spread<V>(scale);
    int64_t i = 0;
    if (weight)
      for (; i + L <= n; i += L) store(y + i, load<V>(x + i) * s * load<V>(weight + i));
    for (; i + L <= n; i += L) store(y + i, load<V>(x + i) * s);
    for (; i < n; i++) y[i] = weight ? x[i] * scale * weight[i] : x[i] * scale;
  }
  // What one row adds to the gradient of weight, and dy times weight.
  static void weighted(const T* dy, const T* x, int64_t n, T scale, const T* weight, T* sum, T* y) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    const V s = spread<V>(scale);
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      const V g = load<V>(dy + i);
      store(sum + i, load<V>(sum + i) + g * load<V>(x + i) * s);
      store(y + i, weight ? g * load<V>(weight + i) : g);
    }
    for (; i < n; i++) {
      sum[i] += dy[i] * x[i] * scale;
      y[i] = weight ? dy[i] * weight[i] : dy[i];
    }
  }
  // y = x * scale + shift
  static void affine(const T* x, int64_t n, T scale, T shift, T* y) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    const V a = spread<V>(scale), b = spread<V>(shift);
    int64_t i = 0;
    for (; i + 2 * L <= n; i += 2 * L) {
      V u = load<V>(x + i) * a + b, v = load<V>(x + i + L) * a + b;
      store(y + i, u);
      store(y + i + L, v);
    }
    for (; i + L <= n; i += L) store(y + i, V(load<V>(x + i) * a + b));
    for (; i < n; i++) y[i] = x[i] * scale + shift;
  }
  // dx = dy * a + x * b + c
  static void combine(const T* dy, const T* x, int64_t n, T a, T b, T c, T* dx) {
    using V = Vec<T>;
    constexpr int L = lanes<T>;
    const V va = spread<V>(a), vb = spread<V>(b), vc = spread<V>(c);
    int64_t i = 0;
    for (; i + L <= n; i += L) store(dx + i, V(load<V>(dy + i) * va + (load<V>(x + i) * vb + vc)));
    for (; i < n; i++) dx[i] = dy[i] * a + (x[i] * b + c);
  }
};

// The same for a table [rows, n] whose statistics belong to columns: a row at a time over all columns.
template <class T>
struct Table {
  template <class F>
  static void columns(int64_t n, F f) {
    constexpr int L = lanes<T>;
    int64_t i = 0;
    for (; i + L <= n; i += L) f(i, int64_t(L));
    if (i < n) f(i, n - i);
  }
  using V = Vec<T>;
  static V get(const T* p, int64_t n) { return n == lanes<T> ? load<V>(p) : load_part<V>(p, n, T(0)); }
  static void put(T* p, V v, int64_t n) {
    if (n == lanes<T>) store(p, v);
    else store_part(p, v, n);
  }
  static void sum(int64_t rows, int64_t n, const T* x, T* out) {
    columns(n, [&](int64_t c, int64_t w) {
      V total = {};
      for (int64_t r = 0; r < rows;) {
        V s = {};
        for (int64_t last = r + 128 < rows ? r + 128 : rows; r < last; r++) s += get(x + r * n + c, w);
        total += s;
      }
      put(out + c, total, w);
    });
  }
  static void squares(int64_t rows, int64_t n, const T* x, const T* mean, T* out) {
    columns(n, [&](int64_t c, int64_t w) {
      V total = {}, m = get(mean + c, w);
      for (int64_t r = 0; r < rows;) {
        V s = {};
        for (int64_t last = r + 128 < rows ? r + 128 : rows; r < last; r++) {
          V u = get(x + r * n + c, w) - m;
          s += u * u;
        }
        total += s;
      }
      put(out + c, total, w);
    });
  }
  static void products(int64_t rows, int64_t n, const T* dy, const T* x, const T* mean, T* sums, T* dots) {
    columns(n, [&](int64_t c, int64_t w) {
      V total = {}, dot = {}, m = get(mean + c, w);
      for (int64_t r = 0; r < rows; r++) {
        V g = get(dy + r * n + c, w);
        total += g;
        dot += g * (get(x + r * n + c, w) - m);
      }
      put(sums + c, total, w);
      put(dots + c, dot, w);
    });
  }
  static void affine(int64_t rows, int64_t n, const T* x, const T* scale, const T* shift, T* y) {
    for (int64_t r = 0; r < rows; r++)
      columns(n, [&](int64_t c, int64_t w) {
        put(y + r * n + c, get(x + r * n + c, w) * get(scale + c, w) + get(shift + c, w), w);
      });
  }
  static void combine(int64_t rows, int64_t n, const T* dy, const T* x, const T* a, const T* b, const T* d,
                      T* dx) {
    for (int64_t r = 0; r < rows; r++)
      columns(n, [&](int64_t c, int64_t w) {
        put(dx + r * n + c,
            get(dy + r * n + c, w) * get(a + c, w) + (get(x + r * n + c, w) * get(b + c, w) + get(d + c, w)),
            w);
      });
  }
};

// Rows of layer normalization.
template <class T>
struct Layer {
  using V = Vec<T>;
  static void forward(int64_t first, int64_t last, int64_t n, const T* x, const T* weight, const T* bias,
                      double eps, T* y) {
    constexpr int L = lanes<T>;
    for (int64_t r = first; r < last; r++) {
      const T* in = x + r * n;
      T* out = y + r * n;
      double mean = Run<T>::sum(in, n) / double(n), variance = Run<T>::squares(in, n, T(mean)) / double(n);
      T scale = T(1 / __builtin_sqrt(variance + eps)), shift = T(-mean) * scale;
      if (!weight && !bias) {
        Run<T>::affine(in, n, scale, shift, out);
        continue;
      }
      const V a = spread<V>(scale), b = spread<V>(shift);
      int64_t i = 0;
      for (; i + L <= n; i += L) {
        V v = load<V>(in + i) * a + b;
        if (weight) v *= load<V>(weight + i);
        if (bias) v += load<V>(bias + i);
        store(out + i, v);
      }
      for (; i < n; i++) {
        T v = in[i] * scale + shift;
        if (weight) v *= weight[i];
        if (bias) v += bias[i];
        out[i] = v;
      }
    }
  }
  // dweight and dbias are added to.
  static void backward(int64_t first, int64_t last, int64_t n, const T* dy, const T* x, const T* weight,
                       double eps, T* dx, T* dweight, T* dbias) {
    constexpr int L = lanes<T>;
    for (int64_t r = first; r < last; r++) {
      const T *in = x + r * n, *grad = dy + r * n;
      T* out = dx + r * n;
      double mean = Run<T>::sum(in, n) / double(n), variance = Run<T>::squares(in, n, T(mean)) / double(n);
      T scale = T(1 / __builtin_sqrt(variance + eps)), m = T(mean);
      const V va = spread<V>(scale), vm = spread<V>(m);
      // g = dy * weight; its sum, and that of g * normalized
      V s0 = {}, s1 = {};
      T t0 = 0, t1 = 0;
      int64_t i = 0;
      for (; i + L <= n; i += L) {
        V g = load<V>(grad + i), h = (load<V>(in + i) - vm) * va;
        store(dbias + i, V(load<V>(dbias + i) + g));
        store(dweight + i, V(load<V>(dweight + i) + g * h));
        if (weight) g *= load<V>(weight + i);
        s0 += g;
        s1 += g * h;
      }
      for (; i < n; i++) {
        T g = grad[i], h = (in[i] - m) * scale;
        dbias[i] += g;
        dweight[i] += g * h;
        if (weight) g *= weight[i];
        t0 += g;
        t1 += g * h;
      }
      T c0 = (add_lanes<T>(s0) + t0) / T(n), c1 = (add_lanes<T>(s1) + t1) / T(n);
      const V v0 = spread<V>(c0), v1 = spread<V>(c1);
      for (i = 0; i + L <= n; i += L) {
        V g = load<V>(grad + i), h = (load<V>(in + i) - vm) * va;
        if (weight) g *= load<V>(weight + i);
        store(out + i, V((g - v0 - h * v1) * va));
      }
      for (; i < n; i++) {
        T g = grad[i], h = (in[i] - m) * scale;
        if (weight) g *= weight[i];
        out[i] = (g - c0 - h * c1) * scale;
      }
    }
  }
};

#include "moka/ops/kernels/target_end.h"
