// The gradients of fused losses written with operators, for second derivatives; arguments are those of the operators of
// the same names.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

namespace moka::ops {

void cross_entropy_gradient(const Any* in, Any* out);
void binary_cross_entropy_with_logits_gradient(const Any* in, Any* out);

}  // namespace moka::ops
