// Counting arithmetic from the types of a graph's values.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/cost.h"

#include <algorithm>

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
    const int64_t flop = node.op->view ? 0 : arithmetic(node);
    op.count++;
    cost.nodes++;
    op.flop = saturating_add(op.flop, flop);
    cost.flop = saturating_add(cost.flop, flop);
  }

  static int64_t saturating_add(int64_t a, int64_t b) {
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
  }
  static int64_t saturating_mul(int64_t a, int64_t b) {
    int64_t r;
    return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
  }

  int64_t size(const graph::Dim& d) {
    if (d.fixed()) return d.size;
    cost.free_sizes = true;
    return 1;
  }
  // Product of sizes [from, end); 0 and incomplete where the rank is unknown.
  int64_t product(const graph::Value* v, size_t from = 0) {
    if (!v || v->type.kind != graph::TypeKind::Tensor || !v->type.has_dims) {
      cost.complete = false;
      return 0;
    }
    int64_t n = 1;
    for (size_t d = from; d < v->type.dims.size(); d++) n = saturating_mul(n, size(v->type.dims[d]));
    return n;
  }

  int64_t arithmetic(const graph::Node& node) {
    const std::string_view name = node.op_name();
    const int64_t out = node.outputs().empty() ? 0 : product(node.output());
    if (name.starts_with("conv")) {  // each output element: one multiply-add for every weight of its channel
      const graph::Value* weight = node.argument("weight");
      if (name.starts_with("conv_transpose")) {
        const graph::Value* input = node.argument("input");
        return saturating_mul(2 * product(weight, 1), product(input));
      }
      return saturating_mul(saturating_mul(2, product(weight, 1)), out);
    }
    if (name == "linear") return saturating_mul(saturating_mul(2, product(node.argument("weight"), 1)), out);
    if (name == "matmul" || name == "mm" || name == "bmm" || name == "addmm" || name == "mv") {
      const graph::Value* left = node.argument(name == "addmm" ? "mat1" : "input");
      if (!left || !left->type.has_dims || left->type.dims.empty()) {
        cost.complete = false;
        return 0;
      }
      return saturating_mul(saturating_mul(2, size(left->type.dims.back())), out);
    }
    const int64_t each = node.op->formula ? node.op->formula.cost : 1;
    // Reductions and pooling read more than they write.
    int64_t elements = out;
    for (const graph::Value* v : node.inputs())
      if (v->type.kind == graph::TypeKind::Tensor && v->type.has_dims && !v->constant())
        elements = std::max(elements, product(v));
    return saturating_mul(each, elements);
  }
};

}  // namespace

Cost measure_cost(const graph::Graph& graph) {
  Counter counter;
  counter.block(*graph.main());
  return counter.cost;
}

}  // namespace moka
