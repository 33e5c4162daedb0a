// Reading and printing operator schemas.
// SPDX-License-Identifier: Apache-2.0
#include "moka/schema/schema.h"

#include <charconv>

namespace moka {

namespace {
struct KindName {
  std::string_view name;
  Kind kind;
};
constexpr KindName kinds[] = {{"Tensor", Kind::Tensor}, {"Operand", Kind::Operand},
                              {"Number", Kind::Number}, {"int", Kind::Int},
                              {"float", Kind::Float},   {"bool", Kind::Bool},
                              {"str", Kind::String},    {"DType", Kind::DType},
                              {"Device", Kind::Device}, {"Generator", Kind::Generator},
                              {"Any", Kind::Any}};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Schema parse() {
    Schema s;
    s.name = word(true);
    s.base = s.name.substr(0, s.name.find('.'));
    expect('(');
    bool keyword_only = false;
    while (!accept(')')) {
      if (accept('*')) {
        keyword_only = true;
      } else {
        ArgDef a;
        a.type = type();
        a.name = word(false);
        a.keyword_only = keyword_only;
        if (accept('=')) {
          a.has_default = true;
          a.default_value = literal(a.type);
        }
        if (!keyword_only) s.positional++;
        s.args.push_back(std::move(a));
      }
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    expect('-');
    expect('>');
    if (accept('(')) {
      while (!accept(')')) {
        out(s);
        accept(',');
      }
    } else {
      out(s);
    }
    skip();
    if (at_ != text_.size()) error("the end");
    return s;
  }

 private:
  [[noreturn]] void error(std::string_view wanted) {
    fail_kind(ErrorKind::Internal, "schema '", text_, "': expected ", wanted, " at character ", at_);
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) at_++;
  }
  bool accept(char c) {
    skip();
    if (at_ < text_.size() && text_[at_] == c) {
      at_++;
      return true;
    }
    return false;
  }
  void expect(char c) {
    if (!accept(c)) error(std::string_view(&c, 1));
  }
  static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  std::string word(bool dots) {
    skip();
    size_t start = at_;
    while (at_ < text_.size() && (is_word(text_[at_]) || (dots && text_[at_] == '.'))) at_++;
    if (start == at_) error("a name");
    return std::string(text_.substr(start, at_ - start));
  }
  ArgType type() {
    std::string name = word(false);
    ArgType t;
    bool found = false;
    for (const KindName& k : kinds)
      if (k.name == name) {
        t.kind = k.kind;
        found = true;
      }
    if (!found) error("a type");
    t.optional = accept('?');
    if (accept('[')) {
      t.optional_elements = t.optional;
      t.list = true;
      if (!accept(']')) {
        t.list_size = static_cast<int>(number().to_int());
        expect(']');
      }
    }
    if (t.list) t.optional = accept('?');
    return t;
  }
  void out(Schema& s) {
    ArgDef o;
    o.type = type();
    skip();
    if (at_ < text_.size() && is_word(text_[at_])) o.name = word(false);
    s.outs.push_back(std::move(o));
  }
  Any number() {
    skip();
    size_t start = at_;
    while (at_ < text_.size() &&
           (is_word(text_[at_]) || text_[at_] == '.' || text_[at_] == '-' || text_[at_] == '+'))
      at_++;
    std::string_view token = text_.substr(start, at_ - start);
    if (token == "inf") return Any(__builtin_inf());
    if (token == "-inf") return Any(-__builtin_inf());
    int64_t i;
    auto [end, bad] = std::from_chars(token.data(), token.data() + token.size(), i);
    if (bad == std::errc() && end == token.data() + token.size()) return Any(i);
    double d;
    auto [end2, bad2] = std::from_chars(token.data(), token.data() + token.size(), d);
    if (bad2 == std::errc() && end2 == token.data() + token.size()) return Any(d);
    error("a number");
  }
  bool keyword(std::string_view k) {
    skip();
    if (text_.substr(at_, k.size()) != k) return false;
    at_ += k.size();
    return true;
  }
  Any literal(const ArgType& t) {
    if (keyword("None")) return {};
    if (keyword("True")) return Any(true);
    if (keyword("False")) return Any(false);
    if (t.kind == Kind::String) {
      expect('\'');
      size_t start = at_;
      while (at_ < text_.size() && text_[at_] != '\'') at_++;
      std::string_view s = text_.substr(start, at_ - start);
      expect('\'');
      return Any(s);
    }
    if (t.kind == Kind::DType) {
      DType d;
      if (!find_dtype(word(false), d)) error("a dtype");
      return Any(d);
    }
    if (t.list) {
      Dims ints;
      if (accept('[')) {
        while (!accept(']')) {
          ints.push_back(number().to_int());
          accept(',');
        }
      } else {
        ints.resize(static_cast<size_t>(t.list_size), number().to_int());
      }
      return Any(ints);
    }
    Any n = number();
    return t.kind == Kind::Float ? Any(n.to_double()) : n;
  }

  std::string_view text_;
  size_t at_ = 0;
};
}  // namespace

Schema parse_schema(std::string_view text) { return Parser(text).parse(); }

int Schema::find_arg(std::string_view arg) const {
  for (size_t i = 0; i < args.size(); i++)
    if (args[i].name == arg) return static_cast<int>(i);
  return -1;
}

void append_text(std::string& out, const ArgType& type) {
  for (const KindName& k : kinds)
    if (k.kind == type.kind) out += k.name;
  if (type.optional_elements) out += '?';
  if (type.list) {
    out += '[';
    if (type.list_size) append_part(out, type.list_size);
    out += ']';
  }
  if (type.optional) out += '?';
}

std::string Schema::text() const {
  std::string out = name + "(";
  for (size_t i = 0; i < args.size(); i++) {
    if (i) out += ", ";
    if (static_cast<int>(i) == positional) out += "*, ";
    append_text(out, args[i].type);
    out += " " + args[i].name;
    if (args[i].has_default) {
      out += "=";
      append_text(out, args[i].default_value);
    }
  }
  out += ") -> ";
  if (outs.size() != 1) out += "(";
  for (size_t i = 0; i < outs.size(); i++) {
    if (i) out += ", ";
    append_text(out, outs[i].type);
    if (!outs[i].name.empty()) out += " " + outs[i].name;
  }
  if (outs.size() != 1) out += ")";
  return out;
}

}  // namespace moka
