// eager_body: composites that branch on sizes or values, which a graph lambda cannot.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/conj.h"
#include "moka/ops/define.h"

namespace moka {

// Graphs keep the operator whole; gradients go through its parts.
constexpr Body eager_body(void (*run)(const Any* in, Any* out)) {
  Body b;
  b.eager = run;
  return b;
}

}  // namespace moka
