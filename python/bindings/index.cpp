// Indexing: integers, slices, None and ... become views; lists and tensors become gathers and scatters.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/index.h"

#include "moka/autograd/history.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/shaping/shaping.h"
#include "python/bindings/arguments.h"
#include "python/bindings/convert.h"
#include "python/bindings/overrides.h"

namespace moka::python {

namespace {
// A key split into the views it asks for and the index tensors that remain (none for basic indexing).
struct Indexed {
  Tensor base;
  std::vector<Tensor> indices;  // one a dimension of base up to the last indexed; undefined where kept
  bool advanced = false;
};

// Bytes are masks, as they were before there was bool.
Tensor as_mask(const Tensor& t) {
  if (t.dtype() != DType::U8) return t;
  if (PyErr_WarnEx(PyExc_UserWarning,
                   "index: indexing with dtype uint8 is now deprecated, please use a dtype bool instead",
                   1) < 0)
    throw PythonErrorSet{};
  return to_dtype(t, DType::Bool);
}

Tensor index_tensor(PyObject* o) {
  if (is_tensor(o)) return as_mask(unwrap(o));
  if (PyRange_Check(o)) {
    PyRef list = PyRef::steal(PySequence_List(o));
    if (!list) throw PythonErrorSet{};
    return index_tensor(list.get());
  }
  Tensor t = as_mask(tensor_from_data(o));
  // An empty list selects nothing; it reads as floats otherwise.
  return t.numel() == 0 && is_floating(t.dtype()) ? to_dtype(t, DType::I64) : t;
}
bool is_single(PyObject* o) { return PyLong_Check(o) && !PyBool_Check(o); }
// A 0-d integer tensor or a NumPy integer indexes like an int; one whose value a recording must not read stays a tensor.
bool is_index_number(PyObject* o) {
  if (is_tensor(o))
    return unwrap(o).dim() == 0 && is_integral(unwrap(o).dtype()) && unwrap(o).dtype() != DType::U8 &&
           !is_followed(unwrap(o));
  if (PyBool_Check(o) || !PyIndex_Check(o)) return false;
  if (!PySequence_Check(o)) return true;
  // NumPy's arrays have __index__ too; it works for one integer without dimensions.
  const bool array = PyObject_Size(o) >= 0;
  PyErr_Clear();
  if (array) return false;
  PyRef index = PyRef::steal(PyNumber_Index(o));
  PyErr_Clear();
  return static_cast<bool>(index);
}
bool is_view_key(PyObject* o) {
  return o == Py_None || o == Py_Ellipsis || PySlice_Check(o) || is_single(o) || is_index_number(o) ||
         PyBool_Check(o);
}
// x[True] and a 0-d mask index a new dimension of size 1: it stays, or becomes empty.
Tensor truth_index(bool on) {
  Tensor t = new_tensor(Dims{on ? 1 : 0}, DType::I64);
  if (on) *t.data<int64_t>() = 0;
  return t;
}
int consumed_dims(PyObject* o, const Tensor& index) {
  if (o == Py_None || o == Py_Ellipsis || PyBool_Check(o)) return 0;
  return index && index.dtype() == DType::Bool ? index.dim() : 1;
}

Tensor take_slice(const Tensor& x, int d, PyObject* s) {
  Py_ssize_t start, stop, step;
  if (PySlice_Unpack(s, &start, &stop, &step) < 0) throw PythonErrorSet{};
  MOKA_CHECK_KIND(Value, step > 0, "slice: the step must be positive, got ", static_cast<int64_t>(step),
                  "; use flip for reversed order");
  PySliceObject* slice = reinterpret_cast<PySliceObject*>(s);
  if (slice->start == Py_None && slice->stop == Py_None && step == 1) return moka::slice(x, d);
  PySlice_AdjustIndices(x.size(d), &start, &stop, step);
  return moka::slice(x, d, int64_t(start), int64_t(std::max(start, stop)), int64_t(step));
}

void check_index(const Tensor& x, int dim, int64_t i) {
  const int64_t size = x.size(dim);
  MOKA_CHECK_KIND(Index, i >= -size && i < size, "index ", i, " is out of bounds for dimension ", dim,
                  " with size ", size, " (shape ", x.sizes(), ")");
}

// A short list is one index for each dimension, like a tuple, if an entry is more than a number.
bool stands_for_tuple(PyObject* key) {
  if (!PyList_Check(key) || PyList_GET_SIZE(key) >= 32) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(key); i++) {
    PyObject* o = PyList_GET_ITEM(key, i);
    if (is_tensor(o) || o == Py_None || o == Py_Ellipsis || PySlice_Check(o) || PySequence_Check(o))
      return true;
  }
  return false;
}

Indexed split_key(const Tensor& x, PyObject* key) {
  PyObject* const* items = &key;
  Py_ssize_t n = 1;
  if (PyTuple_Check(key) || stands_for_tuple(key)) {
    items = PySequence_Fast_ITEMS(key);
    n = PySequence_Fast_GET_SIZE(key);
  }
  int consumed = 0;
  bool ellipsis = false;
  std::vector<Tensor> given(static_cast<size_t>(n));  // what is no view, as tensors
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject* o = items[i];
    if (!is_view_key(o)) {
      if (!is_tensor(o) && !PyList_Check(o) && !PyTuple_Check(o) && !PyRange_Check(o) &&
          !PyObject_CheckBuffer(o))
        fail_kind(
            ErrorKind::Index,
            "index: only integers, slices (`:`), ellipsis (`...`), None, lists and tensors of integers or "
            "bools are valid indices (got ",
            described(o), ")");
      given[static_cast<size_t>(i)] = index_tensor(o);
    }
    consumed += consumed_dims(o, given[static_cast<size_t>(i)]);
    if (items[i] == Py_Ellipsis) {
      MOKA_CHECK_KIND(Index, !ellipsis, "index: ... may come only once");
      ellipsis = true;
    }
  }
  MOKA_CHECK_KIND(Index, consumed <= x.dim(), "index: ", consumed, " indices for a ", x.dim(),
                  "-d tensor of shape ", x.sizes());
  Indexed out{x, {}, false};
  int d = 0, own = 0;  // the dimension of base, and of x
  int entries = 0;     // of the list: a mask of k dimensions is one entry
  auto index_here = [&](const Tensor& t, int dims) {
    out.indices.resize(static_cast<size_t>(entries));
    out.indices.push_back(t);
    out.advanced = true;
    d += dims;
    entries++;
  };
  int before = 0;
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject* o = items[i];
    const Tensor& t = given[static_cast<size_t>(i)];
    before = d;
    if (o == Py_Ellipsis) {
      d += x.dim() - consumed;
      own += x.dim() - consumed;
    } else if (o == Py_None) {
      out.base = unsqueeze(out.base, d);
      d++;
    } else if (PySlice_Check(o)) {
      out.base = take_slice(out.base, d, o);
      d++;
      own++;
    } else if (is_single(o) || is_index_number(o)) {
      PyObject* index = PyNumber_Index(o);
      if (!index) throw PythonErrorSet{};
      int64_t v = PyLong_AsLongLong(index);
      Py_DECREF(index);
      if (v == -1 && PyErr_Occurred()) throw PythonErrorSet{};
      check_index(x, own, v);
      out.base = select(out.base, d, v);
      own++;
    } else if (PyBool_Check(o) || (t && t.dtype() == DType::Bool && t.dim() == 0)) {
      out.base = unsqueeze(out.base, d);
      if (t) check_not_capturing(t, "index");
      index_here(truth_index(t ? element_as_int(t, 0) != 0 : o == Py_True), 1);
      continue;
    } else {
      index_here(t, t.dtype() == DType::Bool ? t.dim() : 1);
      own += t.dtype() == DType::Bool ? t.dim() : 1;
      continue;
    }
    entries += d - before;
  }
  return out;
}

