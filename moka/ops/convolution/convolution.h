// The convolution family: convolution over one, two and three axes, its gradients, its transpose, and its windows as a
// matrix.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_CONVOLUTION_OPS(OP) \
  OP(conv1d) OP(conv1d_backward_input) OP(conv1d_backward_weight) OP(conv_transpose1d) \
  OP(conv2d) OP(conv2d_backward_input) OP(conv2d_backward_weight) OP(conv_transpose2d) \
  OP(conv3d) OP(conv3d_backward_input) OP(conv3d_backward_weight) OP(conv_transpose3d) \
  OP(im2col) OP(col2im) OP(leading_corner)
// clang-format on
MOKA_CONVOLUTION_OPS(MOKA_DECLARE_OP)
