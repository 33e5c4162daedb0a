// A parser to a non-deterministic automaton (K. Thompson, CACM 11, 1968) and its simulation: all states at once, so that
// no pattern takes more than (steps x characters).
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/strings/regex.h"

#include <algorithm>
#include <memory>

#include "moka/base/error.h"
#include "moka/ops/strings/text.h"

namespace moka::ops {

namespace {
constexpr uint32_t last_code_point = 0x10ffff, nothing = 0xffffffff;
constexpr int most_repeats = 1000, deepest = 200;  // as in RE2
constexpr size_t most_steps = 100000;

bool word(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
}  // namespace

class RegexParser {
 public:
  RegexParser(Regex& out, std::string_view pattern) : out_(out), text_(pattern) {}

  void parse() {
    const Tree tree = alternatives(0);
    if (at_ < text_.size()) fail_here("a ')' without its '('");
    emit(*tree);
    step({Regex::Kind::Match});
  }

 private:
  using Ranges = Regex::Ranges;
  struct Part;
  using Tree = std::unique_ptr<Part>;
  enum class Form : uint8_t { Empty, Set, Assert, Sequence, Choice, Repeat };
  struct Part {
    Form form = Form::Empty;
    Regex::Kind assertion = Regex::Kind::Start;
    Ranges set;
    std::vector<Tree> parts;
    int least = 0, most = -1;  // Repeat; most -1: any number
  };
  struct Flags {
    bool fold = false, dot_newline = false, lines = false;
  };

  [[noreturn]] void fail_here(std::string_view what) const {
    fail_kind(ErrorKind::Value, "regular expression '", text_, "': ", what, " at position ", at_);
  }
  bool more() const { return at_ < text_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }
  static Tree make(Form form) {
    auto p = std::make_unique<Part>();
    p->form = form;
    return p;
  }

  Tree alternatives(int depth) {
    if (depth > deepest) fail_here("groups are nested too deep");
    const Flags outer = flags_;
    Tree all = make(Form::Choice);
    all->parts.push_back(sequence(depth));
    while (take("|")) all->parts.push_back(sequence(depth));
    flags_ = outer;
    return all->parts.size() == 1 ? std::move(all->parts[0]) : std::move(all);
  }

  Tree sequence(int depth) {
    Tree all = make(Form::Sequence);
    while (more() && peek() != '|' && peek() != ')') {
      Tree one = atom(depth);
      int repeats = 0;
      while (more()) {
        int least, most;
        if (take("*")) least = 0, most = -1;
        else if (take("+")) least = 1, most = -1;
        else if (take("?")) least = 0, most = 1;
        else if (!counted(least, most)) break;
        take("?");  // lazy: the same for a whole text
        if (repeats++ == 1) fail_here("a repetition of a repetition");
        Tree r = make(Form::Repeat);
        r->least = least;
        r->most = most;
        r->parts.push_back(std::move(one));
        one = std::move(r);
      }
      all->parts.push_back(std::move(one));
    }
    return all;
  }

  // {n}, {n,} or {n,m}; anything else in braces stands for itself.
  bool counted(int& least, int& most) {
    if (peek() != '{') return false;
    size_t p = at_ + 1;
    auto number = [&](int& v) {
      const size_t from = p;
      for (v = 0; p < text_.size() && text_[p] >= '0' && text_[p] <= '9'; p++)
        v = std::min(v * 10 + (text_[p] - '0'), most_repeats + 1);
      return p > from;
    };
    if (!number(least)) return false;
    most = least;
    if (p < text_.size() && text_[p] == ',') {
      p++;
      if (p < text_.size() && text_[p] == '}') most = -1;
      else if (!number(most)) return false;
    }
    if (p >= text_.size() || text_[p] != '}') return false;
    if (least > most_repeats || most > most_repeats || (most >= 0 && most < least))
      fail_here("a bad repetition count");
    at_ = p + 1;
    return true;
  }

