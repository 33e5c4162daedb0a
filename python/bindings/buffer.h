// The buffer protocol, both ways.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

const char* buffer_format(DType dtype);  // struct-module code, null where there is none
// A tensor on the memory of any object with the buffer protocol; undefined (no error set) where it has none.
Tensor from_buffer(PyObject* object, bool may_be_read_only);

// The slots of Tensor: NumPy and memoryview read and write the memory in place.
int get_buffer(PyObject* self, Py_buffer* view, int flags);
void release_buffer(PyObject* self, Py_buffer* view);

}  // namespace moka::python
