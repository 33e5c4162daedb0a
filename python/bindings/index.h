// x[...] and x[...] = v.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

PyObject* get_item(PyObject* self, PyObject* key);
int set_item(PyObject* self, PyObject* key, PyObject* value);

}  // namespace moka::python
