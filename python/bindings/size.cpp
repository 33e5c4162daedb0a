// Size: a tuple of ints with numel().
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/size.h"

#include <string>

#include "python/bindings/classes.h"

namespace moka::python {

PyTypeObject* size_type;

namespace {
PyObject* size_repr(PyObject* o) {
  std::string text = shown_module + ".Size([";
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); i++)
    text += cat(i ? ", " : "", static_cast<int64_t>(PyLong_AsLongLong(PyTuple_GET_ITEM(o, i))));
  return PyUnicode_FromString((text + "])").c_str());
}
PyObject* size_numel(PyObject* o, PyObject*) {
  int64_t n = 1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); i++) n *= PyLong_AsLongLong(PyTuple_GET_ITEM(o, i));
  return PyLong_FromLongLong(n);
}
// Parts of a Size, and Sizes put together, are Sizes.
PyObject* as_size(PyObject* tuple) {
  if (!tuple || !PyTuple_Check(tuple)) return tuple;
  const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
  PyObject* result = size_type->tp_alloc(size_type, count);
  for (Py_ssize_t i = 0; result && i < count; i++) {
    PyObject* item = PyTuple_GET_ITEM(tuple, i);
    Py_INCREF(item);
    PyTuple_SET_ITEM(result, i, item);
  }
  Py_DECREF(tuple);
  return result;
}
PyObject* size_subscript(PyObject* o, PyObject* index) {
  PyObject* found = PyTuple_Type.tp_as_mapping->mp_subscript(o, index);
  return PySlice_Check(index) ? as_size(found) : found;
}
PyObject* size_concat(PyObject* a, PyObject* b) {
  return as_size(PyTuple_Type.tp_as_sequence->sq_concat(a, b));
}
PyObject* size_repeat(PyObject* o, Py_ssize_t times) {
  return as_size(PyTuple_Type.tp_as_sequence->sq_repeat(o, times));
}
PyMethodDef size_methods[] = {{"numel", size_numel, METH_NOARGS, "The number of elements."},
                              {nullptr, nullptr, 0, nullptr}};

}  // namespace

PyObject* make_size(std::span<const int64_t> sizes) {
  PyObject* t = size_type->tp_alloc(size_type, static_cast<Py_ssize_t>(sizes.size()));
  if (!t) return nullptr;
  for (size_t i = 0; i < sizes.size(); i++)
    PyTuple_SET_ITEM(t, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(sizes[i]));
  return t;
}

// Entries are ints; what is one by __index__ becomes one.
PyObject* size_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  PyRef made = PyRef::steal(PyTuple_Type.tp_new(type, args, keywords));
  for (Py_ssize_t i = 0; made && i < PyTuple_GET_SIZE(made.get()); i++) {
    PyObject* entry = PyTuple_GET_ITEM(made.get(), i);
    if (PyLong_Check(entry)) continue;
    PyObject* number = PyFloat_Check(entry) ? nullptr : PyNumber_Index(entry);
    if (!number) {
      PyErr_Format(PyExc_TypeError, "Size: expected ints, but entry %zd is %.100s", i,
                   Py_TYPE(entry)->tp_name);
      return nullptr;
    }
    PyTuple_SET_ITEM(made.get(), i, number);
    Py_DECREF(entry);
  }
  return made.release();
}

int init_size_type(PyObject* module) {
  static PyType_Slot size_slots[] = {{Py_tp_base, &PyTuple_Type},
                                     {Py_tp_new, slot(size_new)},
                                     {Py_tp_repr, slot(size_repr)},
                                     {Py_tp_methods, size_methods},
                                     {Py_mp_subscript, slot(size_subscript)},
                                     {Py_sq_concat, slot(size_concat)},
                                     {Py_sq_repeat, slot(size_repeat)},
                                     {Py_tp_doc, slot("The sizes of a tensor: a tuple of ints.")},
                                     {0, nullptr}};
  static PyType_Spec size_spec{"moka.Size", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, size_slots};
  size_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&size_spec));
  if (!size_type || PyModule_AddObjectRef(module, "Size", reinterpret_cast<PyObject*>(size_type)) < 0)
    return -1;
  return 0;
}

}  // namespace moka::python
