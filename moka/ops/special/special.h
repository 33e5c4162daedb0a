// The special family: gamma, error, Bessel and zeta functions, orthogonal polynomials.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_SPECIAL_OPS(OP) \
  OP(erfc) OP(erfinv) OP(special_erfcx) OP(special_ndtr) OP(special_log_ndtr) OP(special_ndtri) \
  OP(special_entr) OP(lgamma) OP(digamma) OP(polygamma) OP(polygamma_at) OP(mvlgamma) \
  OP(mvlgamma_slope) OP(special_zeta) OP(igamma) OP(igammac) OP(i0) OP(special_i0e) OP(special_i1) OP(special_i1e) OP(special_modified_bessel_k0) \
  OP(special_modified_bessel_k1) OP(special_scaled_modified_bessel_k0) \
  OP(special_scaled_modified_bessel_k1) OP(special_bessel_j0) OP(special_bessel_j1) OP(special_bessel_y0) \
  OP(special_bessel_y1) OP(special_spherical_bessel_j0) OP(special_airy_ai) OP(airy_ai_slope) OP(special_chebyshev_polynomial_t) \
  OP(special_chebyshev_polynomial_u) OP(special_chebyshev_polynomial_v) OP(special_chebyshev_polynomial_w) \
  OP(special_hermite_polynomial_h) OP(special_hermite_polynomial_he) OP(special_laguerre_polynomial_l) \
  OP(special_legendre_polynomial_p)
// clang-format on
MOKA_SPECIAL_OPS(MOKA_DECLARE_OP)
