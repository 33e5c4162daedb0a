// The true places of a mask, counted once and then visited in order by all threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moka/tensor/tensor.h"

namespace moka {

class MaskPlaces {
 public:
  // `mask` is contiguous, of bytes; what is not 0 is true.
  explicit MaskPlaces(Tensor mask);
  int64_t count() const { return before_.back(); }
  // The index of the k-th true place in dimension d goes to to[d][k * step].
  void write_indices(int64_t* const* to, int64_t step) const;
  // Copies the runs of `run` bytes that belong to the true places.
  void compress(const char* from, int64_t run, char* to) const;

 private:
  static constexpr int64_t chunk = 16384;
  template <class F>
  void each_chunk(F f) const;  // f(first place, end, number of true places before)
  Tensor mask_;
  std::vector<int64_t> before_;  // true places before each chunk, and all
};

}  // namespace moka
