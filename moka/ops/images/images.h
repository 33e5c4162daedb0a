// The images family: pictures in the formats of files become tensors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_IMAGES_OPS(OP) OP(decode_image)
// clang-format on
MOKA_IMAGES_OPS(MOKA_DECLARE_OP)
