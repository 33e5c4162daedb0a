// Text: the reading of a formula as source. Every operation appends one line "t3 = mul x0 t2" to the formula being read;
// the fuser, the documentation and error messages use it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <type_traits>

#include "moka/schema/reading.h"

namespace moka {

struct Text {
  std::string name;
  Text() = default;
  explicit Text(std::string name) : name(std::move(name)) {}
  template <class C>
    requires std::is_arithmetic_v<C>
  Text(C constant) : name(cat(static_cast<double>(constant))) {}
};
template <>
inline constexpr bool is_formula_number<Text> = true;

Text append_operation(const char* operation, const Text* operands, int count);

template <class... A>
Text text_operation(const char* operation, const A&... a) {
  const Text operands[] = {Text(a)...};
  return append_operation(operation, operands, sizeof...(A));
}

template <class T>
concept TextOrNumber = std::is_same_v<T, Text> || std::is_arithmetic_v<T>;

#define MOKA_TEXT_OPERATOR(symbol, operation)                    \
  template <TextOrNumber A, TextOrNumber B>                      \
    requires(std::is_same_v<A, Text> || std::is_same_v<B, Text>) \
  Text operator symbol(const A& a, const B& b) {                 \
    return text_operation(operation, a, b);                      \
  }
MOKA_TEXT_OPERATOR(+, "add")
MOKA_TEXT_OPERATOR(-, "sub")
MOKA_TEXT_OPERATOR(*, "mul")
MOKA_TEXT_OPERATOR(/, "div")
MOKA_TEXT_OPERATOR(<, "lt")
MOKA_TEXT_OPERATOR(<=, "le")
MOKA_TEXT_OPERATOR(>, "gt")
MOKA_TEXT_OPERATOR(>=, "ge")
MOKA_TEXT_OPERATOR(==, "eq")
MOKA_TEXT_OPERATOR(!=, "ne")
MOKA_TEXT_OPERATOR(&, "and")
MOKA_TEXT_OPERATOR(|, "or")
MOKA_TEXT_OPERATOR(^, "xor")
#undef MOKA_TEXT_OPERATOR
inline Text operator-(const Text& a) { return text_operation("neg", a); }
inline Text operator~(const Text& a) { return text_operation("not", a); }

#define MOKA_TEXT_FUNCTION(operation)        \
  template <TextOrNumber... A>               \
  Text number_##operation(const A&... a) {   \
    return text_operation(#operation, a...); \
  }
MOKA_TEXT_FUNCTION(where)
MOKA_TEXT_FUNCTION(abs)
MOKA_TEXT_FUNCTION(maximum)
MOKA_TEXT_FUNCTION(minimum)
MOKA_TEXT_FUNCTION(round)
MOKA_TEXT_FUNCTION(floor)
MOKA_TEXT_FUNCTION(ceil)
MOKA_TEXT_FUNCTION(trunc)
MOKA_TEXT_FUNCTION(sqrt)
MOKA_TEXT_FUNCTION(sin)
MOKA_TEXT_FUNCTION(cos)
MOKA_TEXT_FUNCTION(pow)
MOKA_TEXT_FUNCTION(exp)
MOKA_TEXT_FUNCTION(expm1)
MOKA_TEXT_FUNCTION(log)
MOKA_TEXT_FUNCTION(log1p)
MOKA_TEXT_FUNCTION(tanh)
MOKA_TEXT_FUNCTION(sigmoid)
MOKA_TEXT_FUNCTION(erf)
#undef MOKA_TEXT_FUNCTION

// Reads one formula: opens a page, runs it, gives the lines and the name of the result as "lines; return t7".
class TextPage {
 public:
  TextPage();
  ~TextPage();
  TextPage(const TextPage&) = delete;
  std::string finish(const Text& result);

 private:
  friend Text append_operation(const char*, const Text*, int);
  std::string lines_;
  int next_ = 0;
  TextPage* outer_;
};

}  // namespace moka
