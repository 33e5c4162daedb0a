// Tables of weighted sums along one axis, and how they are applied to all axes of a tensor and transposed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "moka/base/small_vector.h"
#include "moka/tensor/tensor.h"

namespace moka {

// Output o of one axis is the sum of weight[k] * input[index[k]] for k of [begin[o], begin[o + 1]).
struct Taps {
  int64_t in = 0;
  std::vector<int64_t> begin{0};
  std::vector<int64_t> index;
  std::vector<double> weight;
  int64_t out() const { return static_cast<int64_t>(begin.size()) - 1; }
  void add(int64_t i, double w) {
    index.push_back(i);
    weight.push_back(w);
  }
  void finish_output() { begin.push_back(static_cast<int64_t>(index.size())); }
};

// y = the tables applied to the last axes of x, one after the other; both contiguous, T is float, double or int64_t.
template <class T>
void apply_taps(std::span<const Taps> axes, int64_t outer, const T* x, T* y);
// dx = the transposed tables applied to dy.
template <class T>
void apply_taps_transposed(std::span<const Taps> axes, int64_t outer, const T* dy, T* dx);

}  // namespace moka
