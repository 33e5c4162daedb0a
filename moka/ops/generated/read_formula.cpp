// A formula's text read again with numbers that are nodes of a lane program.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <string>
#include <unordered_map>

#include "moka/ops/generated/lane_number.h"

namespace moka::lanes {

thread_local Page* page = nullptr;

namespace {
template <class T>
struct Operand {
  Num<T, 0> number;
  Mask<T, 0> mask;
  bool is_mask = false;
};

template <class T>
using Unary = Num<T, 0> (*)(Num<T, 0>);
template <class T>
using Binary = Num<T, 0> (*)(Num<T, 0>, Num<T, 0>);
template <class T>
using Comparison = Mask<T, 0> (*)(Num<T, 0>, Num<T, 0>);

// Functions by the names of Text; what is missing has no reading as lanes.
template <class T>
const std::unordered_map<std::string_view, Unary<T>>& unary_table() {
  using X = Num<T, 0>;
  static const auto* table = [] {
    auto* t = new std::unordered_map<std::string_view, Unary<T>>{
        {"neg", [](X a) { return -a; }},
        {"abs", [](X a) { return number_abs(a); }},
        {"round", [](X a) { return number_round(a); }},
        {"floor", [](X a) { return number_floor(a); }},
        {"ceil", [](X a) { return number_ceil(a); }},
        {"trunc", [](X a) { return number_trunc(a); }},
    };
    if constexpr (std::is_floating_point_v<T>) {
#define MOKA_LANE_UNARY(name) t->emplace(#name, [](X a) { return X(number_##name(a)); })
      MOKA_LANE_UNARY(sqrt);
      MOKA_LANE_UNARY(exp);
      MOKA_LANE_UNARY(expm1);
      MOKA_LANE_UNARY(log);
      MOKA_LANE_UNARY(log1p);
      MOKA_LANE_UNARY(tanh);
      MOKA_LANE_UNARY(sigmoid);
      MOKA_LANE_UNARY(erf);
      MOKA_LANE_UNARY(exp2);
      MOKA_LANE_UNARY(sinh);
      MOKA_LANE_UNARY(cosh);
      MOKA_LANE_UNARY(sin);
      MOKA_LANE_UNARY(cos);
      MOKA_LANE_UNARY(tan);
      MOKA_LANE_UNARY(asin);
      MOKA_LANE_UNARY(acos);
      MOKA_LANE_UNARY(atan);
      MOKA_LANE_UNARY(asinh);
      MOKA_LANE_UNARY(acosh);
      MOKA_LANE_UNARY(atanh);
      MOKA_LANE_UNARY(log2);
      MOKA_LANE_UNARY(log10);
#undef MOKA_LANE_UNARY
    }
    return t;
  }();
  return *table;
}
template <class T>
const std::unordered_map<std::string_view, Binary<T>>& binary_table() {
  using X = Num<T, 0>;
  static const auto* table = [] {
    auto* t = new std::unordered_map<std::string_view, Binary<T>>{
        {"add", [](X a, X b) { return a + b; }},
        {"sub", [](X a, X b) { return a - b; }},
        {"mul", [](X a, X b) { return a * b; }},
        {"maximum", [](X a, X b) { return number_maximum(a, b); }},
        {"minimum", [](X a, X b) { return number_minimum(a, b); }},
    };
    if constexpr (std::is_floating_point_v<T>) {
      t->emplace("div", [](X a, X b) { return a / b; });
      t->emplace("pow", [](X a, X b) { return number_pow(a, b); });
      t->emplace("atan2", [](X a, X b) { return number_atan2(a, b); });
      t->emplace("hypot", [](X a, X b) { return number_hypot(a, b); });
      t->emplace("copysign", [](X a, X b) { return number_copysign(a, b); });
      t->emplace("truncate_divide", [](X a, X b) { return number_truncate_divide(a, b); });
    } else {
      t->emplace("bitwise_and", [](X a, X b) { return number_bitwise_and(a, b); });
      t->emplace("bitwise_or", [](X a, X b) { return number_bitwise_or(a, b); });
      t->emplace("bitwise_xor", [](X a, X b) { return number_bitwise_xor(a, b); });
    }
    return t;
  }();
  return *table;
}
template <class T>
const std::unordered_map<std::string_view, Comparison<T>>& comparison_table() {
  using X = Num<T, 0>;
  static const auto* table = new std::unordered_map<std::string_view, Comparison<T>>{
      {"lt", [](X a, X b) { return a < b; }},  {"le", [](X a, X b) { return a <= b; }},
      {"gt", [](X a, X b) { return a > b; }},  {"ge", [](X a, X b) { return a >= b; }},
      {"eq", [](X a, X b) { return a == b; }}, {"ne", [](X a, X b) { return a != b; }},
  };
  return *table;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    if (end) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

template <class T>
class Reader {
 public:
  Reader(std::span<const int> streams, std::span<const int> uniforms) {
    for (size_t i = 0; i < streams.size(); i++) set(cat("x", i), {{Value<T>(streams[i])}, {}});
    for (size_t i = 0; i < uniforms.size(); i++) set(cat("u", i), {{Value<T>(uniforms[i])}, {}});
  }

  std::optional<int> run(std::string_view text) {
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::vector<std::string_view> words = words_of(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (words.size() == 2 && words[0] == "return") {
        const std::optional<Operand<T>> result = find(words[1]);
        if (!result) return std::nullopt;
        return result->is_mask ? result->mask.v.id : result->number.v.id;
      }
      if (words.size() < 4 || words[1] != "=" || !line(words)) return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  void set(std::string name, Operand<T> value) { values_[std::move(name)] = value; }

  std::optional<Operand<T>> find(std::string_view word) const {
    if (const auto at = values_.find(std::string(word)); at != values_.end()) return at->second;
    double value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return Operand<T>{Num<T, 0>::of(static_cast<T>(value)), {}};
  }

  // "t3 = mul x0 t2"
  bool line(const std::vector<std::string_view>& words) {
    const std::string_view name = words[2];
    Operand<T> in[3];
    const size_t count = words.size() - 3;
    if (count > 3) return false;
    bool masks = false, numbers = false;
    for (size_t i = 0; i < count; i++) {
      const std::optional<Operand<T>> o = find(words[i + 3]);
      if (!o) return false;
      in[i] = *o;
      (o->is_mask ? masks : numbers) = true;
    }
    std::string to(words[0]);
    const auto number = [&](Num<T, 0> x) { return set(to, {x, {}}), true; };
    const auto mask = [&](Mask<T, 0> m) { return set(to, {{}, m, true}), true; };
    if (name == "where" && count == 3) {
      if (in[1].is_mask || in[2].is_mask) return false;
      return number(
          number_where(in[0].is_mask ? in[0].mask : in[0].number != T(0), in[1].number, in[2].number));
    }
    if (masks) {
      if (numbers) return false;
      if (name == "and" && count == 2) return mask(in[0].mask & in[1].mask);
      if (name == "or" && count == 2) return mask(in[0].mask | in[1].mask);
      if (name == "xor" && count == 2) return mask(in[0].mask ^ in[1].mask);
      if (name == "not" && count == 1) return mask(~in[0].mask);
      return false;
    }
    if (count == 1) {
      const auto at = unary_table<T>().find(name);
      return at != unary_table<T>().end() && number(at->second(in[0].number));
    }
    if (count != 2) return false;
    if (const auto at = binary_table<T>().find(name); at != binary_table<T>().end())
      return number(at->second(in[0].number, in[1].number));
    const auto at = comparison_table<T>().find(name);
    return at != comparison_table<T>().end() && mask(at->second(in[0].number, in[1].number));
  }

  std::unordered_map<std::string, Operand<T>> values_;
};
}  // namespace

int Page::add(const Node& n) {
  const auto [at, fresh] = known_.try_emplace(n.key(), size());
  if (fresh) nodes_.push_back(n);
  return at->second;
}

void Page::refuse(int mask) {
  if (std::find(refused_.begin(), refused_.end(), mask) == refused_.end()) refused_.push_back(mask);
}

std::optional<int> read_formula(Page& to, std::string_view text, Type compute, std::span<const int> streams,
                                std::span<const int> uniforms) {
  const OpenPage open(to);
  switch (compute) {
    case Type::F32: return Reader<float>(streams, uniforms).run(text);
    case Type::F64: return Reader<double>(streams, uniforms).run(text);
    case Type::I32: return Reader<int32_t>(streams, uniforms).run(text);
    case Type::I64: return Reader<int64_t>(streams, uniforms).run(text);
    default: return std::nullopt;
  }
}

}  // namespace moka::lanes
