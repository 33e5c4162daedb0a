// Tensors as Python numbers: arithmetic, comparisons, truth, int() and float().
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/number_slots.h"

#include <cstring>

#include "moka/autograd/history.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/pointwise/pointwise.h"
#include "python/bindings/calls.h"
#include "python/bindings/convert.h"
#include "python/bindings/overrides.h"
#include "python/bindings/wrapper.h"

namespace moka::python {

namespace {
// Whether modes or the types of the operands are asked first.
bool leaves(PyObject* a, PyObject* b) {
  PyObject* operands[] = {a, b};
  return is_overridden(operands, 2) || is_stand_in(a) || is_stand_in(b);
}
// The same through the operator's function, which asks them.
PyObject* by_method(const char* name, PyObject* a, PyObject* b) {
  PyRef method = PyRef::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), name));
  PyObject* args[] = {a, b};
  return method ? PyObject_Vectorcall(method.get(), args, 2, nullptr) : nullptr;
}
// The right operand may be a Tensor or a number; anything else has its own turn.
template <const Op& op>
PyObject* binary(PyObject* a, PyObject* b) {
  if (leaves(a, b)) [[unlikely]]
    return by_method(info(op).schema.base.c_str(), a, b);
  try {
    static const ArgType operand{Kind::Operand};
    ArgRoom args;
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
  if (leaves(a, b)) [[unlikely]]
    return by_method((info(op).schema.base + "_").c_str(), a, b);
  try {
    static const ArgType operand{Kind::Operand};
    ArgRoom args;
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
  if (leaves(a, b)) [[unlikely]]
    return by_method(name, a, b);
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
  return guarded([&] {
    MOKA_CHECK_KIND(Type, is_integral(unwrap(a).dtype()) || unwrap(a).dtype() == DType::Bool,
                    "~ (operator.invert) is only implemented on integer and Boolean-type tensors, got ",
                    unwrap(a).dtype());
    return wrap(bitwise_not(unwrap(a)));
  });
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
  if (t.numel() != 1) {
    if (conversion)
      fail_kind(ErrorKind::Value, what,
                ": only one element tensors can be converted to Python scalars, this one has shape ",
                t.sizes());
    fail("bool: Boolean value of Tensor with ", t.numel() ? "more than one value" : "no values",
         " is ambiguous: its shape is ", t.sizes(), "; use any() or all()");
  }
  check_not_capturing(t, what);
  return t;
}
int truth(PyObject* o) {
  try {
    const Tensor& t = only_element(o, "bool");
    if (PyRef number = PyRef::steal(wrapper_number(t))) return PyObject_IsTrue(number.get());
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
PyObject* whole_number(const Tensor& t) {
  const int64_t bits = element_as_int(t, 0);
  if (t.dtype() == DType::U64) return PyLong_FromUnsignedLongLong(static_cast<uint64_t>(bits));
  return PyLong_FromLongLong(bits);
}
PyObject* as_long(PyObject* o) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = only_element(o, "int");
    if (PyRef number = PyRef::steal(wrapper_number(t))) return PyNumber_Long(number.get());
    check_real(t, "int");
    if (is_floating(t.dtype())) return PyLong_FromDouble(element_as_double(t, 0));
    return whole_number(t);
  });
}
PyObject* as_index(PyObject* o) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = unwrap(o);
    MOKA_CHECK_KIND(Type, t.numel() == 1 && !is_floating(t.dtype()) && !is_complex(t.dtype()),
                    "index: only integer tensors of a single element can be converted to an index, got ",
                    t.dtype(), " of shape ", t.sizes());
    only_element(o, "index");
    if (PyRef number = PyRef::steal(wrapper_number(t))) return PyNumber_Index(number.get());
    return whole_number(t);
  });
}
PyObject* as_float(PyObject* o) {
  return guarded([&] {
    const Tensor& t = only_element(o, "float");
    if (PyRef number = PyRef::steal(wrapper_number(t))) return PyNumber_Float(number.get());
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
PyObject* matmul_slot(PyObject* a, PyObject* b) { return named_binary("matmul", a, b); }
// & | ^: of bool tensors the logical kernels, which read bytes as they are.
template <const Op& op, const Op& logical>
PyObject* bitwise(PyObject* a, PyObject* b) {
  if (is_tensor(a) && is_tensor(b) && unwrap(a).dtype() == DType::Bool && unwrap(b).dtype() == DType::Bool)
    return guarded([&] { return wrap(EagerReading::call(logical, unwrap(a), unwrap(b))); });
  return binary<op>(a, b);
}

const PyType_Slot slots[] = {
    {Py_tp_richcompare, slot(compare)},
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
};
}  // namespace

std::span<const PyType_Slot> number_slots() { return slots; }

}  // namespace moka::python
