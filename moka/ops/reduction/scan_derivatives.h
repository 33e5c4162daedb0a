// How running results change with their input: the reduction family's third list.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

#define MOKA_SCAN_DERIVATIVE_OPS(OP) OP(cumprod_forward) OP(cumprod_backward_input) OP(logcumsumexp_forward)
MOKA_SCAN_DERIVATIVE_OPS(MOKA_DECLARE_OP)
