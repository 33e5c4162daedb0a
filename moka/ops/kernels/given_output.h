// Checks of outputs that come with the call.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka {

// The type that argument i names, which a tensor given for the result must have; `otherwise` where it is None.
DType named_type(const Frame& f, int i, DType otherwise);
// Output i where nothing is converted: a tensor given for it has that very type.
void exact_output(Frame& f, int i, std::span<const int64_t> sizes, DType dtype);
// An error where the first output came with the call and its type is not that of the first argument, which must be a
// tensor: operators that only change values, not their type, convert nothing.
void keep_type(Frame& f);
// An error where the first output came with the call and shares memory with argument i, a tensor or a list of them.
void check_no_overlap(const Frame& f, int i);

}  // namespace moka
