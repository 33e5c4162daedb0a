// The Tensor type: life, attributes, arithmetic slots, buffer protocol.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/tensor_object.h"

#include <structmember.h>

#include <cstring>
#include <new>

#include "moka/autograd/history.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/shaping/shaping.h"
#include "python/bindings/arguments.h"
#include "python/bindings/autograd.h"
#include "python/bindings/convert.h"
#include "python/bindings/index.h"

namespace moka::python {

PyTypeObject* tensor_type;
PyTypeObject* size_type;
extern std::string shown_module;  // classes.cpp

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
  if (type != tensor_type) {  // subclasses build themselves through _make_subclass or pass one Tensor
    if (PyTuple_GET_SIZE(args) >= 1 && is_tensor(PyTuple_GET_ITEM(args, 0)))
      return wrap_as(type, autograd::detach(unwrap(PyTuple_GET_ITEM(args, 0))));
    try {
      const int64_t none[] = {0};
      return wrap_as(type, new_tensor(none, default_float()));
    } catch (...) {
      set_python_error();
      return nullptr;
    }
  }
  (void)keywords;
  try {
    Py_ssize_t n = PyTuple_GET_SIZE(args);
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
PyObject* get_device(PyObject* o, void*) { return device_object(unwrap(o).device()); }
PyObject* get_ndim(PyObject* o, void*) { return PyLong_FromLong(impl_of(o)->ndim); }
PyObject* get_requires_grad(PyObject* o, void*) {
  return PyBool_FromLong(autograd::requires_grad(unwrap(o)));
}
int set_requires_grad(PyObject* o, PyObject* value, void*) {
  try {
    int on = value ? PyObject_IsTrue(value) : 0;
    if (on < 0) return -1;
    autograd::set_requires_grad(unwrap(o), on);
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
      throw Error(ErrorKind::Type, cat("grad: expected a Tensor or None, got ", described(value)));
    const Tensor& g = unwrap(value);
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
  return guarded([&] { return wrap(autograd::data_of(unwrap(o))); });
}
// x.data = y: x shows y's memory from now on.
int set_data(PyObject* o, PyObject* value, void*) {
  try {
    if (!value || !is_tensor(value))
      throw Error(ErrorKind::Type,
                  cat("data: expected a Tensor, got ", value ? described(value) : "nothing"));
    TensorImpl* t = impl_of(o);
    Tensor keep = unwrap(value);
    TensorImpl* from = keep.impl();
    MOKA_CHECK(t->ndim <= TensorImpl::inline_limit && from->ndim <= TensorImpl::inline_limit,
               "data: at most 6 dimensions");
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
PyObject* get_mT(PyObject* o, void*) {
  return guarded([&] { return wrap(transpose(unwrap(o), -2, -1)); });
}
PyObject* get_mH(PyObject* o, void*) {
  return guarded([&] { return wrap(conj(transpose(unwrap(o), -2, -1))); });
}
PyObject* get_H(PyObject* o, void*) {
  return guarded([&] {
    const Tensor& t = unwrap(o);
    MOKA_CHECK(t.dim() == 2 || t.dim() == 0, "H: only supported on matrices (2-D tensors), got ", t.dim(),
               "-D tensor; use mH for stacks of matrices");
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

// ---- arithmetic slots
// The right operand may be a Tensor or a number; anything else has its own turn.
template <const Op& op>
PyObject* binary(PyObject* a, PyObject* b) {
  try {
    static const ArgType operand{Kind::Operand};
    Arg args[max_args];
    Scratch scratch;
    if (!convert(a, operand, args[0], scratch) || !convert(b, operand, args[1], scratch))
      Py_RETURN_NOTIMPLEMENTED;
    const Schema& s = info(op).schema;
    int n = static_cast<int>(s.args.size());
    for (int i = 2; i < n; i++) args[i] = s.args[i].default_value.arg();
    Frame f(op, args, n);
    {
      bool large = !thread_layers.forced && ((args[0].tag == Tag::Tensor && args[0].tensor->numel > 32768) ||
                                             (args[1].tag == Tag::Tensor && args[1].tensor->numel > 32768));
      GilReleased unlocked(large);
      call(f);
    }
    return wrap(f.outs[0]);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
template <const Op& op>
PyObject* binary_in_place(PyObject* a, PyObject* b) {
  try {
    static const ArgType operand{Kind::Operand};
    Arg args[max_args];
    Scratch scratch;
    if (!is_tensor(a) || !convert(b, operand, args[1], scratch)) Py_RETURN_NOTIMPLEMENTED;
    args[0] = Arg(unwrap(a));
    const Schema& s = info(op).schema;
    int n = static_cast<int>(s.args.size());
    for (int i = 2; i < n; i++) args[i] = s.args[i].default_value.arg();
    Frame f(op, args, n);
    f.outs.resize(1);
    f.outs[0] = unwrap(a);
    f.given = 1;
    autograd::check_writable(f.outs[0], s.base);
    {
      GilReleased unlocked(!thread_layers.forced && args[0].tensor->numel > 32768);
      call(f);
    }
    Py_INCREF(a);
    return a;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
// Signs whose operator is found by name (matmul, floor division and others of later families).
PyObject* named_binary(const char* name, PyObject* a, PyObject* b) {
  if (!is_tensor(a) && !is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  PyObject* args[] = {a, b};
  try {
    static const ArgType operand{Kind::Operand};
    Arg ignored;
    Scratch scratch;
    if (!convert(a, operand, ignored, scratch) || !convert(b, operand, ignored, scratch))
      Py_RETURN_NOTIMPLEMENTED;
    const Op* op = find_op(name);
    if (!op)
      throw Error(ErrorKind::NotImplemented, cat(name, ": this version of Moka does not have the operator"));
    OpGroup group{name, {op}};
    return call_group(group, false, args, 2, nullptr);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  if (is_tensor(a) && (PyLong_Check(b) || PyFloat_Check(b)) && PyFloat_AsDouble(b) == 2.0)
    return guarded([&] { return wrap(square(unwrap(a))); });
  return binary<ops::pow_op>(a, b);
}
PyObject* unary_neg(PyObject* a) {
  return guarded([&] { return wrap(neg(unwrap(a))); });
}
PyObject* unary_abs(PyObject* a) {
  return guarded([&] { return wrap(abs(unwrap(a))); });
}
PyObject* unary_not(PyObject* a) {
  return guarded([&] { return wrap(bitwise_not(unwrap(a))); });
}
PyObject* power_in_place(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return binary_in_place<ops::pow_op>(a, b);
}
PyObject* same(PyObject* a) {
  Py_INCREF(a);
  return a;
}

const Tensor& only_element(PyObject* o, const char* what) {
  const Tensor& t = unwrap(o);
  const bool conversion = std::strcmp(what, "bool") != 0;  // int() and float() of Python raise ValueError
  if (t.numel() != 1)
    fail_kind(conversion ? ErrorKind::Value : ErrorKind::Runtime, what,
              ": only a tensor of one element can become a Python ", conversion ? "number" : "bool",
              ", this one has shape ", t.sizes(), conversion ? "" : "; use any() or all()");
  check_not_capturing(t, what);
  return t;
}
int truth(PyObject* o) {
  try {
    const Tensor& t = only_element(o, "bool");
    if (!is_complex(t.dtype())) return element_as_double(t, 0) != 0;
    ComplexNumber c = as_complex_number(t);
    return c.real != 0 || c.imag != 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}
void check_real(const Tensor& t, const char* what) {
  if (is_complex(t.dtype()))
    MOKA_CHECK(as_complex_number(t).imag == 0, what, ": value cannot be converted without overflow: its ",
               "imaginary part is ", as_complex_number(t).imag);
}
PyObject* as_long(PyObject* o) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = only_element(o, "int");
    check_real(t, "int");
    if (is_floating(t.dtype())) return PyLong_FromDouble(element_as_double(t, 0));
    return PyLong_FromLongLong(element_as_int(t, 0));
  });
}
PyObject* as_index(PyObject* o) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = only_element(o, "index");
    MOKA_CHECK_KIND(Type, !is_floating(t.dtype()),
                    "index: only integer tensors can be used as an index, got ", t.dtype());
    return PyLong_FromLongLong(element_as_int(t, 0));
  });
}
PyObject* as_float(PyObject* o) {
  return guarded([&] {
    const Tensor& t = only_element(o, "float");
    check_real(t, "float");
    return PyFloat_FromDouble(element_as_double(t, 0));
  });
}

PyObject* compare(PyObject* a, PyObject* b, int sign) {
  PyObject* r = nullptr;
  if (!is_tensor(b) && PyObject_CheckBuffer(b) && PyObject_HasAttrString(b, "__array__") &&
      !PyFloat_Check(b) &&
      !PyComplex_Check(b)) {  // NumPy leaves comparisons of its arrays with tensors to tensors
    PyRef other;
    PyObject* made = guarded([&] { return wrap(tensor_from_data(b)); });
    if (!made) return nullptr;
    other = PyRef::steal(made);
    return compare(a, other.get(), sign);
  }
  switch (sign) {
    case Py_EQ: r = binary<ops::eq_op>(a, b); break;
    case Py_NE: r = binary<ops::ne_op>(a, b); break;
    case Py_LT: r = binary<ops::lt_op>(a, b); break;
    case Py_LE: r = binary<ops::le_op>(a, b); break;
    case Py_GT: r = binary<ops::gt_op>(a, b); break;
    case Py_GE: r = binary<ops::ge_op>(a, b); break;
  }
  return r;
}
Py_hash_t identity_hash(PyObject* o) { return static_cast<Py_hash_t>(reinterpret_cast<uintptr_t>(o) >> 4); }

Py_ssize_t length(PyObject* o) {
  const Tensor& t = unwrap(o);
  if (t.dim() == 0) {
    PyErr_SetString(PyExc_TypeError, "len(): a 0-d tensor has no length");
    return -1;
  }
  return t.size(0);
}

// ---- buffer protocol: NumPy and memoryview read and write the memory in place
struct BufferShape {
  Py_ssize_t sizes[max_dims], strides[max_dims];
};
int get_buffer(PyObject* o, Py_buffer* view, int flags) {
  const Tensor& t = unwrap(o);
  const char* format = buffer_format(t.dtype());
  if (!format) {
    PyErr_Format(PyExc_BufferError, "buffer: %s has no buffer format; convert with .float() first",
                 std::string(info(t.dtype()).name).c_str());
    return -1;
  }
  if (!t.has_storage()) {
    PyErr_SetString(PyExc_BufferError, "buffer: the tensor has no memory of its own (inside vmap)");
    return -1;
  }
  if (!(flags & PyBUF_STRIDES) && !t.is_contiguous()) {
    PyErr_SetString(PyExc_BufferError, "buffer: the tensor is not contiguous");
    return -1;
  }
  bool read_only = t.impl()->storage->read_only;
  if (read_only && (flags & PyBUF_WRITABLE)) {
    PyErr_SetString(PyExc_BufferError, "buffer: the tensor's memory is read-only");
    return -1;
  }
  BufferShape* shape = new BufferShape;
  Py_ssize_t item = static_cast<Py_ssize_t>(item_size(t.dtype()));
  for (int d = 0; d < t.dim(); d++) {
    shape->sizes[d] = t.size(d);
    shape->strides[d] = t.stride(d) * item;
  }
  view->buf = t.raw_data();
  view->obj = o;
  Py_INCREF(o);
  view->len = static_cast<Py_ssize_t>(t.bytes());
  view->itemsize = item;
  view->readonly = read_only;
  view->ndim = t.dim();
  view->format = flags & PyBUF_FORMAT ? const_cast<char*>(format) : nullptr;
  view->shape = flags & PyBUF_ND ? shape->sizes : nullptr;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? shape->strides : nullptr;
  view->suboffsets = nullptr;
  view->internal = shape;
  return 0;
}
void release_buffer(PyObject*, Py_buffer* view) { delete static_cast<BufferShape*>(view->internal); }

PyObject* matmul_slot(PyObject* a, PyObject* b) { return named_binary("matmul", a, b); }
// & | ^: of bool tensors the logical kernels, which read bytes as they are.
template <const Op& op, const Op& logical>
PyObject* bitwise(PyObject* a, PyObject* b) {
  if (is_tensor(a) && is_tensor(b) && unwrap(a).dtype() == DType::Bool && unwrap(b).dtype() == DType::Bool)
    return guarded([&] { return wrap(EagerReading::call(logical, unwrap(a), unwrap(b))); });
  return binary<op>(a, b);
}

// ---- Size: a tuple of ints with numel()
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

void* slot(auto* p) { return reinterpret_cast<void*>(p); }
void* slot(const char* text) { return const_cast<char*>(text); }
}  // namespace

PyObject* wrap(const Tensor& t) {
  if (!t) Py_RETURN_NONE;
  TensorImpl* impl = t.impl();
  if (impl->python) {
    PyObject* o = static_cast<PyObject*>(impl->python);
    Py_INCREF(o);
    return o;
  }
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
  return reinterpret_cast<PyObject*>(o);
}

PyObject* wrap_as(PyTypeObject* type, const Tensor& t) {
  TensorObject* o = reinterpret_cast<TensorObject*>(type->tp_alloc(type, 0));
  if (!o) throw PythonErrorSet{};
  add_ref(t.impl());
  o->impl = t.impl();
  t.impl()->python = o;
  return reinterpret_cast<PyObject*>(o);
}

PyObject* make_size(std::span<const int64_t> sizes) {
  PyObject* t = size_type->tp_alloc(size_type, static_cast<Py_ssize_t>(sizes.size()));
  if (!t) return nullptr;
  for (size_t i = 0; i < sizes.size(); i++)
    PyTuple_SET_ITEM(t, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(sizes[i]));
  return t;
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
  static PyType_Slot size_slots[] = {{Py_tp_base, &PyTuple_Type},
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

  static PyType_Slot slots[] = {{Py_tp_new, slot(tensor_new)},
                                {Py_tp_dealloc, slot(tensor_dealloc)},
                                {Py_tp_traverse, slot(tensor_traverse)},
                                {Py_tp_clear, slot(tensor_clear)},
                                {Py_tp_getset, tensor_getset},
                                {Py_tp_members, tensor_members},
                                {Py_tp_methods, tensor_methods},
                                {Py_tp_richcompare, slot(compare)},
                                {Py_tp_hash, slot(identity_hash)},
                                {Py_tp_doc, slot("An array with automatic differentiation.")},
                                {Py_nb_add, slot(binary<ops::add_op>)},
                                {Py_nb_subtract, slot(binary<ops::sub_op>)},
                                {Py_nb_multiply, slot(binary<ops::mul_op>)},
                                {Py_nb_true_divide, slot(binary<ops::div_op>)},
                                {Py_nb_power, slot(power)},
                                {Py_nb_inplace_add, slot(binary_in_place<ops::add_op>)},
                                {Py_nb_inplace_subtract, slot(binary_in_place<ops::sub_op>)},
                                {Py_nb_inplace_multiply, slot(binary_in_place<ops::mul_op>)},
                                {Py_nb_inplace_true_divide, slot(binary_in_place<ops::div_op>)},
                                {Py_nb_matrix_multiply, slot(matmul_slot)},
                                {Py_nb_floor_divide, slot(binary<ops::floor_divide_op>)},
                                {Py_nb_remainder, slot(binary<ops::remainder_op>)},
                                {Py_nb_lshift, slot(binary<ops::bitwise_left_shift_op>)},
                                {Py_nb_rshift, slot(binary<ops::bitwise_right_shift_op>)},
                                {Py_nb_and, slot(bitwise<ops::bitwise_and_op, ops::logical_and_op>)},
                                {Py_nb_or, slot(bitwise<ops::bitwise_or_op, ops::logical_or_op>)},
                                {Py_nb_xor, slot(bitwise<ops::bitwise_xor_op, ops::logical_xor_op>)},
                                {Py_nb_inplace_power, slot(power_in_place)},
                                {Py_nb_inplace_floor_divide, slot(binary_in_place<ops::floor_divide_op>)},
                                {Py_nb_inplace_remainder, slot(binary_in_place<ops::remainder_op>)},
                                {Py_nb_inplace_lshift, slot(binary_in_place<ops::bitwise_left_shift_op>)},
                                {Py_nb_inplace_rshift, slot(binary_in_place<ops::bitwise_right_shift_op>)},
                                {Py_nb_inplace_and, slot(binary_in_place<ops::bitwise_and_op>)},
                                {Py_nb_inplace_or, slot(binary_in_place<ops::bitwise_or_op>)},
                                {Py_nb_inplace_xor, slot(binary_in_place<ops::bitwise_xor_op>)},
                                {Py_nb_negative, slot(unary_neg)},
                                {Py_nb_positive, slot(same)},
                                {Py_nb_absolute, slot(unary_abs)},
                                {Py_nb_invert, slot(unary_not)},
                                {Py_nb_bool, slot(truth)},
                                {Py_nb_int, slot(as_long)},
                                {Py_nb_index, slot(as_index)},
                                {Py_nb_float, slot(as_float)},
                                {Py_mp_length, slot(length)},
                                {Py_mp_subscript, slot(get_item)},
                                {Py_mp_ass_subscript, slot(set_item)},
                                {Py_bf_getbuffer, slot(get_buffer)},
                                {Py_bf_releasebuffer, slot(release_buffer)},
                                {0, nullptr}};
  static PyType_Spec spec{"moka.Tensor", sizeof(TensorObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  tensor_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (!tensor_type) return -1;
  if (PyModule_AddObjectRef(module, "OutOfMemoryError", out_of_memory_error()) < 0) return -1;
  return PyModule_AddObjectRef(module, "Tensor", reinterpret_cast<PyObject*>(tensor_type));
}

}  // namespace moka::python
