// The gradient of prod written with operators, for second derivatives.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

namespace moka::ops {

void prod_gradient(const Any* in, Any* out);

}  // namespace moka::ops
