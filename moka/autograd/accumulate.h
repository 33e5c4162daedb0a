// Sums of gradients: on their way, and in .grad.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/tensor/tensor.h"

namespace moka::autograd {

// Adds `g` to what has come so far; a sum that nobody else holds is added to in place.
void accumulate(Tensor& sum, Tensor g, bool create_graph);
// Adds to leaf's .grad.
void accumulate_grad(const Tensor& leaf, Tensor g, bool create_graph);
// Sums a gradient down to the shape it was broadcast from.
Tensor sum_to_shape(const Tensor& gradient, std::span<const int64_t> sizes);
// Zeros of a shape without memory for each of them: one element, shown everywhere.
Tensor zeros_like(const Tensor& shape);
// Whether nobody else holds the tensor or its memory, which is without gaps or repeats: it may be changed or kept.
bool is_own(const Tensor& t);

}  // namespace moka::autograd
