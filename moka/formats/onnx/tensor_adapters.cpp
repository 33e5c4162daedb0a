// Adapters of operators that make, move and reshape tensors.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/graph/builtins.h"

namespace moka::onnx {

using graph::Dim;
using graph::Value;

namespace {

bool identity(NodeReader& n) {
  n.out(n[0]);
  return true;
}

bool constant(NodeReader& n) {
  MOKA_CHECK_KIND(File, n.node.attributes.size() == 1, "Constant has ", n.node.attributes.size(),
                  " attributes, exactly one was expected");
  const std::string& name = n.node.attributes[0].name;
  const Any& v = n.node.attributes[0].value;
  if ((name == "value" || name == "sparse_value") && v.is_tensor()) n.out(n.build.constant(v));
  else if (name == "value_float" && v.tag() == Tag::Float)
    n.out(n.build.constant(Any(spelling::number_tensor(v, DType::F32))));
  else if (name == "value_int" && v.tag() == Tag::Int)
    n.out(n.build.constant(Any(spelling::number_tensor(v, DType::I64))));
  else if (name == "value_ints" && v.tag() == Tag::Ints)
    n.out(n.build.constant(Any(spelling::ints_tensor(v.ints()))));
  else if (name == "value_floats" && v.tag() == Tag::Floats) {
    const std::span<const double> all = v.arg().as_floats();
    const int64_t size = static_cast<int64_t>(all.size());
    Tensor t = new_tensor(std::span(&size, 1), DType::F32);
    if (size) convert_elements(all.data(), DType::F64, t.raw_data(), DType::F32, size);
    n.out(n.build.constant(Any(t)));
  } else if (name == "value_string" && v.tag() == Tag::String) {
    n.out(n.build.constant(Any(string_tensor(v.string()))));
  } else if (name == "value_strings") {
    n.out(n.build.constant(Any(string_tensor(v, name))));
  } else {
    return n.declines("attribute '", name, "' is not read");
  }
  return true;
}

bool constant_of_shape(NodeReader& n) {
  Any fill(0.0);
  DType dtype = DType::F32;
  if (const Any* v = n.attribute("value")) {
    MOKA_CHECK_KIND(File, v->is_tensor() && v->tensor().numel() == 1 && spelling::to_number(*v, fill),
                    "value must be a tensor with one number");
    dtype = v->tensor().dtype();
  }
  Value* y = n.call("full", {n.ints_argument(0), fill, spelling::named("dtype", dtype)});
  Dims length;
  if (spelling::fixed_sizes(n[0], length) && length.size() == 1)
    promise(y, dtype, static_cast<int>(length[0]));
  n.out(y);
  return true;
}

// Sizes that are fixed become constants; `shape` of this build gives the rest when running.
bool shape(NodeReader& n) {
  const int64_t start = n.integer("start", 0), end = n.integer("end", INT64_MAX);
  const int rank = spelling::rank(n[0]);
  if (rank < 0) {
    Value* all = promise(n.call("shape", {n[0]}), DType::I64, 1);
    n.out(start == 0 && end == INT64_MAX
              ? all
              : promise(n.call("slice", {all, int64_t(0), start, end}), DType::I64, 1));
    return true;
  }
  auto clamped = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank); };
  const int64_t first = clamped(start), last = std::max(first, clamped(end));
  Dims sizes;
  bool fixed = true;
  for (int64_t i = first; i < last; i++) {
    const Dim& d = n[0]->type.dims[static_cast<size_t>(i)];
    fixed &= d.fixed();
    sizes.push_back(d.size);
  }
  if (fixed) {
    n.out(n.build.constant(Any(spelling::ints_tensor(sizes))));
    return true;
  }
  Value* all = n.call("shape", {n[0]});
  n.out(first == 0 && last == rank ? all : n.call("slice", {all, int64_t(0), first, last}));
  return true;
}

bool size(NodeReader& n) {
  Dims sizes;
  if (spelling::fixed_sizes(n[0], sizes)) {
    n.out(n.build.constant(Any(spelling::number_tensor(Any(checked_numel(sizes, "Size")), DType::I64))));
  } else {
    n.out(n.builtin("tensor", {n.builtin("numel", {n[0]}), n.build.constant(Any(DType::I64))}));
  }
  return true;
}

