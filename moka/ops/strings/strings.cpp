// Joining, comparing, changing and splitting strings.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/strings/strings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <unordered_map>
#include <vector>

#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/strings/regex.h"
#include "moka/ops/strings/text.h"
#include "moka/tensor/strings.h"

namespace moka::ops {

namespace {

constexpr std::string_view no_gradient = "strings have no gradient", no_spelling = "written by an adapter",
                           no_netdef = "NetDefs have no operators on strings";

void pair_shape(Frame& f, DType dtype) {
  f.output(0, broadcast_shape(string_argument(f, 0).sizes(), string_argument(f, 1).sizes(), f.name()), dtype);
}
void concat_shape(Frame& f) { pair_shape(f, DType::String); }
void equal_shape(Frame& f) { pair_shape(f, DType::Bool); }

void run_concat(Frame& f) {
  const Tensor& out = f.outs[0];
  const Tensor a = as_shape(f.tensor(0), out.sizes()), b = as_shape(f.tensor(1), out.sizes());
  TextWriter to(out);
  std::string joined;
  for (int64_t i = 0; i < out.numel(); i++) {
    joined.assign(texts_of(a)[i]);
    to.set(i, joined.append(texts_of(b)[i]));
  }
}

void run_equal(Frame& f) {
  const Tensor& out = f.outs[0];
  const Tensor a = as_shape(f.tensor(0), out.sizes()), b = as_shape(f.tensor(1), out.sizes());
  for (int64_t i = 0; i < out.numel(); i++) out.data<bool>()[i] = texts_of(a)[i] == texts_of(b)[i];
}

void where_shape(Frame& f) {
  MOKA_CHECK_KIND(Type, tensor_argument(f, 0).dtype() == DType::Bool, f.name(),
                  ": 'condition' must be bool, got ", f.tensor(0).dtype());
  const Dims both = broadcast_shape(string_argument(f, 1).sizes(), string_argument(f, 2).sizes(), f.name());
  f.output(0, broadcast_shape(f.tensor(0).sizes(), both, f.name()), DType::String);
}
void run_where(Frame& f) {
  const Tensor& out = f.outs[0];
  const Tensor c = as_shape(f.tensor(0), out.sizes()), a = as_shape(f.tensor(1), out.sizes()),
               b = as_shape(f.tensor(2), out.sizes());
  auto* to = out.data<std::string_view>();
  for (int64_t i = 0; i < out.numel(); i++) to[i] = c.data<bool>()[i] ? texts_of(a)[i] : texts_of(b)[i];
}

void same_shape(Frame& f) { f.output(0, string_argument(f, 0).sizes(), DType::String); }
void run_case(Frame& f) {
  const std::string_view to_case = f.string(1);
  MOKA_CHECK_KIND(Value, to_case == "lower" || to_case == "upper", f.name(),
                  ": 'to' must be lower or upper, got '", to_case, "'");
  const Tensor x = as_contiguous(f.tensor(0));
  TextWriter to(f.outs[0]);
  for (int64_t i = 0; i < x.numel(); i++) to.set(i, in_case(texts_of(x)[i], to_case == "upper"));
}

void run_filter(Frame& f) {
  const Tensor& x = string_argument(f, 0);
  const Tensor words = as_contiguous(string_argument(f, 1)), all = as_contiguous(x);
  MOKA_CHECK(x.dim() == 1 || (x.dim() == 2 && x.size(0) == 1), f.name(),
             ": strings of shape [n] or [1, n] were expected, got ", x.sizes());
  f.sizes_of_values(x.dim() - 1);
  const bool exact = f.flag(2);
  std::set<std::string, std::less<>> dropped;
  for (int64_t i = 0; i < words.numel(); i++)
    dropped.insert(exact ? std::string(texts_of(words)[i]) : in_case(texts_of(words)[i], false));
  std::vector<std::string_view> kept;
  for (int64_t i = 0; i < all.numel(); i++) {
    const std::string_view text = texts_of(all)[i];
    if (exact ? !dropped.count(text) : !dropped.count(in_case(text, false))) kept.push_back(text);
  }
  const int64_t count = static_cast<int64_t>(std::max<size_t>(kept.size(), 1));
  f.outs.resize(1);
  f.outs[0] = new_tensor(x.dim() == 1 ? Dims{count} : Dims{1, count}, DType::String);
  std::copy(kept.begin(), kept.end(), f.outs[0].data<std::string_view>());
}

// The parts of one text. Without a delimiter whitespace separates, and none stands at the ends.
std::vector<std::string_view> parts_of(std::string_view text, std::string_view delimiter, int64_t most) {
  std::vector<std::string_view> out;
  if (!delimiter.empty()) {
    size_t from = 0;
    for (int64_t splits = 0; most < 0 || splits < most; splits++) {
      const size_t at = text.find(delimiter, from);
      if (at == std::string_view::npos) break;
      out.push_back(text.substr(from, at - from));
      from = at + delimiter.size();
    }
    out.push_back(text.substr(from));
    return out;
  }
  size_t at = 0;
  auto skip = [&](bool spaces) {  // to the next character that is (not) a space
    while (at < text.size()) {
      size_t next = at;
      if (is_space(next_code_point(text, next)) != spaces) break;
      at = next;
    }
  };
  for (skip(true); at < text.size(); skip(true)) {
    if (most >= 0 && static_cast<int64_t>(out.size()) >= most) {
      size_t end = text.size(), last = at;
      for (size_t p = at; p < text.size();)
        if (!is_space(next_code_point(text, p))) last = p;
      end = last;
      out.push_back(text.substr(at, end - at));
      break;
    }
    const size_t from = at;
    skip(false);
    out.push_back(text.substr(from, at - from));
  }
  return out;
}

void run_split(Frame& f) {
  const Tensor& x = string_argument(f, 0);
  f.sizes_of_values(x.dim());
  const Tensor all = as_contiguous(x);
  const std::string_view delimiter = f.has(1) ? f.string(1) : std::string_view();
  const int64_t most = f.has(2) ? f.integer(2) : -1;
  std::vector<std::vector<std::string_view>> parts;
  int64_t widest = 0;
  for (int64_t i = 0; i < all.numel(); i++) {
    parts.push_back(parts_of(texts_of(all)[i], delimiter, most));
    widest = std::max(widest, static_cast<int64_t>(parts.back().size()));
  }
  Dims sizes;
  for (int64_t s : x.sizes()) sizes.push_back(s);
  f.outs.resize(2);
  f.outs[1] = new_tensor(sizes, DType::I64);
  sizes.push_back(widest);
  f.outs[0] = new_tensor(sizes, DType::String);
  for (size_t i = 0; i < parts.size(); i++) {
    f.outs[1].data<int64_t>()[i] = static_cast<int64_t>(parts[i].size());
    std::copy(parts[i].begin(), parts[i].end(),
              f.outs[0].data<std::string_view>() + static_cast<int64_t>(i) * widest);
  }
}

void match_shape(Frame& f) { f.output(0, string_argument(f, 0).sizes(), DType::Bool); }
void run_match(Frame& f) {
  const Regex pattern(f.string(1));
  const Tensor x = as_contiguous(f.tensor(0));
  for (int64_t i = 0; i < x.numel(); i++) f.outs[0].data<bool>()[i] = pattern.full_match(texts_of(x)[i]);
}

void format_shape(Frame& f) {
  const DType dtype = tensor_argument(f, 0).dtype();
  MOKA_CHECK_KIND(Type, dtype == DType::Bool || is_integral(dtype) || is_floating(dtype), f.name(),
                  ": a tensor of numbers was expected, got ", dtype);
  f.output(0, f.tensor(0).sizes(), DType::String);
}
void run_format(Frame& f) {
  const Tensor x = as_contiguous(f.tensor(0));
  TextWriter to(f.outs[0]);
  char text[64];
  for (int64_t i = 0; i < x.numel(); i++) {
    char* end = text;
    if (is_floating(x.dtype())) {
      const double v = element_as_double(x, i);
      if (std::isnan(v) || std::isinf(v)) {
        to.set(i, std::isnan(v) ? "NaN" : v > 0 ? "INF" : "-INF");
        continue;
      }
      end = x.dtype() == DType::F64 ? std::to_chars(text, text + sizeof text, v).ptr
                                    : std::to_chars(text, text + sizeof text, static_cast<float>(v)).ptr;
    } else if (x.dtype() == DType::U64) {
      end = std::to_chars(text, text + sizeof text, static_cast<uint64_t>(element_as_int(x, i))).ptr;
    } else {
      end = std::to_chars(text, text + sizeof text, element_as_int(x, i)).ptr;
    }
    to.set(i, {text, static_cast<size_t>(end - text)});
  }
}

void parse_shape(Frame& f) {
  const DType to = f.args[1].dtype;
  MOKA_CHECK_KIND(Type, to == DType::Bool || is_integral(to) || is_floating(to), f.name(),
                  ": strings cannot become ", to);
  f.output(0, string_argument(f, 0).sizes(), to);
}
void run_parse(Frame& f) {
  const Tensor x = as_contiguous(f.tensor(0));
  const Tensor& out = f.outs[0];
  const DType to = out.dtype();
  for (int64_t i = 0; i < x.numel(); i++) {
    std::string_view text = texts_of(x)[i];
    while (!text.empty() && is_space(static_cast<uint8_t>(text.front()))) text.remove_prefix(1);
    while (!text.empty() && is_space(static_cast<uint8_t>(text.back()))) text.remove_suffix(1);
    if (text.size() > 1 && text[0] == '+') text.remove_prefix(1);
    void* place = static_cast<char*>(out.raw_data()) + static_cast<size_t>(i) * item_size(to);
    const char *first = text.data(), *last = first + text.size();
    auto done = [&](std::from_chars_result r, const void* v, DType from) {
      MOKA_CHECK_KIND(Value, !text.empty() && r.ec == std::errc() && r.ptr == last, f.name(), ": '",
                      texts_of(x)[i], "' is no ", is_floating(to) ? "number" : "integer", " that ", to,
                      " can hold");
      convert_elements(v, from, place, to, 1);
    };
    if (is_floating(to)) {
      double v = 0;
      // from_chars takes inf and nan in any case; the nearest float of a decimal is not that of the nearest double.
      if (to == DType::F32) {
        float single = 0;
        done(std::from_chars(first, last, single), &single, DType::F32);
      } else {
        done(std::from_chars(first, last, v), &v, DType::F64);
      }
    } else if (to == DType::U64) {
      uint64_t v = 0;
      done(std::from_chars(first, last, v), &v, DType::U64);
    } else {
      int64_t v = 0;
      if (to == DType::Bool && (text == "true" || text == "True")) v = 1, *static_cast<bool*>(place) = true;
      else if (to == DType::Bool && (text == "false" || text == "False")) *static_cast<bool*>(place) = false;
      else done(std::from_chars(first, last, v), &v, DType::I64);
    }
  }
}

void run_unique(Frame& f) {
  const Tensor all = as_contiguous(string_argument(f, 0));
  f.sizes_of_values();
  const bool sorted = f.flag(1);
  const int64_t n = all.numel();
  std::unordered_map<std::string_view, int64_t> found;
  std::vector<int64_t> firsts, numbers(static_cast<size_t>(n)), counts;
  for (int64_t i = 0; i < n; i++) {
    auto [at, fresh] = found.emplace(texts_of(all)[i], static_cast<int64_t>(firsts.size()));
    if (fresh) {
      firsts.push_back(i);
      counts.push_back(0);
    }
    numbers[static_cast<size_t>(i)] = at->second;
    counts[static_cast<size_t>(at->second)]++;
  }
  const int64_t m = static_cast<int64_t>(firsts.size());
  std::vector<int64_t> order(static_cast<size_t>(m)), place(static_cast<size_t>(m));
  for (int64_t i = 0; i < m; i++) order[static_cast<size_t>(i)] = i;
  auto text = [&](int64_t i) { return texts_of(all)[firsts[static_cast<size_t>(i)]]; };
  if (sorted) std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return text(a) < text(b); });
  for (int64_t i = 0; i < m; i++) place[static_cast<size_t>(order[static_cast<size_t>(i)])] = i;
  f.outs.resize(4);
  f.outs[0] = new_tensor(Dims{m}, DType::String);
  f.outs[1] = new_tensor(Dims{m}, DType::I64);
  f.outs[2] = new_tensor(Dims{n}, DType::I64);
  f.outs[3] = new_tensor(Dims{m}, DType::I64);
  for (int64_t i = 0; i < m; i++) {
    const int64_t k = order[static_cast<size_t>(i)];
    f.outs[0].data<std::string_view>()[i] = text(k);
    f.outs[1].data<int64_t>()[i] = firsts[static_cast<size_t>(k)];
    f.outs[3].data<int64_t>()[i] = counts[static_cast<size_t>(k)];
  }
  for (int64_t i = 0; i < n; i++)
    f.outs[2].data<int64_t>()[i] = place[static_cast<size_t>(numbers[static_cast<size_t>(i)])];
}
}  // namespace

