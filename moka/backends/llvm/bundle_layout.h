// The bytes of a bundle: a head, and for each region its key and object file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "moka/base/sha256.h"
#include "moka/tensor/tensor.h"

namespace moka::llvm {

inline constexpr char bundle_magic[9] = "MOKACODE";
struct BundleHead {
  char magic[8];
  uint32_t version, count;
  Digest mark;  // of all that follows and the target, under the user's key
};
struct BundleEntry {
  uint32_t key_bytes, spare_rows;
  uint64_t object_bytes;
};
// What a region's code depends on beside the target: its program and what its inputs are.
std::string key_of(std::string_view program, std::span<const Tensor> inputs);
Digest mark_of(std::string_view key, std::string_view target, std::string_view entries);

}  // namespace moka::llvm