bool flatten(NodeReader& n) {
  const int rank = n.rank_of(0);
  int64_t axis = n.integer("axis", 1);
  if (axis < 0) axis += rank;
  MOKA_CHECK_KIND(File, axis >= 0 && axis <= rank, "axis ", axis, " is out of range for ", rank,
                  " dimensions");
  if (axis == 0) {
    n.out(n.call("reshape", {n[0], Dims{1, -1}}));
  } else if (axis == rank) {
    n.out(n.call("reshape", {n[0], Dims{-1, 1}}));
  } else if (axis == 1) {
    n.out(n.call("flatten", {n[0], int64_t(1), int64_t(-1)}));
  } else {
    Value* left = n.call("flatten", {n[0], int64_t(0), axis - 1});
    n.out(n.call("flatten", {left, int64_t(1), int64_t(-1)}));
  }
  return true;
}

bool transpose(NodeReader& n) {
  if (n.attribute("perm")) return false;
  const int rank = spelling::rank(n[0]);
  if (rank < 0) {
    auto integer = [&](int64_t v) { return n.build.constant(Any(v)); };
    Value* last = n.builtin("sub", {n.builtin("dim", {n[0]}), integer(1)});
    n.out(n.call("permute", {n[0], n.builtin("range", {last, integer(-1), integer(-1)})}));
    return true;
  }
  Dims order;
  for (int i = rank; i-- > 0;) order.push_back(i);
  n.out(n.call("permute", {n[0], order}));
  return true;
}

bool squeeze(NodeReader& n) {
  if (!n.has(1) && !n.attribute("axes")) {
    n.out(n.call("squeeze", {n[0]}));
    return true;
  }
  auto axes = n.ints_of("axes", 1);
  if (!axes) {
    Value* y = n.call("squeeze.dim", {n[0], n.ints_argument(1)});
    Dims count;
    DType dtype;
    if (spelling::fixed_sizes(n[1], count) && count.size() == 1 && spelling::has_dtype(n[0], &dtype) &&
        spelling::rank(n[0]) >= count[0])
      promise(y, dtype, spelling::rank(n[0]) - static_cast<int>(count[0]));
    n.out(y);
    return true;
  }
  if (spelling::rank(n[0]) < 0) {
    n.out(n.call("squeeze.dim", {n[0], *axes}));
    return true;
  }
  for (int64_t& a : *axes) {
    a = wrapped(a, n.rank_of(0), "axis");
    const Dim& d = n[0]->type.dims[static_cast<size_t>(a)];
    MOKA_CHECK_KIND(File, !d.fixed() || d.size == 1, "dimension ", a, " has size ", d.size,
                    " and cannot be dropped");
  }
  // From the last on, so that those before keep their numbers.
  std::sort(axes->begin(), axes->end());
  Value* x = n[0];
  for (size_t i = axes->size(); i-- > 0;)
    if (i + 1 == axes->size() || (*axes)[i] != (*axes)[i + 1]) {
      graph::Type type = x->type;
      x = n.call("squeeze.dim", {x, Dims{(*axes)[i]}});
      type.dims.erase(type.dims.begin() + (*axes)[i]);  // ONNX promises that it is 1
      x->type = type;
    }
  n.out(x);
  return true;
}

// Axes in order, counted from the front, one after another.
bool running_unsqueeze(NodeReader& n) {
  const int rank = n.rank_of(0);
  Dims count;
  if (!spelling::fixed_sizes(n[1], count) || count.size() != 1)
    return n.declines("how many axes there are is not known");
  const int64_t wide = rank + count[0];
  Value* places = n.call("remainder", {n.call("to", {n[1], DType::I64}), wide});
  const std::vector<spelling::Argument> args{places};
  Value* order = n.builtin("ints", {n.build.call_all("sort", args)[0]});
  Value* x = n[0];
  for (int64_t i = 0; i < count[0]; i++)
    x = promise(n.call("unsqueeze", {x, n.builtin("index", {order, n.build.constant(Any(i))})}),
                dtype_of(n[0], "the input"), rank + static_cast<int>(i) + 1);
  n.out(x);
  return true;
}

