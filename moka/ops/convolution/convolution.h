// The convolution family: two-dimensional convolution, its gradients and its transpose.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_CONVOLUTION_OPS(OP) \
  OP(conv2d) OP(conv2d_backward_input) OP(conv2d_backward_weight) OP(conv_transpose2d)
// clang-format on
MOKA_CONVOLUTION_OPS(MOKA_DECLARE_OP)
