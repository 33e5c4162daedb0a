// Running results along a dimension, order statistics and counts: the reduction family's second list.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_SCAN_OPS(OP) \
  OP(cumprod) OP(cumprod_backward) OP(cummax) OP(cummin) OP(logcumsumexp) \
  OP(logcumsumexp_backward) OP(median) OP(median_dim) OP(nanmedian) OP(nanmedian_dim) OP(mode) \
  OP(bincount) OP(histc) OP(unique_all) OP(trace) OP(trace_backward) OP(nansum) OP(nanmean) \
  OP(count_nonzero) OP(aminmax) OP(var_unbiased) OP(std_unbiased) \
  OP(var_mean_unbiased) OP(std_mean_unbiased) OP(var_all_unbiased) OP(std_all_unbiased) \
  OP(var_mean_all_unbiased) OP(std_mean_all_unbiased) OP(cosine_similarity) OP(cdist) OP(cdist_backward) \
  OP(pdist) OP(pdist_backward)
// clang-format on
MOKA_SCAN_OPS(MOKA_DECLARE_OP)
