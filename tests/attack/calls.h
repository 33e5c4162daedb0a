// Random and extreme calls of operators: samples of the table with parts made strange, or arguments of no sample at all.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "moka/schema/frame.h"
#include "moka/schema/op.h"

namespace moka::attack {

// One call, with the memory that its arguments borrow. The same number makes the same call.
class RandomCall {
 public:
  explicit RandomCall(uint64_t number);
  RandomCall(const RandomCall&) = delete;

  const Op& op() const { return *op_; }
  // The call as a person reads it: operator and arguments with types, shapes and strides.
  std::string text() const;
  // Runs it; one in three with a tape and a backward, one in six into its first argument. Errors of Moka come out.
  void run();

 private:
  int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  bool one_in(int n) { return below(n) == 0; }
  int64_t integer();
  double real();
  Tensor tensor(const SampleTensor* like);
  Tensor filled(const Dims& sizes, DType dtype, Domain domain, int limit);
  Tensor strange_view(const Tensor& t);
  Arg argument(const ArgDef& def, const Arg& usual, bool strange);
  Arg ints(std::vector<int64_t> values);
  void from_sample(const Sample& sample, std::vector<Arg>& args);

  std::mt19937_64 random_;
  const Op* op_;
  DType dtype_;
  std::vector<Arg> args_;
  std::deque<std::vector<Tensor>> lists_;
  std::deque<Tensor> tensors_;
  std::deque<std::vector<int64_t>> ints_;
  std::deque<std::vector<double>> floats_;
};

}  // namespace moka::attack
