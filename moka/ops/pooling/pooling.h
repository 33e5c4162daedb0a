// The pooling family: maxima and means over sliding windows of images.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_POOLING_OPS(OP) \
  OP(max_pool2d) OP(max_pool2d_with_indices) OP(max_pool2d_backward) OP(max_pool2d_select) OP(avg_pool2d) \
  OP(avg_pool2d_backward) OP(adaptive_avg_pool2d) OP(adaptive_avg_pool2d_backward)
// clang-format on
MOKA_POOLING_OPS(MOKA_DECLARE_OP)
