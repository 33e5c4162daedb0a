// Reads of states that nothing writes become constants. For inference: weights can then be folded and packed; the graph
// can no longer be trained or be given other weights.
// SPDX-License-Identifier: Apache-2.0
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
int freeze(Graph& g, Block& b) {
  int count = 0;
  for (Node* n : b) {
    for (const auto& inner : n->blocks()) count += freeze(g, *inner);
    if (n->kind != NodeKind::Get || n->outputs().size() != 1 || !n->inputs().empty()) continue;
    auto it = g.states.find(n->name);
    if (it == g.states.end() || it->second.written || it->second.value.is_none()) continue;
    Value* c = g.constant(it->second.value, {n->owner(), n});
    c->name = n->output()->name;
    n->output()->replace_all_uses_with(c);
    n->destroy();
    count++;
  }
  return count;
}
}  // namespace

int freeze_states(Graph& graph) { return freeze(graph, *graph.main()); }

}  // namespace moka::passes
