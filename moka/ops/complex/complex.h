// The complex family: parts of complex numbers, and the conjugate that derivatives are written with.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/graph/expr.h"
#include "moka/ops/conj.h"

// clang-format off
#define MOKA_COMPLEX_OPS(OP) \
  OP(conj_physical) OP(resolve_conj) OP(resolve_neg) OP(real) OP(imag) OP(view_as_real) OP(view_as_complex) \
  OP(complex) OP(polar) OP(angle) OP(angle_backward) OP(sgn)
// clang-format on
MOKA_COMPLEX_OPS(MOKA_DECLARE_OP)
