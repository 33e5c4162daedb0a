// Counting arithmetic from the types of a graph's values.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/cost.h"

#include "moka/runtime/work.h"

namespace moka {

namespace {

class Counter {
 public:
  Cost cost;

  void block(const graph::Block& block) {
    for (const graph::Node* node : block) {
      for (const auto& inner : node->blocks()) this->block(*inner);
      if (node->kind == graph::NodeKind::Op) add(*node);
    }
  }

 private:
  void add(const graph::Node& node) {
    OperatorCost& op = cost.operators[std::string(node.op_name())];
    std::vector<runtime::Extent> args, outs;
    for (const graph::Value* v : node.inputs()) args.push_back(extent(*v));
    for (const graph::Value* v : node.outputs()) outs.push_back(extent(*v));
    int64_t flop = runtime::arithmetic(*node.op, args, outs);
    if (flop < 0) {
      cost.complete = false;
      flop = 0;
    }
    op.count++;
    cost.nodes++;
    op.flop = saturating_add(op.flop, flop);
    cost.flop = saturating_add(cost.flop, flop);
  }

  static int64_t saturating_add(int64_t a, int64_t b) {
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
  }

  runtime::Extent extent(const graph::Value& v) {
    runtime::Extent out;
    if (v.type.kind != graph::TypeKind::Tensor || !v.type.has_dims) return out;
    out.known = true;
    out.weight = v.constant() != nullptr;
    for (const graph::Dim& d : v.type.dims) {
      out.sizes.push_back(d.fixed() ? d.size : 1);
      cost.free_sizes |= !d.fixed();
    }
    return out;
  }
};

}  // namespace

Cost measure_cost(const graph::Graph& graph) {
  Counter counter;
  counter.block(*graph.main());
  return counter.cost;
}

}  // namespace moka
