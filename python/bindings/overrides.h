// Which calls are left to others: to modes, and to subclasses of Tensor with __torch_function__.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

extern thread_local int function_modes __attribute__((tls_model("initial-exec")));  // how many are active
extern bool overriding_types;            // whether a subclass was ever registered
// Whether one of the arguments, or of the entries of their lists, is of a registered subclass while none are disabled.
bool holds_overriding(PyObject* const* args, Py_ssize_t count);

inline bool is_overridden(PyObject* const* args, Py_ssize_t count) {
  if (__builtin_expect(function_modes, 0)) return true;
  return __builtin_expect(overriding_types, 0) && holds_overriding(args, count);
}

// Whether a value that is no tensor has __torch_function__.
inline bool is_stand_in(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  return type->tp_flags & Py_TPFLAGS_HEAPTYPE && !is_tensor(o) &&
         PyObject_HasAttrString(reinterpret_cast<PyObject*>(type), "__torch_function__");
}

// Whether a value, or an entry of its lists and tuples at any depth, is one that `matches`. Lists may hold themselves, and
// looking at a value may run code that changes the list it is in.
template <class Matches>
bool any_inside(PyObject* o, Matches matches, int depth = 0) {
  constexpr int deepest = 64;
  if (!PyList_Check(o) && !PyTuple_Check(o)) return matches(o);
  for (Py_ssize_t i = 0; depth < deepest && i < PySequence_Fast_GET_SIZE(o); i++) {
    const PyRef entry = PyRef::share(PySequence_Fast_GET_ITEM(o, i));
    if (any_inside(entry.get(), matches, depth + 1)) return true;
  }
  return false;
}

inline bool holds_stand_in(PyObject* o) { return any_inside(o, is_stand_in); }

// What modes and the types of arguments make of a call (moka.overrides).
PyObject* hand_over(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* keywords);

int init_overrides(PyObject* module);

}  // namespace moka::python