constinit const Op string_concat_op{
    .schema = "string_concat(Tensor input, Tensor other) -> Tensor",
    .doc = "Each text of input followed by that of other.",
    .method = "none",
    .shape = concat_shape,
    .kernels = {KernelRow{"text", run_concat}},
    .derivative = none(no_gradient),
    .onnx = {{.map = "StringConcat(input, other)", .since = 20}},
    .netdef = none(no_netdef),
};
constinit const Op string_equal_op{
    .schema = "string_equal(Tensor input, Tensor other) -> Tensor",
    .doc = "Whether the texts are the same, as bool.",
    .method = "none",
    .shape = equal_shape,
    .kernels = {KernelRow{"text", run_equal}},
    .derivative = none(no_gradient),
    .onnx = none("written as Equal by an adapter"),
    .netdef = none(no_netdef),
};
constinit const Op string_where_op{
    .schema = "string_where(Tensor condition, Tensor input, Tensor other) -> Tensor",
    .doc = "Texts of input where condition holds, else of other.",
    .method = "none",
    .shape = where_shape,
    .kernels = {KernelRow{"text", run_where}},
    .derivative = none(no_gradient),
    .onnx = none("written as Where by an adapter"),
    .netdef = none(no_netdef),
};
constinit const Op string_case_op{
    .schema = "string_case(Tensor input, str to) -> Tensor",
    .doc = "The texts in case 'lower' or 'upper', by Unicode's simple rule.",
    .method = "none",
    .shape = same_shape,
    .kernels = {KernelRow{"text", run_case}},
    .derivative = none(no_gradient),
    .onnx = none(no_spelling),
    .netdef = none(no_netdef),
};
constinit const Op string_filter_op{
    .schema = "string_filter(Tensor input, Tensor stopwords, bool case_sensitive=True) -> Tensor",
    .doc = "The texts of input [n] or [1, n] that are no stopword; one empty text where none is left.",
    .method = "none",
    .view = run_filter,
    .derivative = none(no_gradient),
    .onnx = none(no_spelling),
    .netdef = none(no_netdef),
};
constinit const Op string_split_op{
    .schema =
        "string_split(Tensor input, str? delimiter=None, int? maxsplit=None) -> (Tensor parts, Tensor "
        "counts)",
    .doc =
        "The parts of each text, in a last dimension filled up with empty texts, and their number (int64). "
        "Without a "
        "delimiter runs of whitespace separate.",
    .method = "none",
    .view = run_split,
    .derivative = none(no_gradient),
    .onnx = none(no_spelling),
    .netdef = none(no_netdef),
};
constinit const Op string_match_op{
    .schema = "string_match(Tensor input, str pattern) -> Tensor",
    .doc = "Whether the regular expression, in RE2's syntax, matches each whole text.",
    .method = "none",
    .shape = match_shape,
    .kernels = {KernelRow{"text", run_match}},
    .derivative = none(no_gradient),
    .onnx = {{.map = "RegexFullMatch(input, pattern=pattern)", .since = 20}},
    .netdef = none(no_netdef),
};
constinit const Op string_format_op{
    .schema = "string_format(Tensor input) -> Tensor",
    .doc = "Numbers as texts: the shortest decimals that read back the same; NaN, INF and -INF.",
    .method = "none",
    .shape = format_shape,
    .kernels = {KernelRow{"text", run_format}},
    .derivative = none(no_gradient),
    .onnx = none("written as Cast by an adapter"),
    .netdef = none(no_netdef),
};
constinit const Op string_parse_op{
    .schema = "string_parse(Tensor input, DType dtype) -> Tensor",
    .doc = "The numbers that the texts spell; an error names the text that is none.",
    .method = "none",
    .shape = parse_shape,
    .kernels = {KernelRow{"text", run_parse}},
    .derivative = none(no_gradient),
    .onnx = none("written as Cast by an adapter"),
    .netdef = none(no_netdef),
};
constinit const Op string_unique_op{
    .schema =
        "string_unique(Tensor input, bool sorted=True) -> (Tensor values, Tensor first, Tensor inverse, "
        "Tensor counts)",
    .doc =
        "The texts that occur, the place of the first of each, for each element its number among them, and "
        "how often "
        "each occurs.",
    .method = "none",
    .view = run_unique,
    .derivative = none(no_gradient),
    .onnx = none("written as Unique by an adapter"),
    .netdef = none(no_netdef),
};

}  // namespace moka::ops

MOKA_OP_TABLE(strings, MOKA_STRINGS_OPS)
