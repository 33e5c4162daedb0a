// The random family: draws of a counter-based generator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_RANDOM_OPS(OP) \
  OP(rand) OP(randn) OP(randint) OP(randperm) OP(uniform_) OP(normal_) OP(bernoulli) OP(native_dropout) \
  OP(dropout_backward) OP(multinomial) OP(rand_like) OP(randn_like) OP(randint_like) OP(randint_like_low) \
  OP(normal) OP(normal_float_tensor) OP(normal_size) OP(poisson) OP(exponential_) OP(geometric_) OP(log_normal_) \
  OP(cauchy_) OP(random_) OP(random__to) OP(random__from) OP(bernoulli_) OP(bernoulli_p) OP(dropout) \
  OP(feature_dropout) OP(alpha_dropout) OP(feature_alpha_dropout) OP(_standard_gamma) OP(_standard_gamma_grad) \
  OP(_sample_dirichlet) OP(_dirichlet_grad) OP(binomial) OP(_seeded_numbers)
// clang-format on
MOKA_RANDOM_OPS(MOKA_DECLARE_OP)
