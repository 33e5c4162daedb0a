// Signatures and fixed sizes of zip records (PKWARE APPNOTE 6.3.10, section 4.3).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace moka::package {

inline constexpr uint32_t local_mark = 0x04034b50, central_mark = 0x02014b50, end_mark = 0x06054b50,
                          end64_mark = 0x06064b50, locator_mark = 0x07064b50;
inline constexpr uint64_t local_size = 30, central_size = 46, end_size = 22, end64_size = 56,
                          locator_size = 20;
inline constexpr uint16_t wide_extra = 0x0001;  // 4.5.3: 64-bit sizes and offset
// Padding in front of the data; the id under which torch pads its archives too, so other readers know to skip
// it.
inline constexpr uint16_t padding_extra = 0x4246;
inline constexpr uint16_t utf8_flag = 1 << 11;

}  // namespace moka::package
