// Roots, exponentials, logarithms, trigonometric and hyperbolic functions of complex numbers.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/complex/kernels.h"
#include "moka/ops/complex/number.h"
#include "moka/ops/define.h"

namespace moka::ops {

namespace {
template <class T>
using C = std::complex<T>;

// Each function of one complex number once: F<T>::of(z).
#define MOKA_COMPLEX_FUNCTION(Name, expression)                                      \
  struct Name {                                                                      \
    template <class T>                                                               \
    static C<T> of(C<T> z) {                                                         \
      return expression;                                                             \
    }                                                                                \
    template <class T, int N>                                                        \
    __attribute__((always_inline)) Complex<T, N> operator()(Complex<T, N> x) const { \
      return complex_lanes(x, [](C<T> z) { return of(z); });                         \
    }                                                                                \
  };
MOKA_COMPLEX_FUNCTION(Sqrt, std::sqrt(z))
MOKA_COMPLEX_FUNCTION(Rsqrt, T(1) / std::sqrt(z))
MOKA_COMPLEX_FUNCTION(Exp, std::exp(z))
MOKA_COMPLEX_FUNCTION(Exp2, std::exp(z* T(0.6931471805599453094)))
MOKA_COMPLEX_FUNCTION(Log, std::log(z))
MOKA_COMPLEX_FUNCTION(Log2, std::log(z) / T(0.6931471805599453094))
MOKA_COMPLEX_FUNCTION(Log10, std::log10(z))
MOKA_COMPLEX_FUNCTION(Sin, std::sin(z))
MOKA_COMPLEX_FUNCTION(Cos, std::cos(z))
MOKA_COMPLEX_FUNCTION(Tan, std::tan(z))
MOKA_COMPLEX_FUNCTION(Sinh, std::sinh(z))
MOKA_COMPLEX_FUNCTION(Cosh, std::cosh(z))
MOKA_COMPLEX_FUNCTION(Tanh, std::tanh(z))
MOKA_COMPLEX_FUNCTION(Asin, std::asin(z))
MOKA_COMPLEX_FUNCTION(Acos, std::acos(z))
MOKA_COMPLEX_FUNCTION(Atan, std::atan(z))
MOKA_COMPLEX_FUNCTION(Asinh, std::asinh(z))
MOKA_COMPLEX_FUNCTION(Acosh, std::acosh(z))
MOKA_COMPLEX_FUNCTION(Atanh, std::atanh(z))
MOKA_COMPLEX_FUNCTION(Sigmoid, T(1) / (T(1) + std::exp(-z)))
MOKA_COMPLEX_FUNCTION(Silu, z / (T(1) + std::exp(-z)))
MOKA_COMPLEX_FUNCTION(Sinc, (z == T(0) ? C<T>(1) : std::sin(z * T(M_PI)) / (z * T(M_PI))))
// e^z - 1 near 0: expm1(x) cos(y) + (cos(y) - 1), and cos(y) - 1 = -2 sin(y/2)^2
MOKA_COMPLEX_FUNCTION(Expm1, C<T>(std::expm1(z.real()) * std::cos(z.imag()) -
                                      2 * std::sin(z.imag() / 2) * std::sin(z.imag() / 2),
                                  std::exp(z.real()) * std::sin(z.imag())))
// log|1+z| = log1p(x (2 + x) + y^2) / 2
MOKA_COMPLEX_FUNCTION(Log1p, (std::abs(z) < T(0.5)
                                  ? C<T>(std::log1p(z.real() * (2 + z.real()) + z.imag() * z.imag()) / 2,
                                         std::atan2(z.imag(), 1 + z.real()))
                                  : std::log(T(1) + z)))
MOKA_COMPLEX_FUNCTION(Sgn, (z == T(0) ? C<T>(0) : z / std::abs(z)))
#undef MOKA_COMPLEX_FUNCTION

struct Pow {
  template <class T, int N>
  __attribute__((always_inline)) Complex<T, N> operator()(Complex<T, N> x, Complex<T, N> y) const {
    for (int i = 0; i < N; i++) {
      C<T> a(x.re.v[i], x.im.v[i]), b(y.re.v[i], y.im.v[i]);
      C<T> r = b == T(0) ? C<T>(1) : b == T(1) ? a : b == T(2) ? a * a : std::pow(a, b);
      x.re.v[i] = r.real();
      x.im.v[i] = r.imag();
    }
    return x;
  }
};
// From the operand with the larger real part, so that nothing overflows.
struct LogAddExp {
  template <class T, int N>
  __attribute__((always_inline)) Complex<T, N> operator()(Complex<T, N> x, Complex<T, N> y) const {
    for (int i = 0; i < N; i++) {
      C<T> a(x.re.v[i], x.im.v[i]), b(y.re.v[i], y.im.v[i]);
      if (a.real() < b.real()) std::swap(a, b);
      C<T> r = a.real() == b.real() && std::isinf(a.real()) ? std::log(std::exp(a) + std::exp(b))
                                                            : a + Log1p::of(std::exp(b - a));
      if (std::isnan(a.real()) || std::isnan(b.real())) r = C<T>(NAN, NAN);
      x.re.v[i] = r.real();
      x.im.v[i] = r.imag();
    }
    return x;
  }
};
struct Abs {
  template <class T, int N>
  __attribute__((always_inline)) Num<T, N> operator()(Complex<T, N> x) const {
    return complex_size(x);
  }
};
struct Angle {
  template <class T, int N>
  __attribute__((always_inline)) Num<T, N> operator()(Complex<T, N> x) const {
    return per_lane(x.im, x.re, [](T y, T r) -> T { return std::atan2(y, r); });
  }
};

template <class F>
void add_named(const char* name) {
  if (const Op* op = find_op(name); op && op->formula) add_complex_formula<F, false>(*op);
}
}  // namespace

void add_complex_functions() {
  add_named<Sqrt>("sqrt");
  add_named<Rsqrt>("rsqrt");
  add_named<Exp>("exp");
  add_named<Exp2>("exp2");
  add_named<Expm1>("expm1");
  add_named<Log>("log");
  add_named<Log2>("log2");
  add_named<Log10>("log10");
  add_named<Log1p>("log1p");
  add_named<Sin>("sin");
  add_named<Cos>("cos");
  add_named<Tan>("tan");
  add_named<Sinh>("sinh");
  add_named<Cosh>("cosh");
  add_named<Tanh>("tanh");
  add_named<Asin>("asin");
  add_named<Acos>("acos");
  add_named<Atan>("atan");
  add_named<Asinh>("asinh");
  add_named<Acosh>("acosh");
  add_named<Atanh>("atanh");
  add_named<Sigmoid>("sigmoid");
  add_named<Silu>("silu");
  add_named<Sinc>("sinc");
  add_named<Sgn>("sgn");
  add_named<Pow>("pow");
  add_named<LogAddExp>("logaddexp");
  add_complex_formula<Abs, false>(abs_op, true);
  add_complex_formula<Angle, false>(angle_op, true);
}

}  // namespace moka::ops
