// The table-driven call: one function serves every operator, reading its schema.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/arguments.h"

#include <structmember.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "moka/autograd/history.h"
#include "moka/ops/random/generator.h"
#include "moka/schema/given.h"
#include "python/bindings/classes.h"

namespace moka::python {

extern std::string shown_module;  // classes.cpp

int64_t* Scratch::ints(size_t n) {
  if (used_ints_ + n <= std::size(small_ints_)) {
    int64_t* p = small_ints_ + used_ints_;
    used_ints_ += n;
    return p;
  }
  more_ints_.push_back(std::make_unique<int64_t[]>(n));
  return more_ints_.back().get();
}
double* Scratch::floats(size_t n) {
  more_floats_.push_back(std::make_unique<double[]>(n));
  return more_floats_.back().get();
}
Tensor* Scratch::tensors(size_t n) {
  if (used_tensors_ + n <= std::size(small_tensors_)) {
    Tensor* p = small_tensors_ + used_tensors_;
    for (size_t i = 0; i < n; i++) new (p + i) Tensor;
    used_tensors_ += n;
    return p;
  }
  more_tensors_.push_back(std::make_unique<Tensor[]>(n));
  return more_tensors_.back().get();
}

ComplexNumber as_complex_number(const Tensor& t) {
  Tensor one = to_dtype(t, DType::C128);
  const double* p = static_cast<const double*>(one.raw_data());
  return {p[0], p[1]};
}

namespace {
struct Names {
  std::vector<PyObject*> args;  // interned
};
const Names& names_of(OpInfo& info) {
  if (!info.python) {
    Names* n = new Names;
    for (const ArgDef& a : info.schema.args) n->args.push_back(PyUnicode_InternFromString(a.name.c_str()));
    info.python = n;
  }
  return *static_cast<Names*>(info.python);
}

}  // namespace

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

namespace {
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

// An int, or what stands for one where sizes are expected: NumPy's integers and 0-d integer tensors.
bool is_single_int(PyObject* v) {
  if (PyLong_Check(v)) return !PyBool_Check(v);
  if (is_tensor(v)) return unwrap(v).dim() == 0 && is_integral(unwrap(v).dtype());
  if (PyTuple_Check(v) || PyList_Check(v) || !PyIndex_Check(v)) return false;
  int64_t ignored;
  return to_int(v, ignored);
}

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

namespace {
// What an argument takes, in words.
std::string in_words(const ArgType& type) {
  struct Words {
    const char *one, *many;
  };
  Words w{"a value", "values"};
  switch (type.kind) {
    case Kind::Tensor: w = {"a Tensor", "Tensors"}; break;
    case Kind::Operand: w = {"a Tensor or a number", "Tensors or numbers"}; break;
    case Kind::Number: w = {"a number", "numbers"}; break;
    case Kind::Int: w = {"an int", "ints"}; break;
    case Kind::Float: w = {"a float", "floats"}; break;
    case Kind::Bool: w = {"a bool", "bools"}; break;
    case Kind::String: w = {"a str", "strs"}; break;
    case Kind::DType: w = {"a dtype such as moka.float32", "dtypes"}; break;
    case Kind::Device: w = {"a device such as 'cpu'", "devices"}; break;
    case Kind::Generator: w = {"a moka.Generator", "generators"}; break;
    case Kind::Any: break;
  }
  std::string out = w.one;
  if (type.list && type.list_size) out = cat(w.one, " or ", type.list_size, " ", w.many);
  else if (type.list) out = cat("a list of ", w.many);
  return type.optional ? out + " or None" : out;
}

std::string why_not(PyObject* v, const ArgType& type) {
  const bool sequence = PyTuple_Check(v) || PyList_Check(v);
  if (type.list && sequence) {  // the entry that does not fit
    const ArgType one{type.kind, false, type.optional_elements};
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(v); i++) {
      PyObject* item = PySequence_Fast_GET_ITEM(v, i);
      Arg ignored;
      Scratch scratch;
      if (!convert(item, one, ignored, scratch))
        return cat("must be ", in_words(type), ", but entry ", static_cast<int64_t>(i), " is ",
                   described(item));
    }
  }
  std::string out = cat("must be ", in_words(type), ", got ", described(v));
  const bool tensor = !type.list && (type.kind == Kind::Tensor || type.kind == Kind::Operand);
  if (tensor && PyObject_HasAttrString(v, "__array__")) out += "; use moka.from_numpy(array)";
  else if (tensor && sequence) out += "; use moka.tensor(list)";
  else if (type.list && type.kind == Kind::Tensor && is_tensor(v))
    out = cat("must be tuple of Tensors, not ", described(v), "; put it in a list");
  return out;
}

// The argument whose name is nearest to a keyword that none has; "" when all are far.
std::string nearest(const Schema& s, std::string_view word) {
  std::string best;
  size_t least = word.size() / 2 + 1;
  for (const ArgDef& a : s.args) {
    std::vector<size_t> row(a.name.size() + 1);  // distance of Levenshtein
    for (size_t i = 0; i < row.size(); i++) row[i] = i;
    for (size_t k = 1; k <= word.size(); k++) {
      size_t corner = row[0];
      row[0] = k;
      for (size_t i = 1; i < row.size(); i++) {
        const size_t changed = corner + (a.name[i - 1] != word[k - 1]);
        corner = row[i];
        row[i] = std::min({changed, row[i] + 1, row[i - 1] + 1});
      }
    }
    if (row.back() < least) {
      least = row.back();
      best = a.name;
    }
  }
  return best;
}

// What one attempt to bind Python arguments to a schema found.
struct Bound {
  Arg args[max_args];
  PyObject* out = nullptr;          // out=
  bool requires_grad = false;       // creation operators
  std::string error;                // why it did not fit; only filled when asked
};

bool is_creation(const Schema& s) {
  int dtype = s.find_arg("dtype"), device = s.find_arg("device");
  return dtype >= 0 && device >= 0;
}

// Formulas and composites, and kernels that fill tensors with a number.
bool takes_complex_numbers(const Op& op) {
  if (op.formula || op.body) return true;
  std::string_view name = info(op).schema.base;
  for (std::string_view filling : {"full", "full_like", "new_full", "fill_", "fill", "index_fill"})
    if (name == filling) return true;
  return false;
}
// Errors of a conversion (an integer beyond 64 bits, a device that is not there) say which argument they are about.
template <class Convert>
bool named(const Schema& s, const ArgDef& def, Convert&& convert) {
  try {
    return convert();
  } catch (const Error& e) {
    std::string_view text = e.message();
    if (text.starts_with(cat(def.name, ": "))) text.remove_prefix(def.name.size() + 2);
    throw Error(e.kind(), cat(s.base, "(): argument '", def.name, "': ", text));
  }
}

// The orders of early torch, which it still takes: the factors stand between the tensors, as in add(x, alpha, y),
// addcmul(x, value, a, b), addmm(beta, x, alpha, a, b).
bool in_old_order(const Schema& s, PyObject* const* args, Py_ssize_t count, PyObject** slots) {
  std::string_view base = s.base;
  if (base.ends_with('_')) base.remove_suffix(1);
  auto among = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), base) != names.end();
  };
  std::string_view factors[2];
  if (among({"add", "sub"})) factors[0] = "alpha";
  else if (among({"addcmul", "addcdiv"})) factors[0] = "value";
  else if (among({"addmm", "addmv", "addr", "addbmm", "baddbmm"})) factors[0] = "beta", factors[1] = "alpha";
  else return false;
  PyObject* found[max_args] = {};
  int tensors = 0;
  size_t numbers = 0;
  for (Py_ssize_t i = 0; i < count; i++) {
    if (is_tensor(args[i])) {
      if (tensors == s.positional) return false;
      found[tensors++] = args[i];
    } else if (PyFloat_Check(args[i]) || PyLong_Check(args[i]) || PyComplex_Check(args[i])) {
      if (numbers == 2 || factors[numbers].empty()) return false;
      int at = s.find_arg(factors[numbers++]);
      if (at < 0) return false;
      found[at] = args[i];
    } else {
      return false;
    }
  }
  if (tensors != s.positional || numbers == 0) return false;
  const std::string text = cat("This overload of ", s.base, " is deprecated: give ", factors[0],
                               factors[1].empty() ? "" : " and ", factors[1], " by name");
  if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) < 0) throw PythonErrorSet{};
  std::copy(found, found + max_args, slots);
  return true;
}

