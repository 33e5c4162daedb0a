// The table of conversions and predicates.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/conversions.h"

#include <cmath>

namespace moka::spelling {

bool same_value(const Any& a, const Any& b) {
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.arg().is_number() && b.arg().is_number()) return a.arg().as_double() == b.arg().as_double();
  if (a.tag() == Tag::Float && b.tag() == Tag::Float && std::isnan(a.arg().f)) return std::isnan(b.arg().f);
  Dims x, y;
  if (a.tag() != Tag::String && b.tag() != Tag::String && to_ints(a, x) && to_ints(b, y)) return x == y;
  return a == b;
}

bool to_ints(const Any& value, Dims& out) {
  out.clear();
  switch (value.tag()) {
    case Tag::Ints: out.append(value.arg().as_ints()); return true;
    case Tag::Int: out.push_back(value.arg().i); return true;
    case Tag::Bool: out.push_back(value.arg().b); return true;
    case Tag::Float:
      if (std::nearbyint(value.arg().f) != value.arg().f || std::fabs(value.arg().f) > 9e15) return false;
      out.push_back(static_cast<int64_t>(value.arg().f));
      return true;
    case Tag::Floats:
      for (double f : value.arg().as_floats()) {
        if (std::nearbyint(f) != f || std::fabs(f) > 9e15) return false;
        out.push_back(static_cast<int64_t>(f));
      }
      return true;
    case Tag::Tensor: {
      const Tensor& t = value.tensor();
      if (t.dim() > 1 || !t.has_storage() || t.numel() > 4096) return false;
      if (!is_integral(t.dtype()) && t.dtype() != DType::Bool) return false;
      for (int64_t i = 0; i < t.numel(); i++) out.push_back(element_as_int(t, i));
      return true;
    }
    default: return false;
  }
}

bool to_number(const Any& value, Any& out) {
  if (value.arg().is_number()) {
    out = value;
    return true;
  }
  if (value.tag() == Tag::Ints && value.ints().size() == 1) {
    out = Any(value.ints()[0]);
    return true;
  }
  if (value.tag() == Tag::Floats && value.arg().as_floats().size() == 1) {
    out = Any(value.arg().as_floats()[0]);
    return true;
  }
  if (value.tag() != Tag::Tensor) return false;
  const Tensor& t = value.tensor();
  if (t.numel() != 1 || !t.has_storage()) return false;
  if (t.dtype() == DType::Bool) out = Any(element_as_int(t, 0) != 0);
  else if (is_integral(t.dtype())) out = Any(element_as_int(t, 0));
  else if (is_floating(t.dtype())) out = Any(element_as_double(t, 0));
  else return false;
  return true;
}

Dims expanded(const Any& value, const ArgDef& definition, int size) {
  Dims out;
  if (!to_ints(value, out)) return {};
  const size_t wanted = static_cast<size_t>(size ? size : definition.type.list_size);
  if (out.size() == 1 && wanted > 1) out.resize(wanted, out[0]);
  return out;
}

