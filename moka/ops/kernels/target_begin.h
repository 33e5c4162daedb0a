// Opens namespace moka::(anonymous)::baseline, avx2 or avx512 (MOKA_TARGET_ISA 0, 1, 2), whose functions are compiled for
// that instruction set: the compiler must know it from the start to keep wide vectors and masks in registers. A page of
// kernels is a header that begins with this file and ends with target_end.h; its source includes it once for each set and
// picks with MOKA_BY_ISA. No other header may be included in between, and one page a source.
// SPDX-License-Identifier: Apache-2.0
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
// The first n < lanes elements; the other lanes are `rest`.
template <class V, class T>
inline V load_part(const T* p, int64_t n, T rest) {
  constexpr int L = sizeof(V) / sizeof(T);
  T buffer[L];
  for (int i = 0; i < L; i++) buffer[i] = i < n ? p[i] : rest;
  return load<V>(buffer);
}
template <class V, class T>
inline void store_part(T* p, V v, int64_t n) {
  T buffer[sizeof(V) / sizeof(T)];
  store(buffer, v);
  for (int64_t i = 0; i < n; i++) p[i] = buffer[i];
}
// x - 0 is x for every x, -0 and NaN included, so this is one broadcast.
template <class V, class T>
inline V spread(T x) {
  return x - V{};
}
// Lanes joined in halves.
template <class T, class V, class F>
inline T fold_lanes(V v, F f) {
  constexpr int L = sizeof(V) / sizeof(T);
  T buffer[L];
  store(buffer, v);
  for (int half = L / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) buffer[i] = f(buffer[i], buffer[i + half]);
  return buffer[0];
}
template <class T, class V>
inline T add_lanes(V v) {
  return fold_lanes<T>(v, [](T a, T b) { return a + b; });
}
