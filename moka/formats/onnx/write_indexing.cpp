// Indices, masks and scattered writes as Gather, GatherND, ScatterElements, ScatterND, NonZero and Unique.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using graph::Node;
using graph::NodeKind;
using graph::Value;
using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

bool embedding(NodeWriter& n) {
  return n.finish("Gather", {n.name("weight"), n.name("indices")}, {{"axis", Any(int64_t(0))}});
}

bool nonzero(NodeWriter& n) {
  return n.finish("Transpose", {n.add("NonZero", {n.name("input")})}, {{"perm", Any(Dims{1, 0})}});
}

// x[i, :, j] as GatherND: the indexed dimensions first, the indices broadcast against each other and stacked last.
struct Indices {
  std::vector<int> dims;        // of the input, that have an index
  std::vector<std::string> parts;  // int64, broadcast
  int rank = 0;                 // of each part
  bool adjacent = true;
};

// A mask stands for one index for each of its dimensions.
bool read_indices(NodeWriter& n, Indices& out) {
  const Node* list = n.value("indices")->producer();
  const int input_rank = n.rank("input");
  if (!list || input_rank < 0) return n.declines("the list of indices or the rank of the input is not known");
  std::vector<Value*> given;
  std::vector<Tensor> constants;
  if (list->kind == NodeKind::List) given.assign(list->inputs().begin(), list->inputs().end());
  else return n.declines("the list of indices is not made in the graph");
  int dim = 0;
  std::vector<std::pair<std::string, int>> parts;  // name and rank
  for (Value* v : given) {
    const Any* constant = v->constant();
    if (constant && constant->is_none()) {
      dim++;
      continue;
    }
    DType type;
    const int rank = spelling::rank(v);
    if (!spelling::has_dtype(v, &type) || rank < 0)
      return n.declines("type or rank of an index is not known");
    if (type == DType::Bool || type == DType::U8) {
      if (rank == 0) return n.declines("a mask without dimensions");
      std::string mask = n.model.name_of(v);
      if (type == DType::U8) mask = cast(n, mask, DType::Bool);
      const std::string places = n.add("NonZero", {mask});  // [rank, count]
      for (int k = 0; k < rank; k++) {
        parts.push_back(
            {n.add("Gather", {places, n.tensor(spelling::number_tensor(Any(int64_t(k)), DType::I64))},
                   {{"axis", Any(int64_t(0))}}),
             1});
        out.dims.push_back(dim++);
      }
    } else {
      parts.push_back(
          {type == DType::I64 ? n.model.name_of(v) : cast(n, n.model.name_of(v), DType::I64), rank});
      out.dims.push_back(dim++);
    }
  }
  if (parts.empty() || dim > input_rank) return n.declines("there is no index");
  for (size_t i = 1; i < out.dims.size(); i++) out.adjacent &= out.dims[i] == out.dims[i - 1] + 1;
  for (const auto& [name, rank] : parts) out.rank = std::max(out.rank, rank);
  // Expand broadcasts both ways: to the common shape, which the sum of all has.
  std::string common;
  if (parts.size() > 1) {
    common = parts[0].first;
    for (size_t i = 1; i < parts.size(); i++) common = n.add("Add", {common, parts[i].first});
    common = n.add("Shape", {common});
  }
  for (const auto& [name, rank] : parts)
    out.parts.push_back(parts.size() > 1 ? n.add("Expand", {name, common}) : name);
  return true;
}
std::string stacked(NodeWriter& n, const Indices& at) {
  std::vector<std::string> columns;
  for (const std::string& part : at.parts)
    columns.push_back(n.add("Unsqueeze", {part, n.ints_input(Dims{-1})}));
  return columns.size() == 1 ? columns[0] : n.add("Concat", columns, {{"axis", Any(int64_t(-1))}});
}
// The order that brings the indexed dimensions to the front, empty where they are there.
Dims indexed_first(const Indices& at, int rank) {
  Dims order;
  for (int d : at.dims) order.push_back(d);
  bool front = true;
  for (size_t i = 0; i < at.dims.size(); i++) front &= at.dims[i] == static_cast<int>(i);
  for (int d = 0; d < rank; d++)
    if (std::find(at.dims.begin(), at.dims.end(), d) == at.dims.end()) order.push_back(d);
  return front ? Dims() : order;
}

