// Binding positional and keyword arguments to a schema, and saying why they do not fit.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/bind.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "python/bindings/classes.h"

namespace moka::python {

bool is_creation(const Schema& s) {
  int dtype = s.find_arg("dtype"), device = s.find_arg("device");
  return dtype >= 0 && device >= 0;
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

// Formulas and composites, kernels that fill tensors with a number, and powers.
bool takes_complex_numbers(const Op& op) {
  if (op.formula || op.body) return true;
  std::string_view name = info(op).schema.base;
  for (std::string_view filling :
       {"full", "full_like", "new_full", "fill_", "fill", "index_fill", "float_power"})
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
bool in_old_order(const Schema& s, bool in_place, PyObject* const* args, Py_ssize_t count, PyObject** slots) {
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
  const std::string text = cat("This overload of ", s.base, in_place ? "_" : "", " is deprecated: give ",
                               factors[0], factors[1].empty() ? "" : " and ", factors[1], " by name");
  if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) < 0) throw PythonErrorSet{};
  std::copy(found, found + s.args.size(), slots);
  return true;
}

// The parts of one binding: what was given where, and the room for what it becomes.
struct Given {
  const Op& op;
  OpInfo& info;
  const Schema& schema;
  PyObject* const* args;
  Py_ssize_t count;
  Bound& bound;
  Scratch& scratch;
  bool explain;                   // whether a misfit is put in words
  PyObject* slots[max_args];      // the value of each argument of the schema, null where none was given
  int spread = -1;                // the list whose entries were given as separate arguments

  Given(const Op& op, PyObject* const* args, Py_ssize_t count, Bound& bound, Scratch& scratch, bool explain)
      : op(op),
        info(moka::info(op)),
        schema(info.schema),
        args(args),
        count(count),
        bound(bound),
        scratch(scratch),
        explain(explain) {
    std::fill_n(slots, schema.args.size(), nullptr);
  }

  template <class... Words>
  bool misfit(const Words&... words) {
    if (explain) bound.error = cat(words...);
    return false;
  }
};

// view(2, 3), permute(0, 2, 1): a trailing list of integers may be spelled as separate arguments.
int find_spread(const Schema& s, PyObject* const* args, Py_ssize_t count) {
  if (count == 0 || s.positional == 0) return -1;
  const int last = s.positional - 1;
  for (int i = 0; i <= last; i++)
    if (s.args[i].type.list && s.args[i].type.kind == Kind::Int && (i == last || s.args[i + 1].has_default) &&
        i < count && !s.args[i].type.list_size && (PyLong_Check(args[i]) || is_single_int(args[i])) &&
        (count > i + 1 || !s.args[i].has_default) &&
        (i == last || count > s.positional || s.args[0].type.list))
      return i;
  return -1;
}

bool bind_positions(Given& g) {
  const Schema& s = g.schema;
  g.spread = find_spread(s, g.args, g.count);
  if (g.spread < 0) {
    const bool old = g.count > s.positional && in_old_order(s, g.bound.in_place, g.args, g.count, g.slots);
    if (g.count > s.positional && !old)
      return g.misfit("takes ", s.positional, s.positional == 1 ? " argument" : " arguments",
                      " by position, got ", static_cast<int64_t>(g.count));
    for (Py_ssize_t i = 0; i < g.count && !old; i++) g.slots[i] = g.args[i];
    return true;
  }
  const ArgDef& list = s.args[g.spread];
  const size_t k = static_cast<size_t>(g.count - g.spread);
  int64_t* p = g.scratch.ints(k);
  for (size_t i = 0; i < k; i++) {
    PyObject* entry = g.args[g.spread + static_cast<Py_ssize_t>(i)];
    if (!named(s, list, [&] { return to_int(entry, p[i]); }))
      return g.explain && g.misfit("argument '", list.name, "' must be ints, but entry ",
                                   static_cast<int64_t>(i), " is ", described(entry));
  }
  g.bound.args[g.spread] = Arg(std::span<const int64_t>(p, k));
  std::copy(g.args, g.args + g.spread, g.slots);
  return true;
}

// The argument that a keyword names; -1 if none does. NumPy's spellings are taken too, as torch does.
int find_keyword(const Given& g, PyObject* key, std::string_view word) {
  const std::vector<PyObject*>& names = names_of(g.info).args;
  for (size_t i = 0; i < names.size(); i++)
    if (names[i] == key) return static_cast<int>(i);
  for (size_t i = 0; i < names.size(); i++)
    if (PyUnicode_Compare(names[i], key) == 0) return static_cast<int>(i);
  if (word == "axis") return g.schema.find_arg("dim");
  if (word == "keepdims") return g.schema.find_arg("keepdim");
  if (word == "split_size") return g.schema.find_arg("split_size_or_sections");  // as the method calls it
  if (word == "x2") return g.schema.find_arg("other");
  if (word == "indices_or_sections")
    return std::max(g.schema.find_arg("indices"), g.schema.find_arg("sections"));
  if (word == "element" || word == "test_element") return g.schema.find_arg(std::string(word) + "s");
  for (std::string_view first : {"x", "a", "x1", "self"})
    if (word == first) return g.schema.find_arg("input");
  return -1;
}

bool bind_keywords(Given& g, PyObject* keywords) {
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(keywords); k++) {
    PyObject* key = PyTuple_GET_ITEM(keywords, k);
    PyObject* value = g.args[g.count + k];
    const std::string word = utf8(key);
    const int at = find_keyword(g, key, word);
    if (at < 0 && word == "out") {
      if (value != Py_None) g.bound.out = value;
      continue;
    }
    if (at < 0 && is_creation(g.schema)) {
      if (word == "requires_grad") {
        const int on = PyObject_IsTrue(value);
        if (on < 0) PyErr_Clear();
        if (on < 0) return g.misfit("argument 'requires_grad' must be a bool, got ", described(value));
        g.bound.requires_grad = on;
        continue;
      }
      if (word == "layout" && PyUnicode_Check(value)) g.bound.sparse = utf8(value).starts_with("sparse");
      if (word == "pin_memory" || word == "layout" || word == "memory_format") continue;
    }
    if (at < 0) {
      const std::string near = g.explain ? nearest(g.schema, word) : "";
      return g.misfit("has no argument '", word, near.empty() ? "'" : "'; did you mean '", near,
                      near.empty() ? "" : "'?");
    }
    if (g.slots[at] || at == g.spread) return g.misfit("argument '", word, "' was given twice");
    g.slots[at] = value;
  }
  return true;
}

