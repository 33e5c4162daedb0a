// Opens namespace moka::(anonymous)::baseline, avx2 or avx512 (MOKA_TARGET_ISA 0, 1, 2), whose functions are compiled for
// that instruction set: the compiler must know it from the start to keep wide vectors and masks in registers. A page of
// kernels is a header that begins with this file and ends with target_end.h; its source names it for each_target.h and
// picks with MOKA_BY_ISA. No other header may be included in between, and one page a source.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if MOKA_TARGET_ISA == 1
#define MOKA_TARGET_NAME avx2
#define MOKA_TARGET_BYTES 32
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#elif MOKA_TARGET_ISA == 2
#define MOKA_TARGET_NAME avx512
#define MOKA_TARGET_BYTES 64
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#else
#define MOKA_TARGET_NAME baseline
#define MOKA_TARGET_BYTES 16
#endif

namespace moka {
namespace {
namespace MOKA_TARGET_NAME {

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(MOKA_TARGET_BYTES)));
};
template <class T>
using Vec = typename VectorOf<T>::type;
template <class T>
inline constexpr int lanes = MOKA_TARGET_BYTES / static_cast<int>(sizeof(T));

template <class V, class T>
inline V load(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
inline void store(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}
// The first n <= lanes elements; the other lanes are `rest`.
template <class V, class T>
inline V load_part(const T* p, int64_t n, T rest) {
  constexpr int L = sizeof(V) / sizeof(T);
#if MOKA_TARGET_ISA == 2
  const V others = rest - V{};
  const uint32_t first = (1u << n) - 1;
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4)
    return (V)_mm512_mask_loadu_epi32((__m512i)others, static_cast<__mmask16>(first), p);
  else if constexpr (sizeof(V) == 64 && sizeof(T) == 8)
    return (V)_mm512_mask_loadu_epi64((__m512i)others, static_cast<__mmask8>(first), p);
#endif
  T buffer[L];
  for (int i = 0; i < L; i++) buffer[i] = i < n ? p[i] : rest;
  return load<V>(buffer);
}
template <class V, class T>
inline void store_part(T* p, V v, int64_t n) {
#if MOKA_TARGET_ISA == 2
  const uint32_t first = (1u << n) - 1;
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4)
    return _mm512_mask_storeu_epi32(p, static_cast<__mmask16>(first), (__m512i)v);
  else if constexpr (sizeof(V) == 64 && sizeof(T) == 8)
    return _mm512_mask_storeu_epi64(p, static_cast<__mmask8>(first), (__m512i)v);
#endif
  T buffer[sizeof(V) / sizeof(T)];
  store(buffer, v);
  for (int64_t i = 0; i < n; i++) p[i] = buffer[i];
}
// x - 0 is x for every x, -0 and NaN included, so this is one broadcast.
template <class V, class T>
inline V spread(T x) {
  return x - V{};
}
// One half of a vector's lanes.
template <bool Upper, class T, class V, int... I>
inline auto half_at(V v, std::integer_sequence<int, I...>) {
  typedef T H __attribute__((vector_size(sizeof(V) / 2)));
  return H(__builtin_shufflevector(v, v, (I + (Upper ? int(sizeof...(I)) : 0))...));
}
template <bool Upper, class T, class V>
inline auto half_of(V v) {
  return half_at<Upper, T>(v, std::make_integer_sequence<int, sizeof(V) / sizeof(T) / 2>{});
}
// Lanes joined in halves; f takes vectors and numbers.
template <class T, class V, class F>
inline T fold_lanes(V v, F f) {
  if constexpr (sizeof(V) > 16) {
    return fold_lanes<T>(f(half_of<false, T>(v), half_of<true, T>(v)), f);
  } else {
    constexpr int L = sizeof(V) / sizeof(T);
    T buffer[L];
    store(buffer, v);
    for (int half = L / 2; half > 0; half /= 2)
      for (int i = 0; i < half; i++) buffer[i] = f(buffer[i], buffer[i + half]);
    return buffer[0];
  }
}
template <class T, class V>
inline T add_lanes(V v) {
  return fold_lanes<T>(v, [](auto a, auto b) __attribute__((always_inline)) { return a + b; });
}
