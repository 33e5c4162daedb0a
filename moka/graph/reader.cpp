// Words and types of the text form.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/reader_internal.h"

#include <charconv>

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
    fail_kind(ErrorKind::File, "moka-ir: the text has ", text.size(), " bytes, more than the limit of ",
              limits.bytes);
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
    else if (e == 'x' && at_ + 2 <= text_.size() && hex_digit(text_[at_]) >= 0 &&
             hex_digit(text_[at_ + 1]) >= 0) {
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
  if (bad != std::errc() || end != word_.data() + word_.size())
    error_at(start_, cat(word_, " is not an integer of 64 bits"));
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
  if (is_dtype)
    error_at(at, cat("expected a type, found the dtype ", name, "; a tensor of any rank is ", name, "[...]"));
  error_at(at, cat("'", name,
                   "' is not a type; types are any, int, float, bool, str, none, dtype, device, number, "
                   "token, tensor, "
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
        if (t.dims.size() == static_cast<size_t>(max_dims))
          error_at(at, cat("a tensor has at most ", max_dims, " dimensions"));
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

}  // namespace moka::graph
