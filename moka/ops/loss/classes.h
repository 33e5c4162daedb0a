// Losses over classes: the shapes and checked targets that nll_loss and cross_entropy share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/kernels/arguments.h"

namespace moka {

// input [batch, classes, inner...] or [classes].
struct ClassShape {
  int64_t batch = 1, classes = 0, inner = 1;
  Dims target;  // the input's shape without its class dimension
  int64_t items() const { return batch * inner; }
};
ClassShape class_shape(const Frame& f, std::span<const int64_t> input);

// A target of class indices has one for each item.
void check_target_shape(const Frame& f, int target, std::span<const int64_t> input, const ClassShape& s);

// A weight has one element for each class.
void check_class_weight(const Frame& f, int weight, const ClassShape& s);

// Class indices as contiguous int64. An index that is neither ignored nor a class is an error that names its place.
Tensor checked_targets(const Frame& f, int target, const ClassShape& s, int64_t ignore_index);

// Where item i's class c lies in the input.
inline int64_t class_place(const ClassShape& s, int64_t i, int64_t c) {
  return (i / s.inner * s.classes + c) * s.inner + i % s.inner;
}

}  // namespace moka
