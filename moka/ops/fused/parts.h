// What follows a convolution or a linear layer in a fused operator: activation(result + addend).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka::ops {

// The operator that an argument names, null for "none"; other names are errors that list these.
const Op* activation_of(const Frame& f, int argument);
// Its kernel over contiguous float32, null for "none".
FormulaKernel activation_kernel(const Frame& f, int argument);
// Argument `addend` as it is before the result is written, which may lie in the same memory; undefined where not given.
Tensor addend_of(const Frame& f, int addend);
// Adds it to the result in place and applies the activation that the argument behind it names.
void finish_fused(Frame& f, const Tensor& addend, int activation);

}  // namespace moka::ops
