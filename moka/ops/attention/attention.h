// The attention family.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_ATTENTION_OPS(OP) \
  OP(attention) OP(attention_backward) OP(attention_mask_backward)
// clang-format on
MOKA_ATTENTION_OPS(MOKA_DECLARE_OP)
