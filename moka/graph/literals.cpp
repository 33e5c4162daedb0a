// Literals of the text form: numbers, lists, tensors.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/reader_internal.h"

#include <charconv>
#include <cmath>
#include <cstring>

namespace moka::graph {

namespace {
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
}  // namespace

double Reader::float_value() {
  if (is_word("inf") || (token_ == Token::Float && word_ == "-inf")) {
    double v = word_[0] == '-' ? -__builtin_inf() : __builtin_inf();
    next();
    return v;
  }
  if (accept_word("nan")) {
    uint64_t bits = 0x7ff8000000000000u;
    if (is_mark('(')) {  // nan(0x7ff8000000000001): the bits
      size_t from = at_;
      size_t close = text_.find(')', from);
      if (close == std::string_view::npos) error_at(start_, "nan( has no closing parenthesis");
      std::string_view digits = text_.substr(from, close - from);
      if (digits.substr(0, 2) != "0x") error_at(start_, "expected nan(0x...)");
      digits.remove_prefix(2);
      auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16);
      if (bad != std::errc() || end != digits.data() + digits.size())
        error_at(start_, "expected nan(0x...) with 16 hexadecimal digits");
      at_ = close + 1;
      next();
    }
    double v;
    std::memcpy(&v, &bits, sizeof v);
    if (!std::isnan(v)) error_at(start_, "these bits are not a NaN");
    return v;
  }
  if (token_ != Token::Float && token_ != Token::Integer) wrong("a number");
  double v = 0;
  auto [end, bad] = std::from_chars(word_.data(), word_.data() + word_.size(), v);
  if (bad != std::errc() || end != word_.data() + word_.size())
    error_at(start_, cat(word_, " is not a float of 64 bits"));
  next();
  return v;
}

bool Reader::at_literal() const {
  switch (token_) {
    case Token::Integer:
    case Token::Float:
    case Token::String: return true;
    case Token::Mark: return word_[0] == '[';
    case Token::Word: {
      DType d;
      for (std::string_view w :
           {"none", "true", "false", "inf", "nan", "device", "object", "ints", "floats", "tensors", "list"})
        if (word_ == w) return true;
      return known_dtype(d);
    }
    default: return false;
  }
}

Any Reader::literal() {
  Deeper deeper(*this);
  DType dtype;
  size_t at = start_;
  if (token_ == Token::Integer) return Any(expect_integer("an integer"));
  if (token_ == Token::Float || is_word("inf") || is_word("nan")) return Any(float_value());
  if (token_ == Token::String) return Any(expect_string("a string"));
  if (accept_word("none")) return {};
  if (accept_word("true")) return Any(true);
  if (accept_word("false")) return Any(false);
  if (is_mark('[')) return bracket_list();
  if (accept_word("list")) return items_list();
  if (accept_word("tensors")) return tensor_list();
  if (is_word("ints") || is_word("floats")) {
    bool ints = is_word("ints");
    next();
    expect_mark('[', "of an empty list");
    expect_mark(']', "of an empty list; a list with elements is written [1, 2]");
    return ints ? Any(std::span<const int64_t>()) : Any(std::span<const double>());
  }
  if (accept_word("device")) {
    try {
      return Any(parse_device(expect_string("a device, quoted")));
    } catch (const Error& e) {
      error_at(at, e.message());
    }
  }
  if (accept_word("object"))
    error_at(at, cat("an object of class '", expect_string("a class"),
                     "' cannot be read from text; make it a state that the program fills"));
  if (known_dtype(dtype)) {
    next();
    if (is_mark('[')) return Any(tensor_literal(dtype));
    return Any(dtype);
  }
  wrong("a literal");
}

Any Reader::bracket_list() {
  size_t at = start_;
  next();
  Dims ints;
  std::vector<double> floats;
  while (!is_mark(']')) {
    if (token_ == Token::Integer && floats.empty()) ints.push_back(expect_integer("an integer"));
    else if (ints.empty()) floats.push_back(float_value());
    else error_at(start_, "a list in brackets holds integers or floats, not both; list[...] holds anything");
    if (!accept_mark(',')) break;
  }
  expect_mark(']', "after a list");
  if (ints.empty() && floats.empty())
    error_at(at, "an empty list is written ints[], floats[], tensors[] or list[]");
  return floats.empty() ? Any(ints) : Any(std::span<const double>(floats));
}

Any Reader::items_list() {
  expect_mark('[', "of a list");
  std::vector<Any> items;
  while (!is_mark(']')) {
    items.push_back(literal());
    if (!accept_mark(',')) break;
  }
  expect_mark(']', "after a list");
  return Any(std::span<const Any>(items));
}

