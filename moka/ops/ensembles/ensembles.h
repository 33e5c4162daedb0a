// The ensembles family: decision trees, and the decisions of support vector machines.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_ENSEMBLES_OPS(OP) OP(tree_ensemble) OP(pairwise_coupling)
// clang-format on
MOKA_ENSEMBLES_OPS(MOKA_DECLARE_OP)
