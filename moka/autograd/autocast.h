// Autocast: products in a short type, sensitive operators in float32, while a program switches it on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/tensor/tensor.h"

namespace moka::autograd {

// The mode of this thread. Each operator says in `Op::autocast` what becomes of its operands; in-place calls and calls
// with out= keep the types they were given.
struct AutocastMode {
  bool enabled = false;
  bool keeps_weights = true;  // a leaf that requires grad is converted once, until the outermost scope ends
  DType lower = DType::BF16;
};
AutocastMode autocast_mode();
void set_autocast_mode(AutocastMode mode);
// Scopes nest; the converted weights go with the outermost one.
void open_autocast_scope();
void close_autocast_scope();
void clear_autocast_cache();

}  // namespace moka::autograd