bool unsqueeze(NodeReader& n) {
  auto axes = n.ints_of("axes", 1);
  Dims count;
  if (!axes && spelling::fixed_sizes(n[1], count) && (count.empty() || count[0] == 1)) {
    n.out(n.call("unsqueeze", {n[0], n.int_argument(1, 0)}));
    return true;
  }
  if (!axes) return running_unsqueeze(n);
  if (axes->size() == 1) {
    n.out(n.call("unsqueeze", {n[0], (*axes)[0]}));
    return true;
  }
  const bool front = std::all_of(axes->begin(), axes->end(), [](int64_t a) { return a >= 0; }),
             back = std::all_of(axes->begin(), axes->end(), [](int64_t a) { return a < 0; });
  if (spelling::rank(n[0]) >= 0 || !(front || back)) {
    const int rank = n.rank_of(0) + static_cast<int>(axes->size());
    for (int64_t& a : *axes) a = wrapped(a, rank, "axis");
  }
  // Counted from the end those nearest to it come first, so that each stays where it is put.
  std::sort(axes->begin(), axes->end());
  if (!axes->empty() && axes->front() < 0) std::reverse(axes->begin(), axes->end());
  MOKA_CHECK_KIND(File, std::adjacent_find(axes->begin(), axes->end()) == axes->end(),
                  "an axis is named twice");
  Value* x = n[0];
  for (int64_t a : *axes) x = n.call("unsqueeze", {x, a});
  n.out(x);
  return true;
}

// Indices count from the back where they are negative.
Value* wrapped_indices(NodeReader& n, Value* indices, Value* data, int64_t axis) {
  if (const Any* known = n.build.known(indices); known && known->is_tensor()) {
    bool negative = false;
    const Tensor& t = known->tensor();
    for (int64_t i = 0; i < t.numel() && t.numel() <= 65536; i++) negative |= element_as_int(t, i) < 0;
    if (!negative && t.numel() <= 65536) return indices;
  }
  const bool ranked = spelling::rank(data) >= 0;
  const Dim d = ranked ? data->type.dims[static_cast<size_t>(axis)] : Dim{};
  Value* size;
  if (d.fixed()) size = n.build.constant(Any(spelling::number_tensor(Any(d.size), DType::I64)));
  else
    size = n.builtin("tensor", {n.builtin("size", {data, n.build.constant(Any(axis))}),
                                n.build.constant(Any(DType::I64))});
  Value* wide = n.call("to", {indices, DType::I64});
  return n.call("where", {n.call("lt", {wide, int64_t(0)}), n.call("add", {wide, size}), wide});
}

bool gather(NodeReader& n) {
  int64_t axis = n.integer("axis", 0);
  const bool ranked = spelling::rank(n[0]) >= 0;
  if (ranked) axis = wrapped(axis, n.rank_of(0), "axis");
  const int rank = spelling::rank(n[1]);
  if (rank < 0) return n.declines("the number of dimensions of the indices is not known");
  if (auto known = n.known_number(1); known && rank == 0) {
    n.out(n.call("select", {n[0], axis, known->arg().as_int()}));
    return true;
  }
  Value* indices = wrapped_indices(n, n[1], n[0], axis);
  if (rank == 1) {
    n.out(n.call("index_select", {n[0], axis, n.call("to", {indices, DType::I64})}));
    return true;
  }
  if (rank > 1 && axis == 0 && ranked && n.rank_of(0) == 2) {
    Value* y = n.call("embedding", {n[0], n.call("to", {indices, DType::I64})});
    DType dtype;
    Wholes sizes = sizes_of(n, n[1]);
    sizes.push_back(size_of(n, n[0], 1));
    n.out(spelling::has_dtype(n[0], &dtype) ? promise(y, dtype, sizes) : y);
    return true;
  }
  Value* flat = n.call("reshape", {n.call("to", {indices, DType::I64}), Dims{-1}});
  Value* taken = n.call("index_select", {n[0], axis, flat});
  if (rank == 0) {
    n.out(n.call("select", {taken, axis, int64_t(0)}));
    return true;
  }
  Value* y = n.call("unflatten", {taken, axis, list_of(n, sizes_of(n, n[1]))});
  if (!ranked) {
    n.out(y);
    return true;
  }
  Wholes sizes = sizes_of(n, n[0]);
  sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(axis));
  const Wholes inner = sizes_of(n, n[1]);
  sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(axis), inner.begin(), inner.end());
  DType dtype;
  n.out(spelling::has_dtype(n[0], &dtype) ? promise(y, dtype, sizes) : y);
  return true;
}

