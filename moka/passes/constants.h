// What passes ask of values that are constants.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/graph/graph.h"

namespace moka::passes {

// The tensor that v is, on the CPU; null for anything else, and for null.
inline const Tensor* constant_tensor(const graph::Value* v) {
  const Any* c = v ? v->constant() : nullptr;
  return c && c->is_tensor() && c->tensor().device().type == 0 ? &c->tensor() : nullptr;
}
inline bool is_none(const graph::Value* v) { return v && v->constant() && v->constant()->is_none(); }

}  // namespace moka::passes
