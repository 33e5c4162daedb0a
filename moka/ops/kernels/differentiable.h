// An argument that has gradients: floating or complex.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/kernels/arguments.h"

namespace moka {

inline const Tensor& differentiable_argument(const Frame& f, int i) {
  return is_complex(tensor_argument(f, i).dtype()) ? f.tensor(i) : floating_argument(f, i);
}

}  // namespace moka
