// What a batching rule sees: one call of an operator in which some tensors stand for a whole batch of tensors (vmap).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>

#include "moka/schema/reading.h"

namespace moka {

// A batched tensor is held with the batch as its first dimension; the call's own arguments ("logical" ones) do not show
// it. A rule makes `outs` of the same kind: physical, the batch first.
class BatchCall {
 public:
  BatchCall(Frame& logical, int64_t size)
      : logical(logical), op(logical.op), count(logical.count), size(size) {
    for (int i = 0; i < count; i++) args[i] = logical.args[i];
  }

  Frame& logical;  // the call as the program made it
  const Op& op;
  int count;
  int64_t size;  // of the batch
  Arg args[max_args];  // tensors that are batched are physical here
  uint64_t batched = 0;  // bit i: argument i is batched; in a list all elements are then
  Outputs outs;
  bool outs_are_logical = false;  // a rule written with other operators on the logical arguments

  bool is_batched(int i) const { return batched >> i & 1; }
  bool only_first_is_batched() const { return batched == 1; }
  const Tensor& tensor(int i) const { return args[i].as_tensor(); }
  // Dimensions that the program sees.
  int rank(int i) const {
    const Tensor& t = args[i].tag == Tag::Tensors ? args[i].as_tensors()[0] : tensor(i);
    return t.dim() - (is_batched(i) ? 1 : 0);
  }
  void set(int i, Tensor t) {
    tensors_.push_back(std::move(t));
    args[i] = Arg(tensors_.back());
  }
  void set(int i, Dims dims) {
    dims_.push_back(std::move(dims));
    args[i] = Arg(dims_.back());
  }
  void set(int i, std::vector<Tensor> list) {
    lists_.push_back(std::move(list));
    args[i] = Arg(std::span<const Tensor>(lists_.back()));
  }
  // Calls the operator itself with the arguments as they are now.
  void call() {
    Frame frame(op, args, count);
    moka::call(frame);
    outs = std::move(frame.outs);
  }

 private:
  std::deque<Tensor> tensors_;
  std::deque<Dims> dims_;
  std::deque<std::vector<Tensor>> lists_;
};

}  // namespace moka