bool bind_values(Given& g) {
  const Schema& s = g.schema;
  const int n = static_cast<int>(s.args.size());
  for (int i = 0; i < n; i++) {
    if (i == g.spread) continue;
    const ArgDef& def = s.args[i];
    Arg& arg = g.bound.args[i];
    PyObject* value = g.slots[i];
    if (!value) {
      if (!def.has_default && !def.type.optional)
        return g.explain && g.misfit("argument '", def.name, "' is missing (", in_words(def.type), ")");
      arg = def.default_value.arg();
      continue;
    }
    // None for an argument with a default other than None does not fit, except where the schema says so.
    if (!named(s, def, [&] { return convert(value, def.type, arg, g.scratch); }))
      return g.explain && g.misfit("argument '", def.name, "' ", why_not(value, def.type));
    if (is_complex_number(arg) && !def.type.list && !takes_complex_numbers(g.op))
      return g.misfit("argument '", def.name, "' must be a real number, got a complex one");
    if (def.type.kind == Kind::Int && def.type.list_size > 1 && arg.tag == Tag::Ints &&
        arg.count != static_cast<uint32_t>(def.type.list_size))
      return g.explain && g.misfit("argument '", def.name, "' must be ", in_words(def.type), ", got ", arg);
  }
  if (default_device.type) [[unlikely]] {
    const int at = s.find_arg("device");
    const Arg* args = g.bound.args;
    const bool makes = std::none_of(args, args + n, [](const Arg& a) { return a.tag == Tag::Tensor; });
    if (at >= 0 && makes && args[at].is_none()) g.bound.args[at] = Arg(default_device);
  }
  return true;
}

bool bind_or_explain(const Op& op, PyObject* const* args, Py_ssize_t count, PyObject* keywords, Bound& b,
                     Scratch& scratch, bool explain) {
  Given g(op, args, count, b, scratch, explain);
  return bind_positions(g) && (!keywords || bind_keywords(g, keywords)) && bind_values(g);
}
}  // namespace

bool bind(const Op& op, PyObject* const* args, Py_ssize_t count, PyObject* keywords, Bound& b,
          Scratch& scratch) {
  return bind_or_explain(op, args, count, keywords, b, scratch, false);
}

void report_mismatch(const OpGroup& group, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::string text = cat(group.name, "(): ");
  for (size_t i = 0; i < group.ops.size(); i++) {
    Bound b;
    Scratch scratch;
    if (bind_or_explain(*group.ops[i], args, count, keywords, b, scratch, true)) continue;
    if (group.ops.size() > 1) text += i ? "\n  or " : "no form fits:\n  ";
    text += b.error;
    text += cat("; expected ", info(*group.ops[i]).schema.text());
  }
  throw Error(ErrorKind::Type, text);
}

}  // namespace moka::python