PyObject* plain_select(const Tensor& x, int64_t i) {
  MOKA_CHECK_KIND(Index, x.dim() > 0, "invalid index of a 0-d tensor: it has no element ", i, "; use item()");
  check_index(x, 0, i);
  return wrap(select(x, 0, i));
}

// A value may have more dimensions than what it is assigned to, if those are 1.
Tensor without_leading_ones(Tensor v, int dims) {
  while (v.dim() > dims && v.size(0) == 1) v = select(v, 0, 0);
  return v;
}

// Expanded dimensions have one place for all their elements: one of them is enough to write one value everywhere.
Tensor each_place_once(Tensor x) {
  for (int d = 0; d < x.dim(); d++)
    if (x.stride(d) == 0 && x.size(d) > 1) x = moka::slice(x, d, int64_t(0), int64_t(1), int64_t(1));
  return x;
}

// The dimensions of what a key selects.
int result_dims(const Indexed& at) {
  int kept = at.base.dim(), wide = 0;
  for (const Tensor& t : at.indices) {
    if (!t) continue;
    const bool mask = t.dtype() == DType::Bool;
    kept -= mask ? t.dim() : 1;
    wide = std::max(wide, mask ? 1 : t.dim());
  }
  return kept + wide;
}

Tensor value_tensor(PyObject* value, const Tensor& target) {
  if (is_tensor(value)) return unwrap(value);
  Arg number;
  Scratch scratch;
  static const ArgType any_number{Kind::Number};
  if (convert(value, any_number, number, scratch)) {
    Tensor t = new_tensor({}, target.dtype());
    if (is_complex_number(number)) convert_elements(number.floats, DType::C128, t.raw_data(), t.dtype(), 1);
    else if (number.tag == Tag::Float) convert_elements(&number.f, DType::F64, t.raw_data(), t.dtype(), 1);
    else {
      int64_t i = number.as_int();
      convert_elements(&i, DType::I64, t.raw_data(), t.dtype(), 1);
    }
    return t;
  }
  return tensor_from_data(value, target.dtype());
}

