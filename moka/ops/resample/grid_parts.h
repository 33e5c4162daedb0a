// The gradients of grid_sample in differentiable operators.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/value.h"

namespace moka::ops {

// The body of grid_sample_backward: arguments and results are those of the operator.
void grid_gradient_parts(const Any* in, Any* out);

}  // namespace moka::ops
