// Tables of keys, and counts of n-grams.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/strings/strings.h"
#include "moka/ops/strings/text.h"
#include "moka/tensor/strings.h"

namespace moka::ops {

namespace {

void lookup_shape(Frame& f) {
  const Tensor &x = tensor_argument(f, 0), &keys = tensor_argument(f, 1), &values = tensor_argument(f, 2),
               &otherwise = tensor_argument(f, 3);
  check_same_dtype(f, 0, 1);
  check_same_dtype(f, 2, 3);
  MOKA_CHECK(keys.dim() == 1 && values.dim() == 1 && keys.size(0) == values.size(0), f.name(),
             ": as many keys as values were expected, got shapes ", keys.sizes(), " and ", values.sizes());
  MOKA_CHECK(otherwise.numel() == 1, f.name(), ": 'otherwise' must have one element, got shape ",
             otherwise.sizes());
  f.output(0, x.sizes(), values.dtype());
}

// Places of values, by key; the first of equal keys. NaN is a key like others.
template <class Key, class At>
void find_places(int64_t keys, int64_t count, const At& key, const At& wanted, int64_t* out) {
  std::unordered_map<Key, int64_t> table;
  table.reserve(static_cast<size_t>(keys));
  for (int64_t i = 0; i < keys; i++) table.emplace(key(i), i);
  for (int64_t i = 0; i < count; i++) {
    const auto at = table.find(wanted(i));
    out[i] = at == table.end() ? keys : at->second;
  }
}

void run_lookup(Frame& f) {
  const Tensor x = as_contiguous(f.tensor(0)), keys = as_contiguous(f.tensor(1)),
               values = as_contiguous(f.tensor(2)), otherwise = as_contiguous(f.tensor(3));
  std::vector<int64_t> places(static_cast<size_t>(x.numel()));
  const int64_t n = keys.numel();
  if (x.dtype() == DType::String) {
    using At = std::function<std::string_view(int64_t)>;
    find_places<std::string_view>(n, x.numel(), At([&](int64_t i) { return texts_of(keys)[i]; }),
                                  At([&](int64_t i) { return texts_of(x)[i]; }), places.data());
  } else {
    const bool floating = is_floating(x.dtype());
    auto bits = [floating](const Tensor& t, int64_t i) {
      if (!floating) return element_as_int(t, i);
      const double v = element_as_double(t, i);
      return std::bit_cast<int64_t>(std::isnan(v) ? std::nan("") : v == 0 ? 0.0 : v);
    };
    using At = std::function<int64_t(int64_t)>;
    find_places<int64_t>(n, x.numel(), At([&](int64_t i) { return bits(keys, i); }),
                         At([&](int64_t i) { return bits(x, i); }), places.data());
  }
  const size_t item = item_size(values.dtype());
  const char *from = n ? static_cast<const char*>(values.raw_data()) : nullptr,
             *rest = static_cast<const char*>(otherwise.raw_data());
  char* to = x.numel() ? static_cast<char*>(f.outs[0].raw_data()) : nullptr;
  for (size_t i = 0; i < places.size(); i++)
    std::memcpy(to + i * item, places[i] == n ? rest : from + static_cast<size_t>(places[i]) * item, item);
}

// A tree of n-grams: children by item; the number of the n-gram that ends here.
struct Gram {
  std::map<int64_t, int> next;
  int64_t number = -1;
};

void ngram_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK_KIND(Type, is_integral(x.dtype()), f.name(), ": 'input' must hold integers, got ", x.dtype());
  MOKA_CHECK(x.dim() == 1 || x.dim() == 2, f.name(), ": 'input' must have shape [n] or [batch, n], got ",
             x.sizes());
  int64_t width = 0;
  for (int64_t i : f.ints(3)) {
    MOKA_CHECK_KIND(Value, i >= 0 && i < (int64_t(1) << 31), f.name(), ": place ", i,
                    " of an n-gram is out of range");
    width = std::max(width, i + 1);
  }
  f.output(0, x.dim() == 1 ? Dims{width} : Dims{x.size(0), width}, DType::F32);
}

void run_ngrams(Frame& f) {
  const std::span<const int64_t> pool = f.ints(1), starts = f.ints(2), indexes = f.ints(3);
  const int64_t least = f.integer(4), most = f.integer(5), skips = f.integer(6);
  MOKA_CHECK_KIND(Value, least >= 1 && most >= least && skips >= 0, f.name(), ": lengths from ", least,
                  " to ", most, " with ", skips, " skips are no n-grams");
  std::vector<Gram> tree(1);
  int64_t number = 0;
  const int64_t total = static_cast<int64_t>(pool.size());
  for (size_t k = 0; k < starts.size(); k++) {
    const int64_t from = starts[k], end = k + 1 < starts.size() ? starts[k + 1] : total,
                  length = static_cast<int64_t>(k) + 1;
    MOKA_CHECK_KIND(Value, from >= 0 && from <= end && end <= total && (end - from) % length == 0, f.name(),
                    ": the ", length, "-grams from ", from, " to ", end, " do not fit a pool of ", total);
    for (int64_t at = from; at < end; at += length, number++) {
      if (length < least || length > most) continue;
      int node = 0;
      for (int64_t i = at; i < at + length; i++) {
        auto [next, fresh] = tree[static_cast<size_t>(node)].next.emplace(pool[static_cast<size_t>(i)],
                                                                          static_cast<int>(tree.size()));
        node = next->second;
        if (fresh) tree.emplace_back();
      }
      tree[static_cast<size_t>(node)].number = number;
    }
  }
  MOKA_CHECK_KIND(Value, number <= static_cast<int64_t>(indexes.size()), f.name(), ": ", number,
                  " n-grams have ", indexes.size(), " places");
  const Tensor x = to_dtype(f.tensor(0), DType::I64);
  const Tensor& out = f.outs[0];
  const int64_t rows = x.dim() == 1 ? 1 : x.size(0), n = x.size(-1), width = out.size(-1);
  if (out.numel()) std::memset(out.raw_data(), 0, out.bytes());
  if (n == 0 || width == 0) return;
  for (int64_t r = 0; r < rows; r++) {
    const int64_t* row = x.data<int64_t>() + r * n;
    float* to = out.data<float>() + r * width;
    // Single items have no distance: they count once, whatever the skips.
    for (int64_t distance = 1; distance <= std::min(skips + 1, n); distance++)
      for (int64_t start = 0; start < n; start++) {
        int node = 0;
        int64_t length = 1;
        for (int64_t i = start; i < n && length <= most; i += distance, length++) {
          const auto& next = tree[static_cast<size_t>(node)].next;
          const auto found = next.find(row[i]);
          if (found == next.end()) break;
          node = found->second;
          const int64_t hit = tree[static_cast<size_t>(node)].number;
          if (hit >= 0 && (distance == 1 || length > 1)) to[indexes[static_cast<size_t>(hit)]] += 1;
        }
      }
  }
}
}  // namespace

