// Words, literals and types of the text form.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/reader_internal.h"

#include <charconv>
#include <cmath>
#include <cstring>

namespace moka::graph {

namespace {
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
}  // namespace

Reader::Reader(std::string_view text, const TensorTable* table, const ParseLimits& limits)
    : text_(text), table_(table), limits_(limits) {
  if (text.size() > limits.bytes)
    fail_kind(ErrorKind::File, "moka-ir: the text has ", text.size(), " bytes, more than the limit of ", limits.bytes);
  next();
}

Reader::Deeper::Deeper(Reader& r) : reader_(r) {
  if (++r.depth_ > r.limits_.depth) {
    r.depth_--;
    r.error_at(r.start_, cat("nesting is deeper than the limit of ", r.limits_.depth));
  }
}

std::string Reader::place(size_t offset) const {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < offset && i < text_.size(); i++) {
    column++;
    if (text_[i] == '\n') {
      line++;
      column = 1;
    }
  }
  return cat("line ", line, ", column ", column);
}

void Reader::error_at(size_t offset, std::string_view message, ErrorKind kind) {
  raise(kind, cat("moka-ir: ", place(offset), ": ", message));
}

void Reader::wrong(std::string_view wanted) {
  std::string found;
  switch (token_) {
    case Token::End: found = "the end of the text"; break;
    case Token::Name: found = cat("'%", word_.substr(0, 60), "'"); break;
    case Token::String: append_quoted(found, std::string_view(word_).substr(0, 60)); break;
    default: found = cat("'", word_.substr(0, 60), "'");
  }
  error_at(start_, cat("expected ", wanted, ", found ", found));
}

// ---- words

void Reader::skip_space() {
  while (at_ < text_.size()) {
    char c = text_[at_];
    if (c == '#') {
      while (at_ < text_.size() && text_[at_] != '\n') at_++;
    } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      at_++;
    } else {
      return;
    }
  }
}

void Reader::next() {
  skip_space();
  start_ = at_;
  word_.clear();
  quoted_ = false;
  if (at_ == text_.size()) {
    token_ = Token::End;
    return;
  }
  char c = text_[at_];
  auto take_word = [&] {
    size_t from = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]) || text_[at_] == '.')) at_++;
    word_ = text_.substr(from, at_ - from);
  };
  if (is_letter(c)) {
    token_ = Token::Word;
    take_word();
  } else if (c == '%') {
    token_ = Token::Name;
    at_++;
    if (at_ < text_.size() && text_[at_] == '"') {
      quoted_ = true;
      read_string();
    } else {
      take_word();
    }
    if (word_.empty()) error_at(start_, "expected the name of a value after '%'");
  } else if (c == '"') {
    token_ = Token::String;
    read_string();
  } else if (is_digit(c) || c == '-') {
    read_number();
  } else {
    token_ = Token::Mark;
    word_ = c;
    at_++;
  }
}

void Reader::read_string() {
  size_t open = at_++;
  for (;;) {
    if (at_ >= text_.size()) error_at(open, "this string does not end");
    char c = text_[at_++];
    if (c == '"') return;
    if (c != '\\') {
      word_ += c;
      continue;
    }
    char e = at_ < text_.size() ? text_[at_++] : '\0';
    if (e == 'n') word_ += '\n';
    else if (e == 't') word_ += '\t';
    else if (e == '"' || e == '\\') word_ += e;
    else if (e == 'x' && at_ + 2 <= text_.size() && hex_digit(text_[at_]) >= 0 && hex_digit(text_[at_ + 1]) >= 0) {
      word_ += static_cast<char>(hex_digit(text_[at_]) * 16 + hex_digit(text_[at_ + 1]));
      at_ += 2;
    } else {
      error_at(at_ - 1, "unknown escape in a string; known: \\n \\t \\\" \\\\ \\x00");
    }
  }
}

