// The creation family: tensors from sizes and numbers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_CREATION_OPS(OP) \
  OP(empty) OP(zeros) OP(ones) OP(full) OP(arange) OP(linspace) OP(eye) OP(empty_like) OP(zeros_like) \
  OP(ones_like) OP(full_like) OP(zero_) OP(fill_)
// clang-format on
MOKA_CREATION_OPS(MOKA_DECLARE_OP)
