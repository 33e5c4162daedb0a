// A fence for vectors against one weakness of g++.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/base/inline.h"

namespace moka {

// The same vector, which the compiler may not look through. g++ would join comparisons of AVX-512 vectors before it knows
// that it has no instruction for that, and then work on them lane by lane: what goes into such a joint is settled first.
template <class V>
MOKA_INLINE V settled(V v) {
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
  if constexpr (sizeof(V) == 64) asm("" : "+v"(v));
#endif
  return v;
}

}  // namespace moka
