// The body of an operator that has kernels too: where a gradient of the result is wanted, its parts run instead.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka {

// Whether kernels or a formula compute the operator; a body beside them is only for what has to see its parts.
inline bool has_kernels(const Op& op) { return op.shape || op.formula; }
// Calls the parts, and writes their results where outputs were given.
void run_body(Frame& frame);

}  // namespace moka
