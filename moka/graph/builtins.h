// Builtins: pure functions of values that are not tensors (numbers, lists) and of a tensor's shape or single element.
// Operators return tensors; these return everything else, so that loops, conditions and lists can be written.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "moka/graph/graph.h"

namespace moka::graph {

// How far a builtin looks into tensors: it hands them on, asks for shape and dtype, or reads elements. Plans evaluate
// the first two before anything runs.
enum class Reads : uint8_t { Data, Shape, Nothing };

struct Builtin {
  std::string_view name;
  int least, most;  // arguments
  Type (*result)(std::span<Value* const> inputs);
  Any (*run)(std::span<const Any> args);
  std::string_view doc;
  Reads reads = Reads::Data;
  bool keeps = false;  // it stays although nobody uses its result: it may end the run with an error
};

const Builtin* find_builtin(std::string_view name);
const Builtin& get_builtin(std::string_view name);
std::span<const Builtin> all_builtins();

// A list of these values in the form that operators take: of Tensor, int or float where all elements are.
Any make_list(std::span<const Any> items, const Type& element = {});
// Number of elements of any list, and one of them; negative indices count from the end.
int64_t list_length(const Any& list);
Any list_item(const Any& list, int64_t index);

}  // namespace moka::graph
