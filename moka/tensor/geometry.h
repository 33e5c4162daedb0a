// Changing what a tensor object itself shows: resize_, transpose_ and others that keep the object.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/tensor/tensor.h"

namespace moka {

// `target` shows from now on what `source` shows: memory, sizes, strides and type.
void take_geometry(const Tensor& target, const Tensor& source);

}  // namespace moka
