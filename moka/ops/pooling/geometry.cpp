// Reading the arguments of pooling operators.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pooling/geometry.h"

namespace moka {

Pool pool_planes(const Frame& f, std::span<const int64_t> sizes) {
  MOKA_CHECK(sizes.size() == 3 || sizes.size() == 4, f.name(),
             ": input must have shape [batch, channels, height, width] or [channels, height, width], got ",
             sizes);
  checked_numel(sizes, "pooling");
  Pool p;
  p.leading = Dims(sizes.first(sizes.size() - 2));
  p.g.planes = checked_numel(p.leading, "pooling");
  p.g.y.in = sizes[sizes.size() - 2];
  p.g.x.in = sizes[sizes.size() - 1];
  MOKA_CHECK(p.g.y.in > 0 && p.g.x.in > 0, f.name(),
             ": input must not be empty in height and width, got shape ", sizes);
  return p;
}

void set_windows(const Frame& f, Pool& p, int first) {
  Pair kernel = pair_argument(f, first, 1);
  Pair stride = ints_argument(f, first + 1).empty() ? kernel : pair_argument(f, first + 1, 1);
  Pair padding = pair_argument(f, first + 2, 0);
  p.g.y.kernel = kernel.h, p.g.x.kernel = kernel.w;
  p.g.y.stride = stride.h, p.g.x.stride = stride.w;
  p.g.y.padding = padding.h, p.g.x.padding = padding.w;
}

void finish_windows(const Frame& f, Pool& p, bool ceil) {
  auto reach = [](const Axis& a) {
    return checked_add(checked_mul(a.kernel - 1, a.dilation, "pooling"), 1, "pooling");
  };
  MOKA_CHECK_KIND(Value, p.g.y.padding <= reach(p.g.y) / 2 && p.g.x.padding <= reach(p.g.x) / 2, f.name(),
                  ": padding must be at most half of the window, got padding [", p.g.y.padding, ", ",
                  p.g.x.padding, "] for kernel_size [", p.g.y.kernel, ", ", p.g.x.kernel, "]");
  p.g.y.out = window_outputs(f, "height", p.g.y, ceil);
  p.g.x.out = window_outputs(f, "width", p.g.x, ceil);
}

}  // namespace moka
