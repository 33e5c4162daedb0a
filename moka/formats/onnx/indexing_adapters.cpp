// Adapters of reading and writing at indices, of selections and of running sums.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

int64_t axis_of(NodeReader& n, int64_t otherwise, int rank) {
  const int64_t axis = n.integer("axis", otherwise);
  MOKA_CHECK_KIND(File, axis >= -rank && axis < rank, "axis ", axis, " is out of range for ", rank,
                  " dimensions");
  return axis < 0 ? axis + rank : axis;
}

bool one_hot(NodeReader& n) {
  const int rank = rank_of(n[0], "the indices");
  const int64_t axis = axis_of(n, -1, rank + 1);
  const Whole depth = whole_input(n, 1);
  Value* places = n.call("unsqueeze", {from_the_front(n, n[0], depth), axis});
  Value* classes = spread(n, count_to(n, depth), {static_cast<int>(axis)}, rank + 1);
  auto value = [&](int64_t i) { return n.call("select", {n[2], int64_t(0), i}); };
  n.out(n.call("where", {n.call("eq", {places, classes}), value(1), value(0)}));
  return true;
}

// The last dimension of `indices` holds places in the dimensions of `data` that follow the batch dimensions: one tensor
// for each of them, as `index` takes them.
bool split_indices(NodeReader& n, Value* data, Value* indices, int64_t batch, std::vector<Value*>& out) {
  const int rank = rank_of(indices, "the indices");
  MOKA_CHECK_KIND(File, rank >= 1, "the indices have no dimensions");
  const Whole count = size_of(n, indices, -1);
  if (!count.fixed()) return n.declines("how many dimensions are indexed is not known");
  const int dims = spelling::rank(data);
  MOKA_CHECK_KIND(File, batch >= 0 && batch < rank && (dims < 0 || batch + count.number <= dims),
                  "indices for ", batch + count.number, " dimensions of data with ", dims);
  for (int64_t b = 0; b < batch; b++)
    out.push_back(spread(n, count_to(n, size_of(n, data, b)), {static_cast<int>(b)}, rank - 1));
  for (int64_t k = 0; k < count.number; k++)
    out.push_back(
        from_the_front(n, n.call("select", {indices, int64_t(-1), k}), size_of(n, data, batch + k)));
  return true;
}

bool gather_nd(NodeReader& n) {
  std::vector<Value*> places;
  if (!split_indices(n, n[0], n[1], n.integer("batch_dims", 0), places)) return false;
  if (places.empty()) return n.declines("indices of no dimension");
  Value* y = n.call("index", {n[0], places});
  if (spelling::rank(n[0]) >= 0) {
    const int kept = spelling::rank(n[0]) - static_cast<int>(places.size());
    promise(y, dtype_of(n[0], "the data"), rank_of(n[1], "the indices") - 1 + kept);
  }
  n.out(y);
  return true;
}

const char* reduction_name(NodeReader& n) {
  const std::string_view r = n.text("reduction", "none");
  if (r == "none") return "";
  if (r == "add") return "sum";
  if (r == "mul") return "prod";
  if (r == "max") return "amax";
  if (r == "min") return "amin";
  fail_kind(ErrorKind::File, "reduction '", r, "' does not exist");
}

bool scatter_nd(NodeReader& n) {
  std::vector<Value*> places;
  if (!split_indices(n, n[0], n[1], 0, places)) return false;
  if (places.empty()) return n.declines("indices of no dimension");
  const std::string_view how = reduction_name(n);
  if (how.empty() || how == "sum") {
    Value* y = n.call("index_put", {n[0], places, n[2], !how.empty()});
    n.out(spelling::rank(n[0]) < 0 ? y : promise(y, dtype_of(n[0], "the data"), sizes_of(n, n[0])));
    return true;
  }
  // The indexed dimensions become one, of which slices are reduced into.
  const size_t count = places.size();
  Wholes sizes = sizes_of(n, n[0]);
  Value* flat = places[0];
  Whole rows = sizes[0];
  for (size_t k = 1; k < count; k++) {
    flat = n.call("add", {n.call("mul", {flat, number_of(n, sizes[k], DType::I64)}), places[k]});
    rows = arithmetic(n, "mul", rows, sizes[k]);
  }
  Wholes inner{rows};
  inner.insert(inner.end(), sizes.begin() + static_cast<std::ptrdiff_t>(count), sizes.end());
  Wholes source = inner;
  source[0] = -1;
  Value* y = n.call("index_reduce",
                    {reshaped(n, n[0], inner), int64_t(0), n.call("reshape", {flat, Dims{-1}}),
                     n.call("reshape", {n[2], list_of(n, source)}), Any(how), named("include_self", true)});
  n.out(reshaped(n, y, sizes));
  return true;
}

