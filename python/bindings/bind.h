// Binding Python's arguments to the schema of an operator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "python/bindings/arguments.h"

namespace moka::python {

// All operators of one Python name, tried in order.
struct OpGroup {
  std::string name;
  std::vector<const Op*> ops;
};

// What one attempt to bind Python arguments to a schema found.
struct Bound {
  ArgRoom args;                // set where the schema fits
  PyObject* out = nullptr;     // out=
  bool requires_grad = false;  // creation operators
  bool sparse = false;         // creation operators: layout= names a sparse one
  bool in_place = false;       // for messages: the name ends in _
  std::string error;           // why it did not fit; only filled for report_mismatch
};

// Whether the arguments fit the operator's schema; `bound` borrows from them and from `scratch`.
bool bind(const Op& op, PyObject* const* args, Py_ssize_t count, PyObject* keywords, Bound& bound,
          Scratch& scratch);
// Throws the TypeError that says of each operator why the arguments do not fit it.
[[noreturn]] void report_mismatch(const OpGroup& group, PyObject* const* args, Py_ssize_t count,
                                  PyObject* keywords);

bool is_creation(const Schema& schema);  // takes dtype and device

}  // namespace moka::python
