// Adapters of operators that make, move and reshape tensors.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/running.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/graph/builtins.h"

namespace moka::onnx {

using graph::Dim;
using graph::Value;

namespace {

int64_t wrapped(int64_t axis, int rank, const char* what) {
  MOKA_CHECK_KIND(File, axis >= -rank && axis < rank, what, " ", axis, " is out of range for ", rank,
                  " dimensions");
  return axis < 0 ? axis + rank : axis;
}

bool identity(NodeReader& n) {
  n.out(n[0]);
  return true;
}

bool constant(NodeReader& n) {
  MOKA_CHECK_KIND(File, n.node.attributes.size() == 1, "Constant has ", n.node.attributes.size(),
                  " attributes, exactly one was expected");
  const std::string& name = n.node.attributes[0].name;
  const Any& v = n.node.attributes[0].value;
  if (name == "value" && v.is_tensor()) n.out(n.build.constant(v));
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
    if (start != 0 || end != INT64_MAX) return n.declines("the number of dimensions is not known");
    n.out(n.call("shape", {n[0]}));
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

// A run-time shape such as [N, -1] needs no run-time list where all but one size are known: the pieces of a Concat are
// looked at one by one.
bool partly_known(NodeReader& n, Value* shape, const graph::Type& input, Dims& out) {
  graph::Node* node = shape->producer();
  if (!node || node->kind != graph::NodeKind::Op || node->op_name() != "cat") return false;
  graph::Node* list = node->input(0)->producer();
  if (!list || list->kind != graph::NodeKind::List || !input.has_dims) return false;
  int unknown = 0;
  bool inferred = false;
  for (Value* part : list->inputs()) {
    if (const Any* known = n.build.known(part)) {
      Dims piece;
      if (!spelling::to_ints(*known, piece)) return false;
      for (int64_t d : piece) {
        if (d == 0) return false;
        inferred |= d == -1;
        out.push_back(d);
      }
      continue;
    }
    if (part->type.kind != graph::TypeKind::Tensor || !part->type.has_dims || part->type.dims.size() != 1 ||
        part->type.dims[0].size != 1)
      return false;
    unknown++;
    out.push_back(-1);
  }
  if (unknown != 1) return false;
  if (!inferred) return true;
  // Two are open: the -1 follows from the fixed sizes of the input when the other one is the input's open size itself.
  int64_t open = 0, fixed = 1, said = 1;
  for (const Dim& d : input.dims) {
    if (!d.fixed()) open++;
    else if (__builtin_mul_overflow(fixed, d.size, &fixed)) return false;
  }
  size_t place = out.size();
  bool first_is_open =
      !out.empty() && out[0] == -1 && !input.dims.empty() && !input.dims[0].fixed() && open == 1;
  if (!first_is_open || n.build.known(list->input(0))) return false;
  for (size_t i = 1; i < out.size(); i++) {
    if (out[i] == -1) place = i;
    else if (__builtin_mul_overflow(said, out[i], &said)) return false;
  }
  if (place == out.size() || said == 0 || fixed % said) return false;
  out[place] = fixed / said;
  return true;
}

// A size of 0 is that of the input at the same place.
bool running_reshape(NodeReader& n, bool zero_is_zero) {
  Value* sizes = n[1];
  const int rank = spelling::rank(n[0]);
  Dims count;
  const bool counted = spelling::fixed_sizes(sizes, count) && count.size() == 1;
  if (!zero_is_zero && rank >= 0 && counted) {
    sizes = n.call("to", {sizes, DType::I64});
    Value* own = n.call("shape", {n[0]});
    if (rank > count[0]) own = n.call("slice", {own, int64_t(0), int64_t(0), count[0]});
    else if (rank < count[0]) own = n.call("pad_constant", {own, Dims{0, count[0] - rank}, int64_t(0)});
    sizes = n.call("where", {n.call("eq", {sizes, int64_t(0)}), own, sizes});
  }
  Value* y = n.call("reshape", {n[0], n.builtin("ints", {sizes})});
  DType dtype;
  n.out(counted && spelling::has_dtype(n[0], &dtype) ? promise(y, dtype, static_cast<int>(count[0])) : y);
  return true;
}

bool reshape(NodeReader& n) {
  std::optional<Dims> target = n.ints_of("shape", 1);
  const bool zero_is_zero = n.integer("allowzero", 0) != 0;
  Dims partly;
  if (!target && partly_known(n, n[1], n[0]->type, partly)) target = partly;
  if (!target) return running_reshape(n, zero_is_zero);
  Value* x = n[0];
  int open = 0;
  for (size_t i = 0; i < target->size() && !zero_is_zero; i++) {
    if ((*target)[i] != 0) continue;
    MOKA_CHECK_KIND(File, spelling::rank(x) < 0 || static_cast<int>(i) < spelling::rank(x), "shape ",
                    std::span<const int64_t>(*target), " copies dimension ", i, " of an input that has ",
                    spelling::rank(x), " dimensions");
    if (spelling::has_rank(x) && x->type.dims[i].fixed()) (*target)[i] = x->type.dims[i].size;
    else open++;
  }
  const bool inferred = std::find(target->begin(), target->end(), -1) != target->end();
  if (open == 0) {
    n.out(n.call("reshape", {x, *target}));
    return true;
  }
  // One open size is what -1 means, when the other sizes are all known.
  if (open == 1 && !inferred) {
    for (int64_t& d : *target)
      if (d == 0) d = -1;
    n.out(n.call("reshape", {x, *target}));
    return true;
  }
  std::vector<Value*> pieces;
  for (size_t i = 0; i < target->size(); i++) {
    if ((*target)[i] == 0)
      pieces.push_back(n.builtin("size", {x, n.build.constant(Any(static_cast<int64_t>(i)))}));
    else pieces.push_back(n.build.constant(Any((*target)[i])));
  }
  Value* y = n.call("reshape", {x, n.list(pieces)});
  DType dtype;
  n.out(spelling::has_dtype(x, &dtype) ? promise(y, dtype, static_cast<int>(target->size())) : y);
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
  Dims order;
  for (int i = n.rank_of(0); i-- > 0;) order.push_back(i);
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
    if (i + 1 == axes->size() || (*axes)[i] != (*axes)[i + 1])
      x = n.call("squeeze.dim", {x, Dims{(*axes)[i]}});
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
  const int rank = n.rank_of(0) + static_cast<int>(axes->size());
  for (int64_t& a : *axes) a = wrapped(a, rank, "axis");
  std::sort(axes->begin(), axes->end());
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
  const Dim& d = data->type.dims[static_cast<size_t>(axis)];
  Value* size;
  if (d.fixed()) size = n.build.constant(Any(spelling::number_tensor(Any(d.size), DType::I64)));
  else
    size = n.builtin("tensor", {n.builtin("size", {data, n.build.constant(Any(axis))}),
                                n.build.constant(Any(DType::I64))});
  Value* wide = n.call("to", {indices, DType::I64});
  return n.call("where", {n.call("lt", {wide, int64_t(0)}), n.call("add", {wide, size}), wide});
}

bool gather(NodeReader& n) {
  const int64_t axis = wrapped(n.integer("axis", 0), n.rank_of(0), "axis");
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
  Value* flat = n.call("reshape", {n.call("to", {indices, DType::I64}), Dims{-1}});
  Value* taken = n.call("index_select", {n[0], axis, flat});
  if (rank == 0) {
    n.out(n.call("select", {taken, axis, int64_t(0)}));
    return true;
  }
  Value* y = n.call("unflatten", {taken, axis, list_of(n, sizes_of(n, n[1]))});
  Wholes sizes = sizes_of(n, n[0]);
  sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(axis));
  const Wholes inner = sizes_of(n, n[1]);
  sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(axis), inner.begin(), inner.end());
  DType dtype;
  n.out(spelling::has_dtype(n[0], &dtype) ? promise(y, dtype, sizes) : y);
  return true;
}

bool gather_elements(NodeReader& n) {
  const int64_t axis = wrapped(n.integer("axis", 0), n.rank_of(0), "axis");
  n.out(n.call("gather", {n[0], axis, wrapped_indices(n, n[1], n[0], axis)}));
  return true;
}

// How many elements a vector has; -1 when that is not known.
int64_t length_of(Value* vector) {
  Dims sizes;
  return spelling::fixed_sizes(vector, sizes) && sizes.size() == 1 ? sizes[0] : -1;
}

// Sizes as a vector, with as many in front as it takes to have `length`.
Value* lengthened(NodeReader& n, Value* sizes, int64_t has, int64_t length, int64_t fill) {
  if (has >= length) return sizes;
  return promise(n.call("pad_constant", {sizes, Dims{length - has, 0}, fill}), DType::I64,
                 Wholes{Whole(length)});
}

// A size of 1 is that of the other side.
bool running_expand(NodeReader& n) {
  const int rank = spelling::rank(n[0]);
  const int64_t wanted = length_of(n[1]), length = std::max<int64_t>(rank, wanted);
  if (rank < 0 || wanted < 0) {
    n.out(n.call("expand", {n[0], n.ints_argument(1)}));
    return true;
  }
  Value* own = lengthened(n, n.call("shape", {n[0]}), rank, length, 1);
  Value* target = lengthened(n, n.call("to", {n[1], DType::I64}), wanted, length, 1);
  Value* sizes = n.call("where", {n.call("eq", {target, int64_t(1)}), own, target});
  Value* y = n.call("expand", {n[0], n.builtin("ints", {sizes})});
  DType dtype;
  n.out(spelling::has_dtype(n[0], &dtype) ? promise(y, dtype, static_cast<int>(length)) : y);
  return true;
}

// ONNX broadcasts both ways; our expand keeps a size where it is told -1.
bool expand(NodeReader& n) {
  auto target = n.known_ints(1);
  if (!target) return running_expand(n);
  const int rank = n.rank_of(0), wanted = static_cast<int>(target->size());
  Dims size;
  for (int i = wanted; i < rank; i++) size.push_back(-1);
  for (int i = 0; i < wanted; i++) {
    const bool ours = i >= wanted - rank;
    size.push_back(ours && (*target)[static_cast<size_t>(i)] == 1 ? -1 : (*target)[static_cast<size_t>(i)]);
  }
  n.out(n.call("expand", {n[0], size}));
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
  if (n.version < 10) return n.declines("the form of opset 1");
  const std::vector<spelling::Argument> args{n[0], n.int_argument(1, 0), n.integer("axis", -1),
                                             n.integer("largest", 1) != 0, n.integer("sorted", 1) != 0};
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
    {"Reshape", 1, 0, reshape},
    {"Flatten", 1, 0, flatten},
    {"Transpose", 1, 0, transpose},
    {"Squeeze", 1, 0, squeeze},
    {"Unsqueeze", 1, 0, unsqueeze},
    {"Gather", 1, 0, gather},
    {"GatherElements", 11, 0, gather_elements},
    {"Expand", 8, 0, expand},
    {"Dropout", 1, 0, dropout},
    {"Range", 11, 0, range},
    {"Tile", 1, 0, tile},
    {"Trilu", 14, 0, triangle},
    {"TopK", 1, 0, top_k},
};

}  // namespace

std::span<const Adapter> tensor_adapters() { return table; }

}  // namespace moka::onnx