bool index(NodeWriter& n) {
  Indices at;
  if (!read_indices(n, at)) return false;
  const int rank = n.rank("input");
  if (at.parts.size() == 1)
    return n.finish("Gather", {n.name("input"), at.parts[0]}, {{"axis", Any(int64_t(at.dims[0]))}});
  const Dims order = indexed_first(at, rank);
  const std::string x =
      order.empty() ? n.name("input") : n.add("Transpose", {n.name("input")}, {{"perm", Any(order)}});
  const std::string places = stacked(n, at);
  // Neighbours keep their place among the dimensions; indices apart from each other go first.
  if (!at.adjacent || at.dims[0] == 0) return n.finish("GatherND", {x, places});
  const std::string found = n.add("GatherND", {x, places});
  Dims back;
  for (int d = 0; d < at.dims[0]; d++) back.push_back(at.rank + d);
  for (int d = 0; d < at.rank; d++) back.push_back(d);
  for (int d = at.dims[0]; d < rank - static_cast<int>(at.dims.size()); d++) back.push_back(at.rank + d);
  return n.finish("Transpose", {found}, {{"perm", Any(back)}});
}

bool index_put(NodeWriter& n) {
  Indices at;
  const Any* accumulate = n.constant("accumulate");
  if (!accumulate) return n.declines("accumulate is known only when running");
  if (accumulate->to_bool() && n.model.version() < 16)
    return n.declines("sums of values at one place before opset 16");
  if (!read_indices(n, at)) return false;
  const int rank = n.rank("input");
  const int kept = rank - static_cast<int>(at.dims.size());
  const int values_rank = n.rank("values");
  if (values_rank < 0) return n.declines("the rank of the values is not known");
  const Dims order = indexed_first(at, rank);
  const std::string x =
      order.empty() ? n.name("input") : n.add("Transpose", {n.name("input")}, {{"perm", Any(order)}});
  const std::string places = stacked(n, at);
  // The values broadcast to what the indices select: the indices' dimensions and those that are kept.
  std::string selected = n.add("Shape", {n.add("GatherND", {x, places})});
  std::string values = n.name("values");
  DType type, have;
  if (spelling::has_dtype(n.value("input"), &type) && spelling::has_dtype(n.value("values"), &have) &&
      type != have)
    values = cast(n, values, type);
  if (at.adjacent && at.dims[0] != 0 && values_rank > kept - at.dims[0]) {
    // In the order of the result, the indices' dimensions stand where they were.
    const int all = at.rank + kept;
    Dims back, forth(static_cast<size_t>(all), int64_t(0));
    for (int d = 0; d < at.dims[0]; d++) back.push_back(at.rank + d);
    for (int d = 0; d < at.rank; d++) back.push_back(d);
    for (int d = at.dims[0]; d < kept; d++) back.push_back(at.rank + d);
    for (size_t i = 0; i < back.size(); i++) forth[static_cast<size_t>(back[i])] = static_cast<int64_t>(i);
    const std::string turned =
        n.add("Shape", {n.add("Transpose", {n.add("GatherND", {x, places})}, {{"perm", Any(back)}})});
    values = n.add("Transpose", {n.add("Expand", {values, turned})}, {{"perm", Any(forth)}});
  } else {
    values = n.add("Expand", {values, selected});
  }
  std::vector<spelling::Attribute> attributes;
  if (accumulate->to_bool()) attributes.push_back({"reduction", Any("add")});
  if (order.empty()) return n.finish("ScatterND", {x, places, values}, attributes);
  Dims back(order.size(), int64_t(0));
  for (size_t i = 0; i < order.size(); i++) back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return n.finish("Transpose", {n.add("ScatterND", {x, places, values}, attributes)}, {{"perm", Any(back)}});
}

