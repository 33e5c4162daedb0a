// Small classes of the module: dtype, device, Generator; and what others need of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "python/bindings/tensor_object.h"

namespace moka {
class Generator;
}

namespace moka::python {

int init_classes(PyObject* module);      // dtype, device, Generator
Generator* generator_value(PyObject* o);  // null when it is none

extern std::string shown_module;  // the package that names are printed with: moka, or torch under compat

// Whether a type's values are reals with a fraction, among them the narrow types that are stored only.
inline bool is_real_type(DType d) {
  return is_floating(d) || (family(d) == DTypeClass::StorageOnly && is_floating(compute_dtype(d)));
}

// Where this thread makes tensors that name no device: `with device(...)`, set_default_device.
extern thread_local Device default_device __attribute__((tls_model("initial-exec")));

}  // namespace moka::python
