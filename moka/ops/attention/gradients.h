// The gradients of attention written with operators, for second derivatives.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

namespace moka::ops {

void attention_gradient(const Any* in, Any* out);
void attention_mask_gradient(const Any* in, Any* out);

}  // namespace moka::ops
