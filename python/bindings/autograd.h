// Python's side of automatic differentiation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

extern PyMethodDef autograd_functions[];  // _grad_mode, _backward, _grad, ...
int init_autograd(PyObject* module);      // the Node type, custom functions
PyObject* get_grad_fn(PyObject* self, void*);
PyObject* tensor_backward(PyObject* self, PyObject* args, PyObject* keywords);
PyObject* tensor_requires_grad_(PyObject* self, PyObject* args, PyObject* keywords);
PyObject* tensor_retain_grad(PyObject* self, PyObject*);
PyObject* tensor_register_hook(PyObject* self, PyObject* hook);

}  // namespace moka::python
