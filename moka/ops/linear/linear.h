// The linear family: matrix products and their gradients.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_LINEAR_OPS(OP) \
  OP(matmul) OP(matmul_backward_input) OP(matmul_backward_other) OP(mm) OP(bmm) OP(addmm) OP(linear) \
  OP(linear_backward_input) OP(linear_backward_weight)
// clang-format on
MOKA_LINEAR_OPS(MOKA_DECLARE_OP)
