// Adapters of operators on strings.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/running_internal.h"
#include "moka/tensor/strings.h"

namespace moka::onnx {

using graph::Value;

Tensor string_tensor(const Any& list, std::string_view what) {
  if (list.is_none()) return new_tensor(Dims{0}, DType::String);
  if (list.tag() != Tag::List)
    fail_kind(ErrorKind::File, "attribute '", what, "' is ", list, ", strings were expected");
  const std::span<const Any> all = list.list();
  Tensor out = new_tensor(Dims{static_cast<int64_t>(all.size())}, DType::String);
  TextWriter to(out);
  for (size_t i = 0; i < all.size(); i++) to.set(static_cast<int64_t>(i), all[i].string());
  return out;
}

Tensor string_tensor(std::string_view text) {
  Tensor out = new_tensor({}, DType::String);
  TextWriter(out).set(0, text);
  return out;
}

bool holds_strings(Value* v) {
  DType dtype;
  return spelling::has_dtype(v, &dtype) && dtype == DType::String;
}

namespace {

bool normalizer(NodeReader& n) {
  Value* x = n[0];
  const int rank = rank_of(x, "the input");
  const std::string_view action = n.text("case_change_action", "NONE");
  MOKA_CHECK_KIND(File, action == "NONE" || action == "LOWER" || action == "UPPER", "case_change_action '",
                  action, "' does not exist");
  if (const Any* words = n.attribute("stopwords"); words && !words->is_none())
    x = promise(n.call("string_filter", {x, n.build.constant(Any(string_tensor(*words, "stopwords"))),
                                         n.integer("is_case_sensitive", 0) != 0}),
                DType::String, rank);
  if (action != "NONE") x = n.call("string_case", {x, action == "LOWER" ? "lower" : "upper"});
  n.out(promise(x, DType::String, rank));
  return true;
}

bool split(NodeReader& n) {
  const std::string_view delimiter = n.text("delimiter", "");
  const int64_t most = n.integer("maxsplit", -1);
  MOKA_CHECK_KIND(File, !n.attribute("maxsplit") || most >= 0, "maxsplit ", most, " is negative");
  const std::vector<spelling::Argument> args{
      n[0], delimiter.empty() ? spelling::Argument(Any()) : spelling::Argument(Any(delimiter)),
      most < 0 ? spelling::Argument(Any()) : spelling::Argument(most)};
  const std::vector<Value*> both = n.build.call_all("string_split", args);
  if (const int rank = spelling::rank(n[0]); rank >= 0) {
    promise(both[0], DType::String, rank + 1);
    promise(both[1], DType::I64, rank);
  }
  n.out(both[0]);
  n.out(both[1], 1);
  return true;
}

bool equal(NodeReader& n) {
  if (!holds_strings(n[0])) return false;
  n.out(n.call("string_equal", {n[0], n[1]}));
  return true;
}

bool where(NodeReader& n) {
  if (!holds_strings(n[1])) return false;
  n.out(n.call("string_where", {n[0], n[1], n[2]}));
  return true;
}

bool unique(NodeReader& n) {
  if (!holds_strings(n[0])) return false;
  MOKA_CHECK_KIND(NotImplemented, !n.attribute("axis") || rank_of(n[0], "the input") == 1,
                  "rows of strings are not compared, only single strings (without 'axis')");
  Value* x = n.call("reshape", {n[0], Dims{-1}});
  const std::vector<spelling::Argument> args{x, n.integer("sorted", 1) != 0};
  const std::vector<Value*> all = n.build.call_all("string_unique", args);
  for (int i = 0; i < 4; i++)
    n.out(promise(all[static_cast<size_t>(i)], i ? DType::I64 : DType::String, 1), i);
  return true;
}

// Strings become numbers by their place in the pool first.
bool n_grams(NodeReader& n) {
  const auto starts = n.ints("ngram_counts"), places = n.ints("ngram_indexes");
  MOKA_CHECK_KIND(File, starts && places, "ngram_counts and ngram_indexes are needed");
  const std::string_view mode = n.text("mode", "");
  MOKA_CHECK_KIND(File, mode == "TF" || mode == "IDF" || mode == "TFIDF", "mode '", mode, "' does not exist");
  Value* x = n[0];
  Dims pool;
  if (const Any* words = n.attribute("pool_strings"); words && !words->is_none()) {
    const Tensor texts = string_tensor(*words, "pool_strings");
    const int64_t count = texts.numel();
    std::map<std::string_view, int64_t> numbers;
    for (int64_t i = 0; i < count; i++) pool.push_back(numbers.emplace(texts_of(texts)[i], i).first->second);
    x = n.call("lookup", {x, n.build.constant(Any(texts)), n.build.constant(Any(spelling::ints_tensor(pool))),
                          n.build.constant(Any(spelling::number_tensor(Any(int64_t(-1)), DType::I64)))});
    if (spelling::rank(n[0]) >= 0) promise(x, DType::I64, spelling::rank(n[0]));
  } else {
    const auto given = n.ints("pool_int64s");
    MOKA_CHECK_KIND(File, given, "one of pool_strings and pool_int64s is needed");
    pool = *given;
  }
  Value* y = n.call("ngram_counts", {x, pool, *starts, *places, n.integer("min_gram_length", 1),
                                     n.integer("max_gram_length", 1), n.integer("max_skip_count", 0)});
  if (mode != "TF") {
    Value* weights = nullptr;
    if (const Any* given = n.attribute("weights"); given && given->tag() == Tag::Floats) {
      const std::span<const double> all = given->arg().as_floats();
      MOKA_CHECK_KIND(File, all.size() == places->size(), all.size(), " weights were given for ",
                      places->size(), " n-grams");
      // Weights are those of n-grams; the columns are where n-grams are counted.
      int64_t width = 0;
      for (int64_t p : *places) width = std::max(width, p + 1);
      MOKA_CHECK_KIND(File, width > 0 && width <= (int64_t(1) << 30), "ngram_indexes are out of range");
      Tensor t = new_tensor(Dims{width}, DType::F32);
      std::fill_n(t.data<float>(), width, 1.0f);
      for (size_t i = 0; i < all.size(); i++)
        if ((*places)[i] >= 0) t.data<float>()[(*places)[i]] = static_cast<float>(all[i]);
      weights = n.build.constant(Any(t));
    }
    if (mode == "IDF") y = n.call("to", {n.call("gt", {y, 0.0}), DType::F32});
    if (weights) y = n.call("mul", {y, weights});
  }
  n.out(y);
  return true;
}

constexpr Adapter table[] = {
    {"StringNormalizer", 10, 0, normalizer},
    {"StringSplit", 20, 0, split},
    {"Equal", 19, 0, equal},
    {"Where", 9, 0, where},
    {"Unique", 11, 0, unique},
    {"TfIdfVectorizer", 9, 0, n_grams},
};

}  // namespace

std::span<const Adapter> string_adapters() { return table; }

}  // namespace moka::onnx