Any Reader::tensor_list() {
  expect_mark('[', "of a list of tensors");
  std::vector<Tensor> items;
  while (!is_mark(']')) {
    DType dtype;
    if (accept_word("none")) {
      items.push_back({});
    } else {
      if (!known_dtype(dtype)) wrong("a tensor or none");
      next();
      items.push_back(tensor_literal(dtype));
    }
    if (!accept_mark(',')) break;
  }
  expect_mark(']', "after a list of tensors");
  return Any(std::span<const Tensor>(items));
}

Tensor Reader::tensor_literal(DType dtype) {
  size_t at = start_;
  Dims sizes;
  expect_mark('[', "of a tensor's sizes");
  while (!is_mark(']')) {
    if (sizes.size() == static_cast<size_t>(max_dims))
      error_at(start_, cat("a tensor has at most ", max_dims, " dimensions"));
    sizes.push_back(expect_integer("a size"));
    if (sizes.back() < 0) error_at(at, "a size must not be negative");
    if (!accept_mark(',')) break;
  }
  expect_mark(']', "after a tensor's sizes");
  if (accept_mark('@')) {
    std::string name = expect_string("the name of a tensor, quoted");
    if (!table_)
      error_at(at, cat("the values of tensor '", name,
                       "' are not in the text; give the table of tensors to read it with"));
    auto found = table_->tensors.find(name);
    if (found == table_->tensors.end()) error_at(at, cat("there is no tensor '", name, "' in the table"));
    const Tensor& t = found->second;
    if (t.dtype() != dtype || Dims(t.sizes()) != sizes)
      error_at(at, cat("tensor '", name, "' is ", dtype, std::span<const int64_t>(sizes), " in the text but ",
                       t.dtype(), t.sizes(), " in the table"));
    return t;
  }
  if (accept_mark('{')) return tensor_elements(dtype, sizes, at);
  if (is_word("x")) {
    next();
    return tensor_bytes(dtype, sizes, at);
  }
  wrong("'{', 'x\"...\"' or '@\"name\"' after the sizes of a tensor");
}

Tensor Reader::tensor_elements(DType dtype, const Dims& sizes, size_t at) {
  bool real = is_floating(dtype);
  if (!real && !is_integral(dtype) && dtype != DType::Bool)
    error_at(at, cat("elements of type ", dtype, " are written as bytes: x\"...\""));
  std::vector<double> reals;
  std::vector<int64_t> whole;
  while (!is_mark('}')) {
    if (real) reals.push_back(float_value());
    else if (is_word("true") || is_word("false")) {
      whole.push_back(is_word("true"));
      next();
    } else {
      whole.push_back(expect_integer("an integer"));
    }
    if (!accept_mark(',')) break;
  }
  expect_mark('}', "after the elements of a tensor");
  size_t count = real ? reals.size() : whole.size();
  // Counted before anything is allocated by what the sizes claim.
  int64_t expected;
  try {
    expected = checked_numel(sizes, "tensor");
  } catch (const Error& e) {
    error_at(at, e.message());
  }
  if (static_cast<int64_t>(count) != expected)
    error_at(at, cat("a tensor of shape ", std::span<const int64_t>(sizes), " has ", expected,
                     " elements, but ", count, " are written"));
  Tensor t = new_tensor(sizes, dtype);
  if (real) convert_elements(reals.data(), DType::F64, t.raw_data(), dtype, expected);
  else convert_elements(whole.data(), DType::I64, t.raw_data(), dtype, expected);
  return t;
}

Tensor Reader::tensor_bytes(DType dtype, const Dims& sizes, size_t at) {
  std::string digits = expect_string("bytes in hexadecimal, quoted");
  int64_t expected;
  try {
    expected = checked_mul(checked_numel(sizes, "tensor"), static_cast<int64_t>(item_size(dtype)), "tensor");
  } catch (const Error& e) {
    error_at(at, e.message());
  }
  if (digits.size() % 2 || static_cast<int64_t>(digits.size() / 2) != expected)
    error_at(at, cat("a tensor ", dtype, std::span<const int64_t>(sizes), " has ", expected, " bytes, but ",
                     digits.size(), " digits are written"));
  Tensor t = new_tensor(sizes, dtype);
  unsigned char* p = t.data<unsigned char>();
  for (size_t i = 0; i < digits.size(); i += 2) {
    int high = hex_digit(digits[i]), low = hex_digit(digits[i + 1]);
    if (high < 0 || low < 0) error_at(at, "bytes are written with hexadecimal digits");
    p[i / 2] = static_cast<unsigned char>(high * 16 + low);
  }
  return t;
}

}  // namespace moka::graph
