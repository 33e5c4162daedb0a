// Methods of Tensor that are no operators: values for Python, sizes, conversions of type.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/methods.h"

#include <cstring>
#include <string>

#include "moka/autograd/history.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/strings.h"
#include "python/bindings/arguments.h"
#include "python/bindings/autograd.h"
#include "python/bindings/buffer.h"
#include "python/bindings/classes.h"
#include "python/bindings/convert.h"
#include "python/bindings/size.h"
#include "python/bindings/wrapper.h"

namespace moka::python {

namespace {
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
    check_has_values(unwrap(self), "tolist");
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
    MOKA_CHECK(t.numel() == 1, "item: a Tensor with ", t.numel(),
               " elements cannot be converted to Scalar: its shape is ", t.sizes());
    check_not_capturing(t, "item");
    if (PyObject* number = wrapper_number(t)) return number;
    if (is_meta(t)) return PyFloat_FromDouble(element_as_double(t, 0));  // raises
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
    MOKA_CHECK_KIND(
        Value, t.numel() == 1,
        "complex: only one element tensors can be converted to Python scalars, this one has shape ",
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
    MOKA_CHECK_KIND(Type, !is_meta(t),
                    "numpy: can't convert meta device type tensor to numpy: it has no values");
    MOKA_CHECK(force || !autograd::grad_enabled() || !autograd::requires_grad(t),
               "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
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
    if (dim != Py_None) {
      const long long d = PyLong_AsLongLong(dim);
      if (PyErr_Occurred()) return nullptr;
      return PyLong_FromLongLong(t.stride(wrap_dim(d, t.dim(), "stride")));
    }
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
  const Tensor& t = unwrap(self);
  return PyLong_FromVoidPtr(t.has_storage() && !is_meta(t) ? t.raw_data() : nullptr);
}
PyObject* m_storage_offset(PyObject* self, PyObject*) {
  return PyLong_FromLongLong(unwrap(self).impl()->offset);
}
PyObject* m_storage_id(PyObject* self, PyObject*) { return PyLong_FromVoidPtr(unwrap(self).impl()->storage); }
PyObject* m_is_contiguous(PyObject* self, PyObject*) { return PyBool_FromLong(unwrap(self).is_contiguous()); }
PyObject* m_is_floating(PyObject* self, PyObject*) {
  return PyBool_FromLong(is_real_type(unwrap(self).dtype()));
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
        if (name == "copy") {
          const int on = PyObject_IsTrue(value);
          if (on < 0) throw PythonErrorSet{};
          copy = on;
        } else if (name == "memory_format") format = value;
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
  const Device cpu{};
  return converted(self, nullptr, &cpu, false);
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
}  // namespace

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
