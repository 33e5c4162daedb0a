// Weights of linear layers are packed once into the panels that a matrix product reads (moka/ops/fused/packed.cpp). After
// fuse_activation, which sees linear; weights are constants by now.
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "moka/passes/constants.h"
#include "moka/passes/packed_weights.h"
#include "moka/passes/passes.h"
#include "moka/passes/replace.h"

namespace moka::passes {

using namespace graph;

namespace {
// Smaller products are done before packed panels have gained anything.
constexpr int64_t least_weights = 2048;

class Packer {
 public:
  explicit Packer(Graph& graph) : graph_(graph) {}

  int block(Block& b) {
    int count = 0;
    for (Node* n : b) {
      for (const auto& inner : n->blocks()) count += block(*inner);
      if (n->kind == NodeKind::Op && (n->op_name() == "linear" || n->op_name() == "linear_fused"))
        count += pack(*n);
    }
    return count;
  }

 private:
  int pack(Node& n) {
    const Tensor* weight = constant_tensor(n.argument("weight"));
    const Type& type = n.argument("input")->type;
    if (!weight || weight->dtype() != DType::F32 || weight->dim() != 2 || weight->numel() < least_weights ||
        type.kind != TypeKind::Tensor || !type.has_dtype || type.dtype != DType::F32)
      return 0;
    const int64_t outputs = weight->size(0);
    const Arg packing[] = {*weight, Arg(int64_t(32))};
    Value *addend = n.argument("addend"), *activation = n.argument("activation");
    const Graph::Point at{n.owner(), &n};
    const std::vector<Value*> inputs{n.argument("input"),
                                     packed_.get(graph_, n.argument("weight"), "pack_linear", packing, at),
                                     n.argument("bias"),
                                     graph_.constant(Any(outputs), at),
                                     addend ? addend : graph_.constant(Any(), at),
                                     activation ? activation : graph_.constant(Any("none"), at)};
    stand_for(*n.output(), n, *graph_.create_op(get_op("linear_packed"), at, inputs));
    Value* const whole = n.argument("weight");
    n.destroy();
    packed_.drop(whole);
    return 1;
  }

  Graph& graph_;
  PackedWeights packed_;
};
}  // namespace

int pack_weights(Graph& graph) { return Packer(graph).block(*graph.main()); }

}  // namespace moka::passes
