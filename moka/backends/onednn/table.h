// What libmoka_onednn.so offers to the library that opens it: one kernel row for each operator it serves.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace moka {
struct Frame;
}

namespace moka::onednn {

struct Row {
  std::string_view op;
  std::string_view (*declines)(const Frame&);  // why not, or empty
  void (*run)(Frame&);
};

inline constexpr int table_version = 2;
struct Table {
  int version = table_version;  // both libraries are built together; another version is not used
  const Row* rows = nullptr;
  size_t count = 0;
  int64_t (*filter_block)(const Frame&) = nullptr;  // see moka/ops/blocked/blocked.h
};

}  // namespace moka::onednn

// The one symbol of libmoka_onednn.so.
extern "C" const moka::onednn::Table* moka_onednn_table();
