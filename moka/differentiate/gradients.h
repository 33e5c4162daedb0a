// The gradient of a graph, as nodes of the same graph.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::differentiate {

// Appends at `at` what computes the gradient of y (of the sum of its elements, unless `dy`, of y's shape, says more) with
// respect to each of xs, and returns these values, of the shapes of xs: zeros where y does not depend on one. y and xs are
// visible at `at` and y's block is that of `at`. Goes through If, Loop and lists; what the graph computes between is read,
// branches and turns of loops are computed again. Errors: NotImplemented, naming the node, where an operator on the way
// has no derivative in graphs; Type where y or one of xs does not hold floating numbers.
std::vector<graph::Value*> gradients(graph::Graph& graph, graph::Graph::Point at, graph::Value* y,
                                     std::span<graph::Value* const> xs, graph::Value* dy = nullptr);

}  // namespace moka::differentiate
