// The Python Tensor object on the bare C API, and the conversions between it and moka::Tensor.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "moka/tensor/tensor.h"

namespace moka::python {

struct TensorObject {
  PyObject_HEAD TensorImpl* impl;  // one count; null while under construction
  PyObject* dict;
  PyObject* weak;
};

extern PyTypeObject* tensor_type;  // moka.Tensor

inline bool is_tensor(PyObject* o) {
  return Py_TYPE(o) == tensor_type || PyType_IsSubtype(Py_TYPE(o), tensor_type);
}
inline const Tensor& unwrap(PyObject* o) {
  return *reinterpret_cast<const Tensor*>(&reinterpret_cast<TensorObject*>(o)->impl);
}
// The same for an argument of the function `what`, which may be something else.
const Tensor& tensor_argument(PyObject* o, const char* what);
// A new reference; the same object for the same tensor as long as Python holds it.
PyObject* wrap(const Tensor& t);
// Wraps as an instance of `type`, a subclass of Tensor (Parameter).
PyObject* wrap_as(PyTypeObject* type, const Tensor& t);
// All sizes of a tensor, and one of them, for Python: ints; while a recording follows sizes, numbers that know where they
// come from, which followed_size makes (a new reference, or null where the recording does not know the tensor).
PyObject* make_shape(const Tensor& t);
PyObject* make_number(const Tensor& t, int dim);
extern PyObject* (*followed_size)(const Tensor& t, int dim);

// A function or a text as the value of a PyType_Slot.
void* slot(auto* p) { return reinterpret_cast<void*>(p); }
inline void* slot(const char* text) { return const_cast<char*>(text); }
// Creates the types and adds them to the module. -1 and a Python error on failure.
int init_tensor_type(PyObject* module);

// Sets the Python error that fits a C++ exception; call inside a catch block.
void set_python_error();
// f() for Python: null, and the Python error, where it throws.
template <class F>
PyObject* guarded(F f) {
  try {
    return f();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

// Holds the interpreter lock for callbacks from C++.
struct GilHeld {
  PyGILState_STATE state = PyGILState_Ensure();
  ~GilHeld() { PyGILState_Release(state); }
};
// Gives the lock up while C++ works on something large.
struct GilReleased {
  PyThreadState* state;
  explicit GilReleased(bool really) : state(really ? PyEval_SaveThread() : nullptr) {}
  ~GilReleased() {
    if (state) PyEval_RestoreThread(state);
  }
};
// A Python object owned from C++ code that may run without the lock.
class PyRef {
 public:
  PyRef() = default;
  static PyRef share(PyObject* o) {
    Py_XINCREF(o);
    return PyRef(o);
  }
  static PyRef steal(PyObject* o) { return PyRef(o); }
  PyRef(const PyRef& o) : p_(o.p_) {
    if (p_) {
      GilHeld gil;
      Py_INCREF(p_);
    }
  }
  PyRef(PyRef&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
  PyRef& operator=(PyRef o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~PyRef() {
    // At interpreter exit the object goes with the interpreter.
    if (!p_ || !Py_IsInitialized()) return;
    GilHeld gil;
    Py_DECREF(p_);
  }
  PyObject* get() const { return p_; }
  explicit operator bool() const { return p_ != nullptr; }
  PyObject* release() {
    PyObject* p = p_;
    p_ = nullptr;
    return p;
  }

 private:
  explicit PyRef(PyObject* p) : p_(p) {}
  PyObject* p_ = nullptr;
};
// Thrown when a Python error is already set.
struct PythonErrorSet {};

}  // namespace moka::python