constinit const Op lookup_op{
    .schema = "lookup(Tensor input, Tensor keys, Tensor values, Tensor otherwise) -> Tensor",
    .doc =
        "For each element the value [n] whose key [n] it equals, else `otherwise`; keys may be strings, "
        "integers or "
        "floats.",
    .method = "none",
    .shape = lookup_shape,
    .kernels = {KernelRow{"hash", run_lookup}},
    .derivative = none("it compares elements"),
    .onnx = none("written as LabelEncoder by an adapter"),
    .netdef = none("NetDefs have no such operator"),
};
constinit const Op ngram_counts_op{
    .schema =
        "ngram_counts(Tensor input, int[] pool, int[] starts, int[] places, int least=1, int most=1, int "
        "skips=0) -> "
        "Tensor",
    .doc =
        "How often each n-gram of the pool occurs in input [n] or [batch, n], as float32. The 1-grams of the "
        "pool begin at "
        "starts[0], the 2-grams at starts[1], and so on; n-gram i is counted at places[i]. Its items may lie "
        "up to skips "
        "apart, always by the same distance.",
    .method = "none",
    .shape = ngram_shape,
    .kernels = {KernelRow{"tree", run_ngrams}},
    .derivative = none("it compares integers"),
    .onnx = none("written as TfIdfVectorizer by an adapter"),
    .netdef = none("NetDefs have no such operator"),
};

}  // namespace moka::ops
