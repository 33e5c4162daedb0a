// The parsed form of an operator's mapping text, such as "Conv(input, weight, bias, strides=stride, group=groups)".
// The grammar stands in ../README.md; one text serves reading and writing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "moka/schema/schema.h"

namespace moka::spelling {

struct Conversion;
struct Predicate;

// What stands on our side of an item: an argument, possibly through a conversion that reads further ones.
struct Binding {
  const Conversion* conversion = nullptr;
  std::vector<int> args;  // places in our schema; empty: the item is a literal
  Any literal;
};

struct Item {
  enum Role : uint8_t {
    Input,  // positional
    Missing,  // "_": a positional input that must be missing
    Attribute,  // name=... or name?=...
    Condition,  // =argument:literal or =predicate(argument)
  };
  Role role = Input;
  std::string name;  // Attribute: in the file
  bool optional = false;  // "?=": the file may leave it out, and we do where ours has its default
  Binding binding;
  bool has_absent = false;
  Any absent;  // "?? literal": what the format means where the file has nothing
  const Predicate* predicate = nullptr;  // Condition
};

struct Mapping {
  std::string op;
  std::vector<Item> items;
  std::vector<int> outputs;  // our output for each of the file's, -1 for "_"; empty: one to one
};

// Raises Internal with the text and the place of the first thing that does not parse or name something of the schema.
Mapping parse_mapping(std::string_view text, const Schema& schema);

}  // namespace moka::spelling
