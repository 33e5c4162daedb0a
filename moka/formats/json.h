// A strict reader of JSON text from untrusted files, value by value without a tree, and the escaping for
// writing it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moka {

// Usage: begin_object(); while (next_key(key)) value = string(); finish(); Whatever does not fit is an error
// that names `what` and the byte position. Keys may repeat: callers that mind check.
class JsonReader {
 public:
  JsonReader(std::string_view text, std::string_view what, int max_depth = 64)
      : text_(text), what_(what), max_depth_(max_depth) {}

  void begin_object();
  bool next_key(std::string& key);  // false, and past the brace, at the object's end
  void begin_array();
  bool next_item();  // false, and past the bracket, at the array's end
  std::string string();
  int64_t integer();  // no fraction, no exponent; -0 is refused
  double number();
  bool boolean();
  bool null();  // true and past it when null comes next
  char peek();  // first character of the next value
  void skip();  // any value
  void finish();  // only white space may follow
  size_t position() const { return at_; }
  [[noreturn]] void fail_here(std::string_view expected);

 private:
  void skip_space();
  void expect(char c, std::string_view expected);
  void expect_word(std::string_view word);
  uint32_t hex4();
  std::string_view number_text();
  void enter();

  std::string_view text_, what_;
  size_t at_ = 0;
  int depth_ = 0, max_depth_;
  bool first_ = false;  // just behind an opening brace or bracket
};

// Whether the text is well-formed UTF-8 (no surrogates, no overlong forms).
bool is_utf8(std::string_view text);
// Appends text as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace moka
