// The fused family: operators that the fusion passes make for inference; no front end calls them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_FUSED_OPS(OP) \
  OP(conv2d_fused) OP(linear_fused) OP(fused_region) OP(fused_region_all)
// clang-format on
MOKA_FUSED_OPS(MOKA_DECLARE_OP)
