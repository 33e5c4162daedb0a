// Element types by the names that programs for PyTorch look for in messages.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "moka/tensor/dtype.h"

namespace moka {

std::string scalar_name(DType d);  // "Float" for float32, "Long" for int64; types without one keep their own

}  // namespace moka
