// The gradients of normalizations written with operators, for second derivatives; arguments and results are those of
// the operators of the same names.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

namespace moka::ops {

void batch_norm_gradient(const Any* in, Any* out);
void layer_norm_gradient(const Any* in, Any* out);
void group_norm_gradient(const Any* in, Any* out);
void rms_norm_gradient(const Any* in, Any* out);

}  // namespace moka::ops
