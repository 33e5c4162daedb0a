// The normalization family: batch, layer, group and root-mean-square normalization, softmax.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_NORMALIZATION_OPS(OP) \
  OP(batch_norm) OP(batch_norm_train) OP(batch_norm_backward) OP(layer_norm) OP(layer_norm_backward) \
  OP(softmax) OP(softmax_backward) OP(log_softmax) OP(log_softmax_backward) OP(group_norm) \
  OP(group_norm_backward) OP(rms_norm) OP(rms_norm_backward)
// clang-format on
MOKA_NORMALIZATION_OPS(MOKA_DECLARE_OP)
