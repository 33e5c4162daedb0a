// The row of conv2d_blocked for 1 x 1 filters.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "moka/ops/blocked/blocked.h"

namespace moka::ops {

// Why it does not serve a call, nothing where it does.
std::string_view pointwise_declines(const Frame& f);
void run_pointwise(Frame& f);

}  // namespace moka::ops
