// The bit of forward mode among the layers of moka/tensor/tensor.h. Above them: it lets autocast and vmap act first.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace moka::layer {
inline constexpr uint32_t forward = 32;  // forced while a level of forward mode is visible
}  // namespace moka::layer
