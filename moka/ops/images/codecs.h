// Decoders of image files, all to rows of RGB bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace moka::ops {

struct Image {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> rgb;  // height * width * 3; empty where the bytes are no image
};

// By the first bytes. ErrorKind::NotImplemented where the library of the format is not on this system.
Image decode(std::string_view bytes);

}  // namespace moka::ops
