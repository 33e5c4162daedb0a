// CRC-32 of zip: by carry-less multiplication where the processor has it, else 16 bytes a step over tables.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/formats/package/zip.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moka::package {

namespace {

// Slicing by 16 (Kounavis and Berry, 2005); the tables are made at first use.
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

uint32_t by_tables(uint32_t crc, const uint8_t* p, size_t size) {
  static const Tables tables;
  const auto& t = tables.at;
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
  return crc;
}

#if defined(__x86_64__)
// One 16-byte remainder moved over the distance that `constants` stand for, and the next 16 bytes added.
[[gnu::target("pclmul,sse4.1"), gnu::always_inline]] inline __m128i fold(__m128i x, __m128i constants,
                                                                         __m128i next) {
  return _mm_xor_si128(
      _mm_xor_si128(_mm_clmulepi64_si128(x, constants, 0x00), _mm_clmulepi64_si128(x, constants, 0x11)),
      next);
}

// Folding by four (Gopal and others, "Fast CRC computation for generic polynomials using PCLMULQDQ", Intel
// 2009; constants of its table for the reflected polynomial). `size` is a multiple of 16 and at least 64.
[[gnu::target("pclmul,sse4.1")]] uint32_t by_multiplication(uint32_t crc, const uint8_t* p, size_t size) {
  auto load = [](const uint8_t* from) __attribute__((target("pclmul,sse4.1"))) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  };
  const __m128i by_four = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4),
                by_one = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  __m128i x[4] = {_mm_xor_si128(load(p), _mm_cvtsi32_si128(static_cast<int>(crc))), load(p + 16),
                  load(p + 32), load(p + 48)};
  for (p += 64, size -= 64; size >= 64; p += 64, size -= 64)
    for (int i = 0; i < 4; i++) x[i] = fold(x[i], by_four, load(p + 16 * i));
  __m128i rest = x[0];
  for (int i = 1; i < 4; i++) rest = fold(rest, by_one, x[i]);
  for (; size >= 16; p += 16, size -= 16) rest = fold(rest, by_one, load(p));
  // 128 bits to 64, to 32 by Barrett's reduction.
  const __m128i low = _mm_setr_epi32(-1, 0, -1, 0);
  rest = _mm_xor_si128(_mm_srli_si128(rest, 8), _mm_clmulepi64_si128(rest, by_one, 0x10));
  rest = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(rest, low), _mm_set_epi64x(0, 0x0163cd6124), 0x00),
                       _mm_srli_si128(rest, 4));
  const __m128i polynomial = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  __m128i quotient = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(rest, low), polynomial, 0x10), low);
  rest = _mm_xor_si128(rest, _mm_clmulepi64_si128(quotient, polynomial, 0x00));
  return static_cast<uint32_t>(_mm_extract_epi32(rest, 1));
}
#endif

}  // namespace

uint32_t crc32(uint32_t crc, const void* data, size_t size) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  crc = ~crc;
#if defined(__x86_64__)
  static const bool multiplies = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  if (multiplies && size >= 64) {
    const size_t whole = size / 16 * 16;
    crc = by_multiplication(crc, p, whole);
    p += whole;
    size -= whole;
  }
#endif
  return ~by_tables(crc, p, size);
}

}  // namespace moka::package
