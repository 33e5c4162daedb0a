// Runs a graph node by node with eager calls: gradients, hooks and every other layer see each of them. The executor of
// moka/runtime is the fast way; this one is for training what was loaded.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::graph {

struct StateAccess {
  std::function<Any(const std::string& name)> get;
  std::function<void(const std::string& name, const Any& value)>
      set;  // may be empty when the graph writes none
  // Runs what stayed Python; may be empty where nothing did.
  std::function<std::vector<Any>(std::string_view name, std::span<const Any> inputs)> python;
};
// The graph's results. NotImplemented for calls of other graphs.
std::vector<Any> interpret(const Graph& graph, std::span<const Any> inputs, const StateAccess& states);

}  // namespace moka::graph
