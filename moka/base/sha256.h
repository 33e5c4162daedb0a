// SHA-256 and its keyed form (FIPS 180-4, RFC 2104).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace moka {

using Digest = std::array<uint8_t, 32>;
Digest sha256(std::string_view data);
Digest hmac_sha256(std::string_view key, std::string_view data);
// Takes as long whatever differs.
bool same_digest(const Digest& a, const Digest& b);

}  // namespace moka
