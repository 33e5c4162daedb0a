// The reduction family: sums, extrema, moments, scans and order along dimensions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_REDUCTION_OPS(OP) \
  OP(sum) OP(mean) OP(mean_backward) OP(prod) OP(prod_backward) OP(amax) OP(amin) OP(max) OP(max_other) \
  OP(max_dim) OP(min) OP(min_other) OP(min_dim) OP(argmax) OP(argmin) OP(any) OP(all) OP(var) \
  OP(var_backward) OP(var_mean) OP(std) OP(std_mean) OP(logsumexp) OP(cumsum) OP(cumsum_backward) \
  OP(sort) OP(topk) \
  OP(reduction_expand) OP(take_selected) OP(put_selected)
// clang-format on
MOKA_REDUCTION_OPS(MOKA_DECLARE_OP)
