// The random family: draws of a counter-based generator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_RANDOM_OPS(OP) \
  OP(rand) OP(randn) OP(randint) OP(randperm) OP(uniform_) OP(normal_) OP(bernoulli) OP(native_dropout) \
  OP(dropout_backward) OP(multinomial)
// clang-format on
MOKA_RANDOM_OPS(MOKA_DECLARE_OP)
