// The resampling family: images in other sizes, at other places, with borders, with channels and pixels exchanged.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_RESAMPLE_OPS(OP) \
  OP(resample) OP(resample_backward) OP(pad_border) OP(pad_border_backward) OP(grid_sample) \
  OP(grid_sample_backward) OP(affine_grid) OP(affine_grid_backward) OP(pixel_shuffle) OP(pixel_unshuffle) \
  OP(channel_shuffle) OP(channel_unshuffle) OP(roi_align) OP(roi_align_backward)
// clang-format on
MOKA_RESAMPLE_OPS(MOKA_DECLARE_OP)
