// The linear algebra family: factorizations, solvers, spectra, norms and functions of matrices.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_LINALG_OPS(OP) \
  OP(linalg_cholesky_ex) OP(linalg_cholesky) OP(cholesky) OP(cholesky_backward) OP(cholesky_solve) \
  OP(cholesky_inverse) OP(linalg_lu_factor_ex) OP(linalg_lu_factor) OP(lu_factor_backward) \
  OP(pivots_to_permutation) OP(lu_unpack) OP(linalg_lu) OP(linalg_qr) OP(qr) OP(qr_backward) OP(geqrf) \
  OP(reflectors_product) OP(linalg_householder_product) OP(orgqr) OP(ormqr) OP(reflectors_times) OP(cholesky_solve_backward) OP(cholesky_inverse_backward) \
  OP(linalg_solve_triangular) OP(solve_triangular_backward) OP(triangular_solve) OP(lu_solve_left) \
  OP(lu_solve_backward) OP(linalg_lu_solve) OP(lu_solve) OP(solve_factored) OP(solve_backward) \
  OP(linalg_solve_ex) OP(linalg_solve) OP(linalg_inv_ex) OP(linalg_inv) OP(inverse) OP(lstsq_parts) OP(linalg_ldl_factor_ex) OP(linalg_ldl_factor) OP(linalg_ldl_solve) \
  OP(lstsq_backward) OP(linalg_lstsq) \
  OP(linalg_eigh) OP(eigh_backward) OP(linalg_eigvalsh) OP(linalg_eig) OP(eig_backward) OP(linalg_eigvals) \
  OP(svd_backward) OP(linalg_svd) OP(svd) OP(linalg_svdvals) \
  OP(linalg_det) OP(det) OP(det_backward) OP(linalg_slogdet) OP(slogdet) OP(slogdet_backward) OP(logdet) \
  OP(linalg_pinv) OP(linalg_pinv_rtol) OP(pinverse) OP(pinv_backward) OP(linalg_matrix_rank) \
  OP(linalg_matrix_rank_tolerances) OP(linalg_matrix_power) OP(matrix_power) OP(linalg_matrix_exp) OP(matrix_exp) OP(linalg_cond) \
  OP(linalg_vector_norm) OP(vector_norm_backward) OP(linalg_matrix_norm) OP(linalg_norm) \
  OP(norm) OP(linalg_tensorinv) OP(linalg_tensorsolve) OP(linalg_vander)
// clang-format on
MOKA_LINALG_OPS(MOKA_DECLARE_OP)
