// vmap for Python: levels, and tensors that stand for a whole batch.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/batch.h"

#include "python/bindings/autograd.h"
#include "python/bindings/convert.h"

namespace moka::python {

namespace {
PyObject* py_open(PyObject*, PyObject* args) {
  long long size;
  int randomness, of_tangents = 0;
  if (!PyArg_ParseTuple(args, "Li|p", &size, &randomness, &of_tangents)) return nullptr;
  return PyLong_FromLong(
      autograd::open_batch_level(size, static_cast<autograd::Randomness>(randomness), of_tangents));
}
PyObject* py_close(PyObject*, PyObject*) {
  autograd::close_batch_level();
  Py_RETURN_NONE;
}
PyObject* py_add(PyObject*, PyObject* args) {
  PyObject* t;
  int dim, level;
  if (!PyArg_ParseTuple(args, "Oii", &t, &dim, &level)) return nullptr;
  return guarded([&] { return wrap(autograd::add_batch(tensor_argument(t, "vmap"), dim, level)); });
}
PyObject* py_remove(PyObject*, PyObject* args) {
  PyObject* t;
  int dim, level;
  if (!PyArg_ParseTuple(args, "Oii", &t, &dim, &level)) return nullptr;
  return guarded([&] { return wrap(autograd::remove_batch(tensor_argument(t, "vmap"), dim, level)); });
}
PyObject* py_add_all(PyObject*, PyObject* t) {
  return guarded([&] { return wrap(autograd::add_all_batches(tensor_argument(t, "vmap"))); });
}
PyObject* py_level(PyObject*, PyObject* t) {
  return guarded([&] { return PyLong_FromLong(autograd::batch_level(tensor_argument(t, "vmap"))); });
}

PyMethodDef methods[] = {
    {"_vmap_open", py_open, METH_VARARGS, "Opens a level for batches of a size; returns its number."},
    {"_vmap_close", py_close, METH_NOARGS, "Closes the innermost level."},
    {"_vmap_add", py_add, METH_VARARGS, "(tensor, dim, level): one element of the batch, as vmap shows it."},
    {"_vmap_remove", py_remove, METH_VARARGS, "(tensor, dim, level): the whole batch again."},
    {"_vmap_add_all", py_add_all, METH_O, "The tensor with the batch of every open level."},
    {"_vmap_level", py_level, METH_O, "The level of a batched tensor, 0 for others."},
    {nullptr, nullptr, 0, nullptr}};
}  // namespace

int init_batch(PyObject* module) { return PyModule_AddFunctions(module, methods); }

}  // namespace moka::python
