// What a tensor keeps of its tangents.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "moka/tensor/tensor.h"

namespace moka::autograd {

struct ForwardLevel;

struct Tangent {
  explicit Tangent(ForwardLevel* level);
  ~Tangent();
  Tangent(const Tangent&) = delete;

  Tensor value;        // undefined: zeros
  Tensor root;         // of a view: the tensor whose tangent this one is a part of
  uint64_t stamp = 0;  // rises when the value changes; of a view: its root's when the value was taken
  ForwardLevel* home;  // null when the level was closed
  Tangent* before = nullptr;
  Tangent* next = nullptr;
};
struct Tangents {
  std::vector<std::unique_ptr<Tangent>> each;  // one a level
};

// Called before the first level is opened.
void install_forward();

}  // namespace moka::autograd
