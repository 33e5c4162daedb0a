// Python data to tensors and back.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/convert.h"

#include <cmath>
#include <cstring>

#include "moka/autograd/history.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/strings.h"
#include "python/bindings/arguments.h"
#include "python/bindings/autograd.h"

namespace moka::python {

const char* buffer_format(DType dtype) {
  switch (dtype) {
    case DType::Bool: return "?";
    case DType::U8: return "B";
    case DType::I8: return "b";
    case DType::U16: return "H";
    case DType::I16: return "h";
    case DType::U32: return "I";
    case DType::I32: return "i";
    case DType::U64: return "Q";
    case DType::I64: return "q";
    case DType::F16: return "e";
    case DType::F32: return "f";
    case DType::F64: return "d";
    case DType::C64: return "Zf";
    case DType::C128: return "Zd";
    default: return nullptr;
  }
}

namespace {
bool dtype_of_format(const char* format, Py_ssize_t item, DType& out) {
  if (!format) format = "B";
  if (*format == '@' || *format == '=' || *format == '<') format++;
  char c = *format;
  if (c == 'Z') {
    out = format[1] == 'f' ? DType::C64 : DType::C128;
    return format[1] == 'f' || format[1] == 'd';
  }
  if (format[1]) return false;
  switch (c) {
    case '?': out = DType::Bool; return true;
    case 'e': out = DType::F16; return true;
    case 'f': out = DType::F32; return true;
    case 'd': out = DType::F64; return true;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
      out = item == 1 ? DType::I8 : item == 2 ? DType::I16 : item == 4 ? DType::I32 : DType::I64;
      return true;
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q':
      out = item == 1 ? DType::U8 : item == 2 ? DType::U16 : item == 4 ? DType::U32 : DType::U64;
      return true;
    default: return false;
  }
}

// A view of any object with the buffer protocol; undefined (no error set) where it has none.
Tensor from_buffer(PyObject* o, bool may_be_read_only) {
  if (!PyObject_CheckBuffer(o)) return {};
  Py_buffer* view = new Py_buffer;
  if (PyObject_GetBuffer(o, view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
    delete view;
    throw PythonErrorSet{};
  }
  auto drop = [](Py_buffer* v) {
    PyBuffer_Release(v);
    delete v;
  };
  DType dtype;
  if (!dtype_of_format(view->format, view->itemsize, dtype)) {
    std::string format = view->format ? view->format : "";
    drop(view);
    if (format.size() > 1 && (format[0] == '>' || format[0] == '<' || format[0] == '!'))
      throw Error(ErrorKind::Value, cat("from_numpy: the array's elements have the format '", format,
                                        "', another byte order than this machine's; convert it with "
                                        "array.astype(array.dtype.newbyteorder('='))"));
    throw Error(ErrorKind::Type, cat("from_numpy: there is no dtype for elements of the format '", format,
                                     "'; numbers and bools have one"));
  }
  if (view->readonly && !may_be_read_only) {
    drop(view);
    throw Error(ErrorKind::Value,
                "from_numpy: the array is read-only and a tensor may be written to; use moka.tensor(array), "
                "which copies");
  }
  Dims sizes, strides;
  for (int d = 0; d < view->ndim; d++) {
    sizes.push_back(view->shape[d]);
    Py_ssize_t step = view->strides ? view->strides[d] : view->itemsize;
    if (step < 0 || step % view->itemsize) {
      drop(view);
      throw Error(ErrorKind::Value,
                  "from_numpy: negative or unaligned strides are not supported; copy the array first");
    }
    strides.push_back(step / view->itemsize);
  }
  int64_t reach = 1;
  for (int d = 0; d < view->ndim; d++) {
    if (sizes[d] == 0) reach = 0;
    if (reach) reach += (sizes[d] - 1) * strides[d];
  }
  return from_memory(
      view->buf, static_cast<size_t>(reach) * static_cast<size_t>(view->itemsize), sizes, strides, dtype,
      Device{},
      [](Storage* s) {
        if (!Py_IsInitialized()) return;
        GilHeld gil;
        Py_buffer* v = static_cast<Py_buffer*>(s->context);
        PyBuffer_Release(v);
        delete v;
      },
      view, view->readonly);
}

// ---- nested lists
// A sequence that is no list or tuple (a range, a class of a program's own): read as a list.
struct OtherSequence {};
bool is_other_sequence(PyObject* o) {
  if (!PySequence_Check(o) || PyUnicode_Check(o) || PyBytes_Check(o) || PyDict_Check(o)) return false;
  if (PySequence_Size(o) >= 0) return true;  // arrays without dimensions have no length
  PyErr_Clear();
  return false;
}
// NumPy's integers; arrays without dimensions may hold floats, which are none.
bool is_index(PyObject* o) {
  if (!PyIndex_Check(o)) return false;
  PyRef index = PyRef::steal(PyNumber_Index(o));
  if (!index) PyErr_Clear();
  return static_cast<bool>(index);
}
PyRef as_lists(PyObject* o, int depth) {
  if (depth > max_dims) throw Error(ErrorKind::Value, "tensor: the list is nested too deeply");
  if (is_tensor(o) || !is_other_sequence(o)) return PyRef::share(o);
  PyRef list = PyRef::steal(PySequence_List(o));
  if (!list) throw PythonErrorSet{};
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.get()); i++) {
    PyRef item = as_lists(PyList_GET_ITEM(list.get(), i), depth + 1);
    Py_INCREF(item.get());
    PyList_SetItem(list.get(), i, item.get());
  }
  return list;
}

bool is_list(PyObject* o) { return PyList_Check(o) || PyTuple_Check(o); }

void measure(PyObject* o, Dims& sizes, size_t depth, int& rank) {
  if (depth > static_cast<size_t>(max_dims))
    throw Error(ErrorKind::Value, "tensor: the list is nested too deeply");
  if (!is_list(o)) {
    if (is_tensor(o)) {  // lists of tensors stack
      const Tensor& t = unwrap(o);
      if (sizes.size() == depth) sizes.append(t.sizes());
      rank = std::max(rank, is_complex(t.dtype())      ? 3
                            : is_floating(t.dtype())   ? 2
                            : t.dtype() == DType::Bool ? 0
                                                       : 1);
      return;
    }
    if (PyBool_Check(o)) rank = std::max(rank, 0);
    else if (PyLong_Check(o)) rank = std::max(rank, 1);
    else if (PyFloat_Check(o)) rank = std::max(rank, 2);
    else if (PyComplex_Check(o)) rank = 3;
    else if (is_other_sequence(o)) throw OtherSequence{};
    else if (is_index(o)) rank = std::max(rank, 1);
    else if (Py_TYPE(o)->tp_as_number && Py_TYPE(o)->tp_as_number->nb_float) rank = std::max(rank, 2);
    else
      throw Error(ErrorKind::Type,
                  cat("tensor: expected numbers, bools, tensors, or lists of them, got ", described(o)));
    return;
  }
  Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  if (sizes.size() == depth) sizes.push_back(n);
  for (Py_ssize_t i = 0; i < n; i++) measure(PySequence_Fast_GET_ITEM(o, i), sizes, depth + 1, rank);
}

struct Writer {
  const Tensor& out;
  const Dims& sizes;
  int64_t at = 0;
  void write(PyObject* o, size_t depth) {
    if (is_tensor(o) && depth <= sizes.size()) {
      const Tensor& t = unwrap(o);
      std::span<const int64_t> rest(sizes.data() + depth, sizes.size() - depth);
      if (!std::equal(t.sizes().begin(), t.sizes().end(), rest.begin(), rest.end()))
        throw Error(ErrorKind::Value,
                    cat("tensor: nested tensors differ in shape: ", t.sizes(), " and ", rest));
      copy_elements(t, strided_view(out, rest, contiguous_strides(rest), at));
      at += t.numel();
      return;
    }
    if (depth == sizes.size()) {
      if (is_list(o))
        throw Error(ErrorKind::Value, cat("tensor: lists are nested unevenly at depth ", depth));
      char* target = static_cast<char*>(out.raw_data()) + at * static_cast<int64_t>(item_size(out.dtype()));
      if (PyLong_Check(o) || is_index(o)) {
        PyRef index = PyRef::steal(PyNumber_Index(o));
        if (!index) throw PythonErrorSet{};
        write_int(o, index.get(), target);
      } else if (PyComplex_Check(o)) {
        double parts[2] = {PyComplex_RealAsDouble(o), PyComplex_ImagAsDouble(o)};
        if (out.dtype() == DType::Bool) {
          *target = parts[0] != 0 || parts[1] != 0;
          at++;
          return;
        }
        if (!is_complex(out.dtype()))
          throw Error(ErrorKind::Type, cat("tensor: a complex number cannot be stored in ", out.dtype()));
        convert_elements(parts, DType::C128, target, out.dtype(), 1);
      } else {
        double v = PyFloat_AsDouble(o);
        if (PyErr_Occurred()) throw PythonErrorSet{};
        if (is_integral(out.dtype())) check_fits(v, o);
        convert_elements(&v, DType::F64, target, out.dtype(), 1);
      }
      at++;
      return;
    }
    if (!is_list(o) || PySequence_Fast_GET_SIZE(o) != sizes[depth])
      throw Error(ErrorKind::Value,
                  cat("tensor: expected sequence of length ", sizes[depth], " at dim ", depth, ", got ",
                      is_list(o) ? cat("length ", static_cast<int64_t>(PySequence_Fast_GET_SIZE(o)))
                                 : std::string(Py_TYPE(o)->tp_name)));
    for (Py_ssize_t i = 0; i < sizes[depth]; i++) {
      // An element's conversion may run Python code, and that may change the list.
      if (PySequence_Fast_GET_SIZE(o) != sizes[depth])
        throw Error(ErrorKind::Value, "tensor: the list changed while it was read");
      PyRef item = PyRef::share(PySequence_Fast_GET_ITEM(o, i));
      write(item.get(), depth + 1);
    }
  }
  // An integer given as `o`. Unsigned types take negative numbers of their width modulo it, as in PyTorch.
  void write_int(PyObject* o, PyObject* index, char* target) const {
    if (out.dtype() == DType::Bool) {
      *reinterpret_cast<uint8_t*>(target) = PyObject_IsTrue(index) == 1;
      return;
    }
    if (!is_integral(out.dtype())) {
      double v = PyLong_AsDouble(index);
      if (PyErr_Occurred()) throw PythonErrorSet{};
      return convert_elements(&v, DType::F64, target, out.dtype(), 1);
    }
    const bool widest = out.dtype() == DType::U64;
    int64_t v = widest ? static_cast<int64_t>(PyLong_AsUnsignedLongLong(index)) : PyLong_AsLongLong(index);
    const bool outside = PyErr_Occurred() != nullptr;
    PyErr_Clear();
    convert_elements(&v, widest ? DType::U64 : DType::I64, target, out.dtype(), 1);
    if (!outside && (widest || stored(target) == v)) return;
    const bool wraps = family(out.dtype()) == DTypeClass::Unsigned && v < 0 &&
                       v > -(int64_t{1} << 8 * item_size(out.dtype()));
    if (outside)
      throw Error(ErrorKind::Value, cat("tensor: ", described(o), " does not fit in 64 bits; give a float"));
    if (!wraps) does_not_fit(o);
  }
  void check_fits(double v, PyObject* o) const {
    const int bits = static_cast<int>(8 * item_size(out.dtype()));
    const bool is_unsigned = family(out.dtype()) == DTypeClass::Unsigned;
    const double top = std::ldexp(1.0, is_unsigned ? bits : bits - 1);
    const double low = is_unsigned ? -top : -top - (bits == 64 ? 0 : 1);
    if (!(v < top && (bits == 64 && !is_unsigned ? v >= low : v > low))) does_not_fit(o);
  }
  [[noreturn]] void does_not_fit(PyObject* o) const {
    fail("tensor: the value cannot be converted to type ", out.dtype(), " without overflow: ", described(o));
  }
  int64_t stored(const char* target) const {
    int64_t v;
    convert_elements(target, out.dtype(), &v, DType::I64, 1);
    return v;
  }
};

Tensor copied(const Tensor& t, DType dtype) {
  Tensor out = new_tensor(t.sizes(), dtype);
  copy_elements(t, out);
  return out;
}

Tensor from_data(PyObject* data, const DType* wanted) {
  if (is_tensor(data)) return copied(unwrap(data), wanted ? *wanted : unwrap(data).dtype());
  if (!is_list(data)) {
    PyRef array;
    if (!PyObject_CheckBuffer(data) && PyObject_HasAttrString(data, "__array__") && !PyFloat_Check(data)) {
      array = PyRef::steal(PyObject_CallMethod(data, "__array__", nullptr));
      if (!array) throw PythonErrorSet{};
      data = array.get();
    }
    if (Tensor t = from_buffer(data, true)) return copied(t, wanted ? *wanted : t.dtype());
  } else if (PySequence_Fast_GET_SIZE(data) > 0 && PyObject_CheckBuffer(PySequence_Fast_GET_ITEM(data, 0)) &&
             !is_tensor(PySequence_Fast_GET_ITEM(data, 0))) {
    // A list of arrays: each becomes a tensor, then they stack.
    std::vector<Tensor> parts;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(data); i++)
      parts.push_back(from_data(PySequence_Fast_GET_ITEM(data, i), wanted));
    for (const Tensor& part : parts)
      MOKA_CHECK_KIND(Value,
                      std::equal(part.sizes().begin(), part.sizes().end(), parts[0].sizes().begin(),
                                 parts[0].sizes().end()),
                      "tensor: expected sequence of length ", parts[0].sizes(), " in every entry, got ",
                      part.sizes());
    return stack(std::span<const Tensor>(parts), 0);
  }
  Dims sizes;
  int rank = -1;
  PyRef lists;
  try {
    measure(data, sizes, 0, rank);
  } catch (const OtherSequence&) {
    lists = as_lists(data, 0);
    return from_data(lists.get(), wanted);
  }
  DType dtype = wanted      ? *wanted
                : rank == 0 ? DType::Bool
                : rank == 1 ? DType::I64
                : rank == 3 ? (default_float() == DType::F64 ? DType::C128 : DType::C64)
                            : default_float();
  Tensor out = new_tensor(sizes, dtype);
  if (out.numel()) Writer{out, sizes}.write(data, 0);
  return out;
}

