// Runs formulas over tensors: promotion, broadcasting, tiles for strided and narrow types, threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/schema/frame.h"

namespace moka {

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
