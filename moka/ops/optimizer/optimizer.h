// The optimizer family: one step for a whole list of parameters, in place.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_OPTIMIZER_OPS(OP) \
  OP(sgd_step_) OP(adam_step_) OP(rmsprop_step_) OP(adagrad_step_)
// clang-format on
MOKA_OPTIMIZER_OPS(MOKA_DECLARE_OP)
