// Reading and writing by indices with index_select, gather, scatter and where.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/rewriting.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Value;

namespace {

Any zero(DType type) { return Any(number_tensor(Any(int64_t(0)), type)); }

// Indices of one dimension spread over the sizes of `like`.
Term spread_index(const Rewriting& r, Value* index, int64_t dim, Value* like) {
  const int rank = spelling::rank(like);
  if (rank == 0) return r.call("reshape", {index, Dims{}});
  Dims sizes(static_cast<size_t>(rank), int64_t(1));
  sizes[static_cast<size_t>(wrap(dim, rank))] = -1;
  return r.call("expand", {r.call("reshape", {index, sizes}), r.list(r.sizes(like))});
}
Value* index_copy(const Rewriting& r) {
  int64_t dim;
  if (!r.integer("dim", dim) || !has_rank(r["source"])) return nullptr;
  return r.call("scatter", {r["input"], dim, spread_index(r, r["index"], dim, r["source"]), r["source"]});
}
Value* index_add(const Rewriting& r) {
  int64_t dim;
  if (!r.integer("dim", dim) || !has_rank(r["source"])) return nullptr;
  const Term source = r.is("alpha", 1) ? r.term("source") : r.call("mul", {r["source"], r["alpha"]});
  return r.call("scatter_add", {r["input"], dim, spread_index(r, r["index"], dim, r["source"]), source});
}
Value* index_add_zeros(const Rewriting& r) {
  DType type;
  if (!r.dtype(r["dy"], type)) return nullptr;
  const Term zeros = r.call("zeros", {r["shape"], named("dtype", type)});
  return r.call("index_add", {zeros, r["dim"], r["index"], r["dy"]});
}
Value* index_fill(const Rewriting& r) {
  int64_t dim;
  DType type;
  Dims index;
  const int rank = r.rank("input");
  if (rank < 1 || !r.integer("dim", dim) || !r.dtype(r["input"], type) || !fixed_sizes(r["index"], index))
    return nullptr;
  const Term flat = r.call("reshape", {r["index"], Dims{-1}});
  std::vector<Size> sizes = r.sizes(r["input"]);
  sizes[static_cast<size_t>(wrap(dim, rank))] = r.size(flat, 0);
  Value* value = r["value"];
  const Any* number = value->constant();
  if (number && number->arg().is_number()) value = r.constant_tensor(number_tensor(*number, type));
  const Term filler = r.call("expand", {r.cast(value, type), r.list(sizes)});
  return r.call("index_copy", {r["input"], dim, flat, filler});
}
// The part of `src` that the index covers.
Term covered(const Rewriting& r, Value* src, Value* index) {
  Term out = r.term(src);
  for (int d = 0; d < spelling::rank(index); d++) {
    const graph::Dim &a = index->type.dims[static_cast<size_t>(d)],
                     &b = src->type.dims[static_cast<size_t>(d)];
    if (!(a.fixed() && a == b))
      out = r.call("slice", {out, int64_t(d), int64_t(0), r.size(index, d).argument()});
  }
  return out;
}
Value* scatter(const Rewriting& r) {
  const bool adds = r.node.op_name() == "scatter_add";
  DType type;
  const int rank = r.rank("index");
  if (rank < 0 || !r.dtype(r["input"], type)) return nullptr;
  Value* src = r["src"];
  const Any* number = src->constant();
  if (number && number->arg().is_number())
    src = r.call("expand", {r.constant_tensor(number_tensor(*number, type)), r.list(r.sizes(r["index"]))});
  else if (spelling::rank(src) == 0 && rank > 0) src = r.call("expand", {src, r.list(r.sizes(r["index"]))});
  else if (spelling::rank(src) != rank) return nullptr;
  else src = covered(r, src, r["index"]);
  src = r.cast(src, type);
  if (src == r["src"]) return nullptr;
  return r.call(adds ? "scatter_add" : "scatter", {r["input"], r["dim"], r["index"], src});
}
// Numbers, counting which of them come from the source.
Value* masked_scatter(const Rewriting& r) {
  if (!has_rank(r["input"]) || !has_rank(r["mask"])) return nullptr;
  const Argument sizes = r.list(r.sizes(r["input"]));
  const Term mask = r.call("expand", {r["mask"], sizes});
  const Term flat = r.cast(r.call("reshape", {mask, Dims{-1}}), DType::I64);
  const Term place = r.call("clamp_min", {r.call("cumsum", {flat, int64_t(0)}) - 1.0, int64_t(0)});
  const Term source = r.call("reshape", {r["source"], Dims{-1}});
  const Term chosen = r.call("index_select", {source, int64_t(0), r.cast(place, DType::I64)});
  return r.call("where", {mask, r.call("reshape", {chosen, sizes}), r["input"]});
}
Value* one_hot(const Rewriting& r) {
  int64_t classes;
  if (!r.integer("num_classes", classes) || classes < 0 || r.rank("input") < 0) return nullptr;
  Dims numbers;
  for (int64_t i = 0; i < classes; i++) numbers.push_back(i);
  const Term equal = r.call("eq", {r.call("unsqueeze", {r["input"], int64_t(-1)}), r.constant_ints(numbers)});
  return r.cast(equal, DType::I64);
}
// Which bag an index is in: how many bags have begun.
std::vector<Value*> embedding_bag(const Rewriting& r) {
  Dims indices, offsets, weight;
  DType type;
  const std::string_view mode = r.text("mode");
  if (!fixed_sizes(r["indices"], indices) || indices.size() != 1 || !fixed_sizes(r["offsets"], offsets) ||
      !fixed_sizes(r["weight"], weight) || !r.dtype(r["weight"], type) || !r.node.output(1)->uses().empty())
    return {};
  const int64_t bags = offsets[0] - r.flag("include_last_offset");
  Dims places, numbers;
  for (int64_t i = 0; i < indices[0]; i++) places.push_back(i);
  for (int64_t i = 0; i < bags; i++) numbers.push_back(i);
  const Term starts = r.call("slice", {r["offsets"], int64_t(0), int64_t(0), bags});
  const Term begun =
      r.call("le", {r.call("unsqueeze", {starts, int64_t(1)}), r.cast(r.constant_ints(places), DType::I64)});
  const Term bag = r.call("sum", {r.cast(begun, DType::I64), Dims{0}}) - 1.0;
  Term inside =
      r.call("eq", {r.call("unsqueeze", {r.constant_ints(numbers), int64_t(1)}), r.cast(bag, DType::I64)});
  if (int64_t padding; r.integer("padding_idx", padding)) {
    padding = padding < 0 ? padding + weight[0] : padding;
    inside = r.call("logical_and", {inside, r.call("ne", {r["indices"], padding})});
  }
  Term rows = r.call("index_select", {r["weight"], int64_t(0), r["indices"]});
  if (!r.missing("per_sample_weights"))
    rows = rows * r.call("unsqueeze", {r["per_sample_weights"], int64_t(1)});
  const Term part = r.cast(inside, type);
  if (mode == "max") {
    const Term all =
        r.call("where", {r.call("unsqueeze", {inside, int64_t(2)}), r.call("unsqueeze", {rows, int64_t(0)}),
                         Any(number_tensor(Any(double(-INFINITY)), type))});
    const Term best = r.call("amax", {all, Dims{1}});
    const Term some = r.call("any", {inside, Dims{1}, true});
    return {r.call("where", {some, best, zero(type)}), nullptr};
  }
  const Term sum = r.call("matmul", {part, rows});
  if (mode == "sum") return {sum, nullptr};
  return {sum / r.call("clamp_min", {r.call("sum", {part, Dims{1}, true}), 1.0}), nullptr};
}

constexpr RuleEntry rules[] = {
    {"index_copy", index_copy},         {"index_add", index_add}, {"index_add_zeros", index_add_zeros},
    {"index_fill", index_fill},         {"scatter", scatter},     {"scatter_add", scatter},
    {"masked_scatter", masked_scatter}, {"one_hot", one_hot},     {"embedding_bag", nullptr, embedding_bag},
};

}  // namespace

std::span<const RuleEntry> indexing_rules() { return rules; }

}  // namespace moka::spelling
