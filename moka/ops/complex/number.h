// Complex<T, N>: the arithmetic of formulas over pairs of vectors, real and imaginary parts apart. Memory holds them side
// by side; loads and stores take them apart and together.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <complex>

#include "moka/ops/conj.h"
#include "moka/ops/formula.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/schema/frame.h"

namespace moka {

template <class T, int N>
struct Complex {
  using R = Num<T, N>;
  using M = Mask<T, N>;
  R re, im;

  static MOKA_INLINE Complex of(double x) { return {R::of(static_cast<T>(x)), R::of(T(0))}; }
  friend MOKA_INLINE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend MOKA_INLINE Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend MOKA_INLINE Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  // Scaled by the larger part of the divisor (Smith, 1962), so that squares do not overflow.
  friend MOKA_INLINE Complex operator/(Complex a, Complex b) {
    M wide = number_abs(b.re) >= number_abs(b.im);
    R big = number_where(wide, b.re, b.im), small = number_where(wide, b.im, b.re);
    R ratio = number_where(big == T(0), small, small / big), scale = big + small * ratio;
    R x = number_where(wide, a.re, a.im), y = number_where(wide, a.im, a.re);
    R im = (y - x * ratio) / scale;
    return {(x + y * ratio) / scale, number_where(wide, im, -im)};
  }
  friend MOKA_INLINE Complex operator-(Complex a) { return {-a.re, -a.im}; }
  friend MOKA_INLINE M operator==(Complex a, Complex b) { return (a.re == b.re) & (a.im == b.im); }
  friend MOKA_INLINE M operator!=(Complex a, Complex b) { return (a.re != b.re) | (a.im != b.im); }
#define MOKA_COMPLEX_MIXED(sign)                          \
  template <class C>                                      \
    requires std::is_arithmetic_v<C>                      \
  friend MOKA_INLINE auto operator sign(Complex a, C b) { \
    return a sign of(static_cast<double>(b));             \
  }                                                       \
  template <class C>                                      \
    requires std::is_arithmetic_v<C>                      \
  friend MOKA_INLINE auto operator sign(C a, Complex b) { \
    return of(static_cast<double>(a)) sign b;             \
  }
  MOKA_COMPLEX_MIXED(+)
  MOKA_COMPLEX_MIXED(-)
  MOKA_COMPLEX_MIXED(*)
  MOKA_COMPLEX_MIXED(/)
  MOKA_COMPLEX_MIXED(==)
  MOKA_COMPLEX_MIXED(!=)
#undef MOKA_COMPLEX_MIXED
};
template <class T, int N>
inline constexpr bool is_formula_number<Complex<T, N>> = true;

template <class T, int N>
MOKA_INLINE Complex<T, N> number_where(Mask<T, N> m, Complex<T, N> a, Complex<T, N> b) {
  return {number_where(m, a.re, b.re), number_where(m, a.im, b.im)};
}
template <class T, int N, class C>
  requires std::is_arithmetic_v<C>
MOKA_INLINE Complex<T, N> number_where(Mask<T, N> m, C a, Complex<T, N> b) {
  return number_where(m, Complex<T, N>::of(static_cast<double>(a)), b);
}
template <class T, int N, class C>
  requires std::is_arithmetic_v<C>
MOKA_INLINE Complex<T, N> number_where(Mask<T, N> m, Complex<T, N> a, C b) {
  return number_where(m, a, Complex<T, N>::of(static_cast<double>(b)));
}
// A stream that holds a condition as 0 or 1.
template <class T, int N, class A, class B>
MOKA_INLINE Complex<T, N> number_where(Complex<T, N> m, A a, B b) {
  return number_where(m != 0, a, b);
}
template <class T, int N>
MOKA_INLINE Complex<T, N> number_conj(Complex<T, N> a) {
  return {a.re, -a.im};
}

// Lane by lane through the C++ library, which knows every special value.
template <class T, int N, class F>
__attribute__((always_inline)) inline Complex<T, N> complex_lanes(Complex<T, N> a, F f) {
  for (int i = 0; i < N; i++) {
    std::complex<T> r = f(std::complex<T>(a.re.v[i], a.im.v[i]));
    a.re.v[i] = r.real();
    a.im.v[i] = r.imag();
  }
  return a;
}
template <class T, int N>
MOKA_INLINE Num<T, N> complex_size(Complex<T, N> a) {
  return per_lane(a.re, a.im, [](T x, T y) -> T { return std::hypot(x, y); });
}

namespace detail {
template <class T, int N>
MOKA_INLINE Complex<T, N> load_complex(const void* p, int64_t at) {
  Complex<T, N> out;
  const T* from = static_cast<const T*>(p) + 2 * at;
  for (int i = 0; i < N; i++) {
    out.re.v[i] = from[2 * i];
    out.im.v[i] = from[2 * i + 1];
  }
  return out;
}
template <class T, int N>
MOKA_INLINE void store(void* p, int64_t at, Complex<T, N> r) {
  T* to = static_cast<T*>(p) + 2 * at;
  for (int i = 0; i < N; i++) {
    to[2 * i] = r.re.v[i];
    to[2 * i + 1] = r.im.v[i];
  }
}
template <int N, class F, class T, size_t... S, size_t... U>
MOKA_INLINE void complex_loop(void* out, const void* const* in, int64_t n, const Uniform* uniforms,
                              std::index_sequence<S...>, std::index_sequence<U...>) {
  using X = Complex<T, N>;
  using R = Num<T, N>;
  (void)uniforms;
  const X u[sizeof...(U) + 1] = {
      X{R::of(static_cast<T>(uniforms[2 * U].f)), R::of(static_cast<T>(uniforms[2 * U + 1].f))}..., X::of(0)};
  (void)u;
  int64_t i = 0;
  for (; i + N <= n; i += N) store(out, i, F{}(load_complex<T, N>(in[S], i)..., u[U]...));
  if (i == n) return;
  size_t rest = static_cast<size_t>(n - i);
  T buffer[sizeof...(S)][2 * N] = {};
  T result[2 * N];
  (std::memcpy(buffer[S], static_cast<const T*>(in[S]) + 2 * i, rest * 2 * sizeof(T)), ...);
  auto r = F{}(load_complex<T, N>(buffer[S], 0)..., u[U]...);
  store(result, 0, r);
  using Result = decltype(r);
  constexpr size_t width = std::is_same_v<Result, Mask<T, N>> ? 1
                           : std::is_same_v<Result, R>        ? sizeof(T)
                                                              : 2 * sizeof(T);
  std::memcpy(static_cast<char*>(out) + static_cast<size_t>(i) * width, result, rest * width);
}
template <class F, class T, int S, int U>
__attribute__((flatten, noinline)) void complex_baseline(void* out, const void* const* in, int64_t n,
                                                         const Uniform* u) {
  complex_loop<int(16 / sizeof(T)), F, T>(out, in, n, u, std::make_index_sequence<S>{},
                                          std::make_index_sequence<U>{});
}
#if defined(__x86_64__)
template <class F, class T, int S, int U>
MOKA_TARGET_AVX2 __attribute__((flatten, noinline)) void complex_avx2(void* out, const void* const* in,
                                                                      int64_t n, const Uniform* u) {
  complex_loop<int(32 / sizeof(T)), F, T>(out, in, n, u, std::make_index_sequence<S>{},
                                          std::make_index_sequence<U>{});
}
#endif

template <class F, class... A>
constexpr int complex_arity() {
  if constexpr (std::is_invocable_v<F, A...>) return sizeof...(A);
  else return complex_arity<F, A..., Complex<float, 4>>();
}

template <class F, class T, int S, int U, bool Wide>
FormulaRow complex_row(bool real_result) {
  FormulaRow row;
  row.compute = sizeof(T) == 4 ? DType::C64 : DType::C128;
  row.result = !real_result ? row.compute : sizeof(T) == 4 ? DType::F32 : DType::F64;
  row.kernels[0] = complex_baseline<F, T, S, U>;
#if defined(__x86_64__)
  if constexpr (Wide) row.kernels[1] = row.kernels[2] = complex_avx2<F, T, S, U>;
  else row.kernels[1] = row.kernels[2] = row.kernels[0];
#else
  row.kernels[1] = row.kernels[2] = row.kernels[0];
#endif
  return row;
}
}  // namespace detail

// Adds the formula F of an operator for both complex types. Wide: vectors of AVX2 too, worth while for arithmetic;
// functions that go lane by lane gain nothing by them.
template <class F, bool Wide = true>
void add_complex_formula(const Op& op, bool real_result = false) {
  constexpr int arity = detail::complex_arity<F, Complex<float, 4>>();
  const int streams = op.formula.streams;
  auto add = [&]<int S>() {
    if (streams != S) return;
    if constexpr (S <= arity) {
      add_formula_kernels(op, detail::complex_row<F, float, S, arity - S, Wide>(real_result));
      add_formula_kernels(op, detail::complex_row<F, double, S, arity - S, Wide>(real_result));
    }
  };
  add.template operator()<1>();
  add.template operator()<2>();
  add.template operator()<3>();
}

}  // namespace moka
