// How a pass puts one node in the place of others.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/graph/graph.h"

namespace moka::passes {

// The only output of `node` stands for `result` from now on; messages name `node` as they named `origin`.
inline void stand_for(graph::Value& result, const graph::Node& origin, graph::Node& node) {
  node.source = origin.source;
  node.name = origin.name;
  node.output()->type = result.type;
  node.output()->name = result.name;
  result.replace_all_uses_with(node.output());
}

}  // namespace moka::passes
