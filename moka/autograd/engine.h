// Walking the tape backwards.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "moka/autograd/history.h"

namespace moka::autograd {

// A lock that the caller holds and that hooks may need (Python's): given up for long work and while waiting.
struct HostLock {
  virtual ~HostLock() = default;
  virtual void give_up() = 0;  // once at most
};
struct BackwardOptions {
  bool retain_graph = false;
  bool create_graph = false;
  HostLock* host = nullptr;
  uint64_t since = 0;  // nodes with smaller sequence numbers are not visited: nothing wanted lies behind them
};
// Where a backward starts: an output of a node and the gradient that enters there.
struct Root {
  Edge edge;
  Tensor gradient;
};
// The root for a tensor; an undefined gradient stands for a scalar's 1.
Root root_of(const Tensor& t, Tensor gradient);

// Adds to the .grad of all leaves, or only of `inputs` where any are given.
void backward(std::span<const Root> roots, std::span<const Tensor> inputs, BackwardOptions options);
// Gradients of the roots with respect to outputs of nodes; undefined where none flows.
std::vector<Tensor> gradients(std::span<const Root> roots, std::span<const Edge> inputs,
                              BackwardOptions options);

// Whether this thread runs a backward, and the number that tells it from others.
uint64_t running_task();
// Whether that backward adds to all leaves, not only to chosen inputs.
bool reaches_all_leaves();
// Runs `then` when the backward that this thread runs has come to its end.
void at_end_of_backward(std::function<void()> then);

}  // namespace moka::autograd
