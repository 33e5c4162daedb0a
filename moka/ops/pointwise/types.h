// Which element types a call of a formula computes in, and with which kernel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "moka/ops/pointwise/driver.h"

namespace moka {

struct FormulaPlan {
  FormulaKernel kernel;
  DType compute;  // the type of tiles
  DType common;  // of the operands; compute may be wider
  DType written;  // what the kernel writes, unless mask
  DType result;  // the element type of the output
  bool mask;  // the kernel writes bool bytes
};

// The kernel of a power with this exponent, where there is a shorter one than the power's own; else null.
FormulaKernel power_kernel(double exponent, int isa, int column);
std::string_view power_text(double exponent, int column);  // its text, or nothing

// Whether numbers beside operands of this type are rounded to it: PyTorch makes tensors of them, except in products,
// quotients and lerp.
bool rounds_numbers(const Op& op, DType common);
// A number as an element of `dtype`; what is none stays as it is.
Arg rounded_number(const Arg& a, DType dtype);
// Types and kernel for the operands of a call; `name` is for the errors.
FormulaPlan plan_types(const Op& op, std::span<const Arg> operands, std::string_view name);
// The same for operands that are all converted to `dtype`, which is the result's type too.
FormulaPlan plan_types(const Formula& formula, DType dtype, std::string_view name);

}  // namespace moka