void Reader::read_number() {
  size_t from = at_;
  if (text_[at_] == '-') at_++;
  bool real = false;
  if (text_.substr(at_, 3) == "inf") {
    real = true;
    at_ += 3;
  } else {
    while (at_ < text_.size()) {
      char c = text_[at_];
      bool sign_of_exponent = (c == '-' || c == '+') && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E');
      if (!is_digit(c) && c != '.' && c != 'e' && c != 'E' && !sign_of_exponent) break;
      real |= !is_digit(c);
      at_++;
    }
  }
  word_ = text_.substr(from, at_ - from);
  token_ = real ? Token::Float : Token::Integer;
}

bool Reader::followed_by(char c) {
  skip_space();
  return at_ < text_.size() && text_[at_] == c;
}
bool Reader::accept_mark(char c) {
  if (!is_mark(c)) return false;
  next();
  return true;
}
bool Reader::accept_word(std::string_view w) {
  if (!is_word(w)) return false;
  next();
  return true;
}
void Reader::expect_mark(char c, const char* where) {
  if (!accept_mark(c)) wrong(cat("'", c, "' ", where));
}
void Reader::expect_word(std::string_view w) {
  if (!accept_word(w)) wrong(cat("'", w, "'"));
}
std::string Reader::expect_string(const char* what) {
  if (token_ != Token::String) wrong(what);
  std::string s = std::move(word_);
  next();
  return s;
}
std::string Reader::expect_identifier(const char* what) {
  if (token_ != Token::String && (token_ != Token::Word || is_keyword(word_))) wrong(what);
  std::string s = std::move(word_);
  next();
  return s;
}
int64_t Reader::expect_integer(const char* what) {
  if (token_ != Token::Integer) wrong(what);
  int64_t v = 0;
  auto [end, bad] = std::from_chars(word_.data(), word_.data() + word_.size(), v);
  if (bad != std::errc() || end != word_.data() + word_.size()) error_at(start_, cat(word_, " is not an integer of 64 bits"));
  next();
  return v;
}

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
      if (bad != std::errc() || end != digits.data() + digits.size()) error_at(start_, "expected nan(0x...) with 16 hexadecimal digits");
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
  if (bad != std::errc() || end != word_.data() + word_.size()) error_at(start_, cat(word_, " is not a float of 64 bits"));
  next();
  return v;
}

bool Reader::known_dtype(DType& out) const {
  // Only the one name of a dtype: "float" and "int" are types of numbers here.
  return token_ == Token::Word && find_dtype(word_, out) && info(out).name == word_;
}

// ---- types

Type Reader::type() {
  Type t = one_type();
  int marks = 0;
  while (is_mark('?')) {
    if (++marks > limits_.depth) error_at(start_, "too many '?'");
    next();
    Type optional(TypeKind::Optional);
    optional.elements.push_back(std::move(t));
    t = std::move(optional);
  }
  return t;
}

Type Reader::one_type() {
  Deeper deeper(*this);
  if (accept_mark('[')) {
    Type t = Type::list(type());
    expect_mark(']', "after the type of a list's elements");
    return t;
  }
  if (accept_mark('(')) {
    Type t(TypeKind::Tuple);
    while (!is_mark(')')) {
      t.elements.push_back(type());
      if (!accept_mark(',')) break;
    }
    expect_mark(')', "after the types of a tuple");
    return t;
  }
  if (accept_mark('{')) {
    Type t(TypeKind::Dict);
    t.elements.push_back(type());
    expect_mark(':', "between the key and value types of a dict");
    t.elements.push_back(type());
    expect_mark('}', "after the types of a dict");
    return t;
  }
  if (token_ != Token::Word) wrong("a type");
  if (accept_word("object")) {
    Type t(TypeKind::Object);
    t.class_name = expect_string("the name of a class, quoted");
    return t;
  }
  size_t at = start_;
  std::string name = word_;
  DType dtype = DType::F32;
  bool is_dtype = known_dtype(dtype);
  next();
  if (name == "tensor") return tensor_type(false, dtype);
  // "bool" is a number's type, "bool[2]" a tensor's.
  if (is_dtype && is_mark('[')) return tensor_type(true, dtype);
  TypeKind kind;
  if (find_type_kind(name, kind)) return kind;
  if (is_dtype) error_at(at, cat("expected a type, found the dtype ", name, "; a tensor of any rank is ", name, "[...]"));
  error_at(at, cat("'", name, "' is not a type; types are any, int, float, bool, str, none, dtype, device, number, token, tensor, "
                   "float32[2, ?], [int], (int, float), {str: int}, object \"class\""));
}