bool bind(const Op& op, PyObject* const* args, Py_ssize_t count, PyObject* keywords, Bound& b,
          Scratch& scratch, bool explain) {
  OpInfo& oi = info(op);
  const Schema& s = oi.schema;
  int n = static_cast<int>(s.args.size());
  PyObject* slots[max_args] = {};
  // view(2, 3), permute(0, 2, 1): a trailing list of integers may be spelled as separate arguments.
  int spread = -1;
  if (count > 0 && s.positional > 0) {
    int last = s.positional - 1;
    for (int i = 0; i <= last; i++)
      if (s.args[i].type.list && s.args[i].type.kind == Kind::Int &&
          (i == last || s.args[i + 1].has_default) && i < count && !s.args[i].type.list_size &&
          (PyLong_Check(args[i]) || is_single_int(args[i])) && (count > i + 1 || !s.args[i].has_default) &&
          (i == last || count > s.positional || s.args[0].type.list)) {
        spread = i;
        break;
      }
  }
  if (spread >= 0) {
    size_t k = static_cast<size_t>(count - spread);
    int64_t* p = scratch.ints(k);
    for (size_t i = 0; i < k; i++)
      if (!named(s, s.args[spread],
                 [&] { return to_int(args[spread + static_cast<Py_ssize_t>(i)], p[i]); })) {
        if (explain)
          b.error =
              cat("argument '", s.args[spread].name, "' must be ints, but entry ", static_cast<int64_t>(i),
                  " is ", described(args[spread + static_cast<Py_ssize_t>(i)]));
        return false;
      }
    b.args[spread] = Arg(std::span<const int64_t>(p, k));
    for (int i = 0; i < spread; i++) slots[i] = args[i];
  } else {
    const bool old = count > s.positional && in_old_order(s, args, count, slots);
    if (count > s.positional && !old) {
      if (explain)
        b.error = cat("takes ", s.positional, s.positional == 1 ? " argument" : " arguments",
                      " by position, got ", static_cast<int64_t>(count));
      return false;
    }
    for (Py_ssize_t i = 0; i < count && !old; i++) slots[i] = args[i];
  }
  if (keywords) {
    const Names& names = names_of(oi);
    Py_ssize_t kn = PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t k = 0; k < kn; k++) {
      PyObject* key = PyTuple_GET_ITEM(keywords, k);
      PyObject* value = args[count + k];
      int at = -1;
      for (int i = 0; i < n && at < 0; i++)
        if (names.args[static_cast<size_t>(i)] == key) at = i;
      for (int i = 0; i < n && at < 0; i++)
        if (PyUnicode_Compare(names.args[static_cast<size_t>(i)], key) == 0) at = i;
      const std::string word = utf8(key);
      const char* text = word.c_str();
      // NumPy's spellings, which PyTorch takes too.
      if (at < 0 && (!std::strcmp(text, "axis"))) at = s.find_arg("dim");
      if (at < 0 && (!std::strcmp(text, "keepdims"))) at = s.find_arg("keepdim");
      for (const char* first : {"x", "a", "x1", "self"})
        if (at < 0 && !std::strcmp(text, first)) at = s.find_arg("input");
      if (at < 0 && !std::strcmp(text, "x2")) at = s.find_arg("other");
      if (at < 0 && !std::strcmp(text, "out")) {
        if (value != Py_None) b.out = value;
        continue;
      }
      if (at < 0 && is_creation(s)) {
        if (!std::strcmp(text, "requires_grad")) {
          b.requires_grad = PyObject_IsTrue(value);
          continue;
        }
        if (!std::strcmp(text, "pin_memory") || !std::strcmp(text, "layout") ||
            !std::strcmp(text, "memory_format"))
          continue;
      }
      if (at < 0) {
        if (explain) {
          const std::string near = nearest(s, text);
          b.error = cat("has no argument '", text, "'");
          if (!near.empty()) b.error += cat("; did you mean '", near, "'?");
        }
        return false;
      }
      if (slots[at] || at == spread) {
        if (explain) b.error = cat("argument '", text, "' was given twice");
        return false;
      }
      slots[at] = value;
    }
  }
  for (int i = 0; i < n; i++) {
    if (i == spread) continue;
    const ArgDef& def = s.args[i];
    if (!slots[i]) {
      if (!def.has_default && !def.type.optional) {
        if (explain) b.error = cat("argument '", def.name, "' is missing (", in_words(def.type), ")");
        return false;
      }
      b.args[i] = def.default_value.arg();
      continue;
    }
    // None for an argument with a default other than None does not fit, except where the schema says so.
    if (!named(s, def, [&] { return convert(slots[i], def.type, b.args[i], scratch); })) {
      if (explain) b.error = cat("argument '", def.name, "' ", why_not(slots[i], def.type));
      return false;
    }
    if (is_complex_number(b.args[i]) && !def.type.list && !takes_complex_numbers(op)) {
      if (explain) b.error = cat("argument '", def.name, "' must be a real number, got a complex one");
      return false;
    }
    if (def.type.kind == Kind::Int && def.type.list_size > 1 && b.args[i].tag == Tag::Ints &&
        b.args[i].count != static_cast<uint32_t>(def.type.list_size)) {
      if (explain)
        b.error = cat("argument '", def.name, "' must be ", in_words(def.type), ", got ", b.args[i]);
      return false;
    }
  }
  return true;
}

