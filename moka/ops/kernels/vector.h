// What hand-written kernels share: one body over compiler vectors, compiled for every instruction set and chosen at run
// time, and scratch memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/base/cpu.h"
#include "moka/ops/formula.h"
#include "moka/tensor/allocator.h"

namespace moka {

template <class T, int Bytes>
struct VectorType {
  typedef T type __attribute__((vector_size(Bytes)));
  static constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
};
template <class T, int Bytes>
using Vector = typename VectorType<T, Bytes>::type;

template <class V, class T>
MOKA_INLINE V load_vector(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
MOKA_INLINE void store_vector(T* p, V v) {
  std::memcpy(p, &v, sizeof v);
}
// x - 0 is x for every x, -0 and NaN included, so this is one broadcast.
template <class V, class T>
MOKA_INLINE V broadcast(T x) {
  return x - V{};
}
// The lanes added in halves: the same order for every width.
template <class T, class V>
MOKA_INLINE T add_lanes(V v) {
  constexpr int lanes = sizeof(V) / sizeof(T);
  T buffer[lanes];
  store_vector(buffer, v);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) buffer[i] += buffer[i + half];
  return buffer[0];
}

namespace detail {
template <class Body, class... A>
__attribute__((flatten, noinline)) auto body_baseline(A... a) {
  return Body::template run<16>(a...);
}
#if defined(__x86_64__)
template <class Body, class... A>
MOKA_TARGET_AVX2 __attribute__((flatten, noinline)) auto body_avx2(A... a) {
  return Body::template run<32>(a...);
}
template <class Body, class... A>
MOKA_TARGET_AVX512 __attribute__((flatten, noinline)) auto body_avx512(A... a) {
  return Body::template run<64>(a...);
}
#endif
}  // namespace detail

// Calls Body::run<Bytes>(a...), an always-inlined static function, with the widest vectors that this processor has.
template <class Body, class... A>
auto run_vectorized(A... a) {
#if defined(__x86_64__)
  Isa best = isa();
  if (best == Isa::Avx512) return detail::body_avx512<Body, A...>(a...);
  if (best == Isa::Avx2) return detail::body_avx2<Body, A...>(a...);
#endif
  return detail::body_baseline<Body, A...>(a...);
}

// Memory for the time of one call, from the caching allocator.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : bytes_(static_cast<size_t>(checked_mul(count < 1 ? 1 : count, sizeof(T), "scratch memory"))),
        data_(static_cast<T*>(cpu_allocator().allocate(bytes_))) {}
  ~Scratch() { cpu_allocator().deallocate(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  size_t bytes_;
  T* data_;
};

}  // namespace moka
