// What the operator pages of this family share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/define.h"
#include "moka/ops/reduction/geometry.h"
#include "moka/ops/reduction/kernels.h"
#include "moka/ops/reduction/reduction.h"

namespace moka {

// Runs all stages of a reduction; x has a kernel type, out has its dtype and outer * inner elements of the last stage.
void reduce_tensor(Reduce what, const Tensor& x, DimSet dims, const Tensor& out);
// The elements of a reduction of a tensor without elements; an error where the reduction has no neutral element.
void check_not_empty(const Frame& f, std::span<const int64_t> sizes, DimSet dims);

}  // namespace moka