[[noreturn]] void report_mismatch(const OpGroup& group, PyObject* const* args, Py_ssize_t count,
                                  PyObject* keywords) {
  std::string text = cat(group.name, "(): ");
  for (size_t i = 0; i < group.ops.size(); i++) {
    Bound b;
    Scratch scratch;
    if (bind(*group.ops[i], args, count, keywords, b, scratch, true)) continue;
    if (group.ops.size() > 1) text += i ? "\n  or " : "no form fits:\n  ";
    text += b.error;
    text += cat("; expected ", info(*group.ops[i]).schema.text());
  }
  throw Error(ErrorKind::Type, text);
}

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

bool ends_with_underscore(const Schema& s) {
  return s.base.size() > 1 && s.base.back() == '_' && s.base[s.base.size() - 2] != '_';
}

// Operators such as copy_ whose Op itself writes into its first argument.
bool writes_first(const Op& op) { return ends_with_underscore(info(op).schema); }

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
// Whether a value is of a type that stands in for tensors: one with its own __torch_function__.
bool stands_in(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  if (type == tensor_type || is_tensor(o) || o == Py_None || PyLong_Check(o) || PyFloat_Check(o) ||
      PyUnicode_Check(o))
    return false;
  if (PyList_Check(o) || PyTuple_Check(o)) {
    PyObject** items = PySequence_Fast_ITEMS(o);
    return std::any_of(items, items + PySequence_Fast_GET_SIZE(o), stands_in);
  }
  return PyObject_HasAttrString(reinterpret_cast<PyObject*>(type), "__torch_function__");
}

