// Regular expressions in RE2's syntax, matched in time linear in the text.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace moka::ops {

class Regex {
 public:
  explicit Regex(std::string_view pattern);  // ErrorKind::Value names what is wrong and where
  bool full_match(std::string_view text) const;

 private:
  friend class RegexParser;
  enum class Kind : uint8_t { Set, Split, Jump, Start, End, LineStart, LineEnd, Boundary, NoBoundary, Match };
  struct Step {
    Kind kind;
    int a = -1, b = -1;  // Split, Jump: where to go on; Set: its index in sets_
  };
  using Ranges = std::vector<std::pair<uint32_t, uint32_t>>;  // sorted, inclusive
  void add(std::vector<int>& list, std::vector<uint32_t>& seen, uint32_t turn, int step, uint32_t before,
           uint32_t after, bool first, bool last) const;
  std::vector<Step> steps_;
  std::vector<Ranges> sets_;
};

}  // namespace moka::ops
