// clamp and its relatives with tensors as bounds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_BOUNDS_OPS(OP) \
  OP(clamp_tensors) OP(clamp_min_tensor) OP(clamp_max_tensor) OP(clamp_lower_tensor) OP(clamp_upper_tensor)
// clang-format on
MOKA_BOUNDS_OPS(MOKA_DECLARE_OP)