// For a call that fits no schema: what a type among its arguments makes of it; null if there is none, or if it
// `failed` with Python's error set.
PyObject* call_stand_in(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
                        bool& failed) {
  Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  if (!function || std::none_of(args, args + count + named, stands_in)) return nullptr;
  PyObject* place = PyImport_ImportModule("moka.overrides");
  PyObject* given = PyTuple_New(count);
  PyObject* by_name = PyDict_New();
  bool good = place && given && by_name;
  for (Py_ssize_t i = 0; good && i < count; i++) {
    Py_INCREF(args[i]);
    PyTuple_SET_ITEM(given, i, args[i]);
  }
  for (Py_ssize_t i = 0; good && i < named; i++)
    good = PyDict_SetItem(by_name, PyTuple_GET_ITEM(keywords, i), args[count + i]) == 0;
  PyObject* result =
      good ? PyObject_CallMethod(place, "call_stand_in", "OOO", function, given, by_name) : nullptr;
  Py_XDECREF(place);
  Py_XDECREF(given);
  Py_XDECREF(by_name);
  failed = !result;
  return result;
}
}  // namespace

static PyObject* call_group_of(PyObject* function, const OpGroup& group, bool in_place, PyObject* const* args,
                               Py_ssize_t count, PyObject* keywords) {
  try {
    for (const Op* op : group.ops) {
      Bound b;
      Scratch scratch;
      if (!bind(*op, args, count, keywords, b, scratch, false)) continue;
      const Schema& s = info(*op).schema;
      if (b.out && is_tensor(b.out) && is_creation(s))  // what it fills says the type
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

PyObject* call_group(const OpGroup& group, bool in_place, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords) {
  return call_group_of(nullptr, group, in_place, args, count, keywords);
}

// ---- function and method objects
namespace {
struct OpFunction {
  PyObject_HEAD vectorcallfunc vectorcall;
  OpGroup* group;
  bool in_place;
};

PyObject* op_vectorcall(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpFunction* f = reinterpret_cast<OpFunction*>(self);
  return call_group_of(self, *f->group, f->in_place, args, PyVectorcall_NARGS(nargsf), keywords);
}
PyObject* op_get(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) {
    Py_INCREF(self);
    return self;
  }
  return PyMethod_New(self, instance);
}
std::string python_name(const OpFunction* f) { return f->group->name + (f->in_place ? "_" : ""); }
PyObject* op_repr(PyObject* self) {
  return PyUnicode_FromFormat("<operator moka.%s>", python_name(reinterpret_cast<OpFunction*>(self)).c_str());
}
PyObject* op_name(PyObject* self, void*) {
  return PyUnicode_FromString(python_name(reinterpret_cast<OpFunction*>(self)).c_str());
}
PyObject* op_module(PyObject*, void*) { return PyUnicode_FromString("moka"); }
PyObject* op_doc(PyObject* self, void*) {
  OpFunction* f = reinterpret_cast<OpFunction*>(self);
  std::string text;
  for (const Op* op : f->group->ops) text += cat(info(*op).schema.text(), "\n\n", op->doc, "\n\n");
  return PyUnicode_FromString(text.c_str());
}
PyGetSetDef op_getset[] = {{"__name__", op_name, nullptr, nullptr, nullptr},
                           {"__qualname__", op_name, nullptr, nullptr, nullptr},
                           {"__module__", op_module, nullptr, nullptr, nullptr},
                           {"__doc__", op_doc, nullptr, nullptr, nullptr},
                           {nullptr, nullptr, nullptr, nullptr, nullptr}};
// Copies and pickles by name, as functions do: a layer may keep one as its activation.
PyObject* op_reduce(PyObject* self, PyObject*) { return op_name(self, nullptr); }
PyMethodDef op_methods[] = {{"__reduce__", op_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyTypeObject op_function_type = {PyVarObject_HEAD_INIT(nullptr, 0)};

OpFunction* make_function(OpGroup* group, bool in_place) {
  OpFunction* f = PyObject_New(OpFunction, &op_function_type);
  if (!f) return nullptr;
  f->vectorcall = op_vectorcall;
  f->group = group;
  f->in_place = in_place;
  return f;
}

bool may_be_in_place(const OpGroup& g) {
  const Schema& s = info(*g.ops[0]).schema;
  if (ends_with_underscore(s) || s.args.empty() || !s.args[0].type.is_tensor_like() || s.args[0].type.list)
    return false;
  return static_cast<bool>(g.ops[0]->formula) ||
         (g.ops[0]->body && s.outs.size() == 1 && !s.outs[0].type.list) ||
         (g.ops[0]->kernels.count && s.outs.size() == 1 && !s.outs[0].type.list);
}
}  // namespace

int init_operators(PyObject* module) {
  op_function_type.tp_name = "moka.operator";
  op_function_type.tp_basicsize = sizeof(OpFunction);
  op_function_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
  op_function_type.tp_vectorcall_offset = offsetof(OpFunction, vectorcall);
  op_function_type.tp_call = PyVectorcall_Call;
  op_function_type.tp_descr_get = op_get;
  op_function_type.tp_repr = op_repr;
  op_function_type.tp_getset = op_getset;
  op_function_type.tp_methods = op_methods;
  op_function_type.tp_dealloc = [](PyObject* o) { PyObject_Free(o); };
  if (PyType_Ready(&op_function_type) < 0) return -1;

  static std::map<std::string, OpGroup> groups;  // lives as long as the module
  std::vector<std::string> order;
  for (const Op* op : all_ops()) {
    const Schema& s = info(*op).schema;
    OpGroup& g = groups[s.base];
    if (g.ops.empty()) {
      g.name = s.base;
      order.push_back(s.base);
    }
    g.ops.push_back(op);
  }
  PyObject* operators = PyDict_New();  // every name, hidden ones included: for tools and tests
  if (!operators) return -1;
  PyObject* methods = tensor_type->tp_dict;
  for (const std::string& name : order) {
    OpGroup& g = groups[name];
    std::string_view where = g.ops[0]->method;
    PyObject* f = reinterpret_cast<PyObject*>(make_function(&g, false));
    if (!f || PyDict_SetItemString(operators, name.c_str(), f) < 0) return -1;
    const Schema& s = info(*g.ops[0]).schema;
    bool tensor_first = !s.args.empty() && s.args[0].type.is_tensor_like() && !s.args[0].type.list;
    if (where != "none" && where != "method" && PyObject_SetAttrString(module, name.c_str(), f) < 0)
      return -1;
    if (where != "none" && where != "function" && tensor_first &&
        !PyDict_GetItemString(methods, name.c_str()))
      if (PyDict_SetItemString(methods, name.c_str(), f) < 0) return -1;
    Py_DECREF(f);
    if (where == "none" || !may_be_in_place(g)) continue;
    std::string with_underscore = name + "_";
    if (groups.count(with_underscore)) continue;
    PyObject* in_place = reinterpret_cast<PyObject*>(make_function(&g, true));
    if (!in_place) return -1;
    if (where != "function" && tensor_first &&
        PyDict_SetItemString(methods, with_underscore.c_str(), in_place) < 0)
      return -1;
    if (where != "method" && PyObject_SetAttrString(module, with_underscore.c_str(), in_place) < 0) return -1;
    Py_DECREF(in_place);
  }
  PyType_Modified(tensor_type);
  return PyModule_AddObject(module, "_operators", operators);
}

}  // namespace moka::python
