// The list of subclasses with __torch_function__, and the switches of this thread.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/overrides.h"

#include <algorithm>
#include <unordered_set>

#include "moka/base/thread_local.h"

namespace moka::python {

MOKA_THREAD_LOCAL int function_modes = 0;
bool overriding_types = false;

namespace {
MOKA_THREAD_LOCAL int disabled = 0;
std::unordered_set<PyObject*>& types() {  // each is kept alive
  static auto* set = new std::unordered_set<PyObject*>;
  return *set;
}

bool overrides(PyObject* o) {
  if (Py_TYPE(o) == tensor_type) return false;
  return any_inside(o, [](PyObject* entry) {
    return is_tensor(entry) && types().contains(reinterpret_cast<PyObject*>(Py_TYPE(entry)));
  });
}

PyObject* add_overriding(PyObject*, PyObject* type) {
  if (types().insert(type).second) Py_INCREF(type);
  overriding_types = true;
  Py_RETURN_NONE;
}
PyObject* is_overriding(PyObject*, PyObject* type) {
  return PyBool_FromLong(!disabled && types().contains(type));
}
// Sets a switch to the number given, or leaves it; what it was before.
PyObject* switched(PyObject* args, int& value) {
  int next = value;
  const int before = value;
  if (!PyArg_ParseTuple(args, "|i", &next)) return nullptr;
  value = next;
  return PyLong_FromLong(before);
}
PyObject* overrides_disabled(PyObject*, PyObject* args) { return switched(args, disabled); }
PyObject* active_modes(PyObject*, PyObject* args) { return switched(args, function_modes); }

PyMethodDef functions[] = {
    {"_add_overriding", add_overriding, METH_O, "Calls with values of this type are left to it."},
    {"_is_overriding", is_overriding, METH_O, "Whether calls with values of this type are left to it now."},
    {"_overrides_disabled", overrides_disabled, METH_VARARGS, "Whether no calls are left to types."},
    {"_function_modes", active_modes, METH_VARARGS, "How many modes watch the calls of this thread."},
    {nullptr, nullptr, 0, nullptr}};
}  // namespace

bool holds_overriding(PyObject* const* args, Py_ssize_t count) {
  return !disabled && std::any_of(args, args + count, overrides);
}

int init_overrides(PyObject* module) { return PyModule_AddFunctions(module, functions); }

}  // namespace moka::python
