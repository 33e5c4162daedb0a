// Custom functions and hooks of saved tensors for Python.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

extern PyMethodDef function_functions[];  // _begin_function, _finish_function, _push_saved_tensor_hooks, ...
int init_function_node(PyObject* module);

}  // namespace moka::python
