// The loop of a formula over its operands: in place where they lie as the kernel reads them, else through tiles.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/ops/pointwise/types.h"

namespace moka {

constexpr int most_streams = 12;

// Computes `out` from args; tensors[k] is args[k]'s tensor, undefined for numbers.
void run_tiles(const Formula& f, const FormulaPlan& plan, std::span<const Arg> args,
               std::span<const Tensor> tensors, const Tensor& out, const Uniform* uniforms);

}  // namespace moka
