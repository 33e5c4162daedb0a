// Reductions, scans, order statistics and losses written with sums, extrema and sorting.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/rewriting.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Value;
using Results = std::vector<Value*>;

namespace {

Value* largest(const Rewriting& r) { return r.call("amax", {r["input"]}); }
Value* smallest(const Rewriting& r) { return r.call("amin", {r["input"]}); }
Value* larger(const Rewriting& r) { return r.call("maximum", {r["input"], r["other"]}); }
Value* smaller(const Rewriting& r) { return r.call("minimum", {r["input"], r["other"]}); }
Value* log_softmax(const Rewriting& r) {
  return r.call("log", {r.call("softmax", {r["input"], r["dim"], r["dtype"]})});
}
// Of the type that was asked for, or of one element.
Value* softmax(const Rewriting& r) {
  const Any* type = r.constant("dtype");
  const std::string_view name = r.node.op_name();
  if (type && type->tag() == Tag::DType) return r.call(name, {r.cast(r["input"], type->dtype()), r["dim"]});
  if (r.rank("input") != 0) return nullptr;
  return r.call("reshape", {r.call(name, {r.call("reshape", {r["input"], Dims{1}}), int64_t(0)}), Dims{}});
}

// The dimensions that are reduced; all where none are given.
bool reduced_dims(const Rewriting& r, Dims& dims) {
  const int rank = r.rank("input");
  if (rank < 0 || !r.constant("dim")) return false;
  if (!r.missing("dim") && !r.ints("dim", dims)) return false;
  if (dims.empty())
    for (int d = 0; d < rank; d++) dims.push_back(d);
  for (int64_t& d : dims) d = wrap(d, rank);
  return true;
}
// How many elements go into one result, as a number or a value.
Size count_of(const Rewriting& r, Value* x, const Dims& dims) {
  Size count = 1;
  for (int64_t d : dims) count = r.times(count, r.size(x, d));
  return count;
}
Term divided(const Rewriting& r, Term sum, Size count, double correction) {
  DType type;
  if (!count.value) return sum / std::max(0.0, static_cast<double>(count.number) - correction);
  if (!r.dtype(sum, type)) return {};
  const Term n = r.cast(r.builtin("tensor", {count.value}), type);
  return sum / r.call("clamp_min", {n - correction, 0.0});
}
Results variance_and_mean(const Rewriting& r) {
  Dims dims;
  DType type;
  if (!reduced_dims(r, dims) || !r.constant("correction") || !r.dtype(r["input"], type) || !is_floating(type))
    return {};
  const double correction = r.number("correction", 1);
  const bool keep = r.flag("keepdim");
  const Term x = r.term("input");
  const Term mean = r.call("mean", {x, dims, true});
  const Term apart = x - mean;
  const Term sum = r.call("sum", {apart * apart, dims, keep});
  const Term var = divided(r, sum, count_of(r, x, dims), correction);
  if (!var.value) return {};
  return {var, keep ? mean.value : r.squeezed(mean, dims).value};
}
Value* variance(const Rewriting& r) {
  const Results both = variance_and_mean(r);
  return both.empty() ? nullptr : both[0];
}

Value* any_or_all(const Rewriting& r, bool any) {
  DType type;
  if (!r.dtype(r["input"], type)) return nullptr;
  Value* truth = type == DType::Bool ? r["input"]
                                     : r.call("ne", {r["input"], Any(number_tensor(Any(int64_t(0)), type))});
  DType wanted;
  if (!r.dtype(r.node.output(), wanted)) return nullptr;
  // None of them says yes, or none no: also right where there are no elements.
  if (!any) truth = r.call("logical_not", {truth});
  const Term count = r.call("sum", {r.cast(truth, DType::I32), r["dim"], r["keepdim"], DType::I32});
  return r.cast(r.call(any ? "gt" : "eq", {count, int64_t(0)}), wanted);
}
Value* any(const Rewriting& r) { return any_or_all(r, true); }
Value* all(const Rewriting& r) { return any_or_all(r, false); }

Results extremum_of_dim(const Rewriting& r) {
  const bool most = r.node.op_name() == "max.dim";
  int64_t dim;
  if (!r.integer("dim", dim)) return {};
  if (r.rank("input") == 0)
    return {r["input"], r.constant_tensor(number_tensor(Any(int64_t(0)), DType::I64))};
  return {r.call(most ? "amax" : "amin", {r["input"], Dims{dim}, r["keepdim"]}),
          r.call(most ? "argmax" : "argmin", {r["input"], dim, r["keepdim"]})};
}
Results smallest_and_largest(const Rewriting& r) {
  return {r.call("amin", {r["input"], r["dim"], r["keepdim"]}),
          r.call("amax", {r["input"], r["dim"], r["keepdim"]})};
}

// ---- order

Results sort(const Rewriting& r) {
  int64_t dim;
  const int rank = r.rank("input");
  if (rank < 0 || !r.integer("dim", dim)) return {};
  if (rank == 0) return {r["input"], r.constant_tensor(number_tensor(Any(int64_t(0)), DType::I64))};
  const Size count = r.size(r["input"], dim);
  return r.call_all("topk", {r["input"], count.argument(), dim, r["descending"], true});
}
Term one_of(const Rewriting& r, Value* sorted, int64_t dim, Argument place, bool keep) {
  const Term one = r.call("index_select", {sorted, dim, place});
  return keep ? one : r.call("squeeze.dim", {one, Dims{dim}});
}
Results kth_value(const Rewriting& r) {
  int64_t k, dim;
  if (!r.integer("k", k) || !r.integer("dim", dim) || r.rank("input") < 1) return {};
  const Results smallest = r.call_all("topk", {r["input"], k, dim, false, true});
  const Dims place{k - 1};
  return {one_of(r, smallest[0], dim, r.constant_ints(place), r.flag("keepdim")),
          one_of(r, smallest[1], dim, r.constant_ints(place), r.flag("keepdim"))};
}
// The lower of the two in the middle; NaN where one is among them.
Results median_along(const Rewriting& r, Value* x, int64_t dim, bool keep) {
  const graph::Dim& d = x->type.dims[static_cast<size_t>(wrap(dim, spelling::rank(x)))];
  DType type;
  if (!d.fixed() || d.size == 0 || !r.dtype(x, type)) return {};
  const Results sorted = r.call_all("topk", {x, (d.size + 1) / 2, dim, false, true});
  const Dims place{(d.size - 1) / 2};
  Results out;
  for (Value* v : sorted) out.push_back(one_of(r, v, dim, r.constant_ints(place), keep));
  if (!is_floating(type)) return out;
  const Term lost = r.call("isnan", {x});
  const Term some = r.call("any", {lost, Dims{dim}, keep});
  out[0] = r.call("where", {some, Any(number_tensor(Any(double(NAN)), type)), out[0]});
  out[1] = r.call("where", {some, r.call("argmax", {r.cast(lost, DType::I32), dim, keep}), out[1]});
  return out;
}
Results median_of_dim(const Rewriting& r) {
  int64_t dim;
  if (!r.integer("dim", dim) || r.rank("input") < 1) return {};
  return median_along(r, r["input"], dim, r.flag("keepdim"));
}
Value* median(const Rewriting& r) {
  if (!has_rank(r["input"])) return nullptr;
  const Results out = median_along(r, r.call("reshape", {r["input"], Dims{-1}}), 0, false);
  return out.empty() ? nullptr : out[0];
}
Value* argsort(const Rewriting& r) {
  return r.call_all("sort", {r["input"], r["dim"], r["descending"], r["stable"]})[1];
}

// ---- running reductions: all beginnings of a dimension side by side, then a plain reduction

// x along `dim` as [..., n, n]: row i holds elements 0 to i, and `filler` after them.
bool beginnings(const Rewriting& r, Value* x, int64_t dim, double filler, Term& out) {
  const int rank = spelling::rank(x);
  DType type;
  if (rank < 1 || !r.dtype(x, type)) return false;
  const graph::Dim& d = x->type.dims[static_cast<size_t>(wrap(dim, rank))];
  if (!d.fixed() || d.size > 4096) return false;
  const int64_t shape[] = {d.size, d.size};
  Tensor past = new_tensor(shape, DType::Bool);
  for (int64_t i = 0; i < d.size; i++)
    for (int64_t j = 0; j < d.size; j++) static_cast<uint8_t*>(past.raw_data())[i * d.size + j] = j <= i;
  const Term rows = r.call("unsqueeze", {r.dim_last(x, dim), int64_t(-2)});
  out = r.call("where", {r.constant_tensor(past), rows, Any(number_tensor(Any(filler), type))});
  return true;
}
Value* running_product(const Rewriting& r) {
  int64_t dim;
  Term all;
  DType type;
  if (!r.integer("dim", dim) || !r.dtype(r.node.output(), type)) return nullptr;
  if (r.rank("input") == 0) return r.cast(r["input"], type);
  if (!beginnings(r, r.cast(r["input"], type), dim, 1, all)) return nullptr;
  return r.last_to(r.call("prod", {all, Dims{-1}}), dim);
}
Value* running_sum(const Rewriting& r) {
  DType type, have;
  if (!r.dtype(r.node.output(), type) || !r.dtype(r["input"], have)) return nullptr;
  if (r.rank("input") == 0) return r.cast(r["input"], type);
  if (have != type) return r.call("cumsum", {r.cast(r["input"], type), r["dim"]});
  int64_t dim;
  Term all;
  if (!r.integer("dim", dim) || !beginnings(r, r["input"], dim, 0, all)) return nullptr;
  return r.last_to(r.call("sum", {all, Dims{-1}}), dim);
}
Value* running_logsumexp(const Rewriting& r) {
  int64_t dim;
  Term all;
  if (r.rank("input") == 0) return r["input"];
  if (!r.integer("dim", dim) || !beginnings(r, r["input"], dim, -INFINITY, all)) return nullptr;
  return r.last_to(r.call("logsumexp", {all, Dims{-1}}), dim);
}
// The last of equal extrema counts.
Results running_extremum(const Rewriting& r) {
  const bool most = r.node.op_name() == "cummax";
  int64_t dim;
  DType type;
  Term all;
  if (!r.integer("dim", dim) || !r.dtype(r["input"], type) || !is_floating(type)) return {};
  if (r.rank("input") == 0)
    return {r["input"], r.constant_tensor(number_tensor(Any(int64_t(0)), DType::I64))};
  if (!beginnings(r, r["input"], dim, most ? -INFINITY : INFINITY, all)) return {};
  const Term best = r.call(most ? "amax" : "amin", {all, Dims{-1}, true});
  const int64_t n = r["input"]->type.dims[static_cast<size_t>(wrap(dim, r.rank("input")))].size;
  Dims places;
  for (int64_t i = 0; i < n; i++) places.push_back(i);
  // An equal element that lies in the past.
  const Term equal = r.call("eq", {all, best});
  const Term past =
      r.call("le", {r.constant_ints(places), r.call("unsqueeze", {r.constant_ints(places), int64_t(-1)})});
  const Term here = r.call("where", {r.call("logical_and", {equal, past}), r.constant_ints(places),
                                     Any(number_tensor(Any(int64_t(-1)), DType::I64))});
  return {r.last_to(r.call("squeeze.dim", {best, Dims{-1}}), dim),
          r.last_to(r.call("amax", {here, Dims{-1}}), dim)};
}

// ---- counting and distances

Value* searchsorted(const Rewriting& r) {
  const bool buckets = r.node.op_name() == "bucketize";
  Value* sorted = r[buckets ? "boundaries" : "sorted_sequence"];
  Value* values = r["input"];
  if (!has_rank(sorted) || !has_dtype(values) || !has_rank(values)) return nullptr;
  if (!buckets && !r.missing("sorter")) return nullptr;
  const bool right = r.flag("right") || (!buckets && r.text("side") == "right");
  const int rank = spelling::rank(sorted);
  const Term rows = rank > 1 ? r.call("unsqueeze", {sorted, int64_t(-2)}) : r.term(sorted);
  const Term below = r.call(right ? "le" : "lt", {rows, r.call("unsqueeze", {values, int64_t(-1)})});
  const DType type = r.flag("out_int32") ? DType::I32 : DType::I64;
  return r.call("sum", {r.cast(below, type), Dims{-1}, false, type});
}
Value* isin(const Rewriting& r) {
  if (!has_rank(r["elements"]) || !has_rank(r["test_elements"])) return nullptr;
  const Term tests = r.call("reshape", {r["test_elements"], Dims{-1}});
  const Term equal = r.call("eq", {r.call("unsqueeze", {r["elements"], int64_t(-1)}), tests});
  const Term found = r.call("any", {equal, Dims{-1}});
  return r.flag("invert") ? r.call("logical_not", {found}) : found;
}
Value* trace(const Rewriting& r) { return r.call("sum", {r.call("diagonal", {r["input"]})}); }
Term distance(const Rewriting& r, Term difference, double p) {
  const Term size = r.call("abs", {difference});
  const Dims last{-1};
  DType type;
  if (!r.dtype(size, type)) return {};
  if (p == 0) return r.call("sum", {r.cast(r.call("ne", {size, 0.0}), type), last});
  if (p == 1) return r.call("sum", {size, last});
  if (p == 2) return r.call("sqrt", {r.call("sum", {size * size, last})});
  if (std::isinf(p)) return r.call("amax", {size, last});
  return r.call("pow", {r.call("sum", {r.call("pow", {size, p}), last}), 1 / p});
}
Value* cdist(const Rewriting& r) {
  if (!r.constant("p")) return nullptr;
  const Term a = r.call("unsqueeze", {r["x1"], int64_t(-2)}), b = r.call("unsqueeze", {r["x2"], int64_t(-3)});
  return distance(r, a - b, r.number("p"));
}
Value* pdist(const Rewriting& r) {
  Dims sizes;
  if (!fixed_sizes(r["input"], sizes) || sizes.size() != 2 || !r.constant("p")) return nullptr;
  Dims first, second;
  for (int64_t i = 0; i < sizes[0]; i++)
    for (int64_t j = i + 1; j < sizes[0]; j++) first.push_back(i), second.push_back(j);
  return distance(r, r.select(r["input"], 0, first) - r.select(r["input"], 0, second), r.number("p"));
}
Value* histogram(const Rewriting& r) {
  int64_t bins;
  DType type;
  if (!r.integer("bins", bins) || !r.constant("min") || !r.constant("max") || !r.dtype(r["input"], type) ||
      !is_floating(type))
    return nullptr;
  const Term x = r.call("reshape", {r["input"], Dims{-1}});
  const bool open = r.number("min") == r.number("max");  // then the values' own ends
  Term low = open ? r.call("amin", {x}) : r.constant_tensor(number_tensor(Any(r.number("min")), type));
  Term high = open ? r.call("amax", {x}) : r.constant_tensor(number_tensor(Any(r.number("max")), type));
  if (open) {  // equal values lie in the middle of a range of 2
    const Term equal = r.cast(r.call("eq", {low, high}), type);
    low = low - equal;
    high = high + equal;
  }
  const Term place = r.call("floor", {(x - low) * static_cast<double>(bins) / (high - low)});
  const Term last = r.call("minimum", {place, static_cast<double>(bins - 1)});
  const Term inside = r.call("logical_and", {r.call("ge", {x, low}), r.call("le", {x, high})});
  Dims numbers;
  for (int64_t i = 0; i < bins; i++) numbers.push_back(i);
  const Term equal =
      r.call("eq", {r.call("unsqueeze", {last, int64_t(0)}),
                    r.call("unsqueeze", {r.cast(r.constant_ints(numbers), type), int64_t(1)})});
  return r.call(
      "sum",
      {r.cast(r.call("logical_and", {equal, r.call("unsqueeze", {inside, int64_t(0)})}), type), Dims{1}});
}

// ---- determinants

Results sign_and_logarithm(const Rewriting& r) {
  if (r.node.outputs().size() != 2) return {};
  const Term det = r.call("linalg_det", {r["A"]});
  return {r.call("sign", {det}), r.call("log", {r.call("abs", {det})})};
}
Value* logdet(const Rewriting& r) { return r.call("log", {r.call("linalg_det", {r.node.input(0)})}); }

// ---- losses

Value* reduced(const Rewriting& r, Value* x, std::string_view how) {
  if (how == "mean") return r.call("mean", {x});
  if (how == "sum") return r.call("sum", {x});
  return how == "none" ? x : nullptr;
}
Value* reduce_loss(const Rewriting& r) { return reduced(r, r["input"], r.text("reduction")); }
// (1 - t) x + (1 + (w - 1) t) log(1 + exp(-x))
Value* binary_cross_entropy_with_logits(const Rewriting& r) {
  const Term x = r.term("input"), t = r.term("target");
  const Term tail = r.call("log1p", {r.call("exp", {r.call("neg", {r.call("abs", {x})})})});
  Term soft = tail + r.call("clamp_min", {r.call("neg", {x}), 0.0});
  if (!r.missing("pos_weight")) soft = soft * (t * (r.term("pos_weight") - 1.0) + 1.0);
  Term loss = r.call("sub", {1.0, t}) * x + soft;
  if (!r.missing("weight")) loss = loss * r.term("weight");
  return reduced(r, loss, r.text("reduction"));
}
// Of one row: a batch of one.
Value* nll_loss(const Rewriting& r) {
  if (r.rank("input") != 1) return nullptr;
  const Term loss = r.call("nll_loss", {r.call("unsqueeze", {r["input"], int64_t(0)}),
                                        r.call("unsqueeze", {r["target"], int64_t(0)}), r["weight"],
                                        r["ignore_index"], r["reduction"]});
  return r.text("reduction") == "none" ? r.call("squeeze.dim", {loss, Dims{0}}) : loss;
}
Term along_classes(const Rewriting& r, Value* weight, int rank) {
  Dims sizes(static_cast<size_t>(rank), int64_t(1));
  sizes[rank > 1 ? 1 : 0] = -1;
  return r.call("reshape", {weight, sizes});
}
Value* cross_entropy(const Rewriting& r) {
  const int rank = r.rank("input");
  DType target_type, type;
  if (rank < 1 || !r.dtype(r["target"], target_type) || !r.dtype(r["input"], type)) return nullptr;
  const int64_t dim = rank > 1 ? 1 : 0;
  const graph::Dim& classes = r["input"]->type.dims[static_cast<size_t>(dim)];
  const double smoothing = r.number("label_smoothing");
  const std::string_view how = r.text("reduction");
  const Term logs = r.call("log_softmax", {r["input"], dim});
  const bool weighted = !r.missing("weight");
  if (is_floating(target_type)) {  // the target holds probabilities
    if (!classes.fixed()) return nullptr;
    Term t = r.term("target");
    if (smoothing != 0) t = t * (1 - smoothing) + smoothing / static_cast<double>(classes.size);
    Term each = t * logs;
    if (weighted) each = each * along_classes(r, r["weight"], rank);
    const Term loss = r.call("neg", {r.call("sum", {each, Dims{dim}})});
    if (how != "mean" || rank == 1) return how == "none" ? loss : r.call("sum", {loss}).value;
    return divided(r, r.call("sum", {loss}),
                   r.times(count_of(r, loss, Dims{}), count_of(r, loss,
                                                               [&] {
                                                                 Dims d;
                                                                 for (int i = 0; i < spelling::rank(loss);
                                                                      i++)
                                                                   d.push_back(i);
                                                                 return d;
                                                               }())),
                   0);
  }
  if (smoothing == 0)
    return r.call("nll_loss", {logs, r["target"], r["weight"], r["ignore_index"], r["reduction"]});
  int64_t ignored;
  if (!classes.fixed() || !r.integer("ignore_index", ignored)) return nullptr;
  const Term hard =
      r.call("nll_loss", {logs, r["target"], r["weight"], ignored, how == "mean" ? "sum" : Any(how)});
  const Term spread = weighted ? logs * along_classes(r, r["weight"], rank) : logs;
  const Term kept = r.call("ne", {r["target"], ignored});
  const Term zero = r.constant_tensor(number_tensor(Any(0.0), type));
  Term soft = r.call("where", {kept, r.call("neg", {r.call("sum", {spread, Dims{dim}})}), zero});
  const double part = smoothing / static_cast<double>(classes.size);
  if (how == "none") return hard * (1 - smoothing) + soft * part;
  const Term sum = hard * (1 - smoothing) + r.call("sum", {soft}) * part;
  if (how == "sum") return sum;
  Term weight = r.cast(kept, type);
  if (weighted) {
    const Term safe = r.call("where", {kept, r["target"], Any(number_tensor(Any(int64_t(0)), target_type))});
    weight = weight *
             r.call("reshape",
                    {r.call("index_select", {r["weight"], int64_t(0), r.call("reshape", {safe, Dims{-1}})}),
                     r.list(r.sizes(r["target"]))});
  }
  return sum / r.call("sum", {weight});
}

constexpr RuleEntry rules[] = {
    {"max", largest},
    {"min", smallest},
    {"max.other", larger},
    {"min.other", smaller},
    {"softmax", softmax},
    {"log_softmax",
     [](const Rewriting& r) {
       Value* v = softmax(r);
       return v ? v : log_softmax(r);
     }},
    {"var", variance},
    {"var_mean", nullptr, variance_and_mean},
    {"any", any},
    {"all", all},
    {"max.dim", nullptr, extremum_of_dim},
    {"min.dim", nullptr, extremum_of_dim},
    {"aminmax", nullptr, smallest_and_largest},
    {"sort", nullptr, sort},
    {"argsort", argsort},
    {"kthvalue", nullptr, kth_value},
    {"median", median},
    {"median.dim", nullptr, median_of_dim},
    {"cumsum", running_sum},
    {"cumprod", running_product},
    {"logcumsumexp", running_logsumexp},
    {"cummax", nullptr, running_extremum},
    {"cummin", nullptr, running_extremum},
    {"searchsorted", searchsorted},
    {"bucketize", searchsorted},
    {"isin", isin},
    {"trace", trace},
    {"cdist", cdist},
    {"pdist", pdist},
    {"histc", histogram},
    {"linalg_slogdet", nullptr, sign_and_logarithm},
    {"slogdet", nullptr, sign_and_logarithm},
    {"logdet", logdet},
    {"reduce_loss", reduce_loss},
    {"binary_cross_entropy_with_logits", binary_cross_entropy_with_logits},
    {"nll_loss", nll_loss},
    {"cross_entropy", cross_entropy},
};

}  // namespace

std::span<const RuleEntry> reduction_rules() { return rules; }

}  // namespace moka::spelling
