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

}  // namespace moka::python
