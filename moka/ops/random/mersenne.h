// The Mersenne Twister (Matsumoto and Nishimura: Mersenne twister, ACM TOMACS 8, 1998) and draws from it in the order in
// which PyTorch takes them, so that programs written for PyTorch see the numbers that they know.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "moka/base/function_ref.h"
#include "moka/tensor/tensor.h"

namespace moka {

struct Mersenne {
  static constexpr int words_of_state = 624;
  uint64_t seed;
  uint32_t state[words_of_state];
  int left = 1;  // words until the state is made anew
  uint32_t next = 0;  // the word that comes
  std::optional<double> kept;  // the second normal number of a pair

  explicit Mersenne(uint64_t seed);
  uint32_t word();
  uint64_t two_words() {
    uint64_t high = word();
    return high << 32 | word();
  }
  // In [0, 1): 53 random bits, or 24.
  double uniform() { return static_cast<double>(two_words() & ((uint64_t(1) << 53) - 1)) * 0x1p-53; }
  float short_uniform() { return static_cast<float>(word() & ((1u << 24) - 1)) * 0x1p-24f; }
  // Of mean 0 and deviation 1.
  double normal();
};

// Uniform numbers that the 16-bit type `dtype` rounds to their end become `low`, as PyTorch's do.
void keep_below(DType dtype, double to, float low, float* p, int64_t n);
// Fill a contiguous tensor, the elements in the order in which those of `like` lie in memory (which has the same sizes).
// Floating or complex:
void fill_uniform(const Tensor& out, const Tensor& like, Mersenne& m, double from, double to);
void fill_normal(const Tensor& out, const Tensor& like, Mersenne& m, double mean, double deviation);
// Integers in [from, from + range), in any real type, of one word or two each; a range of 0 stands for 2^64.
void fill_integers(const Tensor& out, const Tensor& like, Mersenne& m, int64_t from, uint64_t range,
                   bool wide);
inline bool wide_range(uint64_t range) { return range == 0 || range >= uint64_t(1) << 28; }
// 1 with probability p, which is one number or one for each element.
void fill_bernoulli(const Tensor& out, const Tensor& like, Mersenne& m, double p);
void fill_bernoulli(const Tensor& out, Mersenne& m, const Tensor& p);
// Numbers that `draw` makes.
void fill_with(const Tensor& out, const Tensor& like, FunctionRef<double()> draw);
// Shuffles 0, 1, 2, ...
void fill_permutation(std::span<int64_t> out, Mersenne& m);

}  // namespace moka
