// Builtins that make and read dictionaries.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/dictionary.h"

#include <vector>

namespace moka::graph {

namespace {

const Dictionary& dictionary(const Any& a, const char* name) {
  const Dictionary* d = dictionary_of(a.arg());
  MOKA_CHECK_KIND(Type, d, name, ": a dictionary was expected, got ", tag_name(a.tag()), " ", a);
  return *d;
}

const Tensor& tensor_of(const Any& a) {
  MOKA_CHECK_KIND(Type, a.is_tensor() && a.tensor().has_storage(), "zip_map: a tensor was expected, got ", a);
  return a.tensor();
}

Type part_of(const Value* v, size_t part) {
  return v->type.kind == TypeKind::Dict ? v->type.elements[part] : Type::tensor();
}

}  // namespace

Type zip_map_type(std::span<Value* const> in) {
  Type t(TypeKind::Dict);
  for (const Value* v : {in[1], in[0]}) {
    Type element = v->type;
    if (element.has_dims) element.dims.assign(1, Dim());
    t.elements.push_back(element);
  }
  return Type::list(t);
}

Type dict_keys_type(std::span<Value* const> in) { return part_of(in[0], 0); }
Type dict_values_type(std::span<Value* const> in) { return part_of(in[0], 1); }

Any zip_map(std::span<const Any> a) {
  const Tensor scores = as_contiguous(tensor_of(a[0])), &keys = tensor_of(a[1]);
  MOKA_CHECK((scores.dim() == 1 || scores.dim() == 2) && keys.dim() == 1 && scores.size(-1) == keys.size(0),
             "zip_map: ", keys.sizes(), " keys do not fit values of shape ", scores.sizes());
  std::vector<Any> out;
  const int64_t rows = scores.dim() == 1 ? 1 : scores.size(0), width = scores.size(-1);
  for (int64_t i = 0; i < rows; i++) {
    Tensor row = strided_view(scores, Dims{width}, Dims{1}, scores.impl()->offset + i * width);
    out.push_back(Any(Ref<Object>::share(new Dictionary(keys, std::move(row)))));
  }
  return Any(std::span<const Any>(out));
}

Any dict_keys(std::span<const Any> a) { return Any(dictionary(a[0], "dict_keys").keys); }
Any dict_values(std::span<const Any> a) { return Any(dictionary(a[0], "dict_values").values); }

}  // namespace moka::graph
