// The blocked family: operators over [batch, blocks, height, width, block], made by the layout pass for inference.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/convolution/geometry.h"
#include "moka/schema/reading.h"

// clang-format off
#define MOKA_BLOCKED_OPS(OP) \
  OP(block_channels) OP(unblock_channels) OP(pack_filters) OP(conv2d_blocked) OP(max_pool2d_blocked)
// clang-format on
MOKA_BLOCKED_OPS(MOKA_DECLARE_OP)

namespace moka {

// How the filters of a blocked convolution lie.
enum class Filters : uint8_t {
  Dense,  // [filter blocks, channel blocks, height, width, channel in block, filter in block]
  Plain,  // [filter blocks, height, width, channels, filter in block]: the picture is not blocked
  Depthwise,  // [blocks, height, width, channel in block]: one filter for each channel
};

struct BlockedConv {
  ConvGeometry g;
  Filters filters = Filters::Dense;
  int64_t block = 16;
};
// Reads and checks the arguments of conv2d_blocked.
BlockedConv blocked_geometry(const Frame& f);

}  // namespace moka
