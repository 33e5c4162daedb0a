// How much arithmetic a graph asks for, by operator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "moka/graph/graph.h"

namespace moka {

struct OperatorCost {
  int64_t count = 0, flop = 0;
};

struct Cost {
  std::map<std::string, OperatorCost> operators;  // by schema name
  int64_t nodes = 0, flop = 0;
  bool complete = true;     // false: nodes without known shapes count as 0
  bool free_sizes = false;  // named or unknown sizes were taken as 1
};

// A multiply-add counts as 2; elementwise operators as their formula's cost an element, views as 0, others as
// 1 an element. Blocks of conditions and loops count once.
Cost measure_cost(const graph::Graph& graph);

}  // namespace moka
