// Reading the arguments of pooling operators.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/pooling/kernels.h"

namespace moka {

struct Pool {
  PoolGeometry g;
  Dims leading;  // batch and channels, or channels
  Dims output_sizes() const {
    Dims d = leading;
    d.push_back(g.y.out);
    d.push_back(g.x.out);
    return d;
  }
};

// Planes and their sizes from [batch, channels, height, width] or [channels, height, width].
Pool pool_planes(const Frame& f, std::span<const int64_t> sizes);
// kernel_size, stride (None: kernel_size) and padding from arguments `first` and on.
void set_windows(const Frame& f, Pool& p, int first);
// Checks padding and computes the numbers of outputs.
void finish_windows(const Frame& f, Pool& p, bool ceil);

}  // namespace moka
