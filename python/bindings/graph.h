// Conversion of boxed values between Python and graphs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include "moka/schema/value.h"

namespace moka::python {

Any any_from_python(nanobind::handle o);       // tensors, numbers, strings, dtypes, lists of them
nanobind::object any_to_python(const Any& a);

}  // namespace moka::python
