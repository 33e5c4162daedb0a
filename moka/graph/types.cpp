// Types of values: their text, which fit where, and the type that two have in common.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/graph/dictionary.h"
#include "moka/graph/graph.h"
#include "moka/graph/text_internal.h"

namespace moka::graph {

Type Type::tensor(DType dtype, std::span<const int64_t> sizes) {
  Type t(TypeKind::Tensor);
  t.has_dtype = true;
  t.dtype = dtype;
  t.has_dims = true;
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  return t;
}

Type Type::list(Type element) {
  Type t(TypeKind::List);
  t.elements.push_back(std::move(element));
  return t;
}

namespace {
struct KindName {
  TypeKind kind;
  const char* name;
};
constexpr KindName kind_names[] = {{TypeKind::Any, "any"},       {TypeKind::Int, "int"},
                                   {TypeKind::Float, "float"},   {TypeKind::Bool, "bool"},
                                   {TypeKind::String, "str"},    {TypeKind::None, "none"},
                                   {TypeKind::DType, "dtype"},   {TypeKind::Device, "device"},
                                   {TypeKind::Number, "number"}, {TypeKind::Token, "token"}};

void append_tensor_type(std::string& out, const Type& t) {
  if (t.has_dtype) append_text(out, t.dtype);
  else out += "tensor";
  if (t.has_dims) {
    out += '[';
    for (size_t i = 0; i < t.dims.size(); i++) {
      if (i) out += ", ";
      if (t.dims[i].fixed()) append_part(out, t.dims[i].size);
      else if (t.dims[i].symbol.empty()) out += '?';
      else append_identifier(out, t.dims[i].symbol);
    }
    out += ']';
  } else if (t.has_dtype) {
    out += "[...]";
  }
  if (t.device != Device{}) {
    out += " on ";
    std::string device;
    append_text(device, t.device);
    append_quoted(out, device);
  }
}

void append_elements(std::string& out, const Type& t) {
  for (size_t i = 0; i < t.elements.size(); i++) {
    if (i) out += ", ";
    out += t.elements[i].text();
  }
}
}  // namespace

bool find_type_kind(std::string_view name, TypeKind& kind) {
  for (const KindName& k : kind_names)
    if (name == k.name) {
      kind = k.kind;
      return true;
    }
  return false;
}

std::string Type::text() const {
  std::string out;
  switch (kind) {
    case TypeKind::Tensor: append_tensor_type(out, *this); break;
    case TypeKind::List:
      out += '[';
      append_elements(out, *this);
      out += ']';
      break;
    case TypeKind::Tuple:
      out += '(';
      append_elements(out, *this);
      out += elements.size() == 1 ? ",)" : ")";
      break;
    case TypeKind::Dict: out = "{" + elements.at(0).text() + ": " + elements.at(1).text() + "}"; break;
    case TypeKind::Optional:
      // "float32[2] on "cuda"?" would read as part of the tensor's type.
      out = elements.at(0).text() + "?";
      break;
    case TypeKind::Object:
      out = "object ";
      append_quoted(out, class_name);
      break;
    default:
      for (const KindName& k : kind_names)
        if (k.kind == kind) out = k.name;
  }
  return out;
}

Type type_of(const Arg& value) {
  switch (value.tag) {
    case Tag::None: return TypeKind::None;
    case Tag::Tensor: {
      Type t = Type::tensor(value.as_tensor().dtype(), value.as_tensor().sizes());
      t.device = value.as_tensor().device();
      return t;
    }
    case Tag::Int: return TypeKind::Int;
    case Tag::Float: return TypeKind::Float;
    case Tag::Bool: return TypeKind::Bool;
    case Tag::DType: return TypeKind::DType;
    case Tag::Device: return TypeKind::Device;
    case Tag::String: return TypeKind::String;
    case Tag::Ints: return Type::list(TypeKind::Int);
    case Tag::Floats: return Type::list(TypeKind::Float);
    case Tag::Tensors: {
      Type element;
      bool first = true;
      for (const Tensor& t : value.as_tensors()) {
        Type one = type_of(Arg(t));
        element = first ? one : join(element, one);
        first = false;
      }
      return Type::list(first ? Type::tensor() : element);
    }
    case Tag::List: {
      Type t(TypeKind::Tuple);
      for (const Any& a : value.as_list()) t.elements.push_back(type_of(a));
      return t;
    }
    case Tag::Object: {
      if (const Dictionary* d = dictionary_of(value)) {
        Type t(TypeKind::Dict);
        for (const Tensor* part : {&d->keys, &d->values}) {
          t.elements.push_back(Type::tensor(part->dtype(), part->sizes()));
          t.elements.back().dims.assign(1, Dim());
        }
        return t;
      }
      Type t(TypeKind::Object);
      t.class_name = value.object->type_name();
      return t;
    }
  }
  return {};
}

bool fits(const Type& from, const Type& to) {
  if (from.kind == TypeKind::Any || to.kind == TypeKind::Any) return true;
  if (to.kind == TypeKind::Optional) {
    if (from.kind == TypeKind::None) return true;
    return fits(from.kind == TypeKind::Optional ? from.elements[0] : from, to.elements[0]);
  }
  if (to.kind == TypeKind::Number &&
      (from.kind == TypeKind::Int || from.kind == TypeKind::Float || from.kind == TypeKind::Bool))
    return true;
  if (to.kind == TypeKind::List && from.kind == TypeKind::Tuple)
    return std::all_of(from.elements.begin(), from.elements.end(),
                       [&](const Type& e) { return fits(e, to.elements[0]); });
  if (from.kind != to.kind) return false;
  if (from.kind == TypeKind::Tensor) {
    if (from.has_dtype && to.has_dtype && from.dtype != to.dtype) return false;
    if (!from.has_dims || !to.has_dims) return true;
    if (from.dims.size() != to.dims.size()) return false;
    for (size_t i = 0; i < from.dims.size(); i++)
      if (from.dims[i].fixed() && to.dims[i].fixed() && from.dims[i].size != to.dims[i].size) return false;
    return true;
  }
  if (from.kind == TypeKind::Object) return from.class_name == to.class_name;
  if (from.elements.size() != to.elements.size()) return false;
  for (size_t i = 0; i < from.elements.size(); i++)
    if (!fits(from.elements[i], to.elements[i])) return false;
  return true;
}

bool fits(const Type& from, const ArgType& to) {
  if (from.kind == TypeKind::Any) return true;
  if (from.kind == TypeKind::None) return to.optional;
  if (from.kind == TypeKind::Optional) return fits(from.elements[0], to);  // None is seen when it runs
  if (to.list && to.kind != Kind::Any) {
    if (from.kind != TypeKind::List && from.kind != TypeKind::Tuple) return false;
    ArgType element = to;
    element.list = false;
    element.optional = to.kind == Kind::Tensor;  // an index list may have holes
    return std::all_of(from.elements.begin(), from.elements.end(),
                       [&](const Type& e) { return fits(e, element); });
  }
  bool number = from.kind == TypeKind::Int || from.kind == TypeKind::Float || from.kind == TypeKind::Bool ||
                from.kind == TypeKind::Number;
  switch (to.kind) {
    case Kind::Tensor: return from.kind == TypeKind::Tensor;
    case Kind::Operand: return from.kind == TypeKind::Tensor || number;
    case Kind::Number:
    case Kind::Float: return number;
    case Kind::Int:
      return from.kind == TypeKind::Int || from.kind == TypeKind::Bool || from.kind == TypeKind::Number;
    case Kind::Bool: return from.kind == TypeKind::Bool || from.kind == TypeKind::Int;
    case Kind::String: return from.kind == TypeKind::String;
    case Kind::DType: return from.kind == TypeKind::DType;
    case Kind::Device: return from.kind == TypeKind::Device;
    case Kind::Generator: return from.kind == TypeKind::Object;
    case Kind::Any: return true;
  }
  return false;
}

Type join(const Type& a, const Type& b) {
  if (a == b) return a;
  if (a.kind == TypeKind::Any || b.kind == TypeKind::Any) return {};
  if (a.kind == TypeKind::None || b.kind == TypeKind::None || a.kind == TypeKind::Optional ||
      b.kind == TypeKind::Optional) {
    const Type& x = a.kind == TypeKind::Optional ? a.elements[0] : a;
    const Type& y = b.kind == TypeKind::Optional ? b.elements[0] : b;
    Type element = x.kind == TypeKind::None ? y : y.kind == TypeKind::None ? x : join(x, y);
    if (element.kind == TypeKind::Any) return {};
    Type t(TypeKind::Optional);
    t.elements.push_back(std::move(element));
    return t;
  }
  if (a.kind != b.kind) return {};
  Type t = a;
  if (a.kind == TypeKind::Tensor) {
    if (!b.has_dtype || a.dtype != b.dtype) {
      t.has_dtype = false;
      t.dtype = DType::F32;
    }
    if (!a.has_dims || !b.has_dims || a.dims.size() != b.dims.size()) {
      t.has_dims = false;
      t.dims.clear();
    }
    for (size_t i = 0; i < t.dims.size(); i++)
      if (a.dims[i] != b.dims[i]) t.dims[i] = {};
    return t;
  }
  if (a.elements.size() != b.elements.size() || a.class_name != b.class_name) return {};
  for (size_t i = 0; i < t.elements.size(); i++) t.elements[i] = join(a.elements[i], b.elements[i]);
  return t;
}

}  // namespace moka::graph
