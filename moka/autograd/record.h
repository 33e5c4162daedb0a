// The layer that records calls of operators.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace moka::autograd {

// Called once before anything records: installs the layer.
void install();

}  // namespace moka::autograd
