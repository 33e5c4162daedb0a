// The graph rewrites. Each does one thing, changes the graph in place and returns how many places it changed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "moka/graph/graph.h"

namespace moka::passes {

// ---- the pipelines (pipeline.cpp is the list)
// What may be done to any graph, also one that will be trained or exported.
int clean(graph::Graph& graph);
// For running a model whose weights stay as they are; results may differ in the last bits.
int optimize(graph::Graph& graph);
// Their steps in order, for whoever looks at every stage.
struct Pass {
  const char* name;
  int (*run)(graph::Graph&);
};
std::span<const Pass> cleaning_passes();
std::span<const Pass> optimizing_passes();

// ---- programs
// Replaces calls of other graphs of the program by their nodes; recursion is an error.
std::unique_ptr<graph::Graph> inline_calls(const graph::Program& program, const std::string& name);

// ---- any graph
// Composite operators become their parts, until only operators with kernels, formulas or views are left.
int decompose(graph::Graph& graph);
// Computes pure nodes whose inputs are all known, and branches on known conditions.
int fold_constants(graph::Graph& graph, int64_t byte_limit = int64_t(64) << 20);
// Pure nodes that compute the same become one.
int share_common(graph::Graph& graph);
// Nodes, results, carried values and states that nothing reads go away.
int remove_dead(graph::Graph& graph);
// Fixes named or unknown input sizes and infers all types anew.
int specialize_shapes(graph::Graph& graph, const std::map<std::string, graph::Type>& inputs);
// Branches and loops that need not be: known conditions inside branches, values carried unchanged, loops of few known
// iterations, which are written out.
int simplify_control(graph::Graph& graph);
// Written states become inputs and outputs "state.<name>"; `left` gets the nodes whose effects stay.
int functionalize(graph::Graph& graph, std::string* left = nullptr);

// ---- inference graphs
// Reads of states that nothing writes become constants.
int freeze_states(graph::Graph& graph);
// What stands between permutations that undo each other works in the order before them; the permutations go.
int move_permutes(graph::Graph& graph);
// conv2d or linear followed by batch_norm with running statistics becomes one conv2d or linear.
int fold_batch_norm(graph::Graph& graph);
// Linear layers and activations that are spelled out in parts become one operator each.
int recognize_layers(graph::Graph& graph);
// conv2d or linear [+ another tensor] [activation] becomes one operator.
int fuse_activation(graph::Graph& graph);
// Pointwise operators that hand tensors to each other become one fused_region (moka/ops/fused).
int fuse_pointwise(graph::Graph& graph);
// Weights of linear layers are packed into panels; they must be constants.
int pack_weights(graph::Graph& graph);
// Weights of recurrent layers' states are packed; they must be constants.
int pack_recurrent(graph::Graph& graph);
// Chains of convolutions work on channels in blocks (moka/ops/blocked), where a back end has a kernel for that; weights
// must be constants. Returns the number of convolutions.
int block_channels(graph::Graph& graph);
int block_channels(graph::Graph& graph, int64_t block);  // for whoever serves it; 0: channels last

}  // namespace moka::passes
