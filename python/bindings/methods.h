// Methods of Tensor that are no operators.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

extern PyMethodDef tensor_methods[];

}  // namespace moka::python