  Tree assertion(Regex::Kind kind) {
    Tree t = make(Form::Assert);
    t->assertion = kind;
    return t;
  }
  Tree set_of(Ranges set) {
    Tree t = make(Form::Set);
    if (flags_.fold) {
      const Ranges plain = set;
      for (auto [a, b] : plain)
        for (uint32_t c = std::max<uint32_t>(a, 'A'); c <= std::min<uint32_t>(b, 'z'); c++)
          if ((c >= 'a' && c <= 'z') || c <= 'Z') set.push_back({c ^ 0x20, c ^ 0x20});
    }
    t->set = normal(std::move(set));
    return t;
  }
  static Ranges normal(Ranges set) {
    std::sort(set.begin(), set.end());
    Ranges out;
    for (auto r : set) {
      if (!out.empty() && r.first <= out.back().second + 1)
        out.back().second = std::max(out.back().second, r.second);
      else out.push_back(r);
    }
    return out;
  }
  static Ranges inverted(const Ranges& set) {
    Ranges out;
    uint32_t next = 0;
    for (auto [a, b] : normal(set)) {
      if (a > next) out.push_back({next, a - 1});
      next = b + 1;
    }
    if (next <= last_code_point) out.push_back({next, last_code_point});
    return out;
  }

  Tree atom(int depth) {
    if (take("^")) return assertion(flags_.lines ? Regex::Kind::LineStart : Regex::Kind::Start);
    if (take("$")) return assertion(flags_.lines ? Regex::Kind::LineEnd : Regex::Kind::End);
    if (take("."))
      return set_of(flags_.dot_newline ? Ranges{{0, last_code_point}} : inverted({{'\n', '\n'}}));
    if (take("(")) return group(depth);
    if (peek() == '[') return set_of(bracket());
    if (peek() == '*' || peek() == '+' || peek() == '?') fail_here("nothing to repeat");
    if (peek() == '\\') {
      switch (peek(1)) {
        case 'A': at_ += 2; return assertion(Regex::Kind::Start);
        case 'z': at_ += 2; return assertion(Regex::Kind::End);
        case 'b': at_ += 2; return assertion(Regex::Kind::Boundary);
        case 'B': at_ += 2; return assertion(Regex::Kind::NoBoundary);
        case 'Q': return quoted();
      }
      Ranges set;
      if (class_escape(set)) return set_of(set);
    }
    const uint32_t c = character();
    return set_of({{c, c}});
  }

  Tree quoted() {  // \Q...\E
    at_ += 2;
    Tree all = make(Form::Sequence);
    while (more() && !take("\\E")) {
      const uint32_t c = next_code_point(text_, at_);
      all->parts.push_back(set_of({{c, c}}));
    }
    return all;
  }

  Tree group(int depth) {
    if (take("?")) {
      if (take("P<") || take("<")) {
        while (more() && peek() != '>') at_++;
        if (!take(">")) fail_here("a group's name without its '>'");
      } else if (!take(":")) {
        bool on = true;
        for (;; at_++) {
          const char c = peek();
          if (c == '-') on = false;
          else if (c == 'i') flags_.fold = on;
          else if (c == 's') flags_.dot_newline = on;
          else if (c == 'm') flags_.lines = on;
          else if (c != 'U') break;
        }
        if (take(")")) return make(Form::Empty);  // for what follows in this group
        if (!take(":")) fail_here("a group that RE2 does not have");
      }
    }
    Tree inner = alternatives(depth + 1);
    if (!take(")")) fail_here("a '(' without its ')'");
    return inner;
  }

  // \d \D \s \S \w \W, [:alpha:] inside brackets.
  bool class_escape(Ranges& out) {
    const char c = peek(1);
    Ranges set;
    switch (c | 0x20) {
      case 'd': set = {{'0', '9'}}; break;
      case 's': set = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}; break;
      case 'w': set = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; break;
      case 'p':
        fail_kind(ErrorKind::NotImplemented, "regular expression '", text_, "': classes of Unicode (\\", c,
                  ") are not read; name the characters in brackets");
      default: return false;
    }
    if (!(c & 0x20)) set = inverted(set);
    out.insert(out.end(), set.begin(), set.end());
    at_ += 2;
    return true;
  }

