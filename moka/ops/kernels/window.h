// Geometry of sliding windows: what convolutions and poolings share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/base/checked.h"
#include "moka/ops/kernels/arguments.h"

namespace moka {

// One spatial axis of a sliding window.
struct Axis {
  int64_t in = 1, out = 1, kernel = 1, stride = 1, padding = 0, dilation = 1;
  int64_t more = 0;  // padding behind the input beyond that in front of it; may be negative
};

// A window over up to three axes, the last ones; axes that a signal or an image lacks stay trivial, so that one kernel
// serves every rank.
struct Window {
  Axis z, y, x;
  int rank = 2;
  Axis& axis(int i) { return i == 0 ? z : i == 1 ? y : x; }
  const Axis& axis(int i) const { return i == 0 ? z : i == 1 ? y : x; }
  int first() const { return 3 - rank; }
  int64_t taps() const { return checked_mul(z.kernel, checked_mul(y.kernel, x.kernel, "window"), "window"); }
  int64_t in_pixels() const { return checked_mul(z.in, checked_mul(y.in, x.in, "window"), "window"); }
  int64_t out_pixels() const { return checked_mul(z.out, checked_mul(y.out, x.out, "window"), "window"); }
};

// The number of integers that argument i is declared with: 3 for int[3].
int declared_size(const Frame& f, int i);
// Argument i, one integer or one for each axis, into `field` of the window's axes; each must be at least `lowest`.
void read_axes(const Frame& f, int i, int64_t lowest, Window& w, int64_t Axis::* field);
// Argument i as the padding of the axes: as read_axes, or all in front of the input, then all behind it.
void read_padding(const Frame& f, int i, Window& w);
// Sizes of the axes from the end of a shape.
void set_inputs(Window& w, std::span<const int64_t> sizes);
const char* axis_name(int i);  // "depth", "height", "width"

// Outputs of a window that slides over `in` padded places; overflow and windows larger than the padded input are errors
// that name the operator. With `ceil`, a last window may hang over, if it starts inside the input or its front padding.
int64_t window_outputs(const Frame& f, const char* axis, const Axis& a, bool ceil = false);

// Those i of [0, n) for which 0 <= i * step + offset < limit; step > 0.
struct Range {
  int64_t first, last;
};
inline Range valid_range(int64_t n, int64_t step, int64_t offset, int64_t limit) {
  const auto steps = [&](int64_t length) { return length <= 0 ? 0 : (length - 1) / step + 1; };
  int64_t first = steps(-offset), last = steps(limit - offset);
  if (last > n) last = n;
  if (first > last) first = last;
  return {first, last};
}

}  // namespace moka
