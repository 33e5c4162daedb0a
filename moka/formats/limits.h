// What a file may cost at most: every reader takes these, with defaults that ordinary models never meet.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace moka {

struct Limits {
  uint64_t max_bytes = uint64_t(1) << 40;         // of one file or block of bytes
  uint64_t max_tensor_bytes = uint64_t(1) << 40;  // of all tensors that a file makes
  uint64_t max_header_bytes = 100'000'000;        // safetensors headers, manifests, numpy headers
  uint64_t max_text_bytes = uint64_t(1) << 30;    // of one graph in the text form
  uint64_t max_entries = 1'000'000;               // archive entries
  uint64_t max_nodes = 10'000'000;                // nodes of one model
  int max_depth = 64;                             // nested values or graphs
};

}  // namespace moka