namespace {

// Spatial rank by what the schema says: int[2] padding has 2.
bool read_begin_end(const Scope& s, const Any& from, Any& to, std::string& why) {
  Dims all;
  if (!to_ints(from, all) || all.size() % 2) {
    why = "the pads are no list of begins and ends";
    return false;
  }
  const size_t half = all.size() / 2;
  const size_t wanted = static_cast<size_t>(s.definition(0).type.list_size);
  if (wanted && half != wanted) {
    why = cat("has pads for ", half, " dimensions where ", wanted, " are expected");
    return false;
  }
  Dims out;
  for (size_t i = 0; i < half; i++) {
    if (all[i] != all[half + i]) {
      why = cat("the padding differs between begin and end: ", all);
      return false;
    }
    out.push_back(all[i]);
  }
  to = Any(out);
  return true;
}
bool write_begin_end(const Scope& s, Any& to, std::string& why) {
  if (!s.constant(0)) {
    why = cat(s.definition(0).name, " is not known");
    return false;
  }
  Dims half = expanded(*s.constant(0), s.definition(0));
  Dims out = half;
  out.append(half);
  to = Any(out);
  return true;
}

bool read_list(const Scope&, const Any& from, Any& to, std::string& why) {
  Dims all;
  if (!to_ints(from, all) || all.size() != 1) {
    why = "one value was expected";
    return false;
  }
  to = Any(all[0]);
  return true;
}
bool write_list(const Scope& s, Any& to, std::string& why) {
  Dims all;
  if (!s.constant(0) || !to_ints(*s.constant(0), all)) {
    why = cat(s.definition(0).name, " is not a known number");
    return false;
  }
  to = Any(all);
  return true;
}

// The other way round: the file has one number, our argument is a list.
bool read_single(const Scope&, const Any& from, Any& to, std::string& why) {
  Any number;
  if (!to_number(from, number)) {
    why = "a number was expected";
    return false;
  }
  Dims one{number.arg().as_int()};
  to = Any(one);
  return true;
}
bool write_single(const Scope& s, Any& to, std::string& why) {
  Dims all;
  if (!s.constant(0) || !to_ints(*s.constant(0), all) || all.size() != 1) {
    why = cat(s.definition(0).name, " has not exactly one element");
    return false;
  }
  to = Any(all[0]);
  return true;
}

bool read_complement(const Scope&, const Any& from, Any& to, std::string& why) {
  Any number;
  if (!to_number(from, number)) {
    why = "a number was expected";
    return false;
  }
  // Files hold floats: 1 - 0.9f is 0.1 again, not 0.10000002384185791.
  const double other = 1 - number.arg().as_double();
  to = Any(std::nearbyint(other * 1e6) / 1e6);
  return true;
}
bool write_complement(const Scope& s, Any& to, std::string& why) {
  if (!s.constant(0) || !s.constant(0)->arg().is_number()) {
    why = cat(s.definition(0).name, " is not a known number");
    return false;
  }
  to = Any(1 - s.constant(0)->arg().as_double());
  return true;
}

bool read_not(const Scope&, const Any& from, Any& to, std::string& why) {
  Any number;
  if (!to_number(from, number)) {
    why = "true or false was expected";
    return false;
  }
  to = Any(number.arg().as_double() == 0);
  return true;
}
bool write_not(const Scope& s, Any& to, std::string& why) {
  if (!s.constant(0) || !s.constant(0)->arg().is_number()) {
    why = cat(s.definition(0).name, " is not known");
    return false;
  }
  to = Any(s.constant(0)->arg().as_double() == 0);
  return true;
}

// or(stride, kernel_size): the first, and where that is empty the second.
bool read_or(const Scope&, const Any& from, Any& to, std::string& why) {
  Dims all;
  if (!to_ints(from, all)) {
    why = "a list of numbers was expected";
    return false;
  }
  to = Any(all);
  return true;
}
bool write_or(const Scope& s, Any& to, std::string& why) {
  for (int k = 0; k < 2; k++) {
    if (!s.constant(k)) {
      why = cat(s.definition(k).name, " is not known");
      return false;
    }
    Dims all = expanded(*s.constant(k), s.definition(k));
    if (all.empty()) continue;
    to = Any(all);
    return true;
  }
  why = cat(s.definition(0).name, " and ", s.definition(1).name, " are both empty");
  return false;
}

// tail(weight): the sizes of a tensor from dimension 2 on, a kernel's shape. Redundant in files: only checked.
bool read_tail(const Scope& s, const Any& from, Any&, std::string& why) {
  Dims all;
  const graph::Type* type = s.type(0);
  if (!to_ints(from, all)) {
    why = "a list of numbers was expected";
    return false;
  }
  if (!type || !type->has_dims) return true;
  bool fits = type->dims.size() == all.size() + 2;
  for (size_t i = 0; fits && i < all.size(); i++)
    fits = !type->dims[i + 2].fixed() || type->dims[i + 2].size == all[i];
  if (!fits) why = cat("is ", all, ", the tensor is ", type->text());
  return fits;
}
bool write_tail(const Scope& s, Any& to, std::string& why) {
  const graph::Type* type = s.type(0);
  Dims out;
  if (type && type->has_dims && type->dims.size() > 2)
    for (size_t i = 2; i < type->dims.size() && type->dims[i].fixed(); i++) out.push_back(type->dims[i].size);
  if (out.empty() || out.size() + 2 != type->dims.size()) {
    why = cat("the shape of ", s.definition(0).name, " is not known");
    return false;
  }
  to = Any(out);
  return true;
}

bool read_same(const Scope&, const Any& from, Any& to, std::string&) {
  to = from;
  return true;
}
bool write_dtype_code(const Scope& s, Any& to, std::string& why) {
  if (!s.constant(0)) {
    why = cat(s.definition(0).name, " is not known");
    return false;
  }
  to = *s.constant(0);
  return true;
}

constexpr Conversion conversions[] = {
    {"begin_end", 1, read_begin_end, write_begin_end},  // [h, w] and [h, w, h, w]
    {"one", 1, read_list, write_list},                  // ours a number, the file's a list of one
    {"list", 1, read_list, write_list},                 // the same
    {"single", 1, read_single, write_single},           // ours a list of one, the file's a number
    {"complement", 1, read_complement, write_complement},  // 1 - x
    {"not", 1, read_not, write_not},
    {"or", 2, read_or, write_or},
    {"dtype_code", 1, read_same, write_dtype_code},     // said for readers: element types are codes anyway
    {"tail", 1, read_tail, write_tail, true},
};

bool is_rank(const graph::Type* type, const Any*, const Any& wanted, bool reading) {
  if (!type || !type->has_dims) return reading;  // files say what they mean: their operator has that rank
  return static_cast<int64_t>(type->dims.size()) == wanted.arg().as_int();
}
bool is_floating_type(const graph::Type* type, const Any*, const Any&, bool) {
  return type && type->has_dtype && is_floating(type->dtype);
}
bool is_integer_type(const graph::Type* type, const Any*, const Any&, bool) {
  return type && type->has_dtype && is_integral(type->dtype);
}
bool is_boolean_type(const graph::Type* type, const Any*, const Any&, bool) {
  return type && type->has_dtype && type->dtype == DType::Bool;
}
bool is_given(const graph::Type* type, const Any* constant, const Any&, bool) {
  return constant ? !constant->is_none() : type != nullptr;
}
// The argument is a list of this many elements.
bool has_count(const graph::Type*, const Any* constant, const Any& wanted, bool) {
  Dims all;
  return constant && to_ints(*constant, all) && static_cast<int64_t>(all.size()) == wanted.arg().as_int();
}

constexpr Predicate predicates[] = {
    {"rank", is_rank, "has this many dimensions"},
    {"floating", is_floating_type, "has floating elements"},
    {"integer", is_integer_type, "has integer elements"},
    {"boolean", is_boolean_type, "has bool elements"},
    {"given", is_given, "is not None"},
    {"count", has_count, "has this many elements"},
};

}  // namespace

const Conversion* find_conversion(std::string_view name) {
  for (const Conversion& c : conversions)
    if (c.name == name) return &c;
  return nullptr;
}

const Predicate* find_predicate(std::string_view name) {
  for (const Predicate& p : predicates)
    if (p.name == name) return &p;
  return nullptr;
}

}  // namespace moka::spelling
