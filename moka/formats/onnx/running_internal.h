// What adapters need for sizes and numbers that may be known only when the graph runs, and for loops.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <vector>

#include "moka/formats/onnx/importer_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

// An integer: a number when the model is read, or a value of the graph.
struct Whole {
  int64_t number = 0;
  graph::Value* value = nullptr;
  template <std::integral T>
  Whole(T number) : number(number) {}
  Whole(graph::Value* value) : value(value) {}
  bool fixed() const { return !value; }
  spelling::Argument argument() const {
    return value ? spelling::Argument(value) : spelling::Argument(number);
  }
};
using Wholes = std::vector<Whole>;

// Remembers what the elements of the outputs are, for nodes that compute shapes (elements.cpp).
void follow_elements(NodeReader& n);
// Element type and rank of the first output, where inference does not find them but the operator promises them.
void promise_ranks(NodeReader& n);
bool is_size(const Whole& w);  // made of sizes and numbers that are not negative
// An integer of the graph; its number where it is constant.
Whole whole_of(graph::Value* v);
// A size of a tensor; negative dimensions count from the end.
Whole size_of(NodeReader& n, graph::Value* x, int64_t dim);
Wholes sizes_of(NodeReader& n, graph::Value* x);  // NotImplemented when the rank is not known
int rank_of(graph::Value* x, const char* what);
// An axis counted from the front; an error says that `what` is out of range.
int64_t wrapped(int64_t axis, int rank, const char* what = "axis");
// The one integer that an input holds, and one element of a vector of them.
Whole whole_input(NodeReader& n, int input);
Whole whole_element(NodeReader& n, int input, int64_t element);
// name: add, sub, mul, floordiv, mod, min, max. Computed now where both are known.
Whole arithmetic(NodeReader& n, const char* name, Whole a, Whole b);
// For an int[] argument.
spelling::Argument list_of(NodeReader& n, const Wholes& all);
graph::Value* int_value(NodeReader& n, Whole w);
// A tensor without dimensions.
graph::Value* number_of(NodeReader& n, Whole w, DType dtype);
graph::Value* constant_number(NodeReader& n, double v, DType dtype);
// 0, 1, ... before `end`, as int64 or another type.
graph::Value* count_to(NodeReader& n, Whole end, DType dtype = DType::I64);

// Says what the meaning of the ONNX operator promises of a value whose arguments were not known to inference.
graph::Value* promise(graph::Value* v, DType dtype, int rank);
graph::Value* promise(graph::Value* v, DType dtype, const Wholes& sizes);
DType dtype_of(graph::Value* v, const char* what);  // NotImplemented when it is not known

graph::Value* reshaped(NodeReader& n, graph::Value* x, const Wholes& sizes);
graph::Value* expanded_to(NodeReader& n, graph::Value* x, const Wholes& sizes);
// Elements from `start`, `length` of them.
graph::Value* part_of(NodeReader& n, graph::Value* x, int64_t dim, Whole start, Whole length);
graph::Value* cast_to(NodeReader& n, graph::Value* x, DType dtype);
// matmul, with the type that inference does not find where the inner sizes are open.
graph::Value* product(NodeReader& n, graph::Value* a, graph::Value* b);
// Views with size 1 put in, so that the dimensions of x lie at `places` of a tensor with `rank` dimensions.
graph::Value* spread(NodeReader& n, graph::Value* x, std::initializer_list<int> places, int rank);
// To a type of 8 bits or less: saturating, numbers that are too large become the largest; else NaN or infinity.
graph::Value* saturated(NodeReader& n, graph::Value* x, DType to, bool saturate);
// Indices count from the back where they are negative.
graph::Value* from_the_front(NodeReader& n, graph::Value* indices, Whole size);

// [batch, length, heads * size] as [batch, heads, length, size], and back.
graph::Value* split_heads(NodeReader& n, graph::Value* x, int64_t heads);
graph::Value* join_heads(NodeReader& n, graph::Value* x);
// Every head `times` times in a row.
graph::Value* repeat_heads(NodeReader& n, graph::Value* x, Whole times);

// Strings as a tensor [n], from an attribute that lists them; one string as a tensor without dimensions.
Tensor string_tensor(const Any& list, std::string_view what);
Tensor string_tensor(std::string_view text);
bool holds_strings(graph::Value* v);

// A loop of `count` turns: the body gets the turn (an int) and the carried values and gives the next ones.
using LoopBody =
    std::function<std::vector<graph::Value*>(graph::Value* turn, std::span<graph::Value* const> carried)>;
std::vector<graph::Value*> loop(NodeReader& n, Whole count, std::vector<graph::Value*> carried,
                                const LoopBody& body);
graph::Value* empty_list(NodeReader& n);

}  // namespace moka::onnx
