// The optimizer family: one step for a whole list of parameters, in place.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

#define MOKA_OPTIMIZER_OPS(OP) OP(sgd_step_) OP(adam_step_)
MOKA_OPTIMIZER_OPS(MOKA_DECLARE_OP)
