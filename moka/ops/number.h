// Num<T, N>: the arithmetic of formulas over compiler vectors of any width. It knows no instruction set: the loop that
// runs a formula carries the target attribute and is flattened into.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "moka/ops/kernels/instructions.h"
#include "moka/ops/kernels/settled.h"
#include "moka/schema/reading.h"

namespace moka {

template <class T>
using LaneInt = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// A lane-wise truth value: all bits set or none.
template <class T, int N>
struct Mask {
  typedef LaneInt<T> Bits __attribute__((vector_size(sizeof(T) * N)));
  Bits v;
  friend MOKA_INLINE Mask operator&(Mask a, Mask b) { return {settled(a.v) & settled(b.v)}; }
  friend MOKA_INLINE Mask operator|(Mask a, Mask b) { return {settled(a.v) | settled(b.v)}; }
  friend MOKA_INLINE Mask operator^(Mask a, Mask b) { return {settled(a.v) ^ settled(b.v)}; }
  friend MOKA_INLINE Mask operator~(Mask a) { return {~settled(a.v)}; }
};

template <class T, int N>
struct Num {
  typedef T V __attribute__((vector_size(sizeof(T) * N)));
  using Bits = typename Mask<T, N>::Bits;
  // Integers wrap around: they are added as unsigned numbers.
  typedef std::conditional_t<std::is_integral_v<T>, std::make_unsigned_t<LaneInt<T>>, T> Wrapping
      __attribute__((vector_size(sizeof(T) * N)));
  using M = Mask<T, N>;
  using Lane = T;
  V v;

