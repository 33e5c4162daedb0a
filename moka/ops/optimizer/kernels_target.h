// Optimizer loops for one instruction set; kernels.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <class T>
struct Steps {
  using V = Vec<T>;
  static constexpr int L = lanes<T>;

  // The formulas are written once, for vectors and for the last elements.
  template <class X>
  static X sgd(const SgdStep& s, X p, X g, X& m) {
    if (s.maximize) g = -g;
    g += p * T(s.weight_decay);
    m = s.first ? g : m * T(s.momentum) + g * T(1 - s.dampening);
    return p - (s.nesterov ? g + m * T(s.momentum) : m) * T(s.lr);
  }
  template <class X>
  static X plain(const SgdStep& s, X p, X g) {
    if (s.maximize) g = -g;
    g += p * T(s.weight_decay);
    return p - g * T(s.lr);
  }
  static void run_sgd(SgdStep s, int64_t n, T* param, const T* grad, T* momentum) {
    int64_t i = 0;
    if (!momentum) {
      for (; i + L <= n; i += L) store(param + i, plain<V>(s, load<V>(param + i), load<V>(grad + i)));
      for (; i < n; i++) param[i] = plain<T>(s, param[i], grad[i]);
      return;
    }
    for (; i + L <= n; i += L) {
      V m = s.first ? V{} : load<V>(momentum + i);
      store(param + i, sgd<V>(s, load<V>(param + i), load<V>(grad + i), m));
      store(momentum + i, m);
    }
    for (; i < n; i++) {
      T m = s.first ? T(0) : momentum[i];
      param[i] = sgd<T>(s, param[i], grad[i], m);
      momentum[i] = m;
    }
  }

  static V root(V v) {
    for (int j = 0; j < L; j++) v[j] = __builtin_sqrt(v[j]);
    return v;
  }
  static T root(T v) { return std::sqrt(v); }
  static V larger(V a, V b) { return a > b ? a : b; }
  static T larger(T a, T b) { return a > b ? a : b; }
  template <class X>
  static X adam(const AdamStep& s, X p, X g, X& m, X& v, X& most, bool amsgrad) {
    if (s.maximize) g = -g;
    if (s.decoupled) p = p * T(1 - s.lr * s.weight_decay);
    else g += p * T(s.weight_decay);
    m = m * T(s.beta1) + g * T(1 - s.beta1);
    v = v * T(s.beta2) + g * g * T(1 - s.beta2);
    X scale = v;
    if (amsgrad) scale = most = larger(most, v);
    return p - m * T(s.lr / s.correction1) / (root(scale) / T(s.correction2) + T(s.eps));
  }
  static void run_adam(AdamStep s, int64_t n, T* param, const T* grad, T* average, T* squares, T* most) {
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      V m = load<V>(average + i), v = load<V>(squares + i), top = most ? load<V>(most + i) : V{};
      store(param + i, adam<V>(s, load<V>(param + i), load<V>(grad + i), m, v, top, most));
      store(average + i, m);
      store(squares + i, v);
      if (most) store(most + i, top);
    }
    for (; i < n; i++) {
      T m = average[i], v = squares[i], top = most ? most[i] : T(0);
      param[i] = adam<T>(s, param[i], grad[i], m, v, top, most);
      average[i] = m;
      squares[i] = v;
      if (most) most[i] = top;
    }
  }

  template <class X>
  static X rmsprop(const RmspropStep& s, X p, X g, X& v, X& average, X& m, bool centered, bool momentum) {
    if (s.maximize) g = -g;
    g += p * T(s.weight_decay);
    v = v * T(s.alpha) + g * g * T(1 - s.alpha);
    X spread = v;
    if (centered) {
      average += (g - average) * T(1 - s.alpha);
      spread = v - average * average;
    }
    X direction = g / (root(spread) + T(s.eps));
    if (momentum) direction = m = m * T(s.momentum) + direction;
    return p - direction * T(s.lr);
  }
  static void run_rmsprop(RmspropStep s, int64_t n, T* param, const T* grad, T* squares, T* average,
                          T* momentum) {
    bool centered = average, moves = momentum;
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      V v = load<V>(squares + i), a = centered ? load<V>(average + i) : V{},
        m = moves ? load<V>(momentum + i) : V{};
      store(param + i, rmsprop<V>(s, load<V>(param + i), load<V>(grad + i), v, a, m, centered, moves));
      store(squares + i, v);
      if (centered) store(average + i, a);
      if (moves) store(momentum + i, m);
    }
    for (; i < n; i++) {
      T v = squares[i], a = centered ? average[i] : T(0), m = moves ? momentum[i] : T(0);
      param[i] = rmsprop<T>(s, param[i], grad[i], v, a, m, centered, moves);
      squares[i] = v;
      if (centered) average[i] = a;
      if (moves) momentum[i] = m;
    }
  }

  template <class X>
  static X adagrad(const AdagradStep& s, X p, X g, X& sum) {
    if (s.maximize) g = -g;
    g += p * T(s.weight_decay);
    sum += g * g;
    return p - g * T(s.lr) / (root(sum) + T(s.eps));
  }
  static void run_adagrad(AdagradStep s, int64_t n, T* param, const T* grad, T* sum) {
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      V total = load<V>(sum + i);
      store(param + i, adagrad<V>(s, load<V>(param + i), load<V>(grad + i), total));
      store(sum + i, total);
    }
    for (; i < n; i++) param[i] = adagrad<T>(s, param[i], grad[i], sum[i]);
  }
};

#include "moka/ops/kernels/target_end.h"
