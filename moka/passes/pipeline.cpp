// The ordered lists of passes. MOKA_LOG=passes prints the graph after every pass that changed something.
// SPDX-License-Identifier: Apache-2.0
#include "moka/passes/constants.h"
#include "moka/passes/passes.h"
#include "moka/schema/log.h"

namespace moka::passes {

using graph::Graph;

namespace {
// What is left for folding in the pipeline that this thread runs; a pass that runs alone has its own.
thread_local int64_t* left = nullptr;
struct Budget {
  int64_t growth;
  explicit Budget(const Graph& g) : growth(growth_limit(g)) { left = &growth; }
  ~Budget() { left = nullptr; }
};
int fold(Graph& g) {
  int64_t own = left ? 0 : growth_limit(g);
  return fold_constants(g, int64_t(64) << 20, left ? *left : own);
}

// What may be done to any graph, also one that will be trained or exported.
constexpr Pass cleaning[] = {
    {"fold_constants", fold},
    {"share_common", share_common},
    {"remove_dead", remove_dead},
};

// For running a model whose weights stay as they are.
constexpr Pass optimizing[] = {
    {"decompose", decompose},
    {"freeze_states", freeze_states},      // weights become constants ...
    {"fold_constants", fold},              // ... so that what depends on them alone is computed now
    {"simplify_control", simplify_control},
    {"fold_constants", fold},  // iterations' numbers and branches
    {"share_common", share_common},
    {"move_permutes", move_permutes},
    {"recognize_layers", recognize_layers},
    {"fold_batch_norm", fold_batch_norm},  // before fusion: a norm stands between conv2d and its activation
    {"remove_dead", remove_dead},  // users that are gone would keep values from being fused
    {"fuse_activation", fuse_activation},
    {"pack_weights", pack_weights},
    {"pack_recurrent", pack_recurrent},
    {"block_channels", block_channels},  // sees convolutions with all that they do
    {"fold_constants", fold},  // filters are packed now
    {"remove_dead", remove_dead},
    {"fuse_pointwise", fuse_pointwise},  // of what convolutions and linear layers have not taken
    {"remove_dead", remove_dead},
};

int run(std::span<const Pass> passes, Graph& graph) {
  int total = 0;
  const Budget budget(graph);
  bool log = log_enabled(Log::Passes);
  if (log) log_line(Log::Passes, cat("graph '", graph.name, "' before:\n", graph::print(graph)));
  for (const Pass& pass : passes) {
    int changed = pass.run(graph);
    total += changed;
    if (log)
      log_line(Log::Passes, cat(pass.name, ": ", changed, " changes",
                                changed ? ":\n" + graph::print(graph) : std::string()));
  }
  graph::verify(graph);
  return total;
}
}  // namespace

std::span<const Pass> cleaning_passes() { return cleaning; }
std::span<const Pass> optimizing_passes() { return optimizing; }
int clean(Graph& graph) { return run(cleaning, graph); }
int optimize(Graph& graph) { return run(optimizing, graph); }

}  // namespace moka::passes
