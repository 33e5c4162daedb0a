// Conversion of boxed values between Python and graphs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include <span>
#include <string_view>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::python {

Any any_from_python(nanobind::handle o);       // tensors, numbers, strings, dtypes, lists of them
nanobind::object any_to_python(const Any& a);
graph::Source python_source();  // the innermost Python line outside the moka package
// Tells this thread's profile that the program asks for a tensor's value (graph_tools.cpp).
void profile_value(const Tensor& t, const char* what);
// Runs a part of a graph that stayed Python.
std::vector<Any> run_segment(std::string_view name, std::span<const Any> inputs);  // capture.cpp

}  // namespace moka::python
