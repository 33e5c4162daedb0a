// The table of builtins: arithmetic of numbers as in Python, lists by value, sizes of tensors.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/builtins.h"
#include "moka/graph/dictionary.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace moka::graph {

namespace {
using Args = std::span<const Any>;
using Inputs = std::span<Value* const>;

bool is_list(const Any& a) {
  return a.tag() == Tag::Ints || a.tag() == Tag::Floats || a.tag() == Tag::Tensors || a.tag() == Tag::List;
}

// Numbers in, also as one-element tensors: conditions and counts of ONNX loops are such.
Any number(const Any& a, const char* name) {
  if (a.is_tensor()) {
    const Tensor& t = a.tensor();
    MOKA_CHECK(t.numel() == 1 && t.has_storage(), name, ": a tensor with one element was expected, got ", a);
    if (t.dtype() == DType::Bool) return Any(element_as_int(t, 0) != 0);
    MOKA_CHECK_KIND(Type, is_integral(t.dtype()) || is_floating(t.dtype()), name, ": not a number: ", a);
    return is_floating(t.dtype()) ? Any(element_as_double(t, 0)) : Any(element_as_int(t, 0));
  }
  MOKA_CHECK_KIND(Type, a.arg().is_number(), name, ": a number was expected, got ", tag_name(a.tag()), " ",
                  a);
  return a;
}

bool floating(const Any& a, const Any& b) { return a.tag() == Tag::Float || b.tag() == Tag::Float; }

struct Add {
  static constexpr const char* name = "add";
  static bool whole(int64_t a, int64_t b, int64_t& r) { return !__builtin_add_overflow(a, b, &r); }
  static double real(double a, double b) { return a + b; }
};
struct Sub {
  static constexpr const char* name = "sub";
  static bool whole(int64_t a, int64_t b, int64_t& r) { return !__builtin_sub_overflow(a, b, &r); }
  static double real(double a, double b) { return a - b; }
};
struct Mul {
  static constexpr const char* name = "mul";
  static bool whole(int64_t a, int64_t b, int64_t& r) { return !__builtin_mul_overflow(a, b, &r); }
  static double real(double a, double b) { return a * b; }
};
void not_zero(bool zero, const char* name) { MOKA_CHECK_KIND(Value, !zero, name, ": division by zero"); }
struct FloorDiv {
  static constexpr const char* name = "floordiv";
  static bool whole(int64_t a, int64_t b, int64_t& r) {
    not_zero(b == 0, name);
    if (a == INT64_MIN && b == -1) return false;
    r = a / b - (a % b != 0 && (a < 0) != (b < 0));
    return true;
  }
  static double real(double a, double b) {
    not_zero(b == 0, name);
    return std::floor(a / b);
  }
};
struct Mod {
  static constexpr const char* name = "mod";
  static bool whole(int64_t a, int64_t b, int64_t& r) {
    not_zero(b == 0, name);
    if (b == -1) r = 0;
    else r = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
    return true;
  }
  static double real(double a, double b) {
    not_zero(b == 0, name);
    double r = std::fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
  }
};
struct Least {
  static constexpr const char* name = "min";
  static bool whole(int64_t a, int64_t b, int64_t& r) {
    r = std::min(a, b);
    return true;
  }
  static double real(double a, double b) { return b < a ? b : a; }
};
struct Most {
  static constexpr const char* name = "max";
  static bool whole(int64_t a, int64_t b, int64_t& r) {
    r = std::max(a, b);
    return true;
  }
  static double real(double a, double b) { return b > a ? b : a; }
};

template <class F>
Any arithmetic(Args args) {
  Any a = number(args[0], F::name), b = number(args[1], F::name);
  if (floating(a, b)) return Any(F::real(a.to_double(), b.to_double()));
  int64_t r;
  if (!F::whole(a.to_int(), b.to_int(), r))
    fail_kind(ErrorKind::Value, F::name, ": ", a, " and ", b,
              " give an integer that does not fit in 64 bits");
  return Any(r);
}

// -1, 0, 1; 2 for unordered. Integers are compared as integers.
int compare(const Any& x, const Any& y, const char* name) {
  Any a = number(x, name), b = number(y, name);
  if (!floating(a, b)) return a.to_int() < b.to_int() ? -1 : a.to_int() > b.to_int();
  double p = a.to_double(), q = b.to_double();
  return p < q ? -1 : p > q ? 1 : p == q ? 0 : 2;
}
bool equal(const Any& a, const Any& b) {
  auto numeric = [](const Any& v) { return v.arg().is_number() || v.is_tensor(); };
  if (numeric(a) && numeric(b)) return compare(a, b, "eq") == 0;
  if (is_list(a) && is_list(b)) {
    int64_t n = list_length(a);
    if (n != list_length(b)) return false;
    for (int64_t i = 0; i < n; i++)
      if (!equal(list_item(a, i), list_item(b, i))) return false;
    return true;
  }
  return a == b;
}
bool truth(const Any& a, const char* name) { return number(a, name).to_bool(); }

Any item_of(const Any& a) {
  MOKA_CHECK_KIND(Type, a.is_tensor(), "item: a tensor was expected, got ", a);
  return number(a, "item");
}

const Tensor& tensor_of(const Any& a, const char* name) {
  MOKA_CHECK_KIND(Type, a.is_tensor(), name, ": a tensor was expected, got ", tag_name(a.tag()), " ", a);
  return a.tensor();
}

std::vector<Any> items_of(const Any& list, const char* name) {
  MOKA_CHECK_KIND(Type, is_list(list), name, ": a list was expected, got ", tag_name(list.tag()), " ", list);
  std::vector<Any> items;
  int64_t n = list_length(list);
  items.reserve(static_cast<size_t>(n) + 1);
  for (int64_t i = 0; i < n; i++) items.push_back(list_item(list, i));
  return items;
}

// The two forms of list that loops build most are copied as they are, without a box for every element.
Any append(Args a) {
  if (a[0].tag() == Tag::Tensors && a[1].is_tensor()) {
    auto old = a[0].tensors();
    std::vector<Tensor> list;
    list.reserve(old.size() + 1);
    list.assign(old.begin(), old.end());
    list.push_back(a[1].tensor());
    return Any(std::span<const Tensor>(list));
  }
  if (a[0].tag() == Tag::Ints && a[1].tag() == Tag::Int) {
    Dims list(a[0].ints());
    list.push_back(a[1].to_int());
    return Any(list);
  }
  std::vector<Any> items = items_of(a[0], "append");
  items.push_back(a[1]);
  return make_list(items);
}

int64_t wrap_index(int64_t i, int64_t n, const char* name) {
  MOKA_CHECK_KIND(Index, i >= -n && i < n, name, ": index ", i, " is out of range for a list of ", n);
  return i < 0 ? i + n : i;
}

Any range(Args args) {
  int64_t start = args.size() > 1 ? args[0].to_int() : 0;
  int64_t stop = args[args.size() > 1 ? 1 : 0].to_int();
  int64_t step = args.size() > 2 ? args[2].to_int() : 1;
  MOKA_CHECK_KIND(Value, step != 0, "range: the step must not be zero");
  Dims out;
  constexpr size_t limit = size_t(1) << 27;
  int64_t i = start;
  while (step > 0 ? i < stop : i > stop) {
    MOKA_CHECK_KIND(Value, out.size() < limit, "range: more than ", limit, " elements");
    out.push_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Any(out);
}

Any slice(Args args) {
  std::vector<Any> items = items_of(args[0], "slice");
  int64_t n = static_cast<int64_t>(items.size());
  auto bound = [&](size_t k, int64_t otherwise) {
    if (k >= args.size() || args[k].is_none()) return otherwise;
    int64_t i = args[k].to_int();
    return std::clamp<int64_t>(i < 0 ? i + n : i, 0, n);
  };
  int64_t first = bound(1, 0), last = std::max(first, bound(2, n));
  return make_list(
      std::span<const Any>(items).subspan(static_cast<size_t>(first), static_cast<size_t>(last - first)));
}

Any make_scalar_tensor(Args args) {
  Any v = number(args[0], "tensor");
  DType dtype = args.size() > 1 && !args[1].is_none() ? args[1].dtype()
                : v.tag() == Tag::Bool                ? DType::Bool
                : v.tag() == Tag::Int                 ? DType::I64
                                                      : default_float();
  Tensor t = new_tensor({}, dtype);
  if (v.tag() == Tag::Float) {
    double d = v.to_double();
    convert_elements(&d, DType::F64, t.raw_data(), dtype, 1);
  } else {
    int64_t i = v.to_int();
    convert_elements(&i, DType::I64, t.raw_data(), dtype, 1);
  }
  return Any(t);
}

// ---- result types

template <TypeKind K>
Type always(Inputs) {
  return K;
}
Type ints(Inputs) { return Type::list(TypeKind::Int); }

Type numeric(Inputs in) {
  bool known = true, real = false;
  for (Value* v : in) {
    real |= v->type.kind == TypeKind::Float;
    known &=
        v->type.kind == TypeKind::Int || v->type.kind == TypeKind::Bool || v->type.kind == TypeKind::Float;
  }
  return !known ? TypeKind::Number : real ? TypeKind::Float : TypeKind::Int;
}
Type element_type(const Type& list) {
  if (list.kind == TypeKind::List) return list.elements[0];
  if (list.kind != TypeKind::Tuple || list.elements.empty()) return {};
  Type t = list.elements[0];
  for (const Type& e : list.elements) t = join(t, e);
  return t;
}
bool is_empty_list(Value* v) {
  if (const Any* c = v->constant()) return is_list(*c) && list_length(*c) == 0;
  return v->producer() && v->producer()->kind == NodeKind::List && v->producer()->inputs().empty();
}
Type appended(Inputs in) {
  if (is_empty_list(in[0])) return Type::list(in[1]->type);
  return Type::list(join(element_type(in[0]->type), in[1]->type));
}
Type concatenated(Inputs in) {
  if (is_empty_list(in[0])) return Type::list(element_type(in[1]->type));
  if (is_empty_list(in[1])) return Type::list(element_type(in[0]->type));
  return Type::list(join(element_type(in[0]->type), element_type(in[1]->type)));
}
Type indexed(Inputs in) {
  const Any* i = in[1]->constant();
  if (in[0]->type.kind == TypeKind::Tuple && i && i->tag() == Tag::Int) {
    int64_t n = static_cast<int64_t>(in[0]->type.elements.size());
    return in[0]->type.elements[static_cast<size_t>(wrap_index(i->to_int(), n, "index"))];
  }
  return element_type(in[0]->type);
}
Type sublist(Inputs in) { return Type::list(element_type(in[0]->type)); }
Type replaced(Inputs in) { return Type::list(join(element_type(in[0]->type), in[2]->type)); }
Type element_number(Inputs in) {
  const Type& t = in[0]->type;
  if (!t.has_dtype) return TypeKind::Number;
  return t.dtype == DType::Bool ? TypeKind::Bool : is_floating(t.dtype) ? TypeKind::Float : TypeKind::Int;
}
Type scalar_tensor(Inputs in) {
  Type t = Type::tensor(DType::F32, {});
  t.has_dtype = in.size() > 1 && in[1]->constant() && in[1]->constant()->tag() == Tag::DType;
  if (t.has_dtype) t.dtype = in[1]->constant()->dtype();
  return t;
}

constexpr Builtin table[] = {
    {"add", 2, 2, numeric, arithmetic<Add>, "Sum of two numbers."},
    {"sub", 2, 2, numeric, arithmetic<Sub>, "Difference of two numbers."},
    {"mul", 2, 2, numeric, arithmetic<Mul>, "Product of two numbers."},
    {"floordiv", 2, 2, numeric, arithmetic<FloorDiv>, "Quotient rounded down, as Python's //."},
    {"mod", 2, 2, numeric, arithmetic<Mod>, "Remainder with the divisor's sign, as Python's %."},
    {"min", 2, 2, numeric, arithmetic<Least>, "The smaller of two numbers."},
    {"max", 2, 2, numeric, arithmetic<Most>, "The larger of two numbers."},
    {"div", 2, 2, always<TypeKind::Float>,
     [](Args a) {
       double d = number(a[1], "div").to_double();
       not_zero(d == 0, "div");
       return Any(number(a[0], "div").to_double() / d);
     },
     "Quotient as a float."},
    {"neg", 1, 1, numeric,
     [](Args a) {
       const Any args[] = {Any(0), a[0]};
       Any v = number(a[0], "neg");
       return v.tag() == Tag::Float ? Any(-v.to_double()) : arithmetic<Sub>(args);
     },
     "The number with its sign turned."},
    {"lt", 2, 2, always<TypeKind::Bool>, [](Args a) { return Any(compare(a[0], a[1], "lt") == -1); },
     "a < b."},
    {"le", 2, 2, always<TypeKind::Bool>, [](Args a) { return Any(compare(a[0], a[1], "le") <= 0); },
     "a <= b."},
    {"gt", 2, 2, always<TypeKind::Bool>, [](Args a) { return Any(compare(a[0], a[1], "gt") == 1); },
     "a > b."},
    {"ge", 2, 2, always<TypeKind::Bool>,
     [](Args a) {
       int c = compare(a[0], a[1], "ge");
       return Any(c == 0 || c == 1);
     },
     "a >= b."},
    {"eq", 2, 2, always<TypeKind::Bool>, [](Args a) { return Any(equal(a[0], a[1])); },
     "Equality of numbers, strings, lists."},
    {"ne", 2, 2, always<TypeKind::Bool>, [](Args a) { return Any(!equal(a[0], a[1])); },
     "The opposite of eq."},
    {"and", 2, 2, always<TypeKind::Bool>,
     [](Args a) { return Any(truth(a[0], "and") && truth(a[1], "and")); }, "Both hold."},
    {"or", 2, 2, always<TypeKind::Bool>, [](Args a) { return Any(truth(a[0], "or") || truth(a[1], "or")); },
     "At least one holds."},
    {"not", 1, 1, always<TypeKind::Bool>, [](Args a) { return Any(!truth(a[0], "not")); }, "Does not hold."},
    {"bool", 1, 1, always<TypeKind::Bool>, [](Args a) { return Any(truth(a[0], "bool")); }, "Not zero."},
    {"int", 1, 1, always<TypeKind::Int>,
     [](Args a) {
       Any v = number(a[0], "int");
       if (v.tag() != Tag::Float) return Any(v.to_int());
       double d = std::trunc(v.to_double());
       MOKA_CHECK_KIND(Value, std::abs(d) < 0x1p63, "int: ", d, " does not fit in 64 bits");
       return Any(static_cast<int64_t>(d));
     },
     "The number cut to an integer."},
    {"float", 1, 1, always<TypeKind::Float>, [](Args a) { return Any(number(a[0], "float").to_double()); },
     "The number as a float."},
    {"is_none", 1, 1, always<TypeKind::Bool>, [](Args a) { return Any(a[0].is_none()); }, "True for none.",
     Reads::Nothing},
    {"unwrap", 1, 1,
     [](Inputs in) { return in[0]->type.kind == TypeKind::Optional ? in[0]->type.elements[0] : in[0]->type; },
     [](Args a) {
       MOKA_CHECK_KIND(Value, !a[0].is_none(), "unwrap: the optional value is none");
       return a[0];
     },
     "The element of an optional value; an error where it is none.", Reads::Nothing},
    {"len", 1, 1, always<TypeKind::Int>,
     [](Args a) {
       MOKA_CHECK_KIND(Type, is_list(a[0]), "len: a list was expected, got ", tag_name(a[0].tag()), " ",
                       a[0]);
       return Any(list_length(a[0]));
     },
     "Number of elements of a list.", Reads::Nothing},
    {"append", 2, 2, appended, append, "A new list with one element more.", Reads::Nothing},
    {"concat", 2, 2, concatenated,
     [](Args a) {
       std::vector<Any> items = items_of(a[0], "concat");
       for (Any& v : items_of(a[1], "concat")) items.push_back(std::move(v));
       return make_list(items);
     },
     "A new list: the first and then the second.", Reads::Nothing},
    {"index", 2, 2, indexed,
     [](Args a) {
       MOKA_CHECK_KIND(Type, is_list(a[0]), "index: a list was expected, got ", tag_name(a[0].tag()), " ",
                       a[0]);
       return list_item(a[0], wrap_index(a[1].to_int(), list_length(a[0]), "index"));
     },
     "One element of a list.", Reads::Nothing},
    {"set_item", 3, 3, replaced,
     [](Args a) {
       std::vector<Any> items = items_of(a[0], "set_item");
       items[static_cast<size_t>(wrap_index(a[1].to_int(), static_cast<int64_t>(items.size()), "set_item"))] =
           a[2];
       return make_list(items);
     },
     "A new list with one element replaced.", Reads::Nothing},
    {"slice", 1, 3, sublist, slice, "Elements from a start to before an end, as list[start:end].",
     Reads::Nothing},
    {"range", 1, 3, ints, range, "Integers from a start to before an end by a step, as Python's range.",
     Reads::Nothing},
    {"item", 1, 1, element_number, [](Args a) { return item_of(a[0]); },
     "The one element of a tensor as a number."},
    {"sizes", 1, 1, ints, [](Args a) { return Any(tensor_of(a[0], "sizes").sizes()); },
     "The sizes of a tensor.", Reads::Shape},
    {"size", 2, 2, always<TypeKind::Int>,
     [](Args a) {
       const Tensor& t = tensor_of(a[0], "size");
       int64_t d = a[1].to_int();
       MOKA_CHECK_KIND(Index, d >= -t.dim() && d < t.dim(), "size: dimension ", d, " is out of range for a ",
                       t.dim(), "-d tensor");
       return Any(t.size(static_cast<int>(d)));
     },
     "One size of a tensor.", Reads::Shape},
    {"dim", 1, 1, always<TypeKind::Int>, [](Args a) { return Any(tensor_of(a[0], "dim").dim()); },
     "Number of dimensions.", Reads::Shape},
    {"numel", 1, 1, always<TypeKind::Int>, [](Args a) { return Any(tensor_of(a[0], "numel").numel()); },
     "Number of elements.", Reads::Shape},
    {"dtype", 1, 1, always<TypeKind::DType>, [](Args a) { return Any(tensor_of(a[0], "dtype").dtype()); },
     "The dtype of a tensor.", Reads::Shape},
    {"ints", 1, 1, ints,
     [](Args a) {
       const Tensor& t = tensor_of(a[0], "ints");
       MOKA_CHECK(t.dim() <= 1 && t.has_storage() && (is_integral(t.dtype()) || t.dtype() == DType::Bool),
                  "ints: a one-dimensional tensor of integers was expected, got ", a[0]);
       Dims out;
       for (int64_t i = 0; i < t.numel(); i++) out.push_back(element_as_int(t, i));
       return Any(out);
     },
     "The elements of a one-dimensional tensor of integers as a list."},
    {"check", 3, 3, always<TypeKind::None>,
     [](Args a) {
       MOKA_CHECK_KIND(Value, truth(a[0], "check") == truth(a[1], "check"), a[2].string());
       return Any();
     },
     "An error with this text unless a condition is what it was.", Reads::Nothing, true},
    {"zip_map", 2, 2, zip_map_type, zip_map,
     "A list of dictionaries, one a row of values, all with these keys."},
    {"dict_keys", 1, 1, dict_keys_type, dict_keys, "The keys of a dictionary."},
    {"dict_values", 1, 1, dict_values_type, dict_values,
     "The values of a dictionary, in the order of its keys."},
    {"tensor", 1, 2, scalar_tensor, make_scalar_tensor, "A tensor without dimensions that holds a number."},
};
}  // namespace

std::span<const Builtin> all_builtins() { return table; }

const Builtin* find_builtin(std::string_view name) {
  for (const Builtin& b : table)
    if (b.name == name) return &b;
  return nullptr;
}

const Builtin& get_builtin(std::string_view name) {
  if (const Builtin* b = find_builtin(name)) return *b;
  fail_kind(ErrorKind::NotImplemented, "there is no builtin '", name, "'");
}

Any make_list(std::span<const Any> items, const Type& element) {
  bool all[3] = {true, true, true};
  // Lists of tensors may have gaps where their type says so.
  const bool optional = element.kind == TypeKind::Optional && element.elements[0].kind == TypeKind::Tensor;
  for (const Any& a : items) {
    all[0] &= a.is_tensor() || (a.is_none() && optional);
    all[1] &= a.tag() == Tag::Int;
    all[2] &= a.tag() == Tag::Float;
  }
  if (items.empty()) {
    all[0] = element.kind == TypeKind::Tensor;
    all[1] = element.kind == TypeKind::Int;
    all[2] = element.kind == TypeKind::Float;
  }
  if (all[0]) {
    std::vector<Tensor> v;
    for (const Any& a : items) v.push_back(a.is_none() ? Tensor() : a.tensor());
    return Any(std::span<const Tensor>(v));
  }
  if (all[1]) {
    Dims v;
    for (const Any& a : items) v.push_back(a.to_int());
    return Any(v);
  }
  if (all[2]) {
    std::vector<double> v;
    for (const Any& a : items) v.push_back(a.to_double());
    return Any(std::span<const double>(v));
  }
  return Any(items);
}

int64_t list_length(const Any& list) { return is_list(list) ? list.arg().count : 0; }

Any list_item(const Any& list, int64_t i) {
  MOKA_ASSERT(i >= 0 && i < list_length(list));
  size_t k = static_cast<size_t>(i);
  switch (list.tag()) {
    case Tag::Ints: return Any(list.ints()[k]);
    case Tag::Floats: return Any(list.arg().as_floats()[k]);
    case Tag::Tensors: return Any(list.tensors()[k]);
    default: return list.list()[k];
  }
}

}  // namespace moka::graph
