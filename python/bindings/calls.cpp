// Calling operators with bound arguments: out=, in-place forms, results, types that stand in for tensors.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/calls.h"

#include <structmember.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "moka/autograd/history.h"
#include "moka/ops/creation/creation.h"
#include "moka/schema/given.h"
#include "python/bindings/classes.h"
#include "python/bindings/overrides.h"

namespace moka::python {

namespace {
// Work above this many elements gives up the interpreter lock.
constexpr int64_t large_work = 1 << 15;
bool is_large(const Frame& f) {
  if (thread_layers.forced) return false;  // captures and profilers may call back into Python
  for (int i = 0; i < f.count; i++) {
    const Arg& a = f.args[i];
    if (a.tag == Tag::Tensor && a.tensor->numel > large_work) return true;
    if (a.tag == Tag::Tensors)
      for (const Tensor& t : a.as_tensors())
        if (t && t.numel() > large_work) return true;
  }
  return false;
}

void set_given(Frame& f, size_t i, PyObject* o) {
  if (!is_tensor(o))
    throw Error(ErrorKind::Type, cat(f.name(), "(): out must be a Tensor, got ", Py_TYPE(o)->tp_name));
  MOKA_CHECK_KIND(Type, i < Outputs::inline_limit, f.name(), "(): out takes at most 4 tensors");
  if (f.outs.size() <= i) f.outs.resize(i + 1);
  f.outs[i] = unwrap(o);
  autograd::check_writable(f.outs[i], f.name());
  f.given |= static_cast<uint8_t>(1 << i);
}

// A filled tensor that changed its shape as an out= lost what it held: a warning, false where that became an error.
bool warn_resized(std::string_view op, const Dims& before, const Tensor& out) {
  if (std::equal(before.begin(), before.end(), out.sizes().begin(), out.sizes().end())) return true;
  for (int64_t size : before)
    if (size == 0) return true;
  const std::string text = cat("An output with one or more elements was resized since it had shape ", before,
                               " and the result of ", op, " has shape ", out.sizes(),
                               "; give an empty tensor, or resize_(0) it first");
  return PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) == 0;
}

// Programs for PyTorch print results with names one on each line.
PyObject* named_tuple_repr(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  const char* name = std::strrchr(type->tp_name, '.');
  std::string text = cat("torch.return_types", name, "(\n");
  Py_ssize_t n = PyTuple_GET_SIZE(o);
  for (Py_ssize_t i = 0; i < n; i++) {
    PyRef word = PyRef::steal(PyObject_Repr(PyTuple_GET_ITEM(o, i)));
    const char* shown = word ? PyUnicode_AsUTF8(word.get()) : nullptr;
    if (!shown) return nullptr;
    text += cat(type->tp_members[i].name, "=", shown, i + 1 < n ? ",\n" : ")");
  }
  return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}
PyObject* return_tuple(const Op& op, PyObject* const* items, size_t n) {
  // Several named outputs come as a named tuple, one type an operator.
  static std::map<const Op*, PyTypeObject*> types;
  const Schema& s = info(op).schema;
  auto it = types.find(&op);
  if (it == types.end()) {
    PyTypeObject* type = nullptr;
    if (s.outs.size() > 1 && !s.outs[0].name.empty()) {
      auto* fields = new std::vector<PyStructSequence_Field>;
      for (const ArgDef& o : s.outs) fields->push_back({o.name.c_str(), nullptr});
      fields->push_back({nullptr, nullptr});
      auto* desc = new PyStructSequence_Desc{(new std::string("moka.return_types." + s.base))->c_str(),
                                             nullptr, fields->data(), static_cast<int>(s.outs.size())};
      type = PyStructSequence_NewType(desc);
      if (type && shown_module == "torch") type->tp_repr = named_tuple_repr;
    }
    it = types.emplace(&op, type).first;
  }
  PyObject* tuple = it->second ? PyStructSequence_New(it->second) : PyTuple_New(static_cast<Py_ssize_t>(n));
  if (!tuple) return nullptr;
  for (size_t i = 0; i < n; i++) {
    if (it->second) PyStructSequence_SetItem(tuple, static_cast<Py_ssize_t>(i), items[i]);
    else PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), items[i]);
  }
  return tuple;
}
}  // namespace

PyObject* wrap_outputs(const Op& op, Frame& f) {
  const Schema& s = info(op).schema;
  if (s.outs.empty()) Py_RETURN_NONE;
  if (s.outs.size() == 1 && !s.outs[0].type.list) return wrap(f.outs[0]);
  std::vector<PyObject*> items(f.outs.size());
  for (size_t i = 0; i < items.size(); i++) items[i] = wrap(f.outs[i]);
  return return_tuple(op, items.data(), items.size());
}

