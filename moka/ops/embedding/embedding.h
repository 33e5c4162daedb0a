// The embedding family: sums over rows of a table, and gradients in other scales. (Single rows: indexing.)
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_EMBEDDING_OPS(OP) \
  OP(embedding_bag) OP(embedding_bag_backward) OP(embedding_bag_weights_backward) OP(scale_gradient)
// clang-format on
MOKA_EMBEDDING_OPS(MOKA_DECLARE_OP)
