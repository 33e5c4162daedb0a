// The parts that fill the extension module.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include "moka/schema/op.h"

namespace moka::python {

nanobind::dict describe_op(const Op& op);   // table.cpp
void bind_graph(nanobind::module_& m);      // graph.cpp
void bind_graph_tools(nanobind::module_& m);  // graph_tools.cpp
void bind_capture(nanobind::module_& m);    // capture.cpp
void bind_formats(nanobind::module_& m);    // formats.cpp
void bind_package(nanobind::module_& m);    // package.cpp
void bind_memory(nanobind::module_& m);     // memory.cpp
void bind_pickle(nanobind::module_& m);     // pickle.cpp
void bind_registries(nanobind::module_& m);  // registries.cpp
void bind_watch(nanobind::module_& m);      // watch.cpp
void bind_all(nanobind::module_& m);        // all of the above

}  // namespace moka::python
