// The activation family: functions between layers beyond those of the pointwise family.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_ACTIVATION_OPS(OP) \
  OP(celu) OP(selu) OP(relu6) OP(hardsigmoid) OP(hardswish) OP(hardshrink) OP(softshrink) OP(logsigmoid) \
  OP(mish) OP(softsign) OP(tanhshrink) OP(threshold) OP(prelu_kernel) OP(prelu) OP(channel_view) \
  OP(channel_view_backward) OP(half_along) OP(half_along_backward) OP(glu) OP(softmin)
// clang-format on
MOKA_ACTIVATION_OPS(MOKA_DECLARE_OP)
