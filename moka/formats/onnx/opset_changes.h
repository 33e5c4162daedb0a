// What changed in the forms of ONNX's operators from opset to opset. Types that an operator took later are no change of
// form; what has no row here means the same in every opset that has it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "moka/formats/onnx/model.h"
#include "moka/schema/value.h"
#include "moka/tensor/tensor.h"

namespace moka::onnx {

// An attribute until opset `since`, an input from then on.
struct Moved {
  enum Form : uint8_t { Ints, Int, Floats, Number };  // Int: a list of one
  std::string_view op;
  int since;
  size_t input;
  std::string_view attribute;
  Form form = Ints;
  bool scalar = false;  // the input has no dimensions
  bool of_input = false;  // and the type of the first input; else int64 or float
};
std::span<const Moved> moved_attributes();
bool attribute_of(const Moved& moved, const Tensor& input,
                  Any& attribute);  // false: the input has another form
Tensor input_of(const Moved& moved, const Any& attribute, DType dtype);

// An attribute that came in opset `since`; with this value the operator does what it did before.
struct Added {
  std::string_view op, attribute;
  int since;
  int64_t otherwise = 0;  // of every element of a list; INT64_MIN: no value does
  std::string_view text = {};  // for attributes that are texts
};
std::span<const Added> added_attributes();
bool says_nothing(const Added& added, const Any& given);

// An attribute that opset `since` dropped; with this value the operator does what it does now.
struct Dropped {
  std::string_view op, attribute;
  int since;
  int64_t harmless;
};
std::span<const Dropped> dropped_attributes();

// Other changes: the operator means something else since then, or takes more inputs.
struct Changed {
  std::string_view op;
  int since;
  int inputs_before = 0;  // 0: the meaning changed; else it took so many inputs at most
};
std::span<const Changed> changed_meanings();

int first_opset_of_type(DType dtype);  // in which tensors of this type came

// The opset in which an operator of ONNX's own domain came, and the one that has it no more; 0: there is none.
int first_opset(std::string_view op);
int gone_since(std::string_view op);

// How a node of one opset becomes one of another: as it stands, with attributes and inputs in other places, or by reading
// it as a graph and saying that anew.
enum class Way : uint8_t { Same, Moved, ByGraph };
Way way_between(int from, int to, const NodeProto& node);

}  // namespace moka::onnx
