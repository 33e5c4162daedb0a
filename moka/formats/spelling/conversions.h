// The named conversions and predicates of mapping texts: each is one two-way rule between a value in a file and a value
// of ours.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "moka/graph/graph.h"

namespace moka::spelling {

// What a rule may ask: the arguments named in its parentheses, by place there.
class Scope {
 public:
  virtual ~Scope() = default;
  virtual const ArgDef& definition(int k) const = 0;
  virtual const Any* constant(int k) const = 0;  // null: not known before running, or not bound yet
  virtual const graph::Type* type(int k) const = 0;  // null: no graph value
};

struct Conversion {
  std::string_view name;
  int arity;
  // Both set `to`, or return false and say why the mapping does not fit.
  bool (*read)(const Scope& scope, const Any& from, Any& to, std::string& why);
  bool (*write)(const Scope& scope, Any& to, std::string& why);
  bool checks_only = false;  // reading binds nothing: `read` only says whether the file's value fits
};
const Conversion* find_conversion(std::string_view name);

// A condition on the graph; `wanted` is the literal after the colon.
struct Predicate {
  std::string_view name;
  bool (*holds)(const graph::Type* type, const Any* constant, const Any& wanted, bool reading);
  std::string_view says;
};
const Predicate* find_predicate(std::string_view name);

// ---- values
// A dimension counted from the front.
inline int64_t wrap(int64_t dim, int rank) { return dim < 0 ? dim + rank : dim; }

// Numbers by value (1 equals 1.0 and true), lists by elements, texts.
bool same_value(const Any& a, const Any& b);
// A list of integers from Ints, an Int, a float that is one, or an integer tensor; false when it is none of these.
bool to_ints(const Any& value, Dims& out);
bool to_number(const Any& value, Any& out);  // Int or Float from numbers and one-element tensors
// One int for list_size ints, as schemas allow.
Dims expanded(const Any& value, const ArgDef& definition, int size = 0);

}  // namespace moka::spelling
