// The indexing family: reads and writes at computed places.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_INDEXING_OPS(OP) \
  OP(index) OP(index_backward) OP(index_put) OP(index_select) OP(gather) OP(scatter) OP(scatter_add) \
  OP(embedding) OP(one_hot) OP(nonzero) OP(gather_corner) OP(index_add_zeros) OP(embedding_backward) \
  OP(index_put_backward)
// clang-format on
MOKA_INDEXING_OPS(MOKA_DECLARE_OP)
