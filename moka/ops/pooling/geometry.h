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
    for (int k = g.first(); k < 3; k++) d.push_back(g.axis(k).out);
    return d;
  }
};

// Planes of `rank` axes and their sizes from [batch, channels, ...] or [channels, ...].
Pool pool_planes(const Frame& f, std::span<const int64_t> sizes, int rank);
// kernel_size, stride (None or empty: kernel_size) and padding from arguments `first` and on.
void set_windows(const Frame& f, Pool& p, int first);
// Checks padding and computes the numbers of outputs.
void finish_windows(const Frame& f, Pool& p, bool ceil);
// The numbers of outputs of a pool whose windows share out the input: one for all axes, one for each, or those at the
// end of a whole shape.
Dims output_size_argument(const Frame& f, int i, int rank, int dims);

}  // namespace moka
