// What nodes do besides their results, and the order that this asks for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "moka/graph/graph.h"

namespace moka::graph {

// Resources by name: "state weight", "random", "io"; true: written (drawing random numbers writes the generator).
// Python segments and calls may do anything: they write "everything".
using Effects = std::map<std::string, bool>;
Effects effects_of(const Node& node);  // with those of its blocks
bool conflict(const Effects& a, const Effects& b);

// Orders effectful nodes by tokens: each comes after the conflicting ones before it, and after nothing else. Without
// tokens the order in the text is the order of effects. Existing tokens are replaced. Returns how many nodes have some.
int order_effects(Graph& graph);
// Takes all tokens away; the order in the text holds again.
void drop_tokens(Graph& graph);

}  // namespace moka::graph
