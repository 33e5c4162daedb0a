// The blocked family: operators over [batch, blocks, height, width, block], made by the layout pass for inference.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/convolution/geometry.h"
#include "moka/schema/reading.h"

// clang-format off
#define MOKA_BLOCKED_OPS(OP) \
  OP(block_channels) OP(unblock_channels) OP(pack_filters) OP(conv2d_blocked) OP(max_pool2d_blocked) \
  OP(pack_winograd) OP(conv2d_winograd)
// clang-format on
MOKA_BLOCKED_OPS(MOKA_DECLARE_OP)

namespace moka {

// The family works in float32: raises for arguments that are there and of other types.
void check_floats(const Frame& f, std::initializer_list<int> arguments);

// How the filters of a blocked convolution lie.
enum class Filters : uint8_t {
  Dense,  // [filter blocks, channel blocks, height, width, channel in block, filter in block]
  Plain,  // [filter blocks, height, width, channels, filter in block]: the picture is not blocked
  Depthwise,  // [blocks, height, width, channel in block]: one filter for each channel
  Last,  // as Plain, over a picture whose channels are one block
  LastDepthwise,  // [height, width, channels and what fills their last block], over such a picture
};

struct BlockedConv {
  ConvGeometry g;
  Filters filters = Filters::Dense;
  int64_t block = 16;  // of filters; for LastDepthwise the channels that fill all blocks
  bool last() const { return filters == Filters::Last || filters == Filters::LastDepthwise; }
};
// Reads and checks the arguments of conv2d_blocked.
BlockedConv blocked_geometry(const Frame& f);

// Convolutions over pictures whose channels are one block, [batch, 1, height, width, channels]: the block of filters that
// the back end wants for these arguments of conv2d_blocked, 0 where nobody has a fast kernel. Null without a back end.
using FilterBlock = int64_t (*)(const Frame& f);
FilterBlock filter_block();
void set_filter_block(FilterBlock by);

// Outputs a side of the tiles with which conv2d_winograd takes least time over so many pictures of outputs; 0 where other
// convolutions are expected to take less.
int64_t winograd_tile(int64_t channels, int64_t filters, int64_t pictures, int64_t height, int64_t width);

}  // namespace moka