// Where the input itself does not count, its places begin with what changes nothing.
bool scatter_reduce(NodeWriter& n) {
  const Any *how = n.constant("reduce"), *self = n.constant("include_self");
  DType type;
  if (!how || !self || !spelling::has_dtype(n.value("input"), &type))
    return n.declines("its settings are known only when running");
  const std::string_view name = how->string();
  const bool extremum = name == "amax" || name == "amin";
  if (n.rank("src") != n.rank("index") || n.rank("index") < 1)
    return n.declines("an index or source without dimensions");
  if (n.model.version() < (extremum ? 18 : 16))
    return n.declines("reductions of scattered values before opset ", extremum ? 18 : 16);
  const std::vector<spelling::Attribute> axis{{"axis", Any(n.integer("dim"))}};
  auto with = [&](std::string_view reduction) {
    auto out = axis;
    out.push_back({"reduction", Any(reduction)});
    return out;
  };
  const std::string index = n.name("index");
  std::string src = n.name("src"), x = n.name("input");
  const std::string shape = n.add("Shape", {index});
  Dims index_sizes, src_sizes;
  if (!spelling::fixed_sizes(n.value("index"), index_sizes) ||
      !spelling::fixed_sizes(n.value("src"), src_sizes) || index_sizes != src_sizes) {
    const int rank = n.rank("index");
    Dims zeros(static_cast<size_t>(rank), int64_t(0)), axes;
    for (int d = 0; d < rank; d++) axes.push_back(d);
    src = n.add("Slice", {src, n.ints_input(zeros), shape, n.ints_input(axes)});
  }
  auto filled = [&](double v, DType t, const std::string& sizes) {
    const int64_t one = 1;
    Tensor fill = new_tensor(std::span(&one, 1), t);
    copy_elements(spelling::number_tensor(is_floating(t) ? Any(v) : Any(static_cast<int64_t>(v)), t), fill);
    return n.add("ConstantOfShape", {sizes}, {{"value", Any(fill)}});
  };
  const bool mean = name == "mean";
  if (!self->to_bool()) {
    double start = name == "prod" ? 1 : 0;
    if (extremum && !is_floating(type)) return n.declines("extrema of integers without the input");
    if (extremum) start = name == "amax" ? -INFINITY : INFINITY;
    x = n.add("ScatterElements", {x, index, filled(start, type, shape)}, axis);
  }
  const std::string_view op = name == "sum" || mean ? "add"
                              : name == "prod"      ? "mul"
                              : name == "amax"      ? "max"
                                                    : "min";
  if (!mean) return n.finish("ScatterElements", {x, index, src}, with(op));
  const std::string sum = n.add("ScatterElements", {x, index, src}, with("add"));
  const std::string everywhere = n.add("Shape", {x});
  const std::string ones = filled(1, type, shape);
  std::string begun = filled(1, type, everywhere);
  if (!self->to_bool()) begun = n.add("ScatterElements", {begun, index, filled(0, type, shape)}, axis);
  const std::string count = n.add("ScatterElements", {begun, index, ones}, with("add"));
  if (is_floating(type)) return n.finish("Div", {sum, count});
  return n.declines("means of integers");
}

bool unique_all(NodeWriter& n) {
  const Any *dim = n.constant("dim"), *consecutive = n.constant("consecutive");
  if (!dim || !consecutive) return n.declines("its settings are known only when running");
  if (consecutive->to_bool()) return n.declines("runs of equal values");
  std::vector<spelling::Attribute> attributes{{"sorted", Any(int64_t(1))}};
  const graph::Type& type = n.node.inputs()[0]->type;
  const bool one =
      type.has_dims && type.dims.empty();  // 0-d: Unique has an axis for those with dimensions alone
  if (!dim->is_none() && !one) attributes.push_back({"axis", Any(dim->to_int())});
  std::vector<std::string> outputs;
  const int places[] = {0, -1, 1, 2};
  const std::string hidden = n.model.unique(n.model.scoped(n.node, "Unique_inverse"));
  const bool inverse = !n.node.output(1)->uses().empty() && dim->is_none() && !one;
  for (int p : places)
    outputs.push_back(p < 0 ? std::string() : p == 1 && inverse ? hidden : n.model.name_of(n.node.output(p)));
  n.model.add_node(n.node, "Unique", "", {n.name("input")}, outputs, attributes);
  if (inverse) {
    const std::string shape = n.add("Shape", {n.name("input")});
    std::vector<spelling::Attribute> zeros;  // sizes of 0 are sizes
    if (n.model.version() >= 14) zeros.push_back({"allowzero", Any(int64_t(1))});
    n.finish("Reshape", {hidden, shape}, std::move(zeros), 1);
  }
  return true;
}

constexpr WritingAdapter table[] = {
    {"embedding", 1, 0, embedding},
    {"nonzero", 9, 0, nonzero},
    {"index", 11, 0, index},
    {"index_put", 11, 0, index_put},
    {"scatter_reduce", 16, 0, scatter_reduce},
    {"unique_all", 11, 0, unique_all},
};

}  // namespace

std::span<const WritingAdapter> indexing_writers() { return table; }

}  // namespace moka::onnx
