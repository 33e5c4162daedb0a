// Tensors as Python numbers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "python/bindings/tensor_object.h"

namespace moka::python {

// What the Tensor type has of the number protocol, and its comparisons.
std::span<const PyType_Slot> number_slots();

}  // namespace moka::python
