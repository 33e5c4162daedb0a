// Calling operators from Python.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/bind.h"

namespace moka::python {

// Calls by positional and keyword arguments; `in_place` writes the result into the first argument. `function` is
// what a type with __torch_function__ is told of; it may be null.
PyObject* call_group(const OpGroup& group, bool in_place, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords, PyObject* function = nullptr);
PyObject* wrap_outputs(const Op& op, Frame& frame);

// Adds functions to the module and methods to the Tensor type for every operator of the registry.
int init_operators(PyObject* module);

}  // namespace moka::python
