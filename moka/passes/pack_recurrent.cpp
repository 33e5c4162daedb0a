// Weights of recurrent layers are packed once for the kernel that sweeps over the units (moka/ops/recurrent/packed.cpp).
// After freeze_states and remove_dead: weights are constants, and nothing reads what was kept for gradients.
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "moka/passes/constants.h"
#include "moka/passes/packed_weights.h"
#include "moka/passes/passes.h"
#include "moka/passes/replace.h"

namespace moka::passes {

using namespace graph;

namespace {
class Packer {
 public:
  explicit Packer(Graph& graph) : graph_(graph) {}

  int block(Block& b) {
    int count = 0;
    for (Node* n : b) {
      for (const auto& inner : n->blocks()) count += block(*inner);
      if (n->kind == NodeKind::Op && n->op_name() == "rnn_layer") count += pack(*n);
    }
    return count;
  }

 private:
  int pack(Node& n) {
    Value* weight = n.argument("weight_hh");
    const Tensor* w = constant_tensor(weight);
    const Type& type = n.argument("gates")->type;
    if (!w || w->dtype() != DType::F32 || w->dim() != 2 || w->size(1) == 0 || w->size(0) % w->size(1) ||
        type.kind != TypeKind::Tensor || !type.has_dtype || type.dtype != DType::F32 ||
        !is_none(n.argument("weight_hr")) || !n.output(1)->uses().empty())
      return 0;
    const int64_t gates = w->size(0) / w->size(1);
    if (gates != 1 && gates != 3 && gates != 4) return 0;
    const Graph::Point at{n.owner(), &n};
    const Arg packing[] = {*w, Arg(gates)};
    const std::vector<Value*> inputs{
        n.argument("gates"),     n.argument("h0"),
        n.argument("c0"),        packed_.get(graph_, weight, "pack_recurrent", packing, at),
        n.argument("bias_hh"),   n.argument("batch_sizes"),
        n.argument("mode"),      n.argument("reverse"),
        n.argument("step_sizes")};
    stand_for(*n.output(0), n, *graph_.create_op(get_op("rnn_layer_packed"), at, inputs));
    n.destroy();
    packed_.drop(weight);
    return 1;
  }

  Graph& graph_;
  PackedWeights packed_;
};
}  // namespace

int pack_recurrent(Graph& graph) { return Packer(graph).block(*graph.main()); }

}  // namespace moka::passes
