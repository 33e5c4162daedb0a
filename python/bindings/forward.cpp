// Forward mode for Python: levels, and tensors with tangents.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/forward.h"

#include <bit>

#include "python/bindings/autograd.h"
#include "python/bindings/convert.h"

namespace moka::python {

namespace {
PyObject* py_open(PyObject*, PyObject*) {
  return guarded([] { return PyLong_FromLong(autograd::open_forward_level()); });
}
PyObject* py_close(PyObject*, PyObject*) {
  return guarded([] {
    autograd::close_forward_level();
    Py_RETURN_NONE;
  });
}
PyObject* py_levels(PyObject*, PyObject*) { return PyLong_FromLong(autograd::forward_levels()); }
PyObject* py_dual(PyObject*, PyObject* args) {
  PyObject *primal, *tangent;
  int level;
  if (!PyArg_ParseTuple(args, "OOi", &primal, &tangent, &level)) return nullptr;
  return guarded([&] {
    return wrap(autograd::make_dual(tensor_argument(primal, "make_dual"),
                                    tensor_argument(tangent, "make_dual"), level));
  });
}
PyObject* py_tangent(PyObject*, PyObject* args) {
  PyObject* t;
  int level;
  if (!PyArg_ParseTuple(args, "Oi", &t, &level)) return nullptr;
  return guarded([&] {
    Tensor found = autograd::tangent_of(tensor_argument(t, "unpack_dual"), level);
    return found ? wrap(found) : Py_NewRef(Py_None);
  });
}
PyObject* py_without(PyObject*, PyObject* args) {
  PyObject* t;
  int level;
  if (!PyArg_ParseTuple(args, "Oi", &t, &level)) return nullptr;
  return guarded([&] { return wrap(autograd::without_tangent(tensor_argument(t, "unpack_dual"), level)); });
}
PyObject* py_set_tangent(PyObject*, PyObject* args) {
  PyObject *t, *tangent;
  int level, written;
  if (!PyArg_ParseTuple(args, "OOip", &t, &tangent, &level, &written)) return nullptr;
  return guarded([&] {
    autograd::BelowLevel below(level);
    const Tensor& target = tensor_argument(t, "jvp");
    Tensor value = tangent == Py_None ? Tensor() : tensor_argument(tangent, "jvp");
    if (written) autograd::write_tangent(target, level, std::move(value));
    else autograd::set_tangent(target, level, std::move(value));
    Py_RETURN_NONE;
  });
}
PyObject* py_level_of(PyObject*, PyObject* values) {
  return guarded([&] {
    uint64_t found = 0;
    if (autograd::forward_active() && !inference_mode)
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(values); i++)
        if (PyObject* v = PyTuple_GET_ITEM(values, i); is_tensor(v))
          found |= autograd::tangent_levels(unwrap(v));
    return PyLong_FromLong(found ? 63 - std::countl_zero(found) : 0);
  });
}
PyObject* py_hide(PyObject*, PyObject* level) {
  const long number = PyLong_AsLong(level);
  if (PyErr_Occurred()) return nullptr;
  return guarded([&] {
    MOKA_CHECK_KIND(Value, 0 < number && number < 64, "_hide_level: expected a level from 1 to 63, got ",
                    static_cast<int64_t>(number));
    return PyLong_FromUnsignedLongLong(autograd::hide_level(static_cast<int>(number)));
  });
}
PyObject* py_show(PyObject*, PyObject* visible) {
  const unsigned long long mask = PyLong_AsUnsignedLongLong(visible);
  if (PyErr_Occurred()) return nullptr;
  autograd::show_levels(mask);
  Py_RETURN_NONE;
}
PyObject* py_detach(PyObject*, PyObject* t) {
  return guarded([&] { return wrap(autograd::detach_from_tape(tensor_argument(t, "detach"))); });
}
PyObject* py_set_enabled(PyObject*, PyObject* on) {
  const int enabled = PyObject_IsTrue(on);
  return enabled < 0 ? nullptr : PyBool_FromLong(autograd::set_forward_enabled(enabled));
}
PyObject* py_enabled(PyObject*, PyObject*) { return PyBool_FromLong(autograd::forward_enabled()); }

PyMethodDef methods[] = {
    {"_forward_open", py_open, METH_NOARGS, "Opens a level of forward mode; returns its number."},
    {"_forward_close", py_close, METH_NOARGS, "Closes the innermost level with all its tangents."},
    {"_forward_levels", py_levels, METH_NOARGS, "How many levels are open."},
    {"_make_dual", py_dual, METH_VARARGS, "(primal, tangent, level): primal with a tangent."},
    {"_tangent", py_tangent, METH_VARARGS, "(tensor, level): its tangent, or None."},
    {"_without_tangent", py_without, METH_VARARGS, "(tensor, level): the tensor without its tangent."},
    {"_set_tangent", py_set_tangent, METH_VARARGS,
     "(tensor, tangent or None, level, whether the tensor was written in place)."},
    {"_tangent_level", py_level_of, METH_O, "The innermost visible level of a tuple of arguments, or 0."},
    {"_hide_level", py_hide, METH_O, "Hides a level and those inside it; returns what was visible."},
    {"_show_levels", py_show, METH_O, "Shows again what _hide_level hid."},
    {"_detach_from_tape", py_detach, METH_O, "detach() that keeps tangents."},
    {"_set_forward_enabled", py_set_enabled, METH_O, "Whether calls look for tangents; returns what was."},
    {"_is_fwd_grad_enabled", py_enabled, METH_NOARGS, "Whether calls look for tangents."},
    {nullptr, nullptr, 0, nullptr}};
}  // namespace

int init_forward(PyObject* module) { return PyModule_AddFunctions(module, methods); }

}  // namespace moka::python