  bool named_class(Ranges& out) {
    static constexpr std::pair<std::string_view, std::string_view> classes[] = {
        {"alnum", "09AZaz"},   {"alpha", "AZaz"},
        {"ascii", "\x01\x7f"}, {"blank", "\t\t  "},
        {"digit", "09"},       {"lower", "az"},
        {"upper", "AZ"},       {"space", "\t\r  "},
        {"word", "09AZaz__"},  {"xdigit", "09AFaf"},
        {"punct", "!/:@[`{~"}, {"graph", "!~"},
        {"print", " ~"},       {"cntrl", "\x01\x1f\x7f\x7f"}};
    for (const auto& [name, pairs] : classes)
      for (const bool inverse : {false, true}) {
        if (!take(cat("[:", inverse ? "^" : "", name, ":]"))) continue;
        Ranges set;
        for (size_t i = 0; i < pairs.size(); i += 2)
          set.push_back({static_cast<uint8_t>(pairs[i]), static_cast<uint8_t>(pairs[i + 1])});
        if (name == "ascii" || name == "cntrl") set.push_back({0, 0});
        if (inverse) set = inverted(set);
        out.insert(out.end(), set.begin(), set.end());
        return true;
      }
    return false;
  }

  Ranges bracket() {
    at_++;
    const bool inverse = take("^");
    Ranges set;
    for (bool first = true;; first = false) {
      if (!more()) fail_here("a '[' without its ']'");
      if (!first && take("]")) break;
      if (named_class(set) || (peek() == '\\' && class_escape(set))) continue;
      const uint32_t low = character();
      uint32_t high = low;
      if (peek() == '-' && peek(1) != ']' && peek(1) != '\0') {
        at_++;
        high = character();
        if (high < low) fail_here("a range that ends before it begins");
      }
      set.push_back({low, high});
    }
    if (flags_.fold && inverse) set = set_of(set)->set;
    return inverse ? inverted(set) : set;
  }

  uint32_t character() {
    if (!more()) fail_here("a character is missing");
    if (peek() != '\\') return next_code_point(text_, at_);
    at_++;
    if (!more()) fail_here("a '\\' at the end");
    const char c = text_[at_++];
    switch (c) {
      case 'a': return '\a';
      case 'f': return '\f';
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      case 'v': return '\v';
      case 'x': {
        const bool braces = take("{");
        uint32_t v = 0;
        size_t digits = 0;
        for (; digits < (braces ? 8u : 2u) && more(); digits++) {
          const char h = peek();
          const int d = h >= '0' && h <= '9'                     ? h - '0'
                        : (h | 0x20) >= 'a' && (h | 0x20) <= 'f' ? (h | 0x20) - 'a' + 10
                                                                 : -1;
          if (d < 0) break;
          v = v * 16 + static_cast<uint32_t>(d);
          at_++;
        }
        if (digits == 0 || (!braces && digits < 2) || (braces && !take("}")) || v > last_code_point)
          fail_here("a bad \\x");
        return v;
      }
    }
    if (c >= '0' && c <= '7' && (c == '0' || (peek() >= '0' && peek() <= '7'))) {
      uint32_t v = static_cast<uint32_t>(c - '0');
      for (int i = 0; i < 2 && peek() >= '0' && peek() <= '7'; i++)
        v = v * 8 + static_cast<uint32_t>(text_[at_++] - '0');
      return v;
    }
    if (static_cast<uint8_t>(c) < 0x80 && !word(static_cast<uint8_t>(c))) return static_cast<uint8_t>(c);
    at_--;
    fail_here("an escape that RE2 does not have");
  }

  int step(Regex::Step s) {
    if (out_.steps_.size() >= most_steps)
      fail_kind(ErrorKind::Value, "regular expression '", text_, "' is too large: more than ", most_steps,
                " steps");
    out_.steps_.push_back(s);
    return static_cast<int>(out_.steps_.size()) - 1;
  }
  int next() const { return static_cast<int>(out_.steps_.size()); }

