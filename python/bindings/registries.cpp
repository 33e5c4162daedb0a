// Attributes of nn.Module: what the registries hold (parameters, buffers, modules) is found without raising, and
// catching, the AttributeError that comes before __getattr__.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>

#include "python/bindings/modules.h"
#include "python/bindings/tensor_object.h"

namespace nb = nanobind;

namespace moka::python {

namespace {
PyObject* names[3];  // of the registries
PyObject* otherwise = nullptr;  // Module.__getattr__, which raises what is missing

// A new reference to what a registry holds; null where none holds it, or where a registry is no plain dict.
PyObject* registered(PyObject* self, PyObject* name) {
  PyRef own = PyRef::steal(PyObject_GenericGetDict(self, nullptr));
  if (!own) return nullptr;
  for (PyObject* registry : names) {
    PyObject* entries = PyDict_GetItemWithError(own.get(), registry);
    if (!entries || !PyDict_CheckExact(entries)) continue;
    if (PyObject* found = PyDict_GetItemWithError(entries, name)) return Py_NewRef(found);
    if (PyErr_Occurred()) return nullptr;
  }
  return nullptr;
}

PyObject* get_attribute(PyObject* self, PyObject* name) {
  PyObject* found = _PyObject_GenericGetAttrWithDict(self, name, nullptr, 1);
  if (!found && !PyErr_Occurred()) found = registered(self, name);
  if (!found && !PyErr_Occurred()) found = PyObject_CallFunctionObjArgs(otherwise, self, name, nullptr);
  return found;
}

// A class sets its slot anew whenever its __getattr__ changes, so that one of a program's own always rules.
void read_registries(nb::type_object cls, nb::object getattr) {
  if (!otherwise) {
    otherwise = getattr.release().ptr();
    names[0] = PyUnicode_InternFromString("_parameters");
    names[1] = PyUnicode_InternFromString("_buffers");
    names[2] = PyUnicode_InternFromString("_modules");
  }
  PyTypeObject* type = reinterpret_cast<PyTypeObject*>(cls.ptr());
  type->tp_getattro = get_attribute;
  PyType_Modified(type);
}
}  // namespace

void bind_registries(nb::module_& m) {
  m.def("_read_registries", read_registries, nb::arg("cls"), nb::arg("getattr"),
        "Attributes of `cls`, a Module whose __getattr__ is `getattr`, are looked up natively.");
}

}  // namespace moka::python