namespace {
// For a call that fits no schema: what a type among its arguments makes of it; null if there is none, or if it
// `failed` with Python's error set.
PyObject* call_stand_in(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
                        bool& failed) {
  Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  if (!function || std::none_of(args, args + count + named, holds_stand_in)) return nullptr;
  PyObject* result = hand_over(function, args, count, keywords);
  failed = !result;
  return result;
}
}  // namespace

namespace {
// What a function of a Python module makes of a call: name(subject, args, keywords).
PyObject* ask(const char* module, const char* name, PyObject* subject, PyObject* const* args,
              Py_ssize_t count, PyObject* keywords) {
  Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  PyObject* place = PyImport_ImportModule(module);
  PyObject* given = PyTuple_New(count);
  PyObject* by_name = PyDict_New();
  bool good = place && given && by_name;
  for (Py_ssize_t i = 0; good && i < count; i++) {
    Py_INCREF(args[i]);
    PyTuple_SET_ITEM(given, i, args[i]);
  }
  for (Py_ssize_t i = 0; good && i < named; i++)
    good = PyDict_SetItem(by_name, PyTuple_GET_ITEM(keywords, i), args[count + i]) == 0;
  PyObject* result = good ? PyObject_CallMethod(place, name, "OOO", subject, given, by_name) : nullptr;
  Py_XDECREF(place);
  Py_XDECREF(given);
  Py_XDECREF(by_name);
  return result;
}

// zeros(..., layout=sparse_coo) and its like.
PyObject* create_sparse(const Op& op, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  const std::string_view name = info(op).schema.name;
  PyRef subject =
      PyRef::steal(PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
  return subject ? ask("moka.sparse", "create", subject.get(), args, count, keywords) : nullptr;
}
}  // namespace

PyObject* hand_over(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return ask("moka.overrides", "call_stand_in", function, args, count, keywords);
}

PyObject* call_group(const OpGroup& group, bool in_place, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords, PyObject* function) {
  try {
    for (const Op* op : group.ops) {
      Bound b;
      b.in_place = in_place;
      Scratch scratch;
      if (!bind(*op, args, count, keywords, b, scratch)) continue;
      if (b.sparse) return create_sparse(*op, args, count, keywords);
      const Schema& s = info(*op).schema;
      Tensor number;  // the first of two plain ones
      if (op->plain_numbers && b.args[0].tag != Tag::Tensor && b.args[1].tag != Tag::Tensor) {
        number = full(Dims{}, b.args[0]);
        b.args[0] = Arg(number);
      }
      if (b.out && is_tensor(b.out) && (is_creation(s) || op->dtype_of_out))  // it says the type
        if (Arg& dtype = b.args[s.find_arg("dtype")]; dtype.is_none()) dtype = Arg(unwrap(b.out).dtype());
      Frame frame(*op, b.args, static_cast<int>(s.args.size()));
      bool to_self = in_place || writes_first(*op);
      bool writes_list = to_self && !s.args.empty() && s.args[0].type.list;  // a step of an optimizer
      if (writes_list) to_self = false;
      if (to_self) {
        if (b.args[0].tag != Tag::Tensor) report_mismatch(group, args, count, keywords);
        set_given(frame, 0, args[0]);
      } else if (b.out) {
        if (PyTuple_Check(b.out)) {
          for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(b.out); i++)
            set_given(frame, static_cast<size_t>(i), PyTuple_GET_ITEM(b.out, i));
        } else {
          set_given(frame, 0, b.out);
        }
        allow_resizing(frame);
      }
      Dims before[Outputs::inline_limit];
      if (frame.given >> 4)
        for (size_t i = 0; i < frame.outs.size(); i++) before[i] = frame.outs[i].sizes();
      {
        GilReleased unlocked(is_large(frame));
        call(frame);
      }
      if (writes_list)
        for (const Tensor& t : frame.tensors(0)) t.raise_version();
      if (frame.given >> 4)
        for (size_t i = 0; i < frame.outs.size(); i++)
          if (!warn_resized(frame.name(), before[i], frame.outs[i])) return nullptr;
      if (frame.given) {
        PyObject* self = to_self ? args[0] : b.out;
        const size_t outputs = s.outs.size();
        if (!to_self && outputs > 1 && PyTuple_Check(self) && PyTuple_GET_SIZE(self) == Py_ssize_t(outputs)) {
          for (size_t i = 0; i < outputs; i++) Py_INCREF(PySequence_Fast_ITEMS(self)[i]);
          return return_tuple(*op, PySequence_Fast_ITEMS(self), outputs);
        }
        Py_INCREF(self);
        return self;
      }
      if (b.requires_grad) autograd::set_requires_grad(frame.outs[0], true);
      return wrap_outputs(*op, frame);
    }
    bool failed = false;
    PyObject* result = call_stand_in(function, args, count, keywords, failed);
    if (result || failed) return result;
    report_mismatch(group, args, count, keywords);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

}  // namespace moka::python