  void emit(const Part& p) {
    switch (p.form) {
      case Form::Empty: return;
      case Form::Set:
        step({Regex::Kind::Set, static_cast<int>(out_.sets_.size())});
        out_.sets_.push_back(p.set);
        return;
      case Form::Assert: step({p.assertion}); return;
      case Form::Sequence:
        for (const Tree& t : p.parts) emit(*t);
        return;
      case Form::Choice: {
        std::vector<int> ends;
        for (size_t i = 0; i < p.parts.size(); i++) {
          int fork = -1;
          if (i + 1 < p.parts.size()) {
            fork = step({Regex::Kind::Split});
            out_.steps_[static_cast<size_t>(fork)].a = next();
          }
          emit(*p.parts[i]);
          if (fork < 0) break;
          ends.push_back(step({Regex::Kind::Jump}));
          out_.steps_[static_cast<size_t>(fork)].b = next();
        }
        for (int e : ends) out_.steps_[static_cast<size_t>(e)].a = next();
        return;
      }
      case Form::Repeat: {
        for (int i = 0; i < p.least; i++) emit(*p.parts[0]);
        if (p.most < 0) {
          const int fork = step({Regex::Kind::Split});
          out_.steps_[static_cast<size_t>(fork)].a = next();
          emit(*p.parts[0]);
          step({Regex::Kind::Jump, fork});
          out_.steps_[static_cast<size_t>(fork)].b = next();
          return;
        }
        std::vector<int> forks;
        for (int i = p.least; i < p.most; i++) {
          forks.push_back(step({Regex::Kind::Split}));
          out_.steps_[static_cast<size_t>(forks.back())].a = next();
          emit(*p.parts[0]);
        }
        for (int f : forks) out_.steps_[static_cast<size_t>(f)].b = next();
        return;
      }
    }
  }

  Regex& out_;
  std::string_view text_;
  size_t at_ = 0;
  Flags flags_;
};

Regex::Regex(std::string_view pattern) { RegexParser(*this, pattern).parse(); }

// Everything that can be reached without a character.
void Regex::add(std::vector<int>& list, std::vector<uint32_t>& seen, uint32_t turn, int step, uint32_t before,
                uint32_t after, bool first, bool last) const {
  std::vector<int> open{step};
  while (!open.empty()) {
    const int at = open.back();
    open.pop_back();
    if (seen[static_cast<size_t>(at)] == turn) continue;
    seen[static_cast<size_t>(at)] = turn;
    const Step& s = steps_[static_cast<size_t>(at)];
    const bool boundary = (!first && word(before)) != (!last && word(after));
    switch (s.kind) {
      case Kind::Set:
      case Kind::Match: list.push_back(at); break;
      case Kind::Jump: open.push_back(s.a); break;
      case Kind::Split:
        open.push_back(s.b);
        open.push_back(s.a);
        break;
      case Kind::Start:
        if (first) open.push_back(at + 1);
        break;
      case Kind::End:
        if (last) open.push_back(at + 1);
        break;
      case Kind::LineStart:
        if (first || before == '\n') open.push_back(at + 1);
        break;
      case Kind::LineEnd:
        if (last || after == '\n') open.push_back(at + 1);
        break;
      case Kind::Boundary:
        if (boundary) open.push_back(at + 1);
        break;
      case Kind::NoBoundary:
        if (!boundary) open.push_back(at + 1);
        break;
    }
  }
}

bool Regex::full_match(std::string_view text) const {
  std::vector<int> now, then;
  std::vector<uint32_t> seen(steps_.size(), 0);
  uint32_t turn = 1, before = nothing;
  size_t at = 0;
  auto following = [&](size_t from) { return from < text.size() ? next_code_point(text, from) : nothing; };
  add(now, seen, turn, 0, before, following(0), true, text.empty());
  while (at < text.size() && !now.empty()) {
    const uint32_t c = next_code_point(text, at);
    turn++;
    then.clear();
    for (int i : now) {
      const Step& s = steps_[static_cast<size_t>(i)];
      if (s.kind != Kind::Set) continue;
      const Ranges& set = sets_[static_cast<size_t>(s.a)];
      auto r =
          std::upper_bound(set.begin(), set.end(), c, [](uint32_t v, const auto& p) { return v < p.first; });
      if (r == set.begin() || c > std::prev(r)->second) continue;
      add(then, seen, turn, i + 1, c, following(at), false, at >= text.size());
    }
    before = c;
    std::swap(now, then);
  }
  if (at < text.size()) return false;
  return std::any_of(now.begin(), now.end(),
                     [&](int i) { return steps_[static_cast<size_t>(i)].kind == Kind::Match; });
}

}  // namespace moka::ops
