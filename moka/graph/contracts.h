// Versions of operator contracts: a file written against an older contract of an operator is upgraded while it is read.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::graph {

// One operator line of an older file. An upgrader turns it into what the next version of the contract says: it may
// rename the operator, insert, drop and reorder arguments (constants and helper nodes are made at `at`).
struct OldCall {
  std::string op;
  std::vector<Value*> inputs;
  Graph& graph;
  Graph::Point at;
};
using Upgrader = void (*)(OldCall&);

// The contract of `op` moved from version `from` to `from + 1`; upgraders chain. Versions start at 1.
void add_upgrader(std::string_view op, int from, Upgrader upgrader);
// The version that this library writes: one more than its last upgrader's.
int contract_version(std::string_view op);
// Applies what lies between `version` and now; a version of the future is an error that says so.
void upgrade(OldCall& call, int version);

}  // namespace moka::graph
