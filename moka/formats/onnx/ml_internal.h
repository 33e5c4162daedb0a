// What the adapters of ai.onnx.ml share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

inline constexpr std::string_view ml = "ai.onnx.ml";  // the domain

bool given(NodeReader& n, std::string_view name);  // an attribute that is there and not empty
// A list of numbers, or a tensor, as a vector of this type; empty where the attribute is missing.
Tensor vector_of(NodeReader& n, std::string_view name, DType dtype);
Tensor vector_of(const Any& numbers, DType dtype, std::string_view what);
graph::Value* constant(NodeReader& n, Tensor t);
graph::Value* in_rows(NodeReader& n);  // input 0 as floats of shape [rows, features]
graph::Value* labels_of(NodeReader& n, std::string_view ints,
                        std::string_view strings);  // null: there are none
graph::Value* post_transformed(NodeReader& n, graph::Value* y,
                               std::string_view how);  // along the last dimension

// A classifier's outputs: labels and scores.
struct Decision {
  graph::Value* scores = nullptr;  // [rows, classes]
  graph::Value* votes = nullptr;   // [rows, labels], where they and not the scores decide
  int64_t classes = 1;  // of the scores; 1: that of the second of two labels, or of the only one
  double threshold = 0;  // of one score
  bool negative_is_complement = false;  // the first label's score is 1 - score, else -score
};
void decide(NodeReader& n, const Decision& d, graph::Value* labels, std::string_view how);

}  // namespace moka::onnx
