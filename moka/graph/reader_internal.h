// Reads words, literals and types of the text form; every error names line and column.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/graph/graph.h"
#include "moka/graph/text_internal.h"

namespace moka::graph {

class Reader {
 public:
  Reader(std::string_view text, const TensorTable* table, const ParseLimits& limits);

  enum class Token : uint8_t { End, Word, Name /* %x */, Integer, Float, String, Mark };
  Token token() const { return token_; }
  // The word, the mark, the text of a string or name, the digits of a number.
  const std::string& word() const { return word_; }
  bool quoted() const { return quoted_; }  // a Name in quotes: %"12"
  size_t start() const { return start_; }
  void next();

  bool is_mark(char c) const { return token_ == Token::Mark && word_[0] == c; }
  bool followed_by(char c);  // the mark that comes next
  bool is_word(std::string_view w) const { return token_ == Token::Word && word_ == w; }
  bool accept_mark(char c);
  bool accept_word(std::string_view w);
  void expect_mark(char c, const char* where);
  void expect_word(std::string_view w);
  std::string expect_string(const char* what);
  std::string expect_identifier(const char* what);  // a word that is no keyword, or a string
  int64_t expect_integer(const char* what);

  Type type();
  bool at_literal() const;
  Any literal();

  [[noreturn]] void wrong(std::string_view wanted);                          // at the current token
  [[noreturn]] void error_at(size_t offset, std::string_view message, ErrorKind kind = ErrorKind::File);
  std::string place(size_t offset) const;  // "line 3, column 7"

  // Counts nesting of blocks, types and literals.
  class Deeper {
   public:
    explicit Deeper(Reader& r);
    ~Deeper() { reader_.depth_--; }
    Deeper(const Deeper&) = delete;

   private:
    Reader& reader_;
  };

 private:
  void skip_space();
  void read_string();
  void read_number();
  Type one_type();
  Type tensor_type(bool has_dtype, DType dtype);
  Any bracket_list();
  Any items_list();
  Any tensor_list();
  Tensor tensor_literal(DType dtype);
  Tensor tensor_elements(DType dtype, const Dims& sizes, size_t at);
  Tensor tensor_bytes(DType dtype, const Dims& sizes, size_t at);
  double float_value();
  bool known_dtype(DType& out) const;  // the current word names one

  std::string_view text_;
  const TensorTable* table_;
  const ParseLimits& limits_;
  size_t at_ = 0, start_ = 0;
  Token token_ = Token::End;
  std::string word_;
  bool quoted_ = false;
  int depth_ = 0;
};

// Promises of one node that can be seen without the rest of the graph; verify.cpp.
void check_node(const Node& node);

}  // namespace moka::graph
