// Builds message text from parts: cat("want ", 3, ", got ", shape) without streams or locales.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace moka {

void append_text(std::string& out, std::string_view value);
void append_text(std::string& out, bool value);
void append_text(std::string& out, char value);
void append_text(std::string& out, int64_t value);
void append_text(std::string& out, uint64_t value);
void append_text(std::string& out, double value);  // shortest text that reads back to the same value
void append_text(std::string& out, std::span<const int64_t> value);  // "[2, 3]"

template <class T>
void append_part(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, char>) {
    append_text(out, value);
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    append_text(out, static_cast<int64_t>(value));
  } else if constexpr (std::is_integral_v<T>) {
    append_text(out, static_cast<uint64_t>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    append_text(out, static_cast<double>(value));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    append_text(out, std::string_view(value));
  } else if constexpr (std::is_convertible_v<const T&, std::span<const int64_t>>) {
    append_text(out, std::span<const int64_t>(value));
  } else {
    append_text(out, value);
  }
}

template <class... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (append_part(out, parts), ...);
  return out;
}

}  // namespace moka
