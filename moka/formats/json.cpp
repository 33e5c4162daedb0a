// The strict JSON reader: RFC 8259 without extensions, checked UTF-8, bounded depth.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/json.h"

#include <charconv>
#include <utility>

#include "moka/base/error.h"

namespace moka {

namespace {

// Length of the well-formed UTF-8 sequence at the start of `s`, 0 when there is none (Unicode 15, table 3-7).
size_t utf8_length(std::string_view s) {
  auto byte = [&](size_t i) -> unsigned { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    if (!tail(1) || !tail(2) || (b == 0xE0 && byte(1) < 0xA0) || (b == 0xED && byte(1) > 0x9F)) return 0;
    return 3;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3) || (b == 0xF0 && byte(1) < 0x90) || (b == 0xF4 && byte(1) > 0x8F))
      return 0;
    return 4;
  }
  return 0;
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 63)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 63)));
    out.push_back(static_cast<char>(0x80 | (c & 63)));
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 63)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 63)));
    out.push_back(static_cast<char>(0x80 | (c & 63)));
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void JsonReader::fail_here(std::string_view expected) {
  std::string came = "the end of the text";
  if (at_ < text_.size()) {
    came.clear();
    append_json_string(came, text_.substr(at_, 12));
  }
  fail_kind(ErrorKind::File, what_, ": ", expected, " was expected at byte ", at_, ", ", came, " came");
}

void JsonReader::skip_space() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
    at_++;
}

char JsonReader::peek() {
  skip_space();
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonReader::expect(char c, std::string_view expected) {
  if (peek() != c || at_ >= text_.size()) fail_here(expected);
  at_++;
}

void JsonReader::enter() {
  if (++depth_ > max_depth_)
    fail_kind(ErrorKind::File, what_, ": more than ", max_depth_, " nested values at byte ", at_);
  first_ = true;
}

void JsonReader::begin_object() {
  expect('{', "'{'");
  enter();
}

bool JsonReader::next_key(std::string& key) {
  const bool first = std::exchange(first_, false);
  if (peek() == '}') {
    at_++;
    depth_--;
    return false;
  }
  if (!first) expect(',', "',' or '}'");
  key = string();
  expect(':', "':'");
  return true;
}

void JsonReader::begin_array() {
  expect('[', "'['");
  enter();
}

bool JsonReader::next_item() {
  const bool first = std::exchange(first_, false);
  if (peek() == ']') {
    at_++;
    depth_--;
    return false;
  }
  if (!first) expect(',', "',' or ']'");
  return true;
}

uint32_t JsonReader::hex4() {
  uint32_t value = 0;
  if (text_.size() - at_ < 4) fail_here("four hexadecimal digits");
  auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, value, 16);
  if (error != std::errc() || end != text_.data() + at_ + 4) fail_here("four hexadecimal digits");
  at_ += 4;
  return value;
}

std::string JsonReader::string() {
  expect('"', "a string");
  std::string out;
  for (;;) {
    if (at_ >= text_.size()) fail_here("the string's closing quote");
    const char c = text_[at_];
    if (c == '"') {
      at_++;
      return out;
    }
    if (static_cast<unsigned char>(c) < 0x20) fail_here("no control character inside a string");
    if (c != '\\') {
      const size_t n = utf8_length(text_.substr(at_));
      if (n == 0) fail_here("UTF-8 text");
      out.append(text_.substr(at_, n));
      at_ += n;
      continue;
    }
    at_++;
    const char escape = at_ < text_.size() ? text_[at_] : '\0';
    constexpr std::string_view plain = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    if (const size_t k = escape ? plain.find(escape) : plain.npos; k != plain.npos) {
      out.push_back(meant[k]);
      at_++;
    } else if (escape == 'u') {
      at_++;
      uint32_t code = hex4();
      if (code >= 0xDC00 && code <= 0xDFFF) fail_here("no lone surrogate");
      if (code >= 0xD800 && code <= 0xDBFF) {
        if (text_.substr(at_, 2) != "\\u") fail_here("the second half of a surrogate pair");
        at_ += 2;
        const uint32_t low = hex4();
        if (low < 0xDC00 || low > 0xDFFF) fail_here("the second half of a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      append_utf8(out, code);
    } else {
      fail_here("an escape that JSON knows");
    }
  }
}

std::string_view JsonReader::number_text() {
  skip_space();
  size_t end = at_;
  auto digit = [&] { return end < text_.size() && is_digit(text_[end]); };
  auto character = [&](char c) { return end < text_.size() && text_[end] == c; };
  if (character('-')) end++;
  if (!digit()) fail_here("a number");
  if (character('0')) end++;
  else
    while (digit()) end++;
  if (digit()) fail_here("a number without leading zeros");
  if (character('.')) {
    end++;
    if (!digit()) fail_here("a number");
    while (digit()) end++;
  }
  if (character('e') || character('E')) {
    end++;
    if (character('+') || character('-')) end++;
    if (!digit()) fail_here("a number");
    while (digit()) end++;
  }
  return text_.substr(at_, end - at_);
}

int64_t JsonReader::integer() {
  const std::string_view text = number_text();
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) fail_here("an integer that 64 bits hold");
  if (error != std::errc() || end != text.data() + text.size() || text == "-0") fail_here("an integer");
  at_ += text.size();
  return value;
}

double JsonReader::number() {
  const std::string_view text = number_text();
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) fail_here("a number that a double holds");
  at_ += text.size();
  return value;
}

void JsonReader::expect_word(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) fail_here("a value");
  at_ += word.size();
}

bool JsonReader::boolean() {
  const bool value = peek() == 't';
  expect_word(value ? "true" : "false");
  return value;
}

bool JsonReader::null() {
  if (peek() != 'n') return false;
  expect_word("null");
  return true;
}

void JsonReader::skip() {
  switch (peek()) {
    case '{': {
      std::string key;
      for (begin_object(); next_key(key);) skip();
      return;
    }
    case '[':
      for (begin_array(); next_item();) skip();
      return;
    case '"': string(); return;
    case 't':
    case 'f': boolean(); return;
    case 'n': null(); return;
    default: number(); return;
  }
}

void JsonReader::finish() {
  skip_space();
  if (at_ != text_.size()) fail_here("the end of the text");
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t n = utf8_length(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text[0]);
    size_t n = utf8_length(text);
    if (n == 0) {
      out.append("\xEF\xBF\xBD");
      n = 1;
    } else if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c < 0x20) {
      constexpr char hex[] = "0123456789abcdef";
      if (c == '\n') out.append("\\n");
      else if (c == '\t') out.append("\\t");
      else if (c == '\r') out.append("\\r");
      else {
        out.append("\\u00");
        out.push_back(hex[c >> 4]);
        out.push_back(hex[c & 15]);
      }
    } else {
      out.append(text.substr(0, n));
    }
    text.remove_prefix(n);
  }
  out.push_back('"');
}

}  // namespace moka