bool scatter_elements(NodeReader& n) {
  const int64_t axis = axis_of(n, 0, rank_of(n[0], "the data"));
  Value* places = from_the_front(n, n[1], size_of(n, n[0], axis));
  const std::string_view how = reduction_name(n);
  if (how.empty()) n.out(n.call("scatter", {n[0], axis, places, n[2]}));
  else if (how == "sum") n.out(n.call("scatter_add", {n[0], axis, places, n[2]}));
  else n.out(n.call("scatter_reduce", {n[0], axis, places, n[2], Any(how), named("include_self", true)}));
  return true;
}

// The places where a condition holds, as a vector.
Value* true_places(NodeReader& n, Value* condition) {
  Value* rows = promise(n.call("nonzero", {condition}), DType::I64, Wholes{Whole(-1), Whole(1)});
  return promise(n.call("reshape", {rows, Dims{-1}}), DType::I64, 1);
}

bool compress(NodeReader& n) {
  Value* x = n[0];
  int64_t axis = 0;
  if (n.attribute("axis")) axis = axis_of(n, 0, rank_of(x, "the input"));
  else x = n.call("reshape", {x, Dims{-1}});
  Value* y = n.call("index_select", {x, axis, true_places(n, n[1])});
  n.out(promise(y, dtype_of(x, "the input"), rank_of(x, "the input")));
  return true;
}

bool non_zero(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  Value* rows = promise(n.call("nonzero", {n[0]}), DType::I64, Wholes{Whole(-1), Whole(rank)});
  n.out(n.call("transpose", {rows, int64_t(0), int64_t(1)}));
  return true;
}

// Values, where each stands first, which of them each element is, and how often each comes.
bool unique(NodeReader& n) {
  const bool sorted = n.integer("sorted", 1) != 0, along = n.attribute("axis") != nullptr;
  const int rank = rank_of(n[0], "the input");
  const int64_t axis = along ? axis_of(n, 0, rank) : 0;
  Value* x = along ? n[0] : n.call("reshape", {n[0], Dims{-1}});
  const DType dtype = dtype_of(x, "the input");
  const std::vector<spelling::Argument> args{x, along ? spelling::Argument(axis) : spelling::Argument(Any())};
  const std::vector<Value*> all = n.build.call_all("unique_all", args);
  Value *values = promise(all[0], dtype, along ? rank : 1), *inverse = promise(all[1], DType::I64, 1),
        *counts = promise(all[2], DType::I64, 1);
  inverse = promise(n.call("reshape", {inverse, Dims{-1}}), DType::I64, 1);
  const Whole size = size_of(n, x, axis), found = n.builtin("numel", {counts});
  Value* first = promise(n.call("full", {list_of(n, {found}), size.argument(), named("dtype", DType::I64)}),
                         DType::I64, 1);
  first = promise(n.call("scatter_reduce", {first, int64_t(0), inverse, count_to(n, size),
                                            Any(std::string_view("amin")), named("include_self", true)}),
                  DType::I64, 1);
  if (!sorted) {
    Value* order = promise(n.call("argsort", {first}), DType::I64, 1);
    auto ordered = [&](Value* v, int64_t dim) {
      return promise(n.call("index_select", {v, dim, order}), dtype_of(v, "a value"), rank_of(v, "a value"));
    };
    values = ordered(values, axis);
    counts = ordered(counts, 0);
    first = ordered(first, 0);
    Value* back = promise(n.call("argsort", {order}), DType::I64, 1);
    inverse = promise(n.call("index_select", {back, int64_t(0), inverse}), DType::I64, 1);
  }
  n.out(values);
  n.out(first, 1);
  n.out(inverse, 2);
  n.out(counts, 3);
  return true;
}

// Rows and columns by number: dimensions behind them need not be known.
bool reverse_sequence(NodeReader& n) {
  const int rank = spelling::rank(n[0]);
  const int64_t time = n.integer("time_axis", 0), batch = n.integer("batch_axis", 1);
  MOKA_CHECK_KIND(File, (rank < 0 || rank >= 2) && time + batch == 1 && (time == 0 || time == 1),
                  "time_axis and batch_axis must be 0 and 1");
  auto along = [&](Value* v, int64_t axis) { return n.call("unsqueeze", {v, 1 - axis}); };
  Value* step = along(count_to(n, size_of(n, n[0], time)), time);
  Value* column = along(count_to(n, size_of(n, n[0], batch)), batch);
  Value* length = along(n.call("to", {n[1], DType::I64}), batch);
  Value* turned = n.call("sub", {n.call("sub", {length, int64_t(1)}), step});
  Value* from = n.call("where", {n.call("lt", {step, length}), turned, step});
  std::vector<Value*> places{from, column};
  if (time == 1) std::swap(places[0], places[1]);
  n.out(n.call("index", {n[0], places}));
  return true;
}

