// Python's side of automatic differentiation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

extern PyMethodDef autograd_functions[];  // _grad_mode, _backward, _grad, ...
int init_batch(PyObject* module);         // vmap's levels
int init_forward(PyObject* module);       // forward mode's levels
int init_autograd(PyObject* module);      // methods of Tensor, nodes, custom functions
PyObject* get_grad_fn(PyObject* self, void*);
PyObject* get_base(PyObject* self, void*);

}  // namespace moka::python
