// What passes ask of values that are constants.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/graph/graph.h"
#include "moka/tensor/allocator.h"

namespace moka::passes {

// The tensor that v is, on the CPU; null for anything else, and for null.
inline const Tensor* constant_tensor(const graph::Value* v) {
  const Any* c = v ? v->constant() : nullptr;
  return c && c->is_tensor() && c->tensor().device().type == 0 ? &c->tensor() : nullptr;
}
inline bool is_none(const graph::Value* v) { return v && v->constant() && v->constant()->is_none(); }

// What was freed waits for reuse up to so many bytes: weights rarely have the sizes of those before them.
inline constexpr uint64_t most_freed = uint64_t(32) << 20;

// A constant that nothing reads any more goes at once: until remove_dead comes, memory would hold all weights twice. What
// other graphs keep of a file is read from there again if they want it.
inline void drop_unread(graph::Value* v) {
  if (!v || !v->constant() || !v->uses().empty()) return;
  if (const Tensor* t = constant_tensor(v); t && t->has_storage())
    if (const Storage* s = t->impl()->storage; s->of_file) leave_file_pages(s->data, s->bytes);
  v->producer()->destroy();
  if (cpu_allocator().stats().bytes_cached > most_freed) cpu_allocator().release_cache();
}

// How many bytes folding may add to a graph, and folding within them: a small file may ask for much by repeating itself.
int64_t growth_limit(const graph::Graph& graph);
int fold_constants(graph::Graph& graph, int64_t byte_limit, int64_t& growth);

}  // namespace moka::passes
