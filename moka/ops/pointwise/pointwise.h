// The pointwise family: its list of operators and their callables.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_POINTWISE_OPS(OP) \
  OP(add) OP(sub) OP(rsub) OP(mul) OP(div) OP(pow) OP(maximum) OP(minimum) OP(neg) OP(abs) OP(sign) \
  OP(square) OP(sqrt) OP(rsqrt) OP(reciprocal) OP(exp) OP(expm1) OP(log) OP(log1p) OP(sin) OP(cos) \
  OP(erf) OP(tanh) OP(sigmoid) OP(floor) OP(ceil) OP(round) OP(trunc) OP(clamp) OP(clamp_min) \
  OP(clamp_max) OP(relu) OP(leaky_relu) OP(elu) OP(gelu) OP(gelu_tanh) OP(silu) OP(softplus) OP(hardtanh) \
  OP(where) OP(masked_fill) OP(eq) OP(ne) OP(lt) OP(le) OP(gt) OP(ge) OP(isnan) OP(isfinite) \
  OP(logical_not) OP(logical_and) OP(logical_or) OP(logical_xor) OP(lerp) OP(addcmul)
// clang-format on
MOKA_POINTWISE_OPS(MOKA_DECLARE_OP)
