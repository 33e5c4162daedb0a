// Size: a tuple of ints with numel(), the type of a tensor's shape.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "python/bindings/tensor_object.h"

namespace moka::python {

extern PyTypeObject* size_type;  // moka.Size

PyObject* make_size(std::span<const int64_t> sizes);
// Creates the type and adds it to the module. -1 and a Python error on failure.
int init_size_type(PyObject* module);

}  // namespace moka::python