bool eye_like(NodeReader& n) {
  MOKA_CHECK_KIND(File, rank_of(n[0], "the input") == 2, "the input must have 2 dimensions");
  DType dtype;
  if (n.attribute("dtype")) {
    if (!spelling::find_dtype_code(n.dialect, n.integer("dtype", 1), dtype)) return n.declines("dtype");
  } else {
    dtype = dtype_of(n[0], "the input");
  }
  Value* rows = n.call("unsqueeze", {count_to(n, size_of(n, n[0], 0)), int64_t(1)});
  Value* above = n.call("sub", {count_to(n, size_of(n, n[0], 1)), rows});
  n.out(n.call("to", {n.call("eq", {above, n.integer("k", 0)}), dtype}));
  return true;
}

// One at the first of the largest, zero elsewhere. Before opset 13 all from `axis` on was one dimension.
bool hardmax(NodeReader& n) {
  Value* x = n[0];
  const int rank = rank_of(x, "the input");
  const Wholes sizes = sizes_of(n, x);
  int64_t axis = axis_of(n, n.version < 13 ? 1 : -1, rank);
  const bool flat = n.version < 13 && axis != rank - 1;
  int width = rank;
  if (flat) {
    Whole rows = 1, columns = 1;
    for (int d = 0; d < rank; d++) {
      Whole& part = d < axis ? rows : columns;
      part = arithmetic(n, "mul", part, sizes[static_cast<size_t>(d)]);
    }
    x = reshaped(n, x, {rows, columns});
    axis = 1;
    width = 2;
  }
  Value* best = n.call("argmax", {x, named("dim", axis), named("keepdim", true)});
  Value* places = spread(n, count_to(n, size_of(n, x, axis)), {static_cast<int>(axis)}, width);
  Value* y = n.call("to", {n.call("eq", {places, best}), dtype_of(x, "the input")});
  n.out(flat ? reshaped(n, y, sizes) : y);
  return true;
}

// Along the last dimension, to which the axis is moved.
template <bool product>
bool running(NodeReader& n) {
  const DType dtype = dtype_of(n[0], "the input");
  const int rank = rank_of(n[0], "the input");
  if (rank == 0) return n.declines("an input without dimensions");
  const Whole axis = whole_input(n, 1);
  auto moved = [&](Value* v) {
    Value* y = n.call("transpose", {v, axis.argument(), int64_t(-1)});
    return promise(y, dtype, rank);
  };
  const bool reverse = n.integer("reverse", 0) != 0;
  Value* x = moved(n[0]);
  if (reverse) x = n.call("flip", {x, Dims{-1}});
  if (n.integer("exclusive", 0) != 0) {
    const Whole size = size_of(n, x, -1);
    x = promise(n.call("pad_constant", {x, Dims{1, 0}, int64_t(product ? 1 : 0)}), dtype, rank);
    x = part_of(n, x, -1, 0, size);
  }
  x = n.call(product ? "cumprod" : "cumsum", {x, int64_t(-1), named("dtype", dtype)});
  if (reverse) x = n.call("flip", {x, Dims{-1}});
  n.out(moved(x));
  return true;
}

bool center_crop_pad(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  Dims axes;
  if (auto given = n.ints("axes")) axes = *given;
  else
    for (int d = 0; d < rank; d++) axes.push_back(d);
  Value* x = n[0];
  for (size_t i = 0; i < axes.size(); i++) {
    int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
    MOKA_CHECK_KIND(File, axis >= 0 && axis < rank, "axis is out of range");
    const Whole size = size_of(n, x, axis), wanted = whole_element(n, 1, static_cast<int64_t>(i));
    const Whole kept = arithmetic(n, "min", size, wanted);
    const Whole less = arithmetic(n, "floordiv", arithmetic(n, "sub", size, kept), 2);
    x = part_of(n, x, axis, less, kept);
    const Whole missing = arithmetic(n, "sub", wanted, kept), before = arithmetic(n, "floordiv", missing, 2);
    if (missing.fixed() && missing.number == 0) continue;
    Wholes pads(static_cast<size_t>(rank - axis) * 2, Whole(0));
    pads[pads.size() - 2] = before;
    pads[pads.size() - 1] = arithmetic(n, "sub", missing, before);
    const DType dtype = dtype_of(x, "the input");
    x = promise(n.call("pad_constant", {x, list_of(n, pads), int64_t(0)}), dtype, rank);
  }
  n.out(x);
  return true;
}

constexpr Adapter table[] = {
    {"OneHot", 9, 0, one_hot},
    {"GatherND", 11, 0, gather_nd},
    {"ScatterND", 11, 0, scatter_nd},
    {"ScatterElements", 11, 0, scatter_elements},
    {"Scatter", 9, 0, scatter_elements},
    {"Compress", 9, 0, compress},
    {"NonZero", 9, 0, non_zero},
    {"Unique", 11, 0, unique},
    {"ReverseSequence", 10, 0, reverse_sequence},
    {"EyeLike", 9, 0, eye_like},
    {"Hardmax", 1, 0, hardmax},
    {"CumSum", 11, 0, running<false>},
    {"CumProd", 26, 0, running<true>},
    {"CenterCropPad", 18, 0, center_crop_pad},
};

}  // namespace

std::span<const Adapter> indexing_adapters() { return table; }

}  // namespace moka::onnx
