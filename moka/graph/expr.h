// Expr: the graph reading of operators. Calling an operator with an Expr appends a node at the building point; numbers,
// lists and other plain values become constants.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moka/graph/graph.h"
#include "moka/schema/reading.h"

namespace moka::graph {

// Where nodes of this thread go. Opened by whoever instantiates a body or a derivative in a graph.
class Building {
 public:
  Building(Graph& graph, Graph::Point at, Source source = {});
  ~Building();
  Building(const Building&) = delete;
  static Building& current();  // Internal error when none is open
  Graph& graph;
  Graph::Point at;
  Source source;

 private:
  Building* outer_;
};

struct Expr {
  Value* value = nullptr;  // null: None
  Expr() = default;
  Expr(Value* v) : value(v) {}
  Expr(std::nullptr_t) {}
  Expr(const Any& constant);
  Expr(bool v) : Expr(Any(v)) {}
  Expr(int v) : Expr(Any(v)) {}
  Expr(int64_t v) : Expr(Any(v)) {}
  Expr(double v) : Expr(Any(v)) {}
  Expr(const Dims& v) : Expr(Any(v)) {}
  Expr(std::span<const int64_t> v) : Expr(Any(v)) {}
  Expr(DType v) : Expr(Any(v)) {}
  Expr(const char* v) : Expr(Any(v)) {}
  Expr(const std::string& v) : Expr(Any(v)) {}
  Expr(const Tensor& v) : Expr(Any(v)) {}
  Expr(std::span<const Expr> list);  // a list
  Expr(const std::vector<Expr>& list) : Expr(std::span<const Expr>(list)) {}
};

// Appends the node; missing trailing arguments become constants of their defaults.
std::vector<Expr> emit(const Op& op, std::span<const Expr> args);
// The sizes of a tensor as a list of int: a constant where the type knows them.
Expr shape_of_reading(const Expr& x);
// A builtin of builtins.h.
Expr apply(std::string_view builtin, std::span<const Expr> args);

struct GraphReading {
  using Result = Expr;
  template <class... A>
  static Expr call(const Op& op, const A&... a) {
    const Expr args[] = {Expr(a)...};
    return emit(op, args)[0];
  }
  template <class... A>
  static Expr call_list(const Op& op, const A&... a) {
    return call(op, a...);
  }
  template <class... A>
  static std::vector<Expr> call_all(const Op& op, const A&... a) {
    const Expr args[] = {Expr(a)...};
    return emit(op, args);
  }
};

}  // namespace moka::graph

namespace moka {
template <>
struct ReadingOf<graph::Expr> {
  using type = graph::GraphReading;
};
}  // namespace moka
