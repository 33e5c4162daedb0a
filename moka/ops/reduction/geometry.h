// Which dimensions a reduction runs over, and how the input is cut into [outer, reduced, inner] stages.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/kernels/arguments.h"

namespace moka {

using DimSet = uint64_t;  // bit d: dimension d

// int[]? dim: None and the empty list mean all. Repeated or impossible dimensions are errors.
DimSet dims_argument(const Frame& f, int i, int ndim);
// int? dim of argmax and its like: the one dimension, or all for None.
DimSet dim_or_all_argument(const Frame& f, int i, int ndim);
Dims reduced_sizes(std::span<const int64_t> sizes, DimSet dims, bool keepdim);
int64_t reduced_count(std::span<const int64_t> sizes, DimSet dims);

// A contiguous tensor seen as [outer, count, inner], `count` being reduced.
struct Stage {
  int64_t outer = 1, count = 1, inner = 1;
};
// The stages whose reduction one after the other, each on the result of the one before, reduces `dims`; the innermost
// dimensions come first. One stage where the dimensions lie side by side.
SmallVector<Stage, 4> reduction_stages(std::span<const int64_t> sizes, DimSet dims);

// t with the dimensions of the set moved behind the others, contiguous: [outer, count] for reductions that see all
// elements at once.
Tensor with_dims_last(const Tensor& t, DimSet dims);

}  // namespace moka