Type Reader::tensor_type(bool has_dtype, DType dtype) {
  Type t = Type::tensor();
  t.has_dtype = has_dtype;
  if (has_dtype) t.dtype = dtype;
  if (accept_mark('[')) {
    if (is_mark('.')) {
      for (int i = 0; i < 3; i++) expect_mark('.', "in '...'");
    } else {
      t.has_dims = true;
      while (!is_mark(']')) {
        Dim d;
        size_t at = start_;
        if (accept_mark('?')) {
        } else if (token_ == Token::Integer) {
          d.size = expect_integer("a size");
          if (d.size < 0) error_at(at, "a size must not be negative");
        } else {
          d.symbol = expect_identifier("a size, a name or '?'");
          if (d.symbol.empty()) error_at(at, "the name of a size must not be empty");
        }
        if (t.dims.size() == static_cast<size_t>(max_dims)) error_at(at, cat("a tensor has at most ", max_dims, " dimensions"));
        t.dims.push_back(std::move(d));
        if (!accept_mark(',')) break;
      }
    }
    expect_mark(']', "after the sizes of a tensor");
  }
  if (accept_word("on")) {
    size_t at = start_;
    try {
      t.device = parse_device(expect_string("a device, quoted"));
    } catch (const Error& e) {
      error_at(at, e.message());
    }
  }
  return t;
}

// ---- literals

bool Reader::at_literal() const {
  switch (token_) {
    case Token::Integer:
    case Token::Float:
    case Token::String: return true;
    case Token::Mark: return word_[0] == '[';
    case Token::Word: {
      DType d;
      for (std::string_view w : {"none", "true", "false", "inf", "nan", "device", "object", "ints", "floats", "tensors", "list"})
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
    error_at(at, cat("an object of class '", expect_string("a class"), "' cannot be read from text; make it a state that the program fills"));
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
  if (ints.empty() && floats.empty()) error_at(at, "an empty list is written ints[], floats[], tensors[] or list[]");
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
    if (sizes.size() == static_cast<size_t>(max_dims)) error_at(start_, cat("a tensor has at most ", max_dims, " dimensions"));
    sizes.push_back(expect_integer("a size"));
    if (sizes.back() < 0) error_at(at, "a size must not be negative");
    if (!accept_mark(',')) break;
  }
  expect_mark(']', "after a tensor's sizes");
  if (accept_mark('@')) {
    std::string name = expect_string("the name of a tensor, quoted");
    if (!table_) error_at(at, cat("the values of tensor '", name, "' are not in the text; give the table of tensors to read it with"));
    auto found = table_->tensors.find(name);
    if (found == table_->tensors.end()) error_at(at, cat("there is no tensor '", name, "' in the table"));
    const Tensor& t = found->second;
    if (t.dtype() != dtype || Dims(t.sizes()) != sizes)
      error_at(at, cat("tensor '", name, "' is ", dtype, std::span<const int64_t>(sizes), " in the text but ", t.dtype(), t.sizes(), " in the table"));
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
  if (!real && !is_integral(dtype) && dtype != DType::Bool) error_at(at, cat("elements of type ", dtype, " are written as bytes: x\"...\""));
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
    error_at(at, cat("a tensor of shape ", std::span<const int64_t>(sizes), " has ", expected, " elements, but ", count, " are written"));
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
    error_at(at, cat("a tensor ", dtype, std::span<const int64_t>(sizes), " has ", expected, " bytes, but ", digits.size(), " digits are written"));
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
