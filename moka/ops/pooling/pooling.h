// The pooling family: maxima and means over windows of signals, images and volumes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_POOLING_OPS(OP) \
  OP(max_pool1d) OP(max_pool1d_with_indices) OP(max_pool1d_backward) OP(max_pool1d_select) \
  OP(max_pool2d) OP(max_pool2d_with_indices) OP(max_pool2d_backward) OP(max_pool2d_select) \
  OP(max_pool3d) OP(max_pool3d_with_indices) OP(max_pool3d_backward) OP(max_pool3d_select) \
  OP(avg_pool1d) OP(avg_pool1d_backward) OP(adaptive_avg_pool1d) OP(adaptive_avg_pool1d_backward) \
  OP(avg_pool2d) OP(avg_pool2d_backward) OP(adaptive_avg_pool2d) OP(adaptive_avg_pool2d_backward) \
  OP(avg_pool3d) OP(avg_pool3d_backward) OP(adaptive_avg_pool3d) OP(adaptive_avg_pool3d_backward) \
  OP(adaptive_max_pool1d) OP(adaptive_max_pool2d) OP(adaptive_max_pool3d) \
  OP(fractional_max_pool2d) OP(fractional_max_pool3d) OP(plane_take) OP(plane_put)
// clang-format on
MOKA_POOLING_OPS(MOKA_DECLARE_OP)
