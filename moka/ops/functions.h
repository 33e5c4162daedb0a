// Formula functions beyond number.h: trigonometric, hyperbolic, bases of logarithms, remainders and bits. Pages that use
// one include this; the others do not pay for it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/formula.h"

namespace moka {

// ---- floats that are computed in double: exact to half a unit of float, and one set of coefficients
template <int N, class F>
MOKA_INLINE Num<float, N> in_double(Num<float, N> a, F f) {
  auto [low, high] = halves(a);
  return joined(to_float(f(to_double(low))), to_float(f(to_double(high))));
}
#define MOKA_FLOAT_IN_DOUBLE(name)                                                                     \
  template <int N>                                                                                     \
  MOKA_INLINE Num<float, N> number_##name(Num<float, N> a) {                                           \
    return in_double(a, [](auto wide) __attribute__((always_inline)) { return number_##name(wide); }); \
  }

// ---- inverse trigonometric functions: coefficients are Chebyshev interpolants computed at 45 digits; their errors lie
// below 1e-18.
template <int N>
MOKA_INLINE Num<double, N> number_atan(Num<double, N> a) {
  constexpr double terms[] = {-0.333333333333333333,  0.199999999999999914,  -0.142857142857114906,
                              0.11111111110751481,    -0.090909090668160809, 0.076923067291948968,
                              -0.0666664186913118267, 0.0588192305611402256, -0.0525802027265675834,
                              0.0471925918824209238,  -0.041038875468626872, 0.0306229955537355147,
                              -0.0139053745331132339};
  // Into [-tan(pi/8), tan(pi/8)] by atan(x) = pi/2 + atan(-1/x) and pi/4 + atan((x - 1) / (x + 1)).
  Num<double, N> x = number_abs(a);
  auto big = x > 2.41421356237309505, middle = x > 0.41421356237309505;
  Num<double, N> over = number_where(big, -1.0, number_where(middle, x - 1, x));
  Num<double, N> under = number_where(big, x, number_where(middle, x + 1, 1.0));
  Num<double, N> t = over / under, z = t * t;
  Num<double, N> base =
      number_where(big, 1.5707963267948966, number_where(middle, 0.78539816339744831, x * 0));
  Num<double, N> rest =
      number_where(big, 6.123233995736766e-17, number_where(middle, 3.061616997868383e-17, x * 0));
  Num<double, N> r = base + (t + (t * z * horner(terms, z) + rest));
  r = number_where(x == std::numeric_limits<double>::infinity(), 1.5707963267948966, r);
  return number_where(is_nan(a), a, copy_sign(r, a));
}
// Floats: atan(x) = pi/2 + atan(-1/x) above 1, an odd polynomial below, 2.3e-9 away.
template <int N>
MOKA_INLINE Num<float, N> atan_of_floats(Num<float, N> t) {
  constexpr double terms[] = {-0.333333018614473731,  0.199986385259718267,   -0.14265244766674862,
                              0.109575743377892538,   -0.0841945655414019054, 0.0582345424683828424,
                              -0.0314557205686501068, 0.0110644617020115817,  -0.00182721932034098334};
  Num<float, N> z = t * t;
  return t * z * horner(terms, z);  // what is to be added to t
}
template <int N>
MOKA_INLINE Num<float, N> number_atan(Num<float, N> a) {
  Num<float, N> x = number_abs(a);
  auto big = x > 1.f;
  Num<float, N> t = number_where(big, -1.f, x) / number_where(big, x, 1.f);
  Num<float, N> more = atan_of_floats(t);
  return copy_sign(number_where(big, 1.57079637f + (t + (more - 4.37113883e-8f)), t + more), a);
}

template <int N>
MOKA_INLINE Num<double, N> asin_terms(Num<double, N> z) {
  constexpr double terms[] = {0.166666666666666666,   0.0750000000000011846, 0.0446428571425501851,
                              0.0303819444756937049,  0.0223721574356238154, 0.0173528167685464727,
                              0.0139637757878481364,  0.011566511821890943,  0.00962140274734483034,
                              0.00932210150108277387, 0.0030350071727267624, 0.0195792016197446847,
                              -0.0192775459285845554, 0.0296350262635485483};
  return z * horner(terms, z);
}
template <int N>
MOKA_INLINE Num<double, N> number_asin(Num<double, N> a) {
  Num<double, N> x = number_abs(a);
  auto far = x > 0.5;  // asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2))
  Num<double, N> z = number_where(far, (1 - x) * 0.5, x * x);
  Num<double, N> s = number_where(far, number_sqrt(z), x);
  Num<double, N> r = s + s * asin_terms(z);
  r = number_where(far, 1.5707963267948966 - (r * 2 - 6.123233995736766e-17), r);
  return copy_sign(r, a);
}
MOKA_FLOAT_IN_DOUBLE(asin)
template <int N>
MOKA_INLINE Num<double, N> number_acos(Num<double, N> a) {
  Num<double, N> x = number_abs(a);
  auto far = x > 0.5;
  Num<double, N> z = number_where(far, (1 - x) * 0.5, x * x);
  Num<double, N> s = number_where(far, number_sqrt(z), a);
  Num<double, N> r = s + s * asin_terms(z);
  Num<double, N> near = 1.5707963267948966 - (r - 6.123233995736766e-17);
  Num<double, N> left = 3.1415926535897931 - (r * 2 - 1.2246467991473532e-16);
  return number_where(far, number_where(a < 0, left, r * 2), near);
}
MOKA_FLOAT_IN_DOUBLE(acos)

// ---- sines. x - n pi/2 in three parts; above a million the C library reduces with all the bits that takes.
inline constexpr double most_turned = 1e6;
template <class T, int N>
struct Turned {
  Num<T, N> rest, turns;  // x = turns pi/2 + rest
};
template <int N>
MOKA_INLINE Turned<double, N> turned(Num<double, N> a) {
  using P = FloatParts<double>;
  Num<double, N> x = number_where(number_abs(a) < most_turned, a, 0.0);
  Num<double, N> n = (x * 0.63661977236758134 + P::round_magic) - P::round_magic;
  return {((x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a6p-34) - n * 0x1.3198a2e037073p-69, n};
}
// Floats where products are fused: the first difference is exact, the others are rounded once. Else in double.
template <int N>
MOKA_INLINE Turned<float, N> turned(Num<float, N> a) {
  if constexpr (is_avx<typename Num<float, N>::V>) {
    using P = FloatParts<float>;
    Num<float, N> n = (a * 0.636619772f + P::round_magic) - P::round_magic;
    return {((a - n * 0x1.921fb6p+0f) + n * 0x1.777a5cp-25f) + n * 0x1.ee59dap-50f, n};
  } else {
    auto [first, second] = halves(a);
    Turned<double, N / 2> low = turned(to_double(first)), high = turned(to_double(second));
    return {joined(to_float(low.rest), to_float(high.rest)),
            joined(to_float(low.turns), to_float(high.turns))};
  }
}
template <class T, int N>
struct SineAndCosine {
  Num<T, N> sine, cosine;
};
// By minimax polynomials (floats) and Taylor series (doubles), |r| <= pi/4.
template <class T, int N>
MOKA_INLINE SineAndCosine<T, N> sine_and_cosine(Num<T, N> r) {
  Num<T, N> z = r * r;
  if constexpr (sizeof(T) == 4) {
    constexpr double sine[] = {-0.16666654873484245, 0.00833217354333132523, -0.000195166558082391652};
    constexpr double cosine[] = {0.0416666467481060481, -0.00138873614610890379, 2.44377309698776494e-5};
    return {r + r * (z * horner(sine, z)), 1 - (z * T(0.5) - z * z * horner(cosine, z))};
  } else {
    constexpr double sine[] = {-1.6666666666666666e-1,  8.3333333333333333e-3, -1.984126984126984e-4,
                               2.7557319223985893e-6,   -2.505210838544172e-8, 1.6059043836821613e-10,
                               -7.6471637318198164e-13, 2.8114572543455206e-15};
    constexpr double cosine[] = {4.1666666666666664e-2,  -1.3888888888888889e-3, 2.4801587301587302e-5,
                                 -2.7557319223985888e-7, 2.0876756987868099e-9,  -1.1470745597729725e-11,
                                 4.7794773323873853e-14, -1.5619206968586225e-16};
    return {r + r * (z * horner(sine, z)), 1 - (z * T(0.5) - z * z * horner(cosine, z))};
  }
}
template <class T, int N>
MOKA_INLINE Mask<T, N> has_bit(typename Num<T, N>::Bits n, int bit) {
  return {settled((n & bit) != 0)};
}
// What lies beyond the reduction, infinities and NaN, one by one.
template <class T, int N, class F>
MOKA_INLINE Num<T, N> beyond_turns(Num<T, N> a, Num<T, N> result, F function) {
  auto far = (~(number_abs(a) < T(most_turned))).v;
  if (__builtin_expect(any_bit(far), 0))
    for (int i = 0; i < N; i++)
      if (far[i]) result.v[i] = function(a.v[i]);
  return result;
}
// Both are the sine a number of quarter turns further.
template <int Quarters, class T, int N, class F>
MOKA_INLINE Num<T, N> turned_sine(Num<T, N> a, F function) {
  auto [r, n] = turned(a);
  auto [sine, cosine] = sine_and_cosine(r);
  auto quarters = bits_of(n + FloatParts<T>::round_magic) + Quarters;  // ends with the bits of n
  Num<T, N> x = number_where(has_bit<T, N>(quarters, 1), cosine, sine);
  x = from_bits<T, N>(bits_of(x) ^ ((quarters & 2) << (sizeof(T) * 8 - 2)));
  return beyond_turns(a, x, function);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_sin(Num<T, N> a) {
  return number_where(a == T(0), a, turned_sine<0>(a, [](T x) { return std::sin(x); }));
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_cos(Num<T, N> a) {
  return turned_sine<1>(a, [](T x) { return std::cos(x); });
}
template <int N>
MOKA_INLINE Num<double, N> number_tan(Num<double, N> a) {
  auto [r, n] = turned(a);
  auto [sine, cosine] = sine_and_cosine(r);
  auto odd = has_bit<double, N>(bits_of(n + FloatParts<double>::round_magic), 1);
  Num<double, N> x = number_where(odd, -cosine, sine) / number_where(odd, sine, cosine);
  return number_where(a == 0.0, a, beyond_turns(a, x, [](double y) { return std::tan(y); }));
}
MOKA_FLOAT_IN_DOUBLE(tan)

// ---- hyperbolic functions
template <class T, int N>
MOKA_INLINE Num<T, N> number_cosh(Num<T, N> a) {
  // e^x / 2 in two factors, so that it overflows where cosh does.
  Num<T, N> x = number_abs(a), h = number_exp(x * T(0.5));
  Num<T, N> e = number_exp(number_minimum(x, T(sizeof(T) == 4 ? 80 : 700)));
  Num<T, N> r = e * T(0.5) + T(0.5) / e;
  return number_where(x > T(sizeof(T) == 4 ? 80 : 700), h * T(0.5) * h, r);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_sinh(Num<T, N> a) {
  Num<T, N> x = number_abs(a), h = number_exp(x * T(0.5));
  Num<T, N> e = number_expm1(number_minimum(x, T(sizeof(T) == 4 ? 80 : 700)));
  Num<T, N> r = (e + e / (e + 1)) * T(0.5);
  r = number_where(x > T(sizeof(T) == 4 ? 80 : 700), h * T(0.5) * h, r);
  return copy_sign(r, a);
}
template <int N>
MOKA_INLINE Num<double, N> number_asinh(Num<double, N> a) {
  Num<double, N> x = number_abs(a), t = number_minimum(x, 1e150);
  Num<double, N> r = number_log1p(t + t * t / (1 + number_sqrt(t * t + 1)));
  r = number_where(x > 1e150, number_log(x) + 0.69314718055994531, r);
  return copy_sign(r, a);
}
MOKA_FLOAT_IN_DOUBLE(asinh)
template <int N>
MOKA_INLINE Num<double, N> number_acosh(Num<double, N> a) {
  Num<double, N> t = number_minimum(a, 1e150) - 1;
  Num<double, N> r = number_log1p(t + number_sqrt(t * 2 + t * t));
  r = number_where(a > 1e150, number_log(a) + 0.69314718055994531, r);
  return number_where(a < 1.0, std::numeric_limits<double>::quiet_NaN(), r);
}
MOKA_FLOAT_IN_DOUBLE(acosh)
template <int N>
MOKA_INLINE Num<double, N> number_atanh(Num<double, N> a) {
  Num<double, N> x = number_abs(a);
  Num<double, N> r = number_log1p(x * 2 / (1 - x)) * 0.5;
  r = number_where(x < 1e-8, x, r);
  r = number_where(x > 1.0, std::numeric_limits<double>::quiet_NaN(), r);
  return number_where(x == 1.0, copy_sign(x / 0.0, a), copy_sign(r, a));
}
MOKA_FLOAT_IN_DOUBLE(atanh)

// ---- powers and logarithms of 2 and 10
template <class T, int N>
MOKA_INLINE Num<T, N> number_exp2(Num<T, N> a) {
  using P = FloatParts<T>;
  constexpr T low = sizeof(T) == 4 ? -151 : -1076, high = sizeof(T) == 4 ? 129 : 1025;
  Num<T, N> x = within(a, low, high);
  Num<T, N> n = (x + P::round_magic) - P::round_magic;
  Num<T, N> f = (x - n) * T(0.69314718055994531);
  return scale_by_power(exp_square_part(f) + f + 1, n);
}
// log(x) = exponent * log(2) + log(mantissa), each in the other base; powers of two come out exact.
template <int N>
MOKA_INLINE Num<double, N> number_log2(Num<double, N> a) {
  auto [e, m] = log_parts(a);
  // log2(e) in two parts: the product keeps the bits that the sum with the exponent needs.
  Num<double, N> l = number_log(m);
  return log_limits(a, e + (l * 1.4426950408889634 + l * 2.0355273740931033e-17));
}
MOKA_FLOAT_IN_DOUBLE(log2)
template <int N>
MOKA_INLINE Num<double, N> number_log10(Num<double, N> a) {
  auto [e, m] = log_parts(a);
  Num<double, N> l = number_log(m);
  Num<double, N> low = l * 0.43429448190325182 + (e * 3.694239077158931e-13 + l * 1.0983196502167651e-17);
  return log_limits(a, e * 0.30102999566361177 + low);
}
MOKA_FLOAT_IN_DOUBLE(log10)

// ---- two operands
template <int N>
MOKA_INLINE Num<double, N> number_atan2(Num<double, N> y, Num<double, N> x) {
  constexpr double pi = 3.1415926535897931, inf = std::numeric_limits<double>::infinity();
  Num<double, N> ay = number_abs(y), ax = number_abs(x);
  auto both = (ay == inf) & (ax == inf);
  Num<double, N> ratio = number_where(both, 1.0, number_where(ay == 0.0, 0.0, ay / ax));
  Num<double, N> angle = number_atan(ratio);
  auto left = Mask<double, N>{bits_of(x) < 0};
  Num<double, N> r = number_where(left, pi - (angle - 1.2246467991473532e-16), angle);
  return number_where(is_nan(x) | is_nan(y), x + y, copy_sign(r, y));
}
template <int N>
MOKA_INLINE Num<float, N> number_atan2(Num<float, N> y, Num<float, N> x) {
  Num<float, N> ay = number_abs(y), ax = number_abs(x);
  auto steep = ay > ax;
  Num<float, N> low = number_where(steep, ax, ay), high = number_where(steep, ay, ax);
  // Both infinite are as both 1, both zero as 0 and 1.
  Num<float, N> t = number_where(low == high, number_where(high == 0.f, high, 1.f), low / high);
  Num<float, N> more = atan_of_floats(t);
  Num<float, N> r = number_where(steep, 1.57079637f - (t + (more + 4.37113883e-8f)), t + more);
  auto left = Mask<float, N>{bits_of(x) < 0};
  return copy_sign(number_where(left, 3.14159274f - (r + 8.74227766e-8f), r), y);
}
template <int N>
MOKA_INLINE Num<double, N> number_hypot(Num<double, N> a, Num<double, N> b) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  Num<double, N> x = number_abs(a), y = number_abs(b);
  Num<double, N> high = number_where(x > y, x, y), low = number_where(x > y, y, x), q = low / high;
  Num<double, N> r = number_where(high == 0.0, high, high * number_sqrt(1 + q * q));
  r = number_where(is_nan(x) | is_nan(y), x + y, r);
  return number_where((x == inf) | (y == inf), inf, r);
}
template <int N>
MOKA_INLINE Num<float, N> number_hypot(Num<float, N> a, Num<float, N> b) {
  auto length = [](auto x, auto y) __attribute__((always_inline)) { return number_sqrt(x * x + y * y); };
  auto [a0, a1] = halves(a);
  auto [b0, b1] = halves(b);
  return joined(to_float(length(to_double(a0), to_double(b0))),
                to_float(length(to_double(a1), to_double(b1))));
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_copysign(Num<T, N> a, Num<T, N> b) {
  return copy_sign(a, b);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_nextafter(Num<T, N> a, Num<T, N> b) {
  return per_lane(a, b, [](T x, T y) { return std::nextafter(x, y); });
}
template <class T, int N>
MOKA_INLINE Mask<T, N> number_signbit(Num<T, N> a) {
  if constexpr (std::is_floating_point_v<T>) return {bits_of(a) < 0};
  else return a < 0;
}

// Remainders. Integer divisors are not zero (operators check before); the lanes that pad a vector are.
template <class T, int N>
MOKA_INLINE Num<T, N> number_fmod(Num<T, N> a, Num<T, N> b) {
  return per_lane(a, b, [](T x, T y) -> T {
    if constexpr (std::is_floating_point_v<T>) return std::fmod(x, y);
    else return y == 0 || y == -1 ? 0 : x % y;
  });
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_remainder(Num<T, N> a, Num<T, N> b) {
  Num<T, N> r = number_fmod(a, b);
  return number_where((r != T(0)) & ((r < T(0)) ^ (b < T(0))), r + b, r);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_truncate_divide(Num<T, N> a, Num<T, N> b) {
  if constexpr (std::is_floating_point_v<T>) return number_trunc(a / b);
  else
    return per_lane(a, b, [](T x, T y) -> T {
      using U = std::make_unsigned_t<T>;
      return y == 0 ? 0 : y == -1 ? static_cast<T>(-static_cast<U>(x)) : x / y;
    });
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_floor_divide(Num<T, N> a, Num<T, N> b) {
  if constexpr (std::is_floating_point_v<T>) {
    // Python's float floor division: exact where a / b rounds up to an integer.
    return per_lane(a, b, [](T x, T y) -> T {
      if (y == 0) return x / y;
      T mod = std::fmod(x, y), div = (x - mod) / y;
      if (mod != 0 && (y < 0) != (mod < 0)) div -= 1;
      if (div == 0) return std::copysign(T(0), x / y);
      T floored = std::floor(div);
      return div - floored > T(0.5) ? floored + 1 : floored;
    });
  } else {
    Num<T, N> q = number_truncate_divide(a, b);
    return number_where((q * b != a) & ((a < 0) ^ (b < 0)), q - 1, q);
  }
}

// ---- integers as bits
#define MOKA_BITS(name, sign)                                     \
  template <class T, int N>                                       \
  MOKA_INLINE Num<T, N> number_##name(Num<T, N> a, Num<T, N> b) { \
    return {a.v sign b.v};                                        \
  }
MOKA_BITS(bitwise_and, &)
MOKA_BITS(bitwise_or, |)
MOKA_BITS(bitwise_xor, ^)
#undef MOKA_BITS
// Shifts by more than there are bits shift everything out; so do negative ones, as in PyTorch.
template <class T, int N>
MOKA_INLINE Num<T, N> number_bitwise_left_shift(Num<T, N> a, Num<T, N> b) {
  constexpr T bits = sizeof(T) * 8;
  auto out = (b < 0) | (b >= bits);
  using U = std::make_unsigned_t<T>;
  typedef U W __attribute__((vector_size(sizeof(T) * N)));
  Num<T, N> by = number_where(out, T(0), b);
  Num<T, N> r{(typename Num<T, N>::V)((W)a.v << (W)by.v)};
  return number_where(out, T(0), r);
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_bitwise_right_shift(Num<T, N> a, Num<T, N> b) {
  constexpr T most = sizeof(T) * 8 - 1;
  Num<T, N> by = number_where((b < 0) | (b > most), most, b);
  return {a.v >> by.v};
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_gcd(Num<T, N> a, Num<T, N> b) {
  return per_lane(a, b, [](T x, T y) -> T {
    using U = std::make_unsigned_t<T>;
    U m = x < 0 ? -static_cast<U>(x) : static_cast<U>(x), n = y < 0 ? -static_cast<U>(y) : static_cast<U>(y);
    while (n) {
      U r = m % n;
      m = n;
      n = r;
    }
    return static_cast<T>(m);
  });
}

#define MOKA_FUNCTION_MIXED(name)                              \
  template <class T, int N, class C>                           \
    requires std::is_arithmetic_v<C>                           \
  MOKA_INLINE auto number_##name(Num<T, N> a, C b) {           \
    return number_##name(a, Num<T, N>::of(static_cast<T>(b))); \
  }                                                            \
  template <class T, int N, class C>                           \
    requires std::is_arithmetic_v<C>                           \
  MOKA_INLINE auto number_##name(C a, Num<T, N> b) {           \
    return number_##name(Num<T, N>::of(static_cast<T>(a)), b); \
  }
MOKA_FUNCTION_MIXED(atan2)
MOKA_FUNCTION_MIXED(hypot)
MOKA_FUNCTION_MIXED(copysign)
MOKA_FUNCTION_MIXED(bitwise_and)
MOKA_FUNCTION_MIXED(bitwise_xor)
#undef MOKA_FUNCTION_MIXED

// A formula over integers alone: their signs do not exist for floats.
template <class F, int S = detail::formula_arity<F>>
constexpr Formula pointwise_integral(int cost = 1) {
  constexpr int U = detail::formula_arity<F> - S;
  Formula f;
  f.rule = DTypeRule::Integral;
  f.streams = S;
  f.uniforms = U;
  f.cost = static_cast<uint8_t>(cost);
  f.text = detail::formula_text<F, S>;
  detail::add_kernels<F, int32_t, S, U>(f, 2);
  detail::add_kernels<F, int64_t, S, U>(f, 3);
  return f;
}

// ---- the same names as source text
#define MOKA_FUNCTION_TEXT(operation)        \
  template <TextOrNumber... A>               \
  Text number_##operation(const A&... a) {   \
    return text_operation(#operation, a...); \
  }
// clang-format off
#define MOKA_FUNCTIONS(F) \
  F(tan) F(asin) F(acos) F(atan) F(atan2) F(sinh) F(cosh) F(asinh) F(acosh) F(atanh) F(exp2) F(log2) \
  F(log10) F(hypot) F(copysign) F(nextafter) F(signbit) F(fmod) F(remainder) F(truncate_divide) \
  F(floor_divide) F(bitwise_and) F(bitwise_or) F(bitwise_xor) F(bitwise_left_shift) \
  F(bitwise_right_shift) F(gcd)
// clang-format on
MOKA_FUNCTIONS(MOKA_FUNCTION_TEXT)
#undef MOKA_FUNCTIONS

}  // namespace moka
