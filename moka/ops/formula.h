// pointwise<F, S>(rule): everything that follows from one formula: kernels for every instruction set and compute type,
// and its text. F is a stateless functor over S streams and then uniforms.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "moka/base/compiled_isa.h"
#include "moka/ops/number.h"
#include "moka/ops/text_number.h"

#if defined(__x86_64__)
#define MOKA_TARGET_AVX2 __attribute__((target("avx2,fma")))
#define MOKA_TARGET_AVX512 \
  __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")))
#endif

namespace moka {

namespace detail {

template <class F, class... A>
constexpr int formula_arity_from() {
  if constexpr (std::is_invocable_v<F, A...>) return sizeof...(A);
  else if constexpr (sizeof...(A) >= 12) return -1;
  else return formula_arity_from<F, A..., Text>();
}
template <class F>
inline constexpr int formula_arity = formula_arity_from<F, Text>();

template <class T, int N>
MOKA_INLINE Num<T, N> load(const void* p, int64_t at) {
  Num<T, N> out;
  std::memcpy(&out.v, static_cast<const T*>(p) + at, sizeof out.v);
  return out;
}
template <class T, int N>
MOKA_INLINE void store(void* p, int64_t at, Num<T, N> r) {
  std::memcpy(static_cast<T*>(p) + at, &r.v, sizeof r.v);
}
template <class T, int N>
MOKA_INLINE void store(void* p, int64_t at, Mask<T, N> r) {
  typedef int8_t Bytes __attribute__((vector_size(N)));
  Bytes bytes = -__builtin_convertvector(r.v, Bytes);
  std::memcpy(static_cast<uint8_t*>(p) + at, &bytes, N);
}
template <class T, int N, class C>
  requires std::is_arithmetic_v<C>
MOKA_INLINE void store(void* p, int64_t at, C constant) {
  store(p, at, Num<T, N>::of(static_cast<T>(constant)));
}
template <class T>
MOKA_INLINE T uniform_as(const Uniform& u) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(u.f);
  else return static_cast<T>(u.i);
}

template <int Bytes, class F, class T, size_t... S, size_t... U>
MOKA_INLINE void formula_loop(void* out, const void* const* in, int64_t n, const Uniform* uniforms,
                              std::index_sequence<S...>, std::index_sequence<U...>) {
  constexpr int N = Bytes / sizeof(T);
  using X = Num<T, N>;
  (void)uniforms;
  const X u[sizeof...(U) + 1] = {X::of(uniform_as<T>(uniforms[U]))..., X::of(T(0))};
  (void)u;
  int64_t i = 0;
  for (; i + N <= n; i += N) store<T, N>(out, i, F{}(load<T, N>(in[S], i)..., u[U]...));
  if (i == n) return;
  // The last elements go through a padded copy, so that no lane reads or writes past the end.
  size_t rest = static_cast<size_t>(n - i);
  T buffer[sizeof...(S)][N] = {};
  T result[N];
  (std::memcpy(buffer[S], static_cast<const T*>(in[S]) + i, rest * sizeof(T)), ...);
  auto r = F{}(load<T, N>(buffer[S], 0)..., u[U]...);
  store<T, N>(result, 0, r);
  constexpr bool mask = std::is_same_v<decltype(r), Mask<T, N>>;
  constexpr size_t width = mask ? 1 : sizeof(T);
  std::memcpy(static_cast<char*>(out) + static_cast<size_t>(i) * width, result, rest * width);
}

template <class F, class T, int S, int U>
__attribute__((flatten, noinline)) void formula_baseline(void* out, const void* const* in, int64_t n,
                                                         const Uniform* u) {
  formula_loop<16, F, T>(out, in, n, u, std::make_index_sequence<S>{}, std::make_index_sequence<U>{});
}
#if MOKA_COMPILED_ISA >= 1
template <class F, class T, int S, int U>
MOKA_TARGET_AVX2 __attribute__((flatten, noinline)) void formula_avx2(void* out, const void* const* in,
                                                                      int64_t n, const Uniform* u) {
  formula_loop<32, F, T>(out, in, n, u, std::make_index_sequence<S>{}, std::make_index_sequence<U>{});
}
#endif
#if MOKA_COMPILED_ISA >= 2
template <class F, class T, int S, int U>
MOKA_TARGET_AVX512 __attribute__((flatten, noinline)) void formula_avx512(void* out, const void* const* in,
                                                                          int64_t n, const Uniform* u) {
  formula_loop<64, F, T>(out, in, n, u, std::make_index_sequence<S>{}, std::make_index_sequence<U>{});
}
#endif

template <class F, class T, int S, int U>
constexpr void add_kernels(Formula& f, int column) {
  for (int isa = 0; isa < isa_count; isa++) f.kernels[isa][column] = formula_baseline<F, T, S, U>;
#if MOKA_COMPILED_ISA >= 1
  f.kernels[1][column] = formula_avx2<F, T, S, U>;
#endif
#if MOKA_COMPILED_ISA >= 2
  f.kernels[2][column] = formula_avx512<F, T, S, U>;
#endif
}

template <class F, size_t... I>
std::string read_text(std::index_sequence<I...>, int streams) {
  TextPage page;
  Text names[] = {Text(cat(static_cast<int>(I) < streams ? "x" : "u",
                           static_cast<int>(I) < streams ? int(I) : int(I) - streams))...};
  return page.finish(F{}(names[I]...));
}
template <class F, int S>
std::string_view formula_text() {
  static const std::string text = read_text<F>(std::make_index_sequence<formula_arity<F>>{}, S);
  return text;
}
}  // namespace detail

template <class F, int S = detail::formula_arity<F>>
constexpr Formula pointwise(DTypeRule rule, int cost = 1) {
  constexpr int arity = detail::formula_arity<F>;
  static_assert(arity >= S, "a formula takes its streams and then its uniforms");
  constexpr int U = arity - S;
  Formula f;
  f.rule = rule;
  f.streams = S;
  f.uniforms = U;
  f.cost = static_cast<uint8_t>(cost);
  f.text = detail::formula_text<F, S>;
  f.mask_result = rule == DTypeRule::Comparing;
  if (rule != DTypeRule::Integral) {
    detail::add_kernels<F, float, S, U>(f, 0);
    detail::add_kernels<F, double, S, U>(f, 1);
  }
  return f;
}
// The same with kernels for integers too.
template <class F, int S = detail::formula_arity<F>>
constexpr Formula pointwise_all(DTypeRule rule, int cost = 1) {
  Formula f = pointwise<F, S>(rule, cost);
  detail::add_kernels<F, int32_t, S, detail::formula_arity<F> - S>(f, 2);
  detail::add_kernels<F, int64_t, S, detail::formula_arity<F> - S>(f, 3);
  return f;
}

}  // namespace moka
