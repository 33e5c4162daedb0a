// The parsed form of "elu(Tensor input, float alpha=1.0) -> Tensor": argument names, types and defaults.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "moka/schema/value.h"

namespace moka {

// What an argument accepts. Operand is a Tensor or a number (numbers are weak in promotion, as in PyTorch).
enum class Kind : uint8_t {
  Tensor,
  Operand,
  Number,
  Int,
  Float,
  Bool,
  String,
  DType,
  Device,
  Generator,
  Any
};

struct ArgType {
  Kind kind = Kind::Tensor;
  bool list = false;      // Tensor[], int[], ...
  bool optional = false;  // accepts None
  bool optional_elements = false;  // Tensor?[]: elements may be None
  int list_size = 0;      // int[2]: one int stands for two
  bool is_tensor_like() const { return kind == Kind::Tensor || kind == Kind::Operand; }
};

struct ArgDef {
  std::string name;
  ArgType type;
  bool has_default = false;
  bool keyword_only = false;
  Any default_value;
};

struct Schema {
  std::string name;      // "max.dim"
  std::string base;      // "max": the Python name
  std::vector<ArgDef> args;
  std::vector<ArgDef> outs;  // names may be empty; type.list for Tensor[]
  int positional = 0;        // args before '*'

  int find_arg(std::string_view arg) const;  // -1 when there is none
  std::string text() const;                  // prints what parse_schema reads
};

// Raises Internal with the position of the first thing that does not parse.
Schema parse_schema(std::string_view text);
void append_text(std::string& out, const ArgType& type);

}  // namespace moka
