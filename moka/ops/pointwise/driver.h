// Runs formulas over tensors: promotion, broadcasting, tiles for strided and narrow types, threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/schema/frame.h"

namespace moka {

// A formula in a compute type that Formula's table has no column for.
struct FormulaRow {
  DType compute{};  // of the operands
  DType result{};   // what the kernels write unless they write bool bytes
  // Numbers that follow the operands come as uniforms; to complex kernels as two each, real and imaginary part.
  FormulaKernel kernels[isa_count] = {};
};
// Lets the formula of an operator work in another compute type: how complex numbers come in, and any registered type.
// Called while libraries load, before calls run in other threads.
void add_formula_kernels(const Op& op, const FormulaRow& row);

// The formula_runner of dispatch: computes frame.outs[0] (or its shape when frame.infer).
void run_formula(Frame& frame);

// Runs `formula` over operands (tensors or numbers) into a new tensor of `dtype`, or only computes in it; used for fused
// derivatives. All operands are streams.
Tensor apply_formula(const Formula& formula, std::span<const Arg> operands, DType dtype,
                     std::string_view name);

// PyTorch's result type of mixed operands: tensors with dimensions outrank 0-d ones, which outrank numbers, within a
// category (bool, integer, float, complex).
DType result_type(std::span<const Arg> operands);

}  // namespace moka