  static MOKA_INLINE Num of(T x) { return {V{} + x}; }
  // Adding 0.0 would turn -0.0 into 0.0: constants of formulas are never -0.0, lanes are copied as they are.

#define MOKA_NUM_BINARY(op, type)                                                            \
  friend MOKA_INLINE Num operator op(Num a, Num b) { return {(V)((type)a.v op(type) b.v)}; } \
  template <class C>                                                                         \
    requires std::is_arithmetic_v<C>                                                         \
  friend MOKA_INLINE Num operator op(Num a, C b) {                                           \
    return a op of(static_cast<T>(b));                                                       \
  }                                                                                          \
  template <class C>                                                                         \
    requires std::is_arithmetic_v<C>                                                         \
  friend MOKA_INLINE Num operator op(C a, Num b) {                                           \
    return of(static_cast<T>(a)) op b;                                                       \
  }
  MOKA_NUM_BINARY(+, Wrapping)
  MOKA_NUM_BINARY(-, Wrapping)
  MOKA_NUM_BINARY(*, Wrapping)
  MOKA_NUM_BINARY(/, V)
#undef MOKA_NUM_BINARY
#define MOKA_NUM_COMPARE(op)                                                                 \
  friend MOKA_INLINE M operator op(Num a, Num b) { return {a.v op b.v ? ~Bits{} : Bits{}}; } \
  template <class C>                                                                         \
    requires std::is_arithmetic_v<C>                                                         \
  friend MOKA_INLINE M operator op(Num a, C b) {                                             \
    return a op of(static_cast<T>(b));                                                       \
  }
  MOKA_NUM_COMPARE(<)
  MOKA_NUM_COMPARE(<=)
  MOKA_NUM_COMPARE(>)
  MOKA_NUM_COMPARE(>=)
  MOKA_NUM_COMPARE(==)
  MOKA_NUM_COMPARE(!=)
#undef MOKA_NUM_COMPARE
  friend MOKA_INLINE Num operator-(Num a) { return {(V)(-(Wrapping)a.v)}; }
};

template <class T, int N>
inline constexpr bool is_formula_number<Num<T, N>> = true;
template <class T, int N>
inline constexpr bool is_formula_number<Mask<T, N>> = true;

// ---- signs by name, so that a lambda may say add(a, b) or a + b in every reading
template <class A, class B>
concept FormulaPair = is_formula_number<A> || is_formula_number<B>;
#define MOKA_NUMBER_NAME(name, sign) \
  template <class A, class B>        \
    requires FormulaPair<A, B>       \
  MOKA_INLINE auto name(A a, B b) {  \
    return a sign b;                 \
  }
MOKA_NUMBER_NAME(number_add, +)
MOKA_NUMBER_NAME(number_sub, -)
MOKA_NUMBER_NAME(number_mul, *)
MOKA_NUMBER_NAME(number_div, /)
MOKA_NUMBER_NAME(number_eq, ==)
MOKA_NUMBER_NAME(number_ne, !=)
MOKA_NUMBER_NAME(number_lt, <)
MOKA_NUMBER_NAME(number_le, <=)
MOKA_NUMBER_NAME(number_gt, >)
MOKA_NUMBER_NAME(number_ge, >=)
MOKA_NUMBER_NAME(number_logical_and, &)
MOKA_NUMBER_NAME(number_logical_or, |)
#undef MOKA_NUMBER_NAME
template <class A>
  requires is_formula_number<A>
MOKA_INLINE auto number_neg(A a) {
  return -a;
}

// ---- choices
template <class T, int N>
MOKA_INLINE Num<T, N> number_where(Mask<T, N> m, Num<T, N> a, Num<T, N> b) {
  return {settled(m.v ? a.v : b.v)};
}
template <class T, int N, class C>
  requires std::is_arithmetic_v<C>
MOKA_INLINE Num<T, N> number_where(Mask<T, N> m, C a, Num<T, N> b) {
  return number_where(m, Num<T, N>::of(static_cast<T>(a)), b);
}
template <class T, int N, class C>
  requires std::is_arithmetic_v<C>
MOKA_INLINE Num<T, N> number_where(Mask<T, N> m, Num<T, N> a, C b) {
  return number_where(m, a, Num<T, N>::of(static_cast<T>(b)));
}
template <class T, int N, class C, class D>
  requires(std::is_arithmetic_v<C> && std::is_arithmetic_v<D>)
MOKA_INLINE Num<T, N> number_where(Mask<T, N> m, C a, D b) {
  return number_where(m, Num<T, N>::of(static_cast<T>(a)), Num<T, N>::of(static_cast<T>(b)));
}
// A stream that holds a condition as 0 or 1.
template <class T, int N, class A, class B>
MOKA_INLINE Num<T, N> number_where(Num<T, N> m, A a, B b) {
  return number_where(m != 0, a, b);
}

// ---- bits of floats
template <class T>
struct FloatParts;
template <>
struct FloatParts<float> {
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float round_magic = 12582912.f;  // 1.5 * 2^23
  static constexpr float exp_low = -104.f, exp_high = 89.f, expm1_low = -18.f, log_scale = 0x1p25f;
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440054690583e-4f;
  static constexpr int exp_terms = 7, log_terms = 5, log_scale_bits = 25;
};
template <>
struct FloatParts<double> {
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double round_magic = 6755399441055744.0;
  static constexpr double exp_low = -746.0, exp_high = 710.0, expm1_low = -40.0, log_scale = 0x1p54;
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  static constexpr int exp_terms = 13, log_terms = 11, log_scale_bits = 54;
};

template <class T, int N>
MOKA_INLINE typename Num<T, N>::Bits bits_of(Num<T, N> a) {
  return (typename Num<T, N>::Bits)a.v;
}
template <class T, int N>
MOKA_INLINE Num<T, N> from_bits(typename Num<T, N>::Bits b) {
  return {(typename Num<T, N>::V)b};
}
template <class T>
inline constexpr LaneInt<T> sign_bit = std::numeric_limits<LaneInt<T>>::min();

template <class T, int N>
MOKA_INLINE Num<T, N> number_abs(Num<T, N> a) {
  if constexpr (std::is_floating_point_v<T>) {
    return from_bits<T, N>(bits_of(a) & ~sign_bit<T>);
  } else {
    return number_where(a < 0, -a, a);
  }
}
template <class T, int N>
MOKA_INLINE Num<T, N> copy_sign(Num<T, N> magnitude, Num<T, N> sign) {
  return from_bits<T, N>((bits_of(magnitude) & ~sign_bit<T>) | (bits_of(sign) & sign_bit<T>));
}
template <class T, int N>
MOKA_INLINE Mask<T, N> is_nan(Num<T, N> a) {
  return a != a;
}
template <class T, int N>
MOKA_INLINE Mask<T, N> is_finite(Num<T, N> a) {
  return number_abs(a) < std::numeric_limits<T>::infinity();
}
// 2^n for integral n of the normal range.
template <class T, int N>
MOKA_INLINE Num<T, N> power_of_two(typename Num<T, N>::Bits n) {
  return from_bits<T, N>((n + FloatParts<T>::bias) << FloatParts<T>::mantissa);
}

// ---- minimum and maximum: NaN wins, as in PyTorch
template <class T, int N>
MOKA_INLINE Num<T, N> number_maximum(Num<T, N> a, Num<T, N> b) {
  if constexpr (std::is_floating_point_v<T>) return number_where((a > b) | is_nan(a), a, b);
  else return number_where(a > b, a, b);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_minimum(Num<T, N> a, Num<T, N> b) {
  if constexpr (std::is_floating_point_v<T>) return number_where((a < b) | is_nan(a), a, b);
  else return number_where(a < b, a, b);
}
#define MOKA_NUM_MIXED(name)                          \
  template <class T, int N, class C>                  \
    requires std::is_arithmetic_v<C>                  \
  MOKA_INLINE auto name(Num<T, N> a, C b) {           \
    return name(a, Num<T, N>::of(static_cast<T>(b))); \
  }                                                   \
  template <class T, int N, class C>                  \
    requires std::is_arithmetic_v<C>                  \
  MOKA_INLINE auto name(C a, Num<T, N> b) {           \
    return name(Num<T, N>::of(static_cast<T>(a)), b); \
  }
MOKA_NUM_MIXED(number_maximum)
MOKA_NUM_MIXED(number_minimum)

// ---- rounding (to nearest even)
template <class T, int N>
MOKA_INLINE Num<T, N> number_round(Num<T, N> a) {
  if constexpr (!std::is_floating_point_v<T>) return a;
  else if constexpr (is_avx<typename Num<T, N>::V>) return {rounded<8>(a.v)};
  else {
    // From 2^mantissa on every number is an integer; below, adding it leaves no bits for a fraction.
    constexpr T whole = T(LaneInt<T>(1) << FloatParts<T>::mantissa);
    auto magnitude = number_abs(a);
    return number_where(magnitude < whole, copy_sign((magnitude + whole) - whole, a), a);
  }
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_floor(Num<T, N> a) {
  if constexpr (!std::is_floating_point_v<T>) return a;
  else if constexpr (is_avx<typename Num<T, N>::V>) return {rounded<9>(a.v)};
  else {
    auto r = number_round(a);
    return copy_sign(number_where(r > a, r - 1, r), a);
  }
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_ceil(Num<T, N> a) {
  if constexpr (!std::is_floating_point_v<T>) return a;
  else if constexpr (is_avx<typename Num<T, N>::V>) return {rounded<10>(a.v)};
  else {
    auto r = number_round(a);
    return copy_sign(number_where(r < a, r + 1, r), a);
  }
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_trunc(Num<T, N> a) {
  if constexpr (!std::is_floating_point_v<T>) return a;
  else if constexpr (is_avx<typename Num<T, N>::V>) return {rounded<11>(a.v)};
  else return copy_sign(number_floor(number_abs(a)), a);
}

// ---- lane by lane through the C library: exact enough, not vectorized
template <class T, int N, class F>
MOKA_INLINE Num<T, N> per_lane(Num<T, N> a, F f) {
  for (int i = 0; i < N; i++) a.v[i] = f(a.v[i]);
  return a;
}
template <class T, int N, class F>
MOKA_INLINE Num<T, N> per_lane(Num<T, N> a, Num<T, N> b, F f) {
  for (int i = 0; i < N; i++) a.v[i] = f(a.v[i], b.v[i]);
  return a;
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_sqrt(Num<T, N> a) {
  return per_lane(a, [](T x) { return static_cast<T>(__builtin_sqrt(x)); });
}
template <int N>
MOKA_INLINE Num<float, N> number_sqrt(Num<float, N> a) {
  return per_lane(a, [](float x) { return __builtin_sqrtf(x); });
}

// c[0] + c[1] x + c[2] x^2 + ..., without a loop: the coefficients are constants of the code.
template <class T, int N, size_t Terms, size_t... K>
MOKA_INLINE Num<T, N> horner_steps(const double (&c)[Terms], Num<T, N> x, std::index_sequence<K...>) {
  Num<T, N> p = Num<T, N>::of(T(c[Terms - 1]));
  ((p = p * x + T(c[Terms - 2 - K])), ...);
  return p;
}
template <class T, int N, size_t Terms>
MOKA_INLINE Num<T, N> horner(const double (&c)[Terms], Num<T, N> x) {
  return horner_steps(c, x, std::make_index_sequence<Terms - 1>{});
}
// Bounds; NaN in x stays.
template <class T, int N>
MOKA_INLINE Num<T, N> within(Num<T, N> x, T low, T high) {
  return {at_most(at_least(x.v, Num<T, N>::of(low).v), Num<T, N>::of(high).v)};
}

// ---- floats that are computed in double, in halves, which fill a register each: wider vectors would be worked on lane
// by lane.
template <int N>
struct Halves {
  Num<float, N / 2> low, high;
};
template <int N, int... I>
MOKA_INLINE Halves<N> halves_at(Num<float, N> a, std::integer_sequence<int, I...>) {
  return {{__builtin_shufflevector(a.v, a.v, I...)}, {__builtin_shufflevector(a.v, a.v, (I + N / 2)...)}};
}
template <int N>
MOKA_INLINE Halves<N> halves(Num<float, N> a) {
  return halves_at(a, std::make_integer_sequence<int, N / 2>{});
}
template <int N, int... I>
MOKA_INLINE Num<float, 2 * N> joined_at(Num<float, N> low, Num<float, N> high,
                                        std::integer_sequence<int, I...>) {
  return {__builtin_shufflevector(low.v, high.v, I...)};
}
template <int N>
MOKA_INLINE Num<float, 2 * N> joined(Num<float, N> low, Num<float, N> high) {
  return joined_at(low, high, std::make_integer_sequence<int, 2 * N>{});
}
template <int N>
MOKA_INLINE Num<double, N> to_double(Num<float, N> a) {
  using W = typename Num<double, N>::V;
#if defined(__x86_64__)
  if constexpr (is_avx512<W>) {
    W wide;
    asm("vcvtps2pd %1, %0" : "=v"(wide) : "v"(a.v));
    return {wide};
  }
#endif
  return {__builtin_convertvector(a.v, W)};
}
template <int N>
MOKA_INLINE Num<float, N> to_float(Num<double, N> a) {
  return {__builtin_convertvector(a.v, typename Num<float, N>::V)};
}

// ---- exponential family. exp(x) = 2^n * e^f with |f| <= ln(2)/2; e^f = 1 + f + f^2 q(f), q a minimax polynomial whose
// error lies below a twentieth of an ulp.
template <class T, int N>
struct ExpParts {
  Num<T, N> n, rest, square_part;  // rest is f, square_part f^2 q(f)
};
template <class T, int N>
MOKA_INLINE Num<T, N> exp_square_part(Num<T, N> f) {
  if constexpr (sizeof(T) == 4) {
    constexpr double q[] = {0.50000001, 0.166665186, 0.0416662048, 0.00836891769, 0.0013950554};
    return f * f * horner(q, f);
  } else {
    constexpr double q[] = {0.50000000000000128,    0.166666666666666994, 0.041666666666514958,
                            0.00833333333330700807, 0.001388888894714997, 0.000198412699177894798,
                            2.4801489791488703e-5,  2.755721595773562e-6, 2.7631337901198588e-7,
                            2.511796377536027e-8};
    return f * f * horner(q, f);
  }
}
template <class T, int N>
MOKA_INLINE ExpParts<T, N> exp_parts(Num<T, N> x) {
  using P = FloatParts<T>;
  Num<T, N> n = (x * T(1.4426950408889634) + P::round_magic) - P::round_magic;
  Num<T, N> f = (x - n * P::ln2_high) - n * P::ln2_low;
  return {n, f, exp_square_part(f)};
}
// The bits of n + 1.5 * 2^mantissa end with those of n: no conversion, which AVX2 lacks for 64 bits.
template <class T, int N>
MOKA_INLINE Num<T, N> power_of_two(Num<T, N> n) {
  using P = FloatParts<T>;
  return from_bits<T, N>((bits_of(n + P::round_magic) + P::bias) << P::mantissa);
}
// (1 + e) * 2^n; in two steps, so that results below the normal range come out as subnormals and those above as infinity.
template <class T, int N>
MOKA_INLINE Num<T, N> scale_by_power(Num<T, N> x, Num<T, N> n) {
#if defined(__x86_64__)
  if constexpr (is_avx512<typename Num<T, N>::V>) return {scaled(x.v, n.v)};
#endif
  using P = FloatParts<T>;
  Num<T, N> half = (n * T(0.5) + P::round_magic) - P::round_magic;
  return x * power_of_two(half) * power_of_two(n - half);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_exp(Num<T, N> a) {
  using P = FloatParts<T>;
  auto [n, f, square] = exp_parts(within(a, P::exp_low, P::exp_high));
  Num<T, N> r = scale_by_power(square + f + 1, n);
  if constexpr (is_avx512<typename Num<T, N>::V>) return r;
  // What comes out as 0 is not computed: -inf is common in masks, and tiny products are slow.
  return number_where(a < P::exp_low, T(0), r);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_expm1(Num<T, N> a) {
  using P = FloatParts<T>;
  auto [n, f, square] = exp_parts(within(a, P::expm1_low, P::exp_high));
  // Half the scale, doubled at the end: 2^n itself may not be representable.
  auto scale = power_of_two(n - 1);
  auto r = ((square + f) * scale + (scale - T(0.5))) * 2;
  return number_where(number_abs(a) < T(1e-30), a, r);
}

// log(m 2^e) = e log(2) + log(m), m near 1; what the parts leave to be done for special operands is in log_limits.
template <class T, int N>
struct LogParts {
  Num<T, N> exponent, mantissa;
};
template <class T, int N>
MOKA_INLINE LogParts<T, N> log_parts(Num<T, N> a) {
#if defined(__x86_64__)
  if constexpr (is_avx512<typename Num<T, N>::V>) {
    Num<T, N> m{mantissa_of(a.v)};
    return {Num<T, N>{floor_exponent(a.v) - floor_exponent(m.v)}, m};
  }
#endif
  using P = FloatParts<T>;
  auto tiny = a < std::numeric_limits<T>::min();
  Num<T, N> x = number_where(tiny, a * P::log_scale, a);
  constexpr LaneInt<T> three_quarters =
      sizeof(T) == 4 ? LaneInt<T>(0x3f400000) : LaneInt<T>(0x3fe8000000000000);
  using Whole = Num<LaneInt<T>, N>;  // wraps around: x may be negative
  const Whole bits{bits_of(x)};
  auto e = (bits - Whole::of(three_quarters)).v >> P::mantissa;
  Num<T, N> exponent{__builtin_convertvector(e, typename Num<T, N>::V)};
  return {exponent - number_where(tiny, T(P::log_scale_bits), T(0)),
          from_bits<T, N>((bits - Whole{e << P::mantissa}).v)};
}
template <class T, int N>
MOKA_INLINE Num<T, N> log_limits(Num<T, N> a, Num<T, N> r) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  r = number_where(a == T(0), -inf, r);
  if constexpr (is_avx512<typename Num<T, N>::V>) return r;
  r = number_where(a < T(0), std::numeric_limits<T>::quiet_NaN(), r);
  return number_where((a == inf) | is_nan(a), a, r);
}
// Both parts of log(2) are positive, so that an infinite exponent stays infinite.
template <class T, int N>
MOKA_INLINE Num<T, N> number_log(Num<T, N> a) {
  using P = FloatParts<T>;
  auto [e, m] = log_parts(a);
  Num<T, N> f = m - 1, z = f * f;
  if constexpr (sizeof(T) == 4) {
    // log(1+f) = f - f^2/2 + f^3 c(f), c a minimax polynomial
    constexpr double c[] = {0.333334493732477863,  -0.250000976212941457, 0.199908505295504855,
                            -0.166472200904592857, 0.144783666730436367,  -0.131622141205003997,
                            0.104655916738534933,  -0.0450936105750853126};
    Num<T, N> low = e * T(9.05800061e-06) - z * T(0.5) + f * z * horner(c, f);
    Num<T, N> r = e * T(0.693138123) + (f + low);
    if constexpr (is_avx512<typename Num<T, N>::V>) return r;
    return log_limits(a, r);
  } else {
    // log(1+f) = f - f^2/2 + s (f^2/2 + z c(z)) with s = f / (2 + f), z = s^2
    constexpr double c[] = {0.66666666666666596, 0.40000000000056954, 0.28571428555767667,
                            0.22222224302860685, 0.1818166551221570,  0.15391123357484820,
                            0.13173413302827568, 0.13844268209711804};
    Num<T, N> s = f / (f + 2), w = s * s, h = z * T(0.5);
    Num<T, N> r = e * P::ln2_high + (f - (h - (s * (h + w * horner(c, w)) + e * P::ln2_low)));
    if constexpr (is_avx512<typename Num<T, N>::V>) return r;
    return log_limits(a, r);
  }
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_log1p(Num<T, N> a) {
  Num<T, N> u = a + 1, log_u = number_log(u);
  Num<T, N> r = log_u - ((u - 1) - a) / u;
  r = number_where((number_abs(a) < T(sizeof(T) == 4 ? 1e-4 : 1e-9)), a - a * a * T(0.5), r);
  return number_where(is_finite(a) & (a > T(-1)), r, log_u);
}
// tanh of floats: 1 - 2 / (e^2x + 1), an odd polynomial below 0.55; of doubles by expm1.
template <class T, int N>
MOKA_INLINE Num<T, N> number_tanh(Num<T, N> a) {
  Num<T, N> x = number_abs(a);
  if constexpr (sizeof(T) == 4) {
    constexpr double near[] = {-0.333333180457572238, 0.133326016795518711, -0.0538538568040722168,
                               0.0210777523890993585, -0.00628246369889572886};
    auto [n, f, square] = exp_parts(Num<T, N>{at_most(x.v, Num<T, N>::of(T(9.02)).v)} * 2);
    Num<T, N> e = (square + f + 1) * power_of_two(n), z = x * x;
    return copy_sign(number_where(x < T(0.55), x + x * z * horner(near, z), 1 - 2 / (e + 1)), a);
  } else {
    Num<T, N> t = number_expm1(Num<T, N>{at_most(x.v, Num<T, N>::of(T(20)).v)} * 2);
    return copy_sign(t / (t + 2), a);
  }
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_sigmoid(Num<T, N> a) {
  Num<T, N> e = number_exp(-number_abs(a));  // at most 1: no overflow, and small results keep their bits
  return number_where(a < T(0), e, Num<T, N>::of(T(1))) / (1 + e);
}

// erf of floats: an odd series up to 1.1 and a polynomial in u = (x - 2.525) / 1.425 above it, at most 2.4 ulp away; of
// doubles: an odd series up to 1, above it 1 - exp(-x^2) g(u) / x with u = (x - 2) / (x + 2), 3e-19 away before rounding.
// Coefficients are Chebyshev interpolants computed at 40 digits.
template <class T, int N>
MOKA_INLINE Num<T, N> erf_of_floats(Num<T, N> a) {
  constexpr double near[] = {1.128379163,    -0.3761260337,    0.1128331834,   -0.02684235741,
                             0.005166295561, -0.0007816160751, 7.216220009e-05};
  constexpr double far[] = {0.9996442287,    0.002737532603,  -0.00985023942, 0.02177808109,
                            -0.03250823464,  0.03349092473,   -0.02259587526, 0.00717630943,
                            0.003482033927,  -0.005954321292, 0.002832013295, 0.0005624876852,
                            -0.001005112506, 0.000106443618,  0.0001037085823};
  Num<T, N> x = number_abs(a);
  Num<T, N> high =
      number_where(x > T(3.94), T(1), horner(far, x * T(0.7017543859649122) - T(1.7719298245614035)));
  return number_where(x < T(1.1), a * horner(near, a * a), copy_sign(high, a));
}
template <class T, int N>
MOKA_INLINE Num<T, N> erf_of_doubles(Num<T, N> a) {
  constexpr double near[] = {1.1283791670955126,     -0.37612638903183752,   0.1128379167095512,
                             -0.026866170645129841,  0.0052239776254232983,  -0.00085483270219348296,
                             0.00012055332902888735, -1.4925647567519332e-5, 1.6462045441468419e-6,
                             -1.6364642158167615e-7, 1.4792401209404813e-8,  -1.216456005728345e-9,
                             8.7090451290531067e-11, -4.2309458242953378e-12};
  constexpr double far_terms[] = {
      0.51079135262101149,    0.16721101041410619,    -0.20384429592887786,   0.12151493052458836,
      -0.028976446698191566,  -0.0075157384108799979, 0.0047848985638300701,  0.0011266579974858846,
      -0.0007501847881432632, -0.0003143509972184184, 8.9421021923935693e-5,  8.9309268572284353e-5,
      6.2288931508838198e-6,  -1.8906644895327865e-5, -8.6512036419828655e-6, 1.2905387101652069e-6,
      2.934587118890024e-6,   6.8437035845256816e-7,  -1.790946242596781e-7,  2.4915311595284539e-7,
      -1.4771453675551798e-6, 1.0832288848632361e-6,  -2.3672358632078533e-7};
  Num<T, N> x = number_abs(a), z = a * a;
  Num<T, N> xs = number_minimum(x, T(6.5));
  Num<T, N> u = (xs - 2) / (xs + 2);
  Num<T, N> far = copy_sign(1 - number_exp(-(xs * xs)) * horner(far_terms, u) / xs, a);
  return number_where(is_nan(a), a, number_where(x < T(1), a * horner(near, z), far));
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_erf(Num<T, N> a) {
  if constexpr (sizeof(T) == 4) return erf_of_floats(a);
  else return erf_of_doubles(a);
}

// ---- powers. Floats in double: 2^(y log2(x)) by polynomials whose errors lie below a fifth of an ulp of float.
template <int N>
MOKA_INLINE Num<double, N> power_in_double(Num<double, N> exponent, Num<double, N> mantissa,
                                           Num<double, N> y) {
  constexpr double log2_terms[] = {1.44269504099503735,   -0.721347516858726053, 0.480898281963221557,
                                   -0.360674358432252561, 0.288546043446724331,  -0.240428303797675576,
                                   0.205819983756617491,  -0.180312098592911814, 0.164657056645619824,
                                   -0.152891479466711436, 0.115547778525722266,  -0.0449827105789093771};
  constexpr double exp2_terms[] = {0.999999999961627823,    0.693147180728701688,   0.240226511987675368,
                                   0.0555041035285352222,   0.00961802716952186376, 0.00133339228315701315,
                                   0.000154693184099128357, 1.5201908577986118e-5};
  using P = FloatParts<double>;
  Num<double, N> f = mantissa - 1;
  Num<double, N> t = within((exponent + f * horner(log2_terms, f)) * y, -200.0, 200.0);
  Num<double, N> n = (t + P::round_magic) - P::round_magic;
  return horner(exp2_terms, t - n) * power_of_two(n);
}
template <int N>
MOKA_INLINE Num<float, N> number_pow(Num<float, N> a, Num<float, N> b) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  using X = Num<float, N>;
  X x = number_abs(a);
  auto [e, m] = log_parts(x);
  auto [e0, e1] = halves(e);
  auto [m0, m1] = halves(m);
  auto [b0, b1] = halves(b);
  X r = joined(to_float(power_in_double(to_double(e0), to_double(m0), to_double(b0))),
               to_float(power_in_double(to_double(e1), to_double(m1), to_double(b1))));
  auto endless = x == inf;
  if constexpr (!is_avx512<typename X::V>) {
    r = number_where((x == 0.f) | endless, number_where(endless ^ (b < 0.f), inf, X::of(0.f)), r);
    r = number_where(is_nan(a) | is_nan(b), a + b, r);
  }
  X half = b * 0.5f;
  auto whole = number_round(b) == b, odd = whole & (number_round(half) != half);
  auto negative = Mask<float, N>{bits_of(a) < 0};
  r = number_where(negative & odd, -r, r);
  r = number_where((a < 0.f) & ~whole & ~endless, std::numeric_limits<float>::quiet_NaN(), r);
  return number_where((b == 0.f) | (a == 1.f) | ((x == 1.f) & (number_abs(b) == inf)), 1.f, r);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_pow(Num<T, N> a, Num<T, N> b) {
  if constexpr (std::is_floating_point_v<T>) {
    return per_lane(a, b, [](T x, T y) { return std::pow(x, y); });
  } else {
    return per_lane(a, b, [](T x, T y) -> T {  // wraps on overflow; a negative exponent leaves only +-1
      using U = std::make_unsigned_t<T>;
      if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
      U r = 1, base = static_cast<U>(x);
      for (U n = static_cast<U>(y); n; n >>= 1, base *= base)
        if (n & 1) r *= base;
      return static_cast<T>(r);
    });
  }
}
MOKA_NUM_MIXED(number_pow)
#undef MOKA_NUM_MIXED

}  // namespace moka