bool gather_elements(NodeReader& n) {
  int64_t axis = n.integer("axis", 0);
  if (spelling::rank(n[0]) >= 0) axis = wrapped(axis, n.rank_of(0), "axis");
  Value* y = n.call("gather", {n[0], axis, wrapped_indices(n, n[1], n[0], axis)});
  DType dtype;
  if (spelling::rank(n[1]) >= 0 && spelling::has_dtype(n[0], &dtype)) {
    Wholes sizes;  // those of the indices
    for (const Dim& d : n[1]->type.dims) sizes.push_back(d.fixed() ? d.size : -1);
    promise(y, dtype, sizes);
  }
  n.out(y);
  return true;
}

// Inference: the input as it is.
bool dropout(NodeReader& n) {
  bool training = n.version < 7 && n.integer("is_test", n.version < 7 ? 0 : 1) == 0;
  if (n.has(2)) {
    auto given = n.known_number(2);
    if (!given) return n.declines("training_mode is not constant");
    training = given->arg().as_double() != 0;
  }
  auto ratio = n.known_number(1);
  if (training && n.version >= 12 && !(ratio && ratio->arg().as_double() == 0))
    return n.declines("training mode");
  n.out(n[0]);
  if (n.wants(1)) {
    Dims sizes;
    if (!spelling::fixed_sizes(n[0], sizes)) return n.declines("the mask's shape is not known");
    n.out(n.call("full", {sizes, true, spelling::named("dtype", DType::Bool)}), 1);
  }
  return true;
}

bool range(NodeReader& n) {
  DType dtype;
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  n.out(promise(n.call("arange.start_step", {n.number_argument(0), n.number_argument(1), n.number_argument(2),
                                             spelling::named("dtype", dtype)}),
                dtype, 1));
  return true;
}

bool tile(NodeReader& n) {
  if (n.version < 6) return n.declines("the form of opset 1");
  Value* y = n.call("repeat", {n[0], n.ints_argument(1)});
  DType dtype;
  if (spelling::has_dtype(n[0], &dtype) && spelling::rank(n[0]) >= 0) promise(y, dtype, spelling::rank(n[0]));
  n.out(y);
  return true;
}

// A column minus a row number is how far above the diagonal an element is.
bool triangle(NodeReader& n) {
  const int rank = n.rank_of(0);
  MOKA_CHECK_KIND(File, rank >= 2, "the input has ", rank, " dimensions, at least 2 were expected");
  const Whole rows = size_of(n, n[0], -2), columns = size_of(n, n[0], -1);
  Value* above = n.call("sub", {count_to(n, columns), n.call("unsqueeze", {count_to(n, rows), int64_t(1)})});
  const bool upper = n.integer("upper", 1) != 0;
  Value* kept = n.call(upper ? "ge" : "le",
                       {above, n.has(1) ? spelling::Argument(n[1]) : spelling::Argument(int64_t(0))});
  DType dtype;
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  n.out(
      n.call("where", {kept, n[0], n.build.constant(Any(spelling::number_tensor(Any(int64_t(0)), dtype)))}));
  return true;
}

bool top_k(NodeReader& n) {
  const spelling::Argument count = n.version < 10 ? n.integer("k", 0) : n.int_argument(1, 0);
  const std::vector<spelling::Argument> args{n[0], count, n.integer("axis", -1), n.integer("largest", 1) != 0,
                                             n.integer("sorted", 1) != 0};
  const std::vector<Value*> both = n.build.call_all("topk", args);
  DType dtype;
  if (spelling::has_dtype(n[0], &dtype) && spelling::rank(n[0]) >= 0) {
    promise(both[0], dtype, spelling::rank(n[0]));
    promise(both[1], DType::I64, spelling::rank(n[0]));
  }
  n.out(both[0]);
  if (n.wants(1)) n.out(both[1], 1);
  return true;
}

constexpr Adapter table[] = {
    {"Identity", 1, 0, identity},
    {"Constant", 1, 0, constant},
    {"ConstantOfShape", 9, 0, constant_of_shape},
    {"Shape", 1, 0, shape},
    {"Size", 1, 0, size},
    {"Flatten", 1, 0, flatten},
    {"Transpose", 1, 0, transpose},
    {"Squeeze", 1, 0, squeeze},
    {"Unsqueeze", 1, 0, unsqueeze},
    {"Gather", 1, 0, gather},
    {"GatherElements", 11, 0, gather_elements},
    {"Dropout", 1, 0, dropout},
    {"Range", 11, 0, range},
    {"Tile", 1, 0, tile},
    {"Trilu", 14, 0, triangle},
    {"TopK", 1, 0, top_k},
};

}  // namespace

std::span<const Adapter> tensor_adapters() { return table; }

}  // namespace moka::onnx
