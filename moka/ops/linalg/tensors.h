// Short names for what formulas about matrices say, on tensors: adjoints, triangles, diagonals. All are differentiable.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/tensor/tensor.h"

namespace moka::ops::matrix {

Tensor mT(const Tensor& a);  // last two dimensions exchanged
Tensor mH(const Tensor& a);  // and conjugated
Tensor tril(const Tensor& a, int64_t offset = 0);  // zeros above the diagonal moved up by offset
Tensor triu(const Tensor& a, int64_t offset = 0);
Tensor identity(const Tensor& like, int64_t n, int64_t m = -1);  // in the type of `like`
Tensor diagonal_of(const Tensor& a);  // [..., min(m, n)]
Tensor diagonal_matrix(const Tensor& v);  // [..., n, n]
Tensor columns(const Tensor& a, int64_t first, int64_t count);  // of the last dimension
Tensor rows(const Tensor& a, int64_t first, int64_t count);  // of the dimension before
Tensor real_part(const Tensor& a);  // itself where it is real
Tensor imaginary_part(const Tensor& a);  // complex tensors only
// P of A = P L U, n x n, from the row exchanges of a factorization.
Tensor permutation_matrix(const Tensor& pivots, int64_t n, const Tensor& like);
bool records(std::initializer_list<Tensor> operands);  // whether results enter the tape or may have tangents

}  // namespace moka::ops::matrix
