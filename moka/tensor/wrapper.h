// Tensors that stand for something else, such as an object of Python: operators on them are left to it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/tensor/tensor.h"

namespace moka {

namespace layer {
inline constexpr uint32_t wrapper = 64;  // below all others, autograd too
}

inline bool is_wrapper(const Tensor& t) { return t && t.impl()->layers & layer::wrapper; }

}  // namespace moka