// ---- functions of the module
struct CreationArgs {
  PyObject* data;
  DType dtype;
  bool has_dtype = false;
  bool requires_grad = false;
};
CreationArgs parse_creation(const char* name, PyObject* args, PyObject* keywords) {
  CreationArgs a{};
  PyObject *dtype = Py_None, *device = Py_None;
  int requires_grad = 0;
  static const char* const names[] = {"data", "dtype", "device", "requires_grad", nullptr};
  std::string format = cat("O|OOp:", name);
  if (!PyArg_ParseTupleAndKeywords(args, keywords, format.c_str(), const_cast<char**>(names), &a.data, &dtype,
                                   &device, &requires_grad))
    throw PythonErrorSet{};
  a.requires_grad = requires_grad;
  if (dtype != Py_None) {
    if (!to_dtype_value(dtype, a.dtype))
      throw Error(ErrorKind::Type,
                  cat(name, ": dtype must be a dtype such as moka.float32, got ", described(dtype)));
    a.has_dtype = true;
  }
  Device d{};
  if (device != Py_None && !to_device_value(device, d))
    throw Error(ErrorKind::Type,
                cat(name, ": device must be a device such as 'cpu', got ", described(device)));
  return a;
}

PyObject* py_tensor(PyObject*, PyObject* args, PyObject* keywords) {
  try {
    CreationArgs a = parse_creation("tensor", args, keywords);
    Tensor t = from_data(a.data, a.has_dtype ? &a.dtype : nullptr);
    if (a.requires_grad) autograd::set_requires_grad(t, true);
    return wrap(t);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
// Shares memory where it can.
PyObject* py_as_tensor(PyObject*, PyObject* args, PyObject* keywords) {
  try {
    CreationArgs a = parse_creation("as_tensor", args, keywords);
    if (is_tensor(a.data) && (!a.has_dtype || unwrap(a.data).dtype() == a.dtype)) {
      Py_INCREF(a.data);
      return a.data;
    }
    if (!is_tensor(a.data) && !is_list(a.data))
      if (Tensor t = from_buffer(a.data, true); t && (!a.has_dtype || t.dtype() == a.dtype)) return wrap(t);
    return wrap(from_data(a.data, a.has_dtype ? &a.dtype : nullptr));
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* py_from_numpy(PyObject*, PyObject* array) {
  try {
    Tensor t = from_buffer(array, true);
    if (t && t.impl()->storage->read_only &&
        PyErr_WarnEx(
            PyExc_UserWarning,
            "The given NumPy array is not writable, so the tensor of from_numpy refuses to be written "
            "to; use moka.tensor(array), which copies, to get one that can be",
            1) < 0)
      return nullptr;
    if (!t)
      throw Error(ErrorKind::Type, cat("from_numpy: expected a NumPy array, got ", described(array),
                                       is_list(array) ? "; use moka.tensor(list)" : ""));
    return wrap(t);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

// _string_tensor(texts, sizes): a tensor of strings, from str or bytes in a flat list.
PyObject* py_string_tensor(PyObject*, PyObject* args) {
  PyObject *texts, *shape;
  if (!PyArg_ParseTuple(args, "O!O!:_string_tensor", &PyList_Type, &texts, &PyTuple_Type, &shape))
    return nullptr;
  try {
    Dims sizes;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(shape); i++) {
      sizes.push_back(PyLong_AsLongLong(PyTuple_GET_ITEM(shape, i)));
      if (PyErr_Occurred()) return nullptr;
    }
    Tensor out = new_tensor(sizes, DType::String);
    MOKA_CHECK_KIND(Value, out.numel() == PyList_GET_SIZE(texts),
                    "_string_tensor: ", static_cast<int64_t>(PyList_GET_SIZE(texts)),
                    " texts do not fill shape ", sizes);
    TextWriter to(out);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(texts); i++) {
      PyObject* item = PyList_GET_ITEM(texts, i);
      if (PyBytes_Check(item)) {
        to.set(i, {PyBytes_AS_STRING(item), static_cast<size_t>(PyBytes_GET_SIZE(item))});
        continue;
      }
      MOKA_CHECK_KIND(Type, PyUnicode_Check(item), "a tensor of strings cannot hold ", described(item));
      PyRef bytes = PyRef::steal(PyUnicode_AsEncodedString(item, "utf-8", "surrogateescape"));
      if (!bytes) return nullptr;
      to.set(i, {PyBytes_AS_STRING(bytes.get()), static_cast<size_t>(PyBytes_GET_SIZE(bytes.get()))});
    }
    return wrap(out);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

// ---- methods
PyObject* list_of(const Tensor& t, int d, int64_t& at) {
  if (t.dtype() == DType::String && !t.is_contiguous()) return list_of(as_contiguous(t), d, at);
  if (d == t.dim()) {
    int64_t i = at++;
    if (t.dtype() == DType::Bool) return PyBool_FromLong(element_as_int(t, i) != 0);
    if (t.dtype() == DType::String) {
      const std::string_view text = texts_of(t)[i];
      return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape");
    }
    if (is_complex(t.dtype())) {
      double pair[2];
      Tensor one = to_dtype(t, DType::C128);
      std::memcpy(pair, one.data<double>() + 2 * i, sizeof pair);
      return PyComplex_FromDoubles(pair[0], pair[1]);
    }
    if (is_floating(t.dtype()) || family(t.dtype()) == DTypeClass::StorageOnly)
      return PyFloat_FromDouble(element_as_double(t, i));
    if (t.dtype() == DType::U64)
      return PyLong_FromUnsignedLongLong(static_cast<uint64_t>(element_as_int(t, i)));
    return PyLong_FromLongLong(element_as_int(t, i));
  }
  PyObject* list = PyList_New(t.size(d));
  if (!list) throw PythonErrorSet{};
  for (int64_t i = 0; i < t.size(d); i++) PyList_SET_ITEM(list, i, list_of(t, d + 1, at));
  return list;
}
PyObject* m_tolist(PyObject* self, PyObject*) {
  try {
    check_not_capturing(unwrap(self), "tolist");
    int64_t at = 0;
    const Tensor& t = unwrap(self);
    return list_of(is_complex(t.dtype()) ? to_dtype(t, DType::C128) : t, 0, at);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* m_item(PyObject* self, PyObject*) {
  try {
    const Tensor& t = unwrap(self);
    MOKA_CHECK(t.numel() == 1,
               "item: only a tensor of one element can become a Python number, this one has shape ",
               t.sizes());
    check_not_capturing(t, "item");
    int64_t at = 0;
    return list_of(strided_view(t, {}, {}, t.impl()->offset), 0, at);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* m_complex(PyObject* self, PyObject*) {
  try {
    const Tensor& t = unwrap(self);
    MOKA_CHECK_KIND(Value, t.numel() == 1,
                    "complex: only a tensor of one element can become a Python number, this one has shape ",
                    t.sizes());
    check_not_capturing(t, "complex");
    ComplexNumber c = as_complex_number(t);
    return PyComplex_FromDoubles(c.real, c.imag);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* as_array(PyObject* self) {
  PyObject* numpy = PyImport_ImportModule("numpy");
  if (!numpy) return nullptr;
  PyObject* view = PyMemoryView_FromObject(self);
  PyObject* array = view ? PyObject_CallMethod(numpy, "asarray", "O", view) : nullptr;
  Py_XDECREF(view);
  Py_DECREF(numpy);
  return array;
}
PyObject* m_numpy(PyObject* self, PyObject* args, PyObject* keywords) {
  int force = 0;
  static const char* const names[] = {"force", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|p:numpy", const_cast<char**>(names), &force))
    return nullptr;
  try {
    const Tensor& t = unwrap(self);
    check_not_capturing(t, "numpy");
    MOKA_CHECK(force || !autograd::requires_grad(t), "numpy: the tensor requires grad; use detach().numpy()");
    MOKA_CHECK_KIND(Type, buffer_format(t.dtype()), "numpy: NumPy has no type for ", t.dtype(),
                    "; convert it first, for example with float()");
    return as_array(self);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* m_array(PyObject* self, PyObject* args, PyObject* keywords) {
  PyObject *dtype = Py_None, *copy = Py_None;
  static const char* const names[] = {"dtype", "copy", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO:__array__", const_cast<char**>(names), &dtype, &copy))
    return nullptr;
  PyObject* none = PyTuple_New(0);
  PyObject* array = m_numpy(self, none, nullptr);
  Py_DECREF(none);
  if (!array) return nullptr;
  PyObject* result = array;
  if (dtype != Py_None) {
    result = PyObject_CallMethod(array, "astype", "O", dtype);
    Py_DECREF(array);
  } else if (copy == Py_True) {
    result = PyObject_CallMethod(array, "copy", nullptr);
    Py_DECREF(array);
  }
  return result;
}
PyObject* m_size(PyObject* self, PyObject* args, PyObject* keywords) {
  PyObject* dim = Py_None;
  static const char* const names[] = {"dim", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:size", const_cast<char**>(names), &dim))
    return nullptr;
  if (dim == Py_None) return make_shape(unwrap(self));
  long long d = PyLong_AsLongLong(dim);
  if (PyErr_Occurred()) return nullptr;
  try {
    MOKA_CHECK_KIND(Index, unwrap(self).dim() > 0, "size: a 0-d tensor has no dimension ",
                    static_cast<int64_t>(d));
    return make_number(unwrap(self), static_cast<int>(wrap_dim(d, unwrap(self).dim(), "size")));
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* m_stride(PyObject* self, PyObject* args) {
  PyObject* dim = Py_None;
  if (!PyArg_ParseTuple(args, "|O:stride", &dim)) return nullptr;
  const Tensor& t = unwrap(self);
  try {
    if (dim != Py_None)
      return PyLong_FromLongLong(t.stride(wrap_dim(PyLong_AsLongLong(dim), t.dim(), "stride")));
  } catch (...) {
    set_python_error();
    return nullptr;
  }
  PyObject* tuple = PyTuple_New(t.dim());
  for (int d = 0; d < t.dim(); d++) PyTuple_SET_ITEM(tuple, d, PyLong_FromLongLong(t.stride(d)));
  return tuple;
}
PyObject* m_dim(PyObject* self, PyObject*) { return PyLong_FromLong(unwrap(self).dim()); }
PyObject* m_numel(PyObject* self, PyObject*) { return PyLong_FromLongLong(unwrap(self).numel()); }
PyObject* m_data_ptr(PyObject* self, PyObject*) {
  return PyLong_FromVoidPtr(unwrap(self).has_storage() ? unwrap(self).raw_data() : nullptr);
}
PyObject* m_storage_offset(PyObject* self, PyObject*) {
  return PyLong_FromLongLong(unwrap(self).impl()->offset);
}
PyObject* m_storage_id(PyObject* self, PyObject*) { return PyLong_FromVoidPtr(unwrap(self).impl()->storage); }
PyObject* m_is_contiguous(PyObject* self, PyObject*) { return PyBool_FromLong(unwrap(self).is_contiguous()); }
PyObject* m_is_floating(PyObject* self, PyObject*) {
  return PyBool_FromLong(is_floating(unwrap(self).dtype()));
}
PyObject* m_is_complex(PyObject* self, PyObject*) {
  return PyBool_FromLong(is_complex(unwrap(self).dtype()));
}
PyObject* m_element_size(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(item_size(unwrap(self).dtype()));
}
PyObject* m_length_hint(PyObject* self, PyObject*) {
  return PyLong_FromLongLong(unwrap(self).dim() ? unwrap(self).size(0) : 0);
}

PyObject* converted(PyObject* self, const DType* dtype, const Device* device, bool copy,
                    PyObject* format = nullptr) {
  try {
    static const Op& op = get_op("to");
    Arg args[5] = {unwrap(self), dtype ? Arg(*dtype) : Arg(), device ? Arg(*device) : Arg(), Arg(copy),
                   Arg()};
    if (format && format != Py_None) {
      Scratch scratch;
      static const ArgType text{Kind::String};
      if (!convert(format, text, args[4], scratch))
        throw Error(ErrorKind::Type,
                    cat("to: memory_format must be a memory format, got ", Py_TYPE(format)->tp_name));
    }
    Frame f(op, args, 5);
    const Tensor& t = unwrap(self);
    bool nothing = (!dtype || *dtype == t.dtype()) && (!device || *device == t.device()) && !copy &&
                   (args[4].is_none() || args[4].as_string() == "preserve_format");
    if (nothing) {
      Py_INCREF(self);
      return self;
    }
    call(f);
    return wrap(f.outs[0]);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
// to(dtype), to(device), to(device, dtype), to(other): PyTorch's orders.
PyObject* m_to(PyObject* self, PyObject* args, PyObject* keywords) {
  DType dtype;
  Device device;
  bool has_dtype = false, has_device = false, copy = false;
  int bools = 0;
  PyObject* format = nullptr;
  try {
    auto take = [&](PyObject* v) {
      if (v == Py_None) return;
      if (is_tensor(v)) {
        dtype = unwrap(v).dtype();
        device = unwrap(v).device();
        has_dtype = has_device = true;
      } else if (to_dtype_value(v, dtype)) has_dtype = true;
      else if (to_device_value(v, device)) has_device = true;
      else if (PyBool_Check(v)) {  // non_blocking, then copy
        if (bools++) copy = v == Py_True;
      } else
        throw Error(ErrorKind::Type, cat("to: expected a dtype, a device or a Tensor, got ", described(v)));
    };
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); i++) take(PyTuple_GET_ITEM(args, i));
    if (keywords) {
      PyObject *key, *value;
      Py_ssize_t at = 0;
      while (PyDict_Next(keywords, &at, &key, &value)) {
        const std::string name = utf8(key);
        if (name == "copy") copy = PyObject_IsTrue(value);
        else if (name == "memory_format") format = value;
        else if (name == "dtype" || name == "device" || name == "other") take(value);
        else if (name != "non_blocking")
          throw Error(ErrorKind::Type,
                      cat("to: has no argument '", name,
                          "'; there are dtype, device, other, copy, non_blocking, memory_format"));
      }
    }
  } catch (...) {
    set_python_error();
    return nullptr;
  }
  return converted(self, has_dtype ? &dtype : nullptr, has_device ? &device : nullptr, copy, format);
}
template <DType D>
PyObject* m_convert(PyObject* self, PyObject* args, PyObject* keywords) {
  PyObject* format = Py_None;
  static const char* const names[] = {"memory_format", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$O", const_cast<char**>(names), &format)) return nullptr;
  DType d = D;
  return converted(self, &d, nullptr, false, format);
}
PyObject* m_type_as(PyObject* self, PyObject* other) {
  if (!is_tensor(other))
    return PyErr_Format(PyExc_TypeError, "type_as: expected a Tensor, got %s; to() takes a dtype",
                        Py_TYPE(other)->tp_name);
  DType d = unwrap(other).dtype();
  return converted(self, &d, nullptr, false);
}
PyObject* m_cpu(PyObject* self, PyObject*) {
  Py_INCREF(self);
  return self;
}
PyObject* m_make_subclass(PyObject* type, PyObject* args) {
  PyObject *cls, *data;
  int requires_grad = 0;
  if (!PyArg_ParseTuple(args, "OO|p:_make_subclass", &cls, &data, &requires_grad)) return nullptr;
  (void)type;
  if (!PyType_Check(cls) || !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), tensor_type) ||
      !is_tensor(data))
    return PyErr_Format(PyExc_TypeError, "_make_subclass: expected a subclass of Tensor and a Tensor");
  try {
    Tensor t = autograd::detach(unwrap(data));
    autograd::set_requires_grad(t, requires_grad);
    return wrap_as(reinterpret_cast<PyTypeObject*>(cls), t);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyCFunction with_keywords(PyCFunctionWithKeywords f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}
}  // namespace

Tensor tensor_from_data(PyObject* data, DType dtype) { return from_data(data, &dtype); }
Tensor tensor_from_data(PyObject* data) { return from_data(data, nullptr); }

void check_not_batched(const Tensor& t, const char* what) {
  MOKA_CHECK(!autograd::is_batched(t), what, ": inside vmap ", t,
             " stands for a whole batch and has no value of its own; compute with tensors (where, masked "
             "operators) instead of Python branches, or return it and look at the batch outside");
}
void check_not_capturing(const Tensor& t, const char* what) {
  check_not_batched(t, what);
  if (!(thread_layers.forced & layer::capture)) return;
  fail(what, ": the value of ", t,
       " is asked for while a trace records: the graph would keep it as a constant. Compute with tensors "
       "(where, masked operators) "
       "instead of Python branches, or take the branch outside the traced function");
}

PyMethodDef creation_functions[] = {
    {"tensor", with_keywords(py_tensor), METH_VARARGS | METH_KEYWORDS,
     "tensor(data, dtype=None, device=None, requires_grad=False): a new tensor with a copy of the data."},
    {"as_tensor", with_keywords(py_as_tensor), METH_VARARGS | METH_KEYWORDS,
     "as_tensor(data, dtype=None, device=None): a tensor that shares the data's memory where it can."},
    {"_string_tensor", py_string_tensor, METH_VARARGS, "_string_tensor(texts, sizes): a tensor of strings."},
    {"from_numpy", py_from_numpy, METH_O, "from_numpy(array): a tensor on the array's memory."},
    {nullptr, nullptr, 0, nullptr}};

PyMethodDef tensor_methods[] = {
    {"item", m_item, METH_NOARGS, "The one element as a Python number."},
    {"__complex__", m_complex, METH_NOARGS, nullptr},
    {"tolist", m_tolist, METH_NOARGS, "The elements as nested lists."},
    {"numpy", with_keywords(m_numpy), METH_VARARGS | METH_KEYWORDS, "A NumPy array on the same memory."},
    {"__array__", with_keywords(m_array), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"size", with_keywords(m_size), METH_VARARGS | METH_KEYWORDS, "The sizes, or the size of one dimension."},
    {"stride", m_stride, METH_VARARGS, "The strides in elements, or one of them."},
    {"dim", m_dim, METH_NOARGS, "The number of dimensions."},
    {"ndimension", m_dim, METH_NOARGS, "The number of dimensions."},
    {"numel", m_numel, METH_NOARGS, "The number of elements."},
    {"nelement", m_numel, METH_NOARGS, "The number of elements."},
    {"data_ptr", m_data_ptr, METH_NOARGS, "The address of the first element."},
    {"storage_offset", m_storage_offset, METH_NOARGS, "Elements before the first one in the storage."},
    {"_storage_id", m_storage_id, METH_NOARGS, "Equal for tensors that share memory."},
    {"is_contiguous", reinterpret_cast<PyCFunction>(m_is_contiguous), METH_NOARGS,
     "Whether the elements lie in order."},
    {"is_floating_point", m_is_floating, METH_NOARGS, "Whether the type is floating."},
    {"is_complex", m_is_complex, METH_NOARGS, "Whether the type is complex."},
    {"element_size", m_element_size, METH_NOARGS, "Bytes of one element."},
    {"__length_hint__", m_length_hint, METH_NOARGS, nullptr},
    {"to", with_keywords(m_to), METH_VARARGS | METH_KEYWORDS,
     "In another element type or on another device."},
    {"type_as", m_type_as, METH_O, "In the element type of another tensor."},
    {"float", with_keywords(m_convert<DType::F32>), METH_VARARGS | METH_KEYWORDS, "to(moka.float32)"},
    {"double", with_keywords(m_convert<DType::F64>), METH_VARARGS | METH_KEYWORDS, "to(moka.float64)"},
    {"half", with_keywords(m_convert<DType::F16>), METH_VARARGS | METH_KEYWORDS, "to(moka.float16)"},
    {"bfloat16", with_keywords(m_convert<DType::BF16>), METH_VARARGS | METH_KEYWORDS, "to(moka.bfloat16)"},
    {"long", with_keywords(m_convert<DType::I64>), METH_VARARGS | METH_KEYWORDS, "to(moka.int64)"},
    {"int", with_keywords(m_convert<DType::I32>), METH_VARARGS | METH_KEYWORDS, "to(moka.int32)"},
    {"short", with_keywords(m_convert<DType::I16>), METH_VARARGS | METH_KEYWORDS, "to(moka.int16)"},
    {"char", with_keywords(m_convert<DType::I8>), METH_VARARGS | METH_KEYWORDS, "to(moka.int8)"},
    {"byte", with_keywords(m_convert<DType::U8>), METH_VARARGS | METH_KEYWORDS, "to(moka.uint8)"},
    {"bool", with_keywords(m_convert<DType::Bool>), METH_VARARGS | METH_KEYWORDS, "to(moka.bool)"},
    {"cpu", m_cpu, METH_NOARGS, "On the CPU."},
    {"_make_subclass", m_make_subclass, METH_VARARGS | METH_STATIC, nullptr},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace moka::python
