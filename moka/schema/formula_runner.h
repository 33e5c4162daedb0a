// The hook through which dispatch reaches the pointwise loops of moka/ops, a layer above.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "moka/tensor/dtype.h"

namespace moka {

struct Frame;
extern void (*formula_runner)(Frame&);
// An error unless values of type `result` may be written to a tensor of type `target` (no float into an integer).
void check_result_fits(std::string_view op, DType result, DType target);

}  // namespace moka
