// CRC-32 of zip, 16 bytes a step over tables made at first use (slicing: Kounavis and Berry, 2005).
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/formats/package/zip.h"

namespace moka::package {

namespace {

struct Tables {
  uint32_t at[16][256];
  Tables() {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      at[0][i] = c;
    }
    for (int t = 1; t < 16; t++)
      for (uint32_t i = 0; i < 256; i++) at[t][i] = (at[t - 1][i] >> 8) ^ at[0][at[t - 1][i] & 0xFF];
  }
};

}  // namespace

uint32_t crc32(uint32_t crc, const void* data, size_t size) {
  static const Tables tables;
  const auto& t = tables.at;
  const uint8_t* p = static_cast<const uint8_t*>(data);
  crc = ~crc;
  for (; size >= 16; size -= 16, p += 16) {
    uint32_t w[4];
    std::memcpy(w, p, 16);
    w[0] ^= crc;
    crc = 0;
    for (int i = 0; i < 4; i++)
      crc ^= t[15 - 4 * i][w[i] & 0xFF] ^ t[14 - 4 * i][w[i] >> 8 & 0xFF] ^ t[13 - 4 * i][w[i] >> 16 & 0xFF] ^
             t[12 - 4 * i][w[i] >> 24];
  }
  for (; size > 0; size--, p++) crc = t[0][(crc ^ *p) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

}  // namespace moka::package
