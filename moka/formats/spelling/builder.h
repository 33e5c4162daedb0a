// Builds the graph of a model that is being read: operators by name, constants folded on the way, types
// inferred.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "moka/formats/spelling/table.h"
#include "moka/graph/graph.h"

namespace moka::spelling {

// What a call takes for one argument: a value of the graph, several, or a constant. Nothing of it is inline: adapters
// make thousands, and would take twice as long to compile.
struct Argument {
  Slot slot;
  std::string_view name;  // empty: by position
  Argument(graph::Value* value);
  Argument(std::vector<graph::Value*> list);
  Argument(Any constant);
  Argument(bool v);
  Argument(int v);
  Argument(int64_t v);
  Argument(double v);
  Argument(const char* v);
  Argument(DType v);
  Argument(const Dims& v);
  Argument(const Argument& other);
  Argument(Argument&& other) noexcept;
  Argument& operator=(Argument other) noexcept;
  ~Argument();
};
Argument named(std::string_view name, Argument a);

class Builder : public Values {
 public:
  Builder(graph::Graph& graph, graph::Graph::Point at) : graph(graph), at(at) {}

  graph::Graph& graph;
  graph::Graph::Point at;
  graph::Source source;

  graph::Value* constant(Any value);
  // The operator's first output, or all. A small call with constants only is computed now. NotImplemented when this
  // build has no such operator.
  graph::Value* call(std::string_view op, std::initializer_list<Argument> args);
  std::vector<graph::Value*> call_all(std::string_view op, std::span<const Argument> args);
  std::vector<graph::Value*> emit(const Op& op, std::span<Slot> slots);

  const Any* known(graph::Value* value) override;
  // Tells `known` what a value holds although no Constant node makes it (a parameter with its initial values).
  void remember(graph::Value* value, Any constant) { remembered_[value] = std::move(constant); }

  // The elements of an integer vector, or of a tensor without dimensions, as integers of the graph: sizes that a model
  // computes with. Null where they are not known one by one.
  const std::vector<graph::Value*>* elements(graph::Value* value);
  void remember_elements(graph::Value* value, std::vector<graph::Value*> elements) {
    elements_[value] = std::move(elements);
  }

 private:
  std::map<graph::Value*, std::vector<graph::Value*>> elements_;
  std::map<graph::Value*, Any> remembered_;
};

// Removes nodes of the main block that nothing reads and that do nothing else, and states that are no longer read.
void drop_unused(graph::Graph& graph);

bool has_rank(const graph::Value* value);
int rank(const graph::Value* value);  // -1: unknown
bool has_dtype(const graph::Value* value, DType* out = nullptr);
// Sizes if all of them are fixed.
bool fixed_sizes(const graph::Value* value, Dims& out);

}  // namespace moka::spelling
