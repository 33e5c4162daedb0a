// Batched matrix products over strided memory: what all operators of this family run on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/base/small_vector.h"
#include "moka/schema/frame.h"
#include "moka/tensor/tensor.h"

namespace moka {

// One operand, or the result, of a batched product; a batch stride of 0 repeats it.
struct Matrices {
  void* data = nullptr;
  Dims batch_strides;
  int64_t row = 0, column = 0;
};

// result[batch, m, n] = a[batch, m, k] b[batch, k, n], summed over batch dimensions in which the result is repeated. The
// columns of the result lie together. dtype: float32, float64, int64 or complex.
void batched_product(DType dtype, std::span<const int64_t> batch, int64_t m, int64_t n, int64_t k,
                     const Matrices& a, const Matrices& b, const Matrices& result);

// The last two dimensions of t as a matrix, the others broadcast against `batch`; a tensor of rank 1 is a row, or a
// column when `as_column`.
Matrices as_matrices(const Tensor& t, size_t batch_dims, bool as_column);
Matrices transposed(Matrices m);

// Arguments a and b of a product must be tensors of one type that can be multiplied.
void check_factors(const Frame& f, int a, int b);

}  // namespace moka
