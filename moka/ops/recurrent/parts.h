// The gradient of a recurrent layer in differentiable operators.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/value.h"

namespace moka::ops {

// The body of rnn_layer_backward: arguments and results are those of the operator.
void rnn_gradient_parts(const Any* in, Any* out);

}  // namespace moka::ops
