// The loss family.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_LOSS_OPS(OP) \
  OP(cross_entropy) OP(cross_entropy_backward) OP(nll_loss) OP(nll_loss_backward) OP(mse_loss) \
  OP(l1_loss) OP(binary_cross_entropy_with_logits) OP(binary_cross_entropy_with_logits_backward) \
  OP(reduce_loss) OP(expand_loss)
// clang-format on
MOKA_LOSS_OPS(MOKA_DECLARE_OP)
