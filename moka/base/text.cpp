// Text of numbers and shapes for messages.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/text.h"

#include <charconv>
#include <cmath>

namespace moka {

namespace {
template <class T>
void append_number(std::string& out, T value) {
  char buffer[40];
  auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, result.ptr);
}
}  // namespace

void append_text(std::string& out, std::string_view value) { out.append(value); }
void append_text(std::string& out, bool value) { out.append(value ? "true" : "false"); }
void append_text(std::string& out, char value) { out.push_back(value); }
void append_text(std::string& out, int64_t value) { append_number(out, value); }
void append_text(std::string& out, uint64_t value) { append_number(out, value); }

void append_text(std::string& out, double value) {
  if (std::isnan(value)) {
    out.append("nan");
  } else if (std::isinf(value)) {
    out.append(value > 0 ? "inf" : "-inf");
  } else {
    size_t start = out.size();
    append_number(out, value);
    // A float always reads as one: "1" would come back as an integer.
    if (out.find_first_of(".e", start) == std::string::npos) out.append(".0");
  }
}

void append_text(std::string& out, std::span<const int64_t> value) {
  out.push_back('[');
  for (size_t i = 0; i < value.size(); i++) {
    if (i) out.append(", ");
    append_number(out, value[i]);
  }
  out.push_back(']');
}

}  // namespace moka