// Whether an index, or a value to be written, is left to a mode, to a subclass or to what stands in for a tensor.
bool is_left_to_others(PyObject* const* operands, Py_ssize_t count) {
  if (is_overridden(operands, count)) return true;
  return std::any_of(operands, operands + count, holds_stand_in);
}
PyObject* leave_to_others(const char* method, PyObject* const* operands, Py_ssize_t count) {
  const PyRef function =
      PyRef::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), method));
  return function ? hand_over(function.get(), operands, count, nullptr) : nullptr;
}
}  // namespace

PyObject* get_item(PyObject* self, PyObject* key) {
  try {
    if (!PyLong_CheckExact(key) && is_left_to_others(&key, 1)) {
      PyObject* operands[] = {self, key};
      return leave_to_others("__getitem__", operands, 2);
    }
    const Tensor& x = unwrap(self);
    if (PyLong_CheckExact(key)) {
      int64_t i = PyLong_AsLongLong(key);
      if (i == -1 && PyErr_Occurred()) return nullptr;
      return plain_select(x, i);
    }
    if (PySlice_Check(key)) {
      MOKA_CHECK_KIND(Index, x.dim() > 0, "index: a 0-d tensor cannot be sliced");
      return wrap(take_slice(x, 0, key));
    }
    Indexed at = split_key(x, key);
    if (!at.advanced) {
      // x[...] and x[()] are views too, never the object itself.
      return wrap(at.base == x ? alias(x) : at.base);
    }
    return wrap(moka::index(at.base, std::span<const Tensor>(at.indices)));
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

int set_item(PyObject* self, PyObject* key, PyObject* value) {
  try {
    if (!value) throw Error(ErrorKind::Type, "tensor elements cannot be deleted");
    PyObject* operands[] = {self, key, value};
    if (is_left_to_others(operands + 1, 2))
      return PyRef::steal(leave_to_others("__setitem__", operands, 3)) ? 0 : -1;
    const Tensor& x = unwrap(self);
    autograd::check_writable(x, "index assignment");
    Tensor v = value_tensor(value, x);
    // Views of x, written in place: gradients follow as for x.view(...).copy_(v).
    Indexed at = split_key(x, key);
    v = without_leading_ones(v, result_dims(at));
    if (!at.advanced && v.numel() == 1) at.base = each_place_once(at.base);
    Arg args[4] = {at.base, v};
    if (at.advanced) {
      args[1] = std::span<const Tensor>(at.indices);
      args[2] = v;
      args[3] = false;
    }
    Frame f(at.advanced ? ops::index_put_op : ops::copy__op, args, at.advanced ? 4 : 2);
    f.outs.resize(1);
    f.outs[0] = at.base;
    f.given = 1;
    call(f);
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}

}  // namespace moka::python
