// Python values become Args, by the types of a schema.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/arguments.h"

#include <string>

#include "moka/ops/random/generator.h"
#include "moka/tensor/meta.h"
#include "python/bindings/classes.h"
#include "python/bindings/convert.h"

namespace moka::python {

Scratch::More& Scratch::more() {
  if (!more_) more_ = std::make_unique<More>();
  return *more_;
}
int64_t* Scratch::ints(size_t n) {
  if (used_ints_ + n <= std::size(small_ints_)) {
    int64_t* p = small_ints_ + used_ints_;
    used_ints_ += n;
    return p;
  }
  return more().ints.emplace_back(std::make_unique<int64_t[]>(n)).get();
}
double* Scratch::floats(size_t n) { return more().floats.emplace_back(std::make_unique<double[]>(n)).get(); }
Tensor* Scratch::tensors(size_t n) {
  if (used_tensors_ + n <= std::size(small_tensors_)) {
    Tensor* p = small_tensors_ + used_tensors_;
    for (size_t i = 0; i < n; i++) new (p + i) Tensor;
    used_tensors_ += n;
    return p;
  }
  return more().tensors.emplace_back(std::make_unique<Tensor[]>(n)).get();
}

ComplexNumber as_complex_number(const Tensor& t) {
  if (is_meta(t)) return {element_as_double(t, 0), 0};  // raises
  Tensor one = to_dtype(t, DType::C128);
  const double* p = static_cast<const double*>(one.raw_data());
  return {p[0], p[1]};
}

std::string utf8(PyObject* text) {
  if (const char* p = PyUnicode_AsUTF8(text)) return p;
  PyErr_Clear();  // half a surrogate pair has no UTF-8
  return "?";
}

std::string described(PyObject* v) {
  if (v == Py_None) return "None";
  if (is_tensor(v)) return cat("Tensor ", unwrap(v));
  PyRef shown = PyRef::steal(PyObject_Repr(v));
  const std::string text = shown ? utf8(shown.get()) : "";
  PyErr_Clear();
  std::string out = Py_TYPE(v)->tp_name;
  const bool telling = text.find('\n') == text.npos && text.find(" at 0x") == text.npos;
  if (!text.empty() && text.size() < 60 && telling) out += " " + text;
  return out;
}

bool to_int(PyObject* v, int64_t& out) {
  if (PyLong_CheckExact(v)) {
    int overflow;
    out = PyLong_AsLongLongAndOverflow(v, &overflow);
    if (overflow) throw Error(ErrorKind::Value, "the integer does not fit in 64 bits");
    return true;
  }
  if (PyFloat_Check(v) || PyUnicode_Check(v) || PyBool_Check(v)) return false;
  if (is_tensor(v)) {
    const Tensor& t = unwrap(v);
    if (t.numel() != 1 || t.dim() != 0 || is_floating(t.dtype()) || is_complex(t.dtype())) return false;
    check_not_capturing(t, "int argument");
    out = element_as_int(t, 0);
    return true;
  }
  if (!PyIndex_Check(v)) return false;
  PyObject* index = PyNumber_Index(v);
  if (!index) {
    PyErr_Clear();
    return false;
  }
  out = PyLong_AsLongLong(index);
  Py_DECREF(index);
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  return true;
}

bool is_single_int(PyObject* v) {
  if (PyLong_Check(v)) return !PyBool_Check(v);
  if (is_tensor(v)) return unwrap(v).dim() == 0 && is_integral(unwrap(v).dtype());
  if (PyTuple_Check(v) || PyList_Check(v) || !PyIndex_Check(v)) return false;
  int64_t ignored;
  return to_int(v, ignored);
}

namespace {
Arg complex_arg(ComplexNumber c, Scratch& scratch) {
  double* p = scratch.floats(2);
  p[0] = c.real;
  p[1] = c.imag;
  return Arg(std::span<const double>(p, 2));
}

bool to_number(PyObject* v, Arg& out, Scratch& scratch) {
  if (PyFloat_CheckExact(v)) {
    out = Arg(PyFloat_AS_DOUBLE(v));
    return true;
  }
  if (PyBool_Check(v)) {
    out = Arg(v == Py_True);
    return true;
  }
  int64_t i;
  if (PyLong_Check(v)) {
    if (!to_int(v, i)) return false;
    out = Arg(i);
    return true;
  }
  if (is_tensor(v)) {
    const Tensor& t = unwrap(v);
    if (t.numel() != 1 || t.dim() != 0) return false;
    check_not_capturing(t, "number argument");
    if (is_floating(t.dtype())) out = Arg(element_as_double(t, 0));
    else if (is_complex(t.dtype())) out = complex_arg(as_complex_number(t), scratch);
    else if (t.dtype() == DType::Bool) out = Arg(element_as_int(t, 0) != 0);
    else out = Arg(element_as_int(t, 0));
    return true;
  }
  if (PyFloat_Check(v)) {
    out = Arg(PyFloat_AsDouble(v));
    return true;
  }
  if (PyComplex_Check(v)) {
    out = complex_arg({PyComplex_RealAsDouble(v), PyComplex_ImagAsDouble(v)}, scratch);
    return true;
  }
  if (PyIndex_Check(v) && to_int(v, i)) {  // NumPy's integers
    out = Arg(i);
    return true;
  }
  if (Py_TYPE(v)->tp_as_number && Py_TYPE(v)->tp_as_number->nb_float && !PyUnicode_Check(v) &&
      !PySequence_Check(v)) {
    double d = PyFloat_AsDouble(v);  // NumPy's floats
    if (PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    out = Arg(d);
    return true;
  }
  return false;
}

bool to_list(PyObject* v, const ArgType& type, Arg& out, Scratch& scratch) {
  if (type.kind == Kind::Int && type.list_size) {
    int64_t one;
    if (!PyTuple_Check(v) && !PyList_Check(v) && to_int(v, one)) {
      int64_t* p = scratch.ints(static_cast<size_t>(type.list_size));
      for (int i = 0; i < type.list_size; i++) p[i] = one;
      out = Arg(std::span<const int64_t>(p, static_cast<size_t>(type.list_size)));
      return true;
    }
  }
  if (type.kind == Kind::Int && !type.list_size && is_single_int(v)) {  // sum(dim=1)
    int64_t* p = scratch.ints(1);
    if (!to_int(v, *p)) return false;
    out = Arg(std::span<const int64_t>(p, 1));
    return true;
  }
  if (!PyTuple_Check(v) && !PyList_Check(v)) return false;
  size_t n = static_cast<size_t>(PySequence_Fast_GET_SIZE(v));
  PyObject** items = PySequence_Fast_ITEMS(v);
  switch (type.kind) {
    case Kind::Int: {
      if (type.list_size && n == 1) {  // (3,) stands for (3, 3), as in PyTorch
        int64_t one;
        if (!to_int(items[0], one)) return false;
        int64_t* p = scratch.ints(static_cast<size_t>(type.list_size));
        for (int i = 0; i < type.list_size; i++) p[i] = one;
        out = Arg(std::span<const int64_t>(p, static_cast<size_t>(type.list_size)));
        return true;
      }
      int64_t* p = scratch.ints(n);
      for (size_t i = 0; i < n; i++)
        if (!to_int(items[i], p[i])) return false;
      out = Arg(std::span<const int64_t>(p, n));
      return true;
    }
    case Kind::Float: {
      double* p = scratch.floats(n);
      for (size_t i = 0; i < n; i++) {
        Arg a;
        if (!to_number(items[i], a, scratch)) return false;
        if (is_complex_number(a)) return false;
        p[i] = a.as_double();
      }
      out = Arg(std::span<const double>(p, n));
      return true;
    }
    case Kind::Tensor: {
      Tensor* p = scratch.tensors(n);
      for (size_t i = 0; i < n; i++) {
        if (items[i] == Py_None && type.optional_elements) continue;
        if (!is_tensor(items[i])) return false;
        p[i] = unwrap(items[i]);
      }
      out = Arg(std::span<const Tensor>(p, n));
      return true;
    }
    default: return false;
  }
}
}  // namespace

bool convert(PyObject* v, const ArgType& type, Arg& out, Scratch& scratch) {
  if (v == Py_None) {
    out = Arg();
    return type.optional;
  }
  if (type.list) return to_list(v, type, out, scratch);
  switch (type.kind) {
    case Kind::Tensor:
      if (!is_tensor(v)) return false;
      out = Arg(unwrap(v));
      return true;
    case Kind::Operand:
      if (is_tensor(v)) {
        out = Arg(unwrap(v));
        return true;
      }
      return to_number(v, out, scratch);
    case Kind::Number: return to_number(v, out, scratch);
    case Kind::Float:
      if (!to_number(v, out, scratch) || is_complex_number(out)) return false;
      out = Arg(out.as_double());
      return true;
    case Kind::Int: {
      int64_t i;
      if (!to_int(v, i)) return false;
      out = Arg(i);
      return true;
    }
    case Kind::Bool: {
      if (PyBool_Check(v)) {
        out = Arg(v == Py_True);
        return true;
      }
      int64_t i;
      if (!to_int(v, i)) return false;
      out = Arg(i != 0);
      return true;
    }
    case Kind::String: {
      if (!PyUnicode_Check(v)) return false;
      Py_ssize_t n;
      const char* p = PyUnicode_AsUTF8AndSize(v, &n);
      if (!p) {
        PyErr_Clear();
        return false;
      }
      out = Arg(std::string_view(p, static_cast<size_t>(n)));
      return true;
    }
    case Kind::DType: {
      DType d;
      if (!to_dtype_value(v, d)) return false;
      out = Arg(d);
      return true;
    }
    case Kind::Device: {
      Device d;
      if (!to_device_value(v, d)) return false;
      out = Arg(d);
      return true;
    }
    case Kind::Generator: {
      Generator* g = generator_value(v);
      if (!g) return false;
      out = Arg();
      out.tag = Tag::Object;
      out.object = g;
      return true;
    }
    case Kind::Any:
      if (PyUnicode_Check(v)) {
        static const ArgType text{Kind::String};
        return convert(v, text, out, scratch);
      }
      return to_number(v, out, scratch);
  }
  return false;
}

}  // namespace moka::python
