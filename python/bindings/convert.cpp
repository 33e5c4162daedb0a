// Python data to tensors and back.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/convert.h"

#include <cmath>
#include <cstring>

#include "moka/autograd/history.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/strings.h"
#include "python/bindings/arguments.h"
#include "python/bindings/autograd.h"
#include "python/bindings/buffer.h"
#include "python/bindings/classes.h"
#include "python/bindings/graph.h"

namespace moka::python {

namespace {
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

// The type that holds all elements seen so far.
struct Elements {
  DType type = DType::Bool;
  bool any = false;

  void add(DType d) {
    type = any ? promote(type, d) : d;
    any = true;
  }
};

void measure(PyObject* o, Dims& sizes, size_t depth, Elements& elements) {
  if (depth > static_cast<size_t>(max_dims))
    throw Error(ErrorKind::Value, "tensor: the list is nested too deeply");
  if (!is_list(o)) {
    if (is_tensor(o)) {  // lists of tensors stack
      const Tensor& t = unwrap(o);
      if (sizes.size() == depth) sizes.append(t.sizes());
      return elements.add(t.dtype());
    }
    if (PyBool_Check(o)) elements.add(DType::Bool);
    else if (PyLong_Check(o)) elements.add(DType::I64);
    else if (PyFloat_Check(o)) elements.add(default_float());
    else if (PyComplex_Check(o)) elements.add(default_float() == DType::F64 ? DType::C128 : DType::C64);
    else if (is_other_sequence(o)) throw OtherSequence{};
    else if (is_index(o)) elements.add(DType::I64);
    else if (Py_TYPE(o)->tp_as_number && Py_TYPE(o)->tp_as_number->nb_float) elements.add(default_float());
    else
      throw Error(ErrorKind::Type,
                  cat("tensor: expected numbers, bools, tensors, or lists of them, got ", described(o)));
    return;
  }
  Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  if (sizes.size() == depth) sizes.push_back(n);
  for (Py_ssize_t i = 0; i < n; i++) measure(PySequence_Fast_GET_ITEM(o, i), sizes, depth + 1, elements);
}

struct Writer {
  const Tensor& out;
  const Dims& sizes;
  int64_t at = 0;
  void write(PyObject* o, size_t depth) {
    if (is_tensor(o) && depth <= sizes.size()) {
      const Tensor& t = unwrap(o);
      check_not_capturing(t, "tensor");
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
  Tensor out = new_tensor(t.sizes(), dtype, t.device());
  copy_elements(t, out);
  return out;
}

Tensor from_data(PyObject* data, const DType* wanted) {
  if (is_tensor(data)) {
    const Tensor& t = unwrap(data);
    const DType dtype = wanted ? *wanted : t.dtype();
    if (!(thread_layers.forced & layer::capture)) return copied(t, dtype);
    const Arg args[] = {t, dtype, Arg(), true, Arg()};  // a recording sees the operator
    static const Op& to = get_op("to");
    return call_boxed(to, args)[0];
  }
  if (!is_list(data)) {
    if (PyObject_HasAttrString(data, "as_elements")) {  // a storage
      PyRef kind = wanted ? PyRef::steal(dtype_object(*wanted)) : PyRef::share(Py_None);
      PyRef elements = PyRef::steal(PyObject_CallMethod(data, "as_elements", "O", kind.get()));
      if (!elements) throw PythonErrorSet{};
      if (is_tensor(elements.get())) return copied(unwrap(elements.get()), unwrap(elements.get()).dtype());
    }
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
  Elements elements;
  PyRef lists;
  try {
    measure(data, sizes, 0, elements);
  } catch (const OtherSequence&) {
    lists = as_lists(data, 0);
    return from_data(lists.get(), wanted);
  }
  const DType dtype = wanted ? *wanted : elements.any ? elements.type : default_float();
  Tensor out = new_tensor(sizes, dtype);
  if (out.numel()) Writer{out, sizes}.write(data, 0);
  return out;
}

// ---- functions of the module
struct CreationArgs {
  PyObject* data;
  DType dtype;
  Device device;
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
  a.device = default_device;
  if (device == Py_None && is_tensor(a.data)) a.device = unwrap(a.data).device();
  if (device != Py_None && !to_device_value(device, a.device))
    throw Error(ErrorKind::Type,
                cat(name, ": device must be a device such as 'cpu', got ", described(device)));
  return a;
}

// A tensor of the CPU where it was asked for.
Tensor moved(const Tensor& t, Device device) {
  if (t.device() == device) return t;
  static const Op& to = get_op("to");
  return EagerReading::call(to, t, t.dtype(), device);
}

PyObject* py_tensor(PyObject*, PyObject* args, PyObject* keywords) {
  try {
    CreationArgs a = parse_creation("tensor", args, keywords);
    Tensor t = moved(from_data(a.data, a.has_dtype ? &a.dtype : nullptr), a.device);
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
    if (is_tensor(a.data) && (!a.has_dtype || unwrap(a.data).dtype() == a.dtype) &&
        unwrap(a.data).device() == a.device) {
      Py_INCREF(a.data);
      return a.data;
    }
    if (is_tensor(a.data)) {  // another type or device, with its history
      static const Op& to = get_op("to");
      const Tensor& t = unwrap(a.data);
      return wrap(EagerReading::call(to, t, a.has_dtype ? a.dtype : t.dtype(), a.device));
    }
    if (!is_tensor(a.data) && !is_list(a.data))
      if (Tensor t = from_buffer(a.data, true); t && (!a.has_dtype || t.dtype() == a.dtype))
        return wrap(moved(t, a.device));
    return wrap(moved(from_data(a.data, a.has_dtype ? &a.dtype : nullptr), a.device));
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

}  // namespace

Tensor tensor_from_data(PyObject* data, DType dtype) { return from_data(data, &dtype); }
Tensor tensor_from_data(PyObject* data) { return from_data(data, nullptr); }

void check_not_batched(const Tensor& t, const char* what) {
  MOKA_CHECK(!autograd::is_batched(t), what, ": inside vmap ", t,
             " stands for a whole batch and has no value of its own; compute with tensors (where, masked "
             "operators) instead of Python branches, or return it and look at the batch outside");
}

PyMethodDef creation_functions[] = {
    {"tensor", with_keywords(py_tensor), METH_VARARGS | METH_KEYWORDS,
     "tensor(data, dtype=None, device=None, requires_grad=False): a new tensor with a copy of the data."},
    {"as_tensor", with_keywords(py_as_tensor), METH_VARARGS | METH_KEYWORDS,
     "as_tensor(data, dtype=None, device=None): a tensor that shares the data's memory where it can."},
    {"_string_tensor", py_string_tensor, METH_VARARGS, "_string_tensor(texts, sizes): a tensor of strings."},
    {"from_numpy", py_from_numpy, METH_O, "from_numpy(array): a tensor on the array's memory."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace moka::python
