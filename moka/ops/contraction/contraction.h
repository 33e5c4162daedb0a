// The contraction family: sums of products over dimensions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_CONTRACTION_OPS(OP) \
  OP(dot) OP(vdot) OP(linalg_vecdot) OP(inner) OP(outer) OP(ger) OP(mv) OP(addmv) OP(addr) OP(addbmm) OP(baddbmm) \
  OP(chain_matmul) OP(linalg_multi_dot) OP(kron) OP(cross) OP(linalg_cross) OP(tensordot) OP(einsum)
// clang-format on
MOKA_CONTRACTION_OPS(MOKA_DECLARE_OP)
