// Terms of losses: what is summed or averaged afterwards, one formula each, and the losses that need loops of their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_LOSS_TERMS(OP) \
  OP(smooth_l1_terms) OP(huber_terms) OP(binary_cross_entropy_terms) OP(soft_margin_terms) OP(kl_div_terms) \
  OP(kl_div_log_terms) OP(multi_margin_terms) OP(multi_margin_backward) OP(multilabel_margin_terms) \
  OP(multilabel_margin_backward) OP(ctc_terms) OP(ctc_backward)
// clang-format on
MOKA_LOSS_TERMS(MOKA_DECLARE_OP)
