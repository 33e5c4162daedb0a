// What nodes keep of tensors for backward, and hooks that replace it: on disk, recomputed, compressed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/autograd/node.h"
#include "moka/schema/value.h"

namespace moka::autograd {

// What a pack hook made of a saved tensor.
struct PackedTensor : Object {
  const char* type_name() const override { return "packed tensor"; }
  virtual Tensor unpack() = 0;
  Tensor shape;  // shape and dtype of what was packed
  Edge edge;     // where its gradient goes
};

struct SavedTensorHooks {
  virtual ~SavedTensorHooks() = default;
  virtual Ref<PackedTensor> pack(const Tensor& t) = 0;  // t lies outside the tape
};

// The innermost hooks of this thread; null: tensors are kept as they are. Scopes set and restore it.
SavedTensorHooks* saved_tensor_hooks();
SavedTensorHooks* set_saved_tensor_hooks(SavedTensorHooks* hooks);  // returns those before

// The values of a tensor that a call is about to overwrite, with the same gradient.
Tensor copy_with_history(const Tensor& t);

enum class SavedAs {
  Argument,
  Target,  // an argument that the call writes in place: its present values
  Result,
};
// A tensor for a node to keep: itself, another handle of it where keeping it would close a circle, or a PackedTensor.
// Errors name the operation `op`.
Any save_tensor(const Tensor& t, SavedAs as, std::string_view op);
// What save_tensor kept. With a history where that is wanted, except for a Result: its node gives it one.
Tensor unpack_tensor(const Any& saved, bool with_history);

}  // namespace moka::autograd
