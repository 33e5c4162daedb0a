// Vector operations that compilers do not find in generic vectors: one instruction each where the processor has it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <type_traits>

#include "moka/ops/kernels/settled.h"

namespace moka {

// Vectors of 64 bytes exist only in code for AVX-512, vectors of 32 bytes only in code for AVX2 and above. Assembler
// text, because an intrinsic needs its target on every function that it passes through.
#if defined(__x86_64__)
inline constexpr bool has_x86_vectors = true;
#else
inline constexpr bool has_x86_vectors = false;
#endif
template <class V>
inline constexpr bool is_avx512 = has_x86_vectors && sizeof(V) == 64;
template <class V>
inline constexpr bool is_avx = has_x86_vectors && sizeof(V) >= 32;
template <class V>
using LaneOf = std::remove_cvref_t<decltype(V{}[0])>;
template <class V>
inline constexpr bool holds_floats = sizeof(LaneOf<V>) == 4;

#if defined(__x86_64__)
#define MOKA_PAIR_INSTRUCTION(name)                                                           \
  template <class V>                                                                          \
  MOKA_INLINE V name##_instruction(V a, V b) {                                                \
    V r;                                                                                      \
    if constexpr (holds_floats<V>) asm("v" #name "ps %2, %1, %0" : "=v"(r) : "v"(a), "v"(b)); \
    else asm("v" #name "pd %2, %1, %0" : "=v"(r) : "v"(a), "v"(b));                           \
    return r;                                                                                 \
  }
MOKA_PAIR_INSTRUCTION(max)
MOKA_PAIR_INSTRUCTION(min)
MOKA_PAIR_INSTRUCTION(scalef)
#undef MOKA_PAIR_INSTRUCTION
// Rounding of vectors of 32 and 64 bytes: 8 to nearest even, 9 down, 10 up, 11 towards zero.
template <int How, class V>
MOKA_INLINE V rounded(V a) {
  V r;
  if constexpr (is_avx512<V> && holds_floats<V>) asm("vrndscaleps %2, %1, %0" : "=v"(r) : "v"(a), "i"(How));
  else if constexpr (is_avx512<V>) asm("vrndscalepd %2, %1, %0" : "=v"(r) : "v"(a), "i"(How));
  else if constexpr (holds_floats<V>) asm("vroundps %2, %1, %0" : "=x"(r) : "x"(a), "i"(How));
  else asm("vroundpd %2, %1, %0" : "=x"(r) : "x"(a), "i"(How));
  return r;
}
#endif
// Whether any bit of a vector is set.
template <class B>
MOKA_INLINE bool any_bit(B bits) {
#if defined(__x86_64__) && defined(__GCC_ASM_FLAG_OUTPUTS__)
  bool none;
  if constexpr (is_avx512<B>) {
    asm("vptestmd %1, %1, %%k7\n\tkortestw %%k7, %%k7" : "=@ccz"(none) : "v"(bits) : "k7");
    return !none;
  } else if constexpr (is_avx<B>) {
    asm("vptest %1, %1" : "=@ccz"(none) : "x"(bits));
    return !none;
  }
#endif
  LaneOf<B> all = 0;
  for (std::size_t i = 0; i < sizeof(B) / sizeof(all); i++) all |= bits[i];
  return all != 0;
}
// The larger (smaller) of x and a bound; NaN in x stays.
template <class V>
MOKA_INLINE V at_least(V x, V low) {
#if defined(__x86_64__)
  if constexpr (is_avx<V>) return max_instruction(low, x);
#endif
  return x < low ? low : x;
}
template <class V>
MOKA_INLINE V at_most(V x, V high) {
#if defined(__x86_64__)
  if constexpr (is_avx<V>) return min_instruction(high, x);
#endif
  return x > high ? high : x;
}

#if defined(__x86_64__)
// x * 2^n for integral n, rounded once, subnormals and infinity included.
template <class V>
MOKA_INLINE V scaled(V x, V n) {
  return scalef_instruction(x, n);
}
// x = mantissa 2^exponent with the mantissa in [3/4, 3/2), NaN for negative x. Zero, infinity and NaN are exponents
// -infinity, infinity and NaN; subnormals need nothing more.
template <class V>
MOKA_INLINE V floor_exponent(V x) {
  V r;
  if constexpr (holds_floats<V>) asm("vgetexpps %1, %0" : "=v"(r) : "v"(x));
  else asm("vgetexppd %1, %0" : "=v"(r) : "v"(x));
  return r;
}
template <class V>
MOKA_INLINE V mantissa_of(V x) {
  V r;
  if constexpr (holds_floats<V>) asm("vgetmantps $11, %1, %0" : "=v"(r) : "v"(x));
  else asm("vgetmantpd $11, %1, %0" : "=v"(r) : "v"(x));
  return r;
}
#endif

}  // namespace moka
