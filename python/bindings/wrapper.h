// Tensors whose operators run in Python: subclasses with __torch_dispatch__, and modes that see every call.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include "moka/tensor/wrapper.h"
#include "python/bindings/tensor_object.h"

namespace moka::python {

// The Python object of another handle on what a wrapper stands for: of its class, with the same attributes. Null where
// the tensor has memory of its own.
PyObject* wrap_stand_in(const Tensor& t);
// What a wrapper's class gives for its one element, a new reference; null where nobody answers.
PyObject* wrapper_number(const Tensor& t);
// The device that a wrapper says it is on; of other tensors theirs.
Device shown_device(const Tensor& t);
void bind_wrapper(nanobind::module_& m);

}  // namespace moka::python
