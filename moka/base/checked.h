// Size arithmetic that cannot overflow silently; all sizes, strides and byte counts go through here.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "moka/base/error.h"

namespace moka {

inline int64_t checked_mul(int64_t a, int64_t b, const char* what) {
  int64_t r;
  if (__builtin_expect(__builtin_mul_overflow(a, b, &r), 0))
    fail(what, ": ", a, " * ", b, " does not fit in 64 bits");
  return r;
}

inline int64_t checked_add(int64_t a, int64_t b, const char* what) {
  int64_t r;
  if (__builtin_expect(__builtin_add_overflow(a, b, &r), 0))
    fail(what, ": ", a, " + ", b, " does not fit in 64 bits");
  return r;
}

// Number of elements of a shape; negative sizes and overflow are errors that name `what`.
inline int64_t checked_numel(std::span<const int64_t> sizes, const char* what) {
  int64_t n = 1;
  bool empty = false;
  for (int64_t s : sizes) {
    if (s < 0) fail(what, ": negative size ", s, " in shape ", sizes);
    if (s == 0) empty = true;
  }
  if (empty) return 0;
  for (int64_t s : sizes)
    if (__builtin_mul_overflow(n, s, &n))
      fail(what, ": shape ", sizes, " has more elements than 64 bits can count");
  return n;
}

}  // namespace moka
