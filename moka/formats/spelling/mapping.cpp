// Parser of mapping texts.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/mapping.h"

#include <charconv>

#include "moka/formats/spelling/conversions.h"

namespace moka::spelling {

namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '/';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  Parser(std::string_view text, const Schema& schema) : text_(text), schema_(schema) {}

  Mapping parse() {
    Mapping out;
    out.op = word("an operator's name");
    expect("(");
    if (!accept(")")) {
      do out.items.push_back(item());
      while (accept(","));
      expect(")");
    }
    if (accept("->")) {
      expect("(");
      do {
        const int k = static_cast<int>(out.outputs.size());
        const bool ours =
            !accept("_") && !word("an output's name").empty() && k < static_cast<int>(schema_.outs.size());
        out.outputs.push_back(ours ? k : -1);
      } while (accept(","));
      expect(")");
    }
    space();
    if (at_ != text_.size()) bad("the end was expected");
    bool attributes = false;
    for (const Item& i : out.items) {
      attributes |= i.role == Item::Attribute;
      if (attributes && (i.role == Item::Input || i.role == Item::Missing))
        bad("inputs stand before attributes");
    }
    return out;
  }

 private:
  [[noreturn]] void bad(std::string_view what) {
    fail_kind(ErrorKind::Internal, "operator ", schema_.name, ": mapping \"", text_, "\", at character ", at_,
              ": ", what);
  }
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) at_++;
  }
  bool accept(std::string_view token) {
    space();
    if (text_.substr(at_, token.size()) != token) return false;
    if (token == "_" && at_ + 1 < text_.size() && is_word(text_[at_ + 1])) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) bad(cat("'", token, "' was expected"));
  }
  std::string word(std::string_view what) {
    space();
    size_t from = at_;
    while (at_ < text_.size() && is_word(text_[at_])) at_++;
    if (at_ == from) bad(cat(what, " was expected"));
    return std::string(text_.substr(from, at_ - from));
  }
  bool at_literal() {
    space();
    if (at_ >= text_.size()) return false;
    const char c = text_[at_];
    if (c == '\'' || c == '"' || c == '[' || c == '-' || is_digit(c)) return true;
    for (std::string_view w : {"true", "True", "false", "False", "none", "None"})
      if (starts_word(w)) return true;
    return false;
  }
  bool starts_word(std::string_view w) {
    return text_.substr(at_, w.size()) == w &&
           (at_ + w.size() == text_.size() || !is_word(text_[at_ + w.size()]));
  }
  Any number() {
    space();
    const char* from = text_.data() + at_;
    const char* end = text_.data() + text_.size();
    const char* stop = from;
    while (stop < end && (is_word(*stop) || *stop == '-' || *stop == '+')) stop++;
    int64_t i;
    if (auto r = std::from_chars(from, stop, i); r.ec == std::errc() && r.ptr == stop) {
      at_ += static_cast<size_t>(stop - from);
      return Any(i);
    }
    double f;
    auto r = std::from_chars(from, stop, f);
    if (r.ec != std::errc() || r.ptr != stop) bad("a number was expected");
    at_ += static_cast<size_t>(stop - from);
    return Any(f);
  }
  Any literal() {
    space();
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      const char quote = text_[at_++];
      const size_t end = text_.find(quote, at_);
      if (end == std::string_view::npos) bad("the text has no closing quote");
      Any out(text_.substr(at_, end - at_));
      at_ = end + 1;
      return out;
    }
    if (accept("[")) {
      Dims ints;
      if (!accept("]")) {
        do ints.push_back(number().arg().as_int());
        while (accept(","));
        expect("]");
      }
      return Any(ints);
    }
    if (!at_literal() || is_digit(text_[at_]) || text_[at_] == '-') return number();
    const std::string w = word("");
    return w == "none" || w == "None" ? Any() : Any(w == "true" || w == "True");
  }
  int argument() {
    const std::string name = word("one of our arguments");
    const int at = schema_.find_arg(name);
    if (at < 0) bad(cat(schema_.name, " has no argument '", name, "'"));
    return at;
  }
  // name | conversion(name, ...) | literal
  Binding binding() {
    Binding out;
    if (at_literal()) {
      out.literal = literal();
      return out;
    }
    const size_t from = at_;
    const std::string name = word("an argument, a conversion or a literal");
    if (!accept("(")) {
      at_ = from;
      out.args.push_back(argument());
      return out;
    }
    out.conversion = find_conversion(name);
    if (!out.conversion) bad(cat("there is no conversion '", name, "'"));
    do out.args.push_back(argument());
    while (accept(","));
    expect(")");
    if (static_cast<int>(out.args.size()) != out.conversion->arity)
      bad(cat("conversion ", name, " takes ", out.conversion->arity, " arguments"));
    return out;
  }
  Item item() {
    Item out;
    if (accept("=")) {
      out.role = Item::Condition;
      const size_t from = at_;
      const std::string name = word("an argument or a predicate");
      if (accept("(")) {
        out.predicate = find_predicate(name);
        if (!out.predicate) bad(cat("there is no predicate '", name, "'"));
        out.binding.args.push_back(argument());
        expect(")");
        if (accept(":")) out.binding.literal = literal();
        return out;
      }
      at_ = from;
      out.binding.args.push_back(argument());
      expect(":");
      out.binding.literal = literal();
      return out;
    }
    if (accept("_")) {
      out.role = Item::Missing;
      return out;
    }
    if (accept("*")) {
      out.binding.args.push_back(argument());
      const ArgDef& list = schema_.args[static_cast<size_t>(out.binding.args[0])];
      if (!list.type.list || !list.type.is_tensor_like())
        bad("only a list of tensors can be all the inputs that are left");
      return out;
    }
    if (!at_literal()) {
      const size_t from = at_;
      out.name = word("an input or an attribute");
      out.optional = accept("?=");
      if (out.optional || (peek_attribute() && accept("="))) {
        out.role = Item::Attribute;
        out.binding = binding();
        absent(out);
        return out;
      }
      out.name.clear();
      at_ = from;
    }
    out.binding = binding();
    absent(out);
    return out;
  }
  bool peek_attribute() {
    space();
    return at_ < text_.size() && text_[at_] == '=';
  }
  void absent(Item& item) {
    if (!accept("??")) return;
    item.has_absent = true;
    item.absent = literal();
  }

  std::string_view text_;
  const Schema& schema_;
  size_t at_ = 0;
};

}  // namespace

Mapping parse_mapping(std::string_view text, const Schema& schema) { return Parser(text, schema).parse(); }

}  // namespace moka::spelling
