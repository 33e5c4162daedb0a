// A map from keys to values of one type each, as two vectors: what ONNX's ZipMap makes and DictVectorizer reads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/graph/graph.h"

namespace moka::graph {

struct Dictionary : Object {
  Tensor keys, values;  // of one length; keys are strings or int64
  Dictionary(Tensor keys, Tensor values) : keys(std::move(keys)), values(std::move(values)) {}
  const char* type_name() const override { return "dictionary"; }
};

// Null where it is something else.
inline const Dictionary* dictionary_of(const Arg& a) {
  return a.tag == Tag::Object ? dynamic_cast<const Dictionary*>(a.object) : nullptr;
}

// Builtins (builtins.h).
Type zip_map_type(std::span<Value* const> inputs);
Type dict_keys_type(std::span<Value* const> inputs);
Type dict_values_type(std::span<Value* const> inputs);
Any zip_map(std::span<const Any> args);
Any dict_keys(std::span<const Any> args);
Any dict_values(std::span<const Any> args);

}  // namespace moka::graph
