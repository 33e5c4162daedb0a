// Geometry of sliding windows: what convolutions and poolings share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/kernels/arguments.h"

namespace moka {

// One spatial axis of a sliding window.
struct Axis {
  int64_t in = 0, out = 0, kernel = 1, stride = 1, padding = 0, dilation = 1;
};

// Outputs of a window that slides over `in` padded places; overflow and windows larger than the padded input are errors
// that name the operator. With `ceil`, a last window may hang over, if it starts inside the input or its front padding.
int64_t window_outputs(const Frame& f, const char* axis, const Axis& a, bool ceil = false);

// Those i of [0, n) for which 0 <= i * step + offset < limit; step > 0.
struct Range {
  int64_t first, last;
};
inline Range valid_range(int64_t n, int64_t step, int64_t offset, int64_t limit) {
  int64_t first = offset >= 0 ? 0 : (-offset + step - 1) / step;
  int64_t last = limit - offset <= 0 ? 0 : (limit - offset + step - 1) / step;
  if (last > n) last = n;
  if (first > last) first = last;
  return {first, last};
}

}  // namespace moka
