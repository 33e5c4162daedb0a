// Weights that a pass packs for a kernel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <unordered_map>

#include "moka/graph/graph.h"
#include "moka/passes/constants.h"
#include "moka/schema/frame.h"

namespace moka::passes {

// Packed here and not by fold_constants, which leaves large results to the program. Layers that share weights share what
// is packed of them too.
class PackedWeights {
 public:
  // The first result of `op` on `args`, made of `weight` once, as a constant at `at`.
  graph::Value* get(graph::Graph& graph, const graph::Value* weight, std::string_view op,
                    std::span<const Arg> args, graph::Graph::Point at) {
    auto [found, isnew] = packed_.try_emplace(weight);
    if (isnew) {
      LayersOff off(~0u);
      found->second = call_boxed(get_op(op), args)[0];
    }
    return graph.constant(Any(found->second), at);
  }

  // The weight itself, where nothing else reads it.
  void drop(graph::Value* weight) {
    if (!weight->uses().empty()) return;
    packed_.erase(weight);  // another value may lie there soon
    drop_unread(weight);
  }

 private:
  std::unordered_map<const graph::Value*, Tensor> packed_;
};

}  // namespace moka::passes
