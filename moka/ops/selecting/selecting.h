// The selecting family: writes at indices and masks, reductions into places, searches in sorted tensors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_SELECTING_OPS(OP) \
  OP(index_add) OP(index_copy) OP(index_fill) OP(index_reduce) OP(scatter_reduce) OP(scatter_reduce_backward) \
  OP(scatter_value) OP(scatter_reduced) OP(masked_scatter) OP(masked_scatter_backward) OP(masked_select) OP(take) \
  OP(put) OP(take_along_dim) OP(argwhere) OP(nonzero_static) OP(searchsorted) OP(bucketize) OP(isin) \
  OP(kthvalue) OP(argsort) OP(msort) OP(non_max_suppression)
// clang-format on
MOKA_SELECTING_OPS(MOKA_DECLARE_OP)
