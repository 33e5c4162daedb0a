// The Tensor type: life, attributes, arithmetic slots, buffer protocol.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/tensor_object.h"

#include <structmember.h>

#include <cstring>
#include <new>
#include <vector>

#include "moka/autograd/history.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/shaping/shaping.h"
#include "python/bindings/arguments.h"
#include "python/bindings/autograd.h"
#include "python/bindings/buffer.h"
#include "python/bindings/convert.h"
#include "python/bindings/index.h"
#include "python/bindings/methods.h"
#include "python/bindings/number_slots.h"
#include "python/bindings/size.h"
#include "python/bindings/wrapper.h"

namespace moka::python {

PyTypeObject* tensor_type;

namespace {
// A MemoryError, which Python's convention asks for, and a RuntimeError, which programs written for PyTorch catch.
PyObject* out_of_memory_error() {
  static PyObject* type = [] {
    PyRef bases = PyRef::steal(PyTuple_Pack(2, PyExc_MemoryError, PyExc_RuntimeError));
    return PyErr_NewExceptionWithDoc("moka.OutOfMemoryError", "Memory that was asked for could not be had.",
                                     bases.get(), nullptr);
  }();
  return type ? type : PyExc_MemoryError;
}
}  // namespace

void set_python_error() {
  try {
    throw;
  } catch (const PythonErrorSet&) {
  } catch (const Error& e) {
    PyObject* type = PyExc_RuntimeError;
    if (e.kind() == ErrorKind::System &&
        e.system_code()) {  // OSError picks FileNotFoundError and so on by the number
      PyRef arguments = PyRef::steal(Py_BuildValue("(is)", e.system_code(), e.what()));
      if (arguments) PyErr_SetObject(PyExc_OSError, arguments.get());
      return;
    }
    switch (e.kind()) {
      case ErrorKind::Value: type = PyExc_ValueError; break;
      case ErrorKind::Type: type = PyExc_TypeError; break;
      case ErrorKind::Index: type = PyExc_IndexError; break;
      case ErrorKind::NotImplemented: type = PyExc_NotImplementedError; break;
      case ErrorKind::OutOfMemory: type = out_of_memory_error(); break;
      case ErrorKind::File: type = PyExc_ValueError; break;
      case ErrorKind::System: type = PyExc_OSError; break;
      case ErrorKind::Cancelled: type = PyExc_TimeoutError; break;
      default: break;
    }
    PyErr_SetString(type, e.what());
  } catch (const std::bad_alloc&) {
    PyErr_SetString(out_of_memory_error(), "out of memory");
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
}

namespace {
// Freed wrappers of the exact type wait here; guarded by the interpreter lock.
TensorObject* free_objects[256];
int free_count = 0;

TensorImpl* impl_of(PyObject* o) { return reinterpret_cast<TensorObject*>(o)->impl; }

void tensor_dealloc(PyObject* o) {
  TensorObject* t = reinterpret_cast<TensorObject*>(o);
  PyTypeObject* type = Py_TYPE(o);
  PyObject_GC_UnTrack(o);
  if (t->weak) PyObject_ClearWeakRefs(o);
  Py_CLEAR(t->dict);
  if (TensorImpl* impl = t->impl) {
    if (impl->python == o) impl->python = nullptr;
    t->impl = nullptr;
    release(impl);
  }
  if (type == tensor_type && free_count < 256) {
    free_objects[free_count++] = t;
    return;  // keeps its reference to the type
  }
  type->tp_free(o);
  Py_DECREF(type);
}

int tensor_traverse(PyObject* o, visitproc visit, void* arg) {
  Py_VISIT(reinterpret_cast<TensorObject*>(o)->dict);
  Py_VISIT(Py_TYPE(o));
  return 0;
}
int tensor_clear(PyObject* o) {
  Py_CLEAR(reinterpret_cast<TensorObject*>(o)->dict);
  return 0;
}

// Tensor(3, 4) is uninitialised float32; Tensor([1, 2]) reads data; a subclass gets a fresh handle on the same memory.
PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  (void)keywords;
  if (type != tensor_type) {  // subclasses build themselves through _make_subclass or as tensors do
    try {
      if (PyTuple_GET_SIZE(args) >= 1 && is_tensor(PyTuple_GET_ITEM(args, 0)))
        return wrap_as(type, autograd::detach(unwrap(PyTuple_GET_ITEM(args, 0))));
      PyRef plain = PyRef::steal(tensor_new(tensor_type, args, nullptr));
      return plain ? wrap_as(type, alias_of(unwrap(plain.get()))) : nullptr;
    } catch (...) {
      set_python_error();
      return nullptr;
    }
  }
  try {
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    if (n == 1 && is_tensor(PyTuple_GET_ITEM(args, 0)) &&
        unwrap(PyTuple_GET_ITEM(args, 0)).dtype() == default_float())
      return wrap(autograd::detach(unwrap(PyTuple_GET_ITEM(args, 0))));
    if (n == 1 && !PyLong_Check(PyTuple_GET_ITEM(args, 0)))
      return wrap(tensor_from_data(PyTuple_GET_ITEM(args, 0), default_float()));
    Dims sizes;
    for (Py_ssize_t i = 0; i < n; i++) {
      sizes.push_back(PyLong_AsLongLong(PyTuple_GET_ITEM(args, i)));
      if (PyErr_Occurred()) return nullptr;
    }
    if (n == 0) sizes.push_back(0);
    return wrap(new_tensor(sizes, default_float()));
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

// ---- attributes
PyObject* get_shape(PyObject* o, void*) { return make_shape(unwrap(o)); }
PyObject* get_dtype(PyObject* o, void*) { return dtype_object(impl_of(o)->dtype); }
PyObject* get_device(PyObject* o, void*) {
  return guarded([&] { return device_object(shown_device(unwrap(o))); });
}
PyObject* get_ndim(PyObject* o, void*) { return PyLong_FromLong(impl_of(o)->ndim); }
PyObject* get_requires_grad(PyObject* o, void*) {
  return PyBool_FromLong(autograd::requires_grad(unwrap(o)));
}
int set_requires_grad(PyObject* o, PyObject* value, void*) {
  try {
    MOKA_CHECK(value && PyBool_Check(value), "requires_grad must be a bool, got ",
               value ? described(value) : "nothing");
    autograd::set_requires_grad(unwrap(o), value == Py_True);
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}
PyObject* get_is_leaf(PyObject* o, void*) {
  return guarded([&] { return PyBool_FromLong(autograd::is_leaf(unwrap(o))); });
}
PyObject* get_grad(PyObject* o, void*) {
  autograd::GradMeta* m = autograd::meta(unwrap(o));
  if (!m || !m->grad) Py_RETURN_NONE;
  return wrap(m->grad);
}
int set_grad(PyObject* o, PyObject* value, void*) {
  try {
    const Tensor& t = unwrap(o);
    if (!value || value == Py_None) {
      if (autograd::GradMeta* m = autograd::meta(t)) m->grad = Tensor();
      return 0;
    }
    if (!is_tensor(value))
      throw Error(ErrorKind::Type, cat("grad: expected to be a Tensor or None, got ", described(value)));
    const Tensor& g = unwrap(value);
    MOKA_CHECK(value != o, "grad: can't assign a tensor as its own gradient");
    MOKA_CHECK(g.dtype() == t.dtype(), "grad: a gradient of type ", g.dtype(),
               " does not fit the tensor's type ", t.dtype());
    MOKA_CHECK(std::equal(g.sizes().begin(), g.sizes().end(), t.sizes().begin(), t.sizes().end()),
               "grad: shape ", g.sizes(), " does not fit the tensor's shape ", t.sizes());
    autograd::make_meta(t).grad = g;
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}
PyObject* get_data(PyObject* o, void*) {
  return guarded([&] {
    Tensor data = autograd::data_of(unwrap(o));
    follow_geometry(data, unwrap(o));
    return wrap(data);
  });
}
// x.data = y: x shows y's memory from now on.
int set_data(PyObject* o, PyObject* value, void*) {
  try {
    MOKA_CHECK(value, "data: Deleting tensor data is not allowed; delete the tensor");
    if (!is_tensor(value))
      throw Error(ErrorKind::Type, cat("data: expected a Tensor, got ", described(value)));
    TensorImpl* t = impl_of(o);
    Tensor keep = unwrap(value);
    TensorImpl* from = keep.impl();
    MOKA_CHECK(is_differentiable(from->dtype) || !autograd::requires_grad(unwrap(o)),
               "data: a tensor that requires gradients must be floating point or complex dtype, got ",
               from->dtype);
    MOKA_CHECK(t->ndim <= TensorImpl::inline_limit && from->ndim <= TensorImpl::inline_limit,
               "data: at most 6 dimensions");
    follow_geometry(unwrap(o), keep);
    if (from->storage) add_ref(from->storage);
    if (t->storage) release(t->storage);
    t->storage = from->storage;
    t->offset = from->offset;
    t->numel = from->numel;
    t->dtype = from->dtype;
    t->ndim = from->ndim;
    for (int i = 0; i < from->ndim; i++) {
      t->sizes[i] = from->sizes[i];
      t->strides[i] = from->strides[i];
    }
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}
PyObject* get_T(PyObject* o, void*) {
  return guarded([&] {
    const Tensor& t = unwrap(o);
    Dims dims;
    for (int d = t.dim(); d-- > 0;) dims.push_back(d);
    return wrap(permute(t, dims));
  });
}
// Scalars are their own transposes; a vector has none.
Tensor turned_matrix(PyObject* o, std::string_view name) {
  const Tensor& t = unwrap(o);
  MOKA_CHECK(t.dim() != 1, "tensor.", name,
             " is only supported on matrices or batches of matrices. Got 1-D tensor.");
  return t.dim() ? transpose(t, -2, -1) : t;
}
PyObject* get_mT(PyObject* o, void*) {
  return guarded([&] { return wrap(turned_matrix(o, "mT")); });
}
PyObject* get_mH(PyObject* o, void*) {
  return guarded([&] { return wrap(conj(turned_matrix(o, "mH"))); });
}
PyObject* get_H(PyObject* o, void*) {
  return guarded([&] {
    const Tensor& t = unwrap(o);
    MOKA_CHECK(t.dim() == 2 || t.dim() == 0, "tensor.H is only supported on matrices (2-D tensors). Got ",
               t.dim(), "-D tensor; use mH for stacks of matrices");
    return wrap(t.dim() ? conj(transpose(t, 0, 1)) : conj(t));
  });
}
template <const auto& part>
PyObject* get_part(PyObject* o, void*) {
  return guarded([&] { return wrap(part(unwrap(o))); });
}
template <const auto& part>
int set_part(PyObject* o, PyObject* value, void*) {
  try {
    Tensor target = part(unwrap(o));
    static const ArgType operand{Kind::Operand};
    Arg from;
    Scratch scratch;
    if (!value || !convert(value, operand, from, scratch))
      throw Error(ErrorKind::Type, "real and imag take a Tensor or a number");
    Tensor source = from.tag == Tag::Tensor ? from.as_tensor() : full(Dims{}, from, target.dtype());
    copy_elements(source, target);
    unwrap(o).raise_version();
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}
PyObject* get_version(PyObject* o, void*) {
  if (impl_of(o)->inference) {
    PyErr_SetString(PyExc_RuntimeError, "_version: inference tensors do not count versions");
    return nullptr;
  }
  return PyLong_FromUnsignedLong(unwrap(o).version());
}
PyObject* get_false(PyObject*, void*) { Py_RETURN_FALSE; }
PyObject* get_itemsize(PyObject* o, void*) { return PyLong_FromSize_t(item_size(impl_of(o)->dtype)); }
PyObject* get_nbytes(PyObject* o, void*) { return PyLong_FromSize_t(unwrap(o).bytes()); }

PyGetSetDef tensor_getset[] = {
    {"shape", get_shape, nullptr, "The sizes, a moka.Size.", nullptr},
    {"dtype", get_dtype, nullptr, "The element type.", nullptr},
    {"device", get_device, nullptr, "Where the memory is.", nullptr},
    {"ndim", get_ndim, nullptr, "The number of dimensions.", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad, "Whether gradients are computed for it.",
     nullptr},
    {"is_leaf", get_is_leaf, nullptr, "Whether no recorded operation made it.", nullptr},
    {"grad", get_grad, set_grad, "The gradient that backward() accumulated, or None.", nullptr},
    {"_grad", get_grad, set_grad, "The same as grad.", nullptr},
    {"grad_fn", get_grad_fn, nullptr, "The node that computes its gradient, or None.", nullptr},
    {"_base", get_base, nullptr, "The tensor of which this is a view, or None.", nullptr},
    {"data", get_data, set_data, "The same memory, outside the tape.", nullptr},
    {"T", get_T, nullptr, "All dimensions reversed.", nullptr},
    {"mT", get_mT, nullptr, "The last two dimensions exchanged.", nullptr},
    {"H", get_H, nullptr, "The conjugate transpose of a matrix.", nullptr},
    {"mH", get_mH, nullptr, "The conjugate transpose of the last two dimensions.", nullptr},
    {"real", get_part<real>, set_part<real>, "The real parts, a view; a real tensor itself.", nullptr},
    {"imag", get_part<imag>, set_part<imag>, "The imaginary parts of a complex tensor, a view.", nullptr},
    {"_version", get_version, nullptr, "How often the memory was written in place.", nullptr},
    {"is_cuda", get_false, nullptr, "Whether it lives on a CUDA device.", nullptr},
    {"is_sparse", get_false, nullptr, "Whether its layout is sparse.", nullptr},
    {"is_quantized", get_false, nullptr, "Whether its elements are quantized.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes of one element.", nullptr},
    {"nbytes", get_nbytes, nullptr, "Bytes of all elements.", nullptr},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef tensor_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(TensorObject, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weak), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

Py_hash_t identity_hash(PyObject* o) { return static_cast<Py_hash_t>(reinterpret_cast<uintptr_t>(o) >> 4); }

Py_ssize_t length(PyObject* o) {
  const Tensor& t = unwrap(o);
  if (t.dim() == 0) {
    PyErr_SetString(PyExc_TypeError, "len(): a 0-d tensor has no length");
    return -1;
  }
  return t.size(0);
}

}  // namespace

PyObject* wrap(const Tensor& t) {
  if (!t) Py_RETURN_NONE;
  TensorImpl* impl = t.impl();
  if (impl->python) {
    PyObject* o = static_cast<PyObject*>(impl->python);
    Py_INCREF(o);
    return o;
  }
  if (__builtin_expect(impl->layers & layer::wrapper, 0))
    if (PyObject* o = wrap_stand_in(t)) return o;
  TensorObject* o;
  if (free_count) {
    o = free_objects[--free_count];
    _Py_NewReference(reinterpret_cast<PyObject*>(o));
    PyObject_GC_Track(reinterpret_cast<PyObject*>(o));
  } else {
    o = reinterpret_cast<TensorObject*>(tensor_type->tp_alloc(tensor_type, 0));
    if (!o) throw PythonErrorSet{};
  }
  add_ref(impl);
  o->impl = impl;
  o->dict = nullptr;
  o->weak = nullptr;
  impl->python = o;
  if (thread_layers.forced & layer::capture) follow_new(t);
  return reinterpret_cast<PyObject*>(o);
}

PyObject* wrap_as(PyTypeObject* type, const Tensor& t) {
  TensorObject* o = reinterpret_cast<TensorObject*>(type->tp_alloc(type, 0));
  if (!o) throw PythonErrorSet{};
  add_ref(t.impl());
  o->impl = t.impl();
  t.impl()->python = o;
  static PyObject* const answers = PyUnicode_InternFromString("__torch_dispatch__");
  if (_PyType_Lookup(type, answers)) t.impl()->layers |= layer::wrapper;
  if (thread_layers.forced & layer::capture) follow_new(t);
  return reinterpret_cast<PyObject*>(o);
}

const Tensor& tensor_argument(PyObject* o, const char* what) {
  if (!is_tensor(o))
    throw Error(ErrorKind::Type, cat(what, ": expected a Tensor, got ", Py_TYPE(o)->tp_name));
  return unwrap(o);
}

PyObject* (*followed_size)(const Tensor& t, int dim) = nullptr;

PyObject* make_number(const Tensor& t, int dim) {
  if (thread_layers.forced & layer::capture && followed_size)
    if (PyObject* number = followed_size(t, dim)) return number;
  return PyLong_FromLongLong(t.size(dim));
}

PyObject* make_shape(const Tensor& t) {
  PyObject* shape = make_size(t.sizes());
  if (shape && thread_layers.forced & layer::capture)
    for (int d = 0; d < t.dim(); d++) {
      PyObject* plain = PyTuple_GET_ITEM(shape, d);
      PyTuple_SET_ITEM(shape, d, make_number(t, d));
      Py_DECREF(plain);
    }
  return shape;
}

int init_tensor_type(PyObject* module) {
  if (init_size_type(module) < 0) return -1;
  std::vector<PyType_Slot> slots = {
      {Py_tp_new, slot(tensor_new)},
      {Py_tp_dealloc, slot(tensor_dealloc)},
      {Py_tp_traverse, slot(tensor_traverse)},
      {Py_tp_clear, slot(tensor_clear)},
      {Py_tp_getset, tensor_getset},
      {Py_tp_members, tensor_members},
      {Py_tp_methods, tensor_methods},
      {Py_tp_hash, slot(identity_hash)},
      {Py_tp_doc, slot("An array with automatic differentiation.")},
      {Py_mp_length, slot(length)},
      {Py_mp_subscript, slot(get_item)},
      {Py_mp_ass_subscript, slot(set_item)},
      {Py_bf_getbuffer, slot(get_buffer)},
      {Py_bf_releasebuffer, slot(release_buffer)},
  };
  for (const PyType_Slot& s : number_slots()) slots.push_back(s);
  slots.push_back({0, nullptr});
  PyType_Spec spec{"moka.Tensor", sizeof(TensorObject), 0,
                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  tensor_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (!tensor_type) return -1;
  if (PyModule_AddObjectRef(module, "OutOfMemoryError", out_of_memory_error()) < 0) return -1;
  return PyModule_AddObjectRef(module, "Tensor", reinterpret_cast<PyObject*>(tensor_type));
}

}  // namespace moka::python
