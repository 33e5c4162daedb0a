// The creation family: tensors from sizes and numbers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_CREATION_OPS(OP) \
  OP(empty) OP(zeros) OP(ones) OP(full) OP(arange) OP(linspace) OP(eye) OP(empty_like) OP(zeros_like) \
  OP(ones_like) OP(full_like) OP(zero_) OP(fill_) OP(logspace) OP(empty_strided) OP(empty_permuted) \
  OP(scalar_tensor) OP(tril_indices) OP(triu_indices) OP(new_empty) OP(new_zeros) OP(new_ones) OP(new_full) \
  OP(new_empty_strided)
// clang-format on
MOKA_CREATION_OPS(MOKA_DECLARE_OP)
