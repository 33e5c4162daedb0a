// The fused family: operators that the fusion passes make for inference; no front end calls them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_FUSED_OPS(OP) \
  OP(conv2d_fused) OP(linear_fused) OP(pack_linear) OP(linear_packed) OP(fused_region) OP(fused_region_all)
// clang-format on
MOKA_FUSED_OPS(MOKA_DECLARE_OP)

namespace moka {

// Weights of linear_packed: [output blocks, depth, block], where depth is the number of inputs made a multiple of
// packed_depth; zeros behind the last input and the last output.
inline constexpr int64_t packed_depth = 16;

}  // namespace moka
