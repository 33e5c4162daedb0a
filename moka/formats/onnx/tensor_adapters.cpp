// Adapters of operators that make, move and reshape tensors.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/importer_internal.h"
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
  n.out(n.call("full", {n.ints_argument(0), fill, spelling::named("dtype", dtype)}));
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

bool reshape(NodeReader& n) {
  std::optional<Dims> target = n.ints_of("shape", 1);
  const bool zero_is_zero = n.integer("allowzero", 0) != 0;
  Dims partly;
  if (!target && partly_known(n, n[1], n[0]->type, partly)) target = partly;
  if (!target) {
    n.out(n.call("reshape", {n[0], n.ints_argument(1)}));
    return true;
  }
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
  n.out(n.call("reshape", {x, n.list(pieces)}));
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
    Dims count;
    if (!spelling::fixed_sizes(n[1], count) || count != Dims{1})
      return n.declines("several axes that are not constant");
    n.out(n.call("squeeze.dim", {n[0], n.ints_argument(1)}));
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

bool unsqueeze(NodeReader& n) {
  auto axes = n.ints_of("axes", 1);
  Dims count;
  if (!axes && spelling::fixed_sizes(n[1], count) && (count.empty() || count[0] == 1)) {
    n.out(n.call("unsqueeze", {n[0], n.int_argument(1, 0)}));
    return true;
  }
  if (!axes) return n.declines("several axes that are not constant");
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

bool split(NodeReader& n) {
  auto sizes = n.ints_of("split", 1);
  if (n.has(1) && !sizes) {
    Value* start = n.build.constant(Any(int64_t(0)));
    for (int i = 0; i < n.node.outputs; i++) {
      Value* length = n.int_argument(1, i).slot.value;
      n.out(n.call("narrow", {n[0], n.integer("axis", 0), start, length}), i);
      start = n.builtin("add", {start, length});
    }
    return true;
  }
  const int rank = n.rank_of(0);
  const int64_t axis = wrapped(n.integer("axis", 0), rank, "axis");
  const int64_t parts = n.node.outputs;
  if (!sizes) {
    const Dim& d = n[0]->type.dims[static_cast<size_t>(axis)];
    if (!d.fixed()) return n.declines("the size to split is not known");
    MOKA_CHECK_KIND(File, parts > 0, "has no outputs");
    // Equal parts; since opset 18 the last may be smaller.
    const int64_t each = (d.size + parts - 1) / parts;
    MOKA_CHECK_KIND(File, n.version >= 18 || each * parts == d.size, "size ", d.size,
                    " cannot be split into ", parts, " equal parts");
    sizes.emplace();
    for (int64_t i = 0; i < parts; i++)
      sizes->push_back(std::max<int64_t>(0, std::min(each, d.size - i * each)));
  }
  MOKA_CHECK_KIND(File, static_cast<int64_t>(sizes->size()) >= parts, "gives ", sizes->size(), " sizes for ",
                  parts, " outputs");
  int64_t at = 0;
  for (int64_t i = 0; i < parts; i++) {
    const int64_t length = (*sizes)[static_cast<size_t>(i)];
    MOKA_CHECK_KIND(File, length >= 0, "size ", length, " of part ", i, " is negative");
    n.out(n.call("narrow", {n[0], axis, at, length}), static_cast<int>(i));
    at = checked_add(at, length, "Split");
  }
  return true;
}

// Ends that are known only when running; a step that then is negative is an error of `slice`.
bool running_slice(NodeReader& n) {
  Dims count;
  if (!spelling::fixed_sizes(n[1], count) || count.size() != 1)
    return n.declines("how many dimensions are sliced is not known");
  Value* x = n[0];
  for (int64_t i = 0; i < count[0]; i++)
    x = n.call("slice",
               {x, n.has(3) ? n.int_argument(3, i) : spelling::Argument(i), n.int_argument(1, i),
                n.int_argument(2, i), n.has(4) ? n.int_argument(4, i) : spelling::Argument(int64_t(1))});
  n.out(x);
  return true;
}

// One slice an axis. Backwards slices are a flip and a forward one.
bool slice(NodeReader& n) {
  const bool inputs = n.version >= 10;
  auto starts = inputs ? n.known_ints(1) : n.ints("starts");
  auto ends = inputs ? n.known_ints(2) : n.ints("ends");
  auto axes = inputs ? n.known_ints(3) : n.ints("axes");
  auto steps = inputs ? n.known_ints(4) : std::optional<Dims>();
  if (!starts || !ends || (inputs && ((n.has(3) && !axes) || (n.has(4) && !steps)))) return running_slice(n);
  const size_t count = starts->size();
  if (!axes) {
    axes.emplace();
    for (size_t i = 0; i < count; i++) axes->push_back(static_cast<int64_t>(i));
  }
  if (!steps) steps = Dims(count, int64_t(1));
  MOKA_CHECK_KIND(File, ends->size() == count && axes->size() == count && steps->size() == count,
                  "starts, ends, axes and steps differ in length");
  Value* x = n[0];
  for (size_t i = 0; i < count; i++) {
    int64_t start = (*starts)[i], end = (*ends)[i], step = (*steps)[i], axis = (*axes)[i];
    MOKA_CHECK_KIND(File, step != 0, "a step of 0");
    if (axis < 0) axis = wrapped(axis, n.rank_of(0), "axis");
    if (step > 0) {
      x = n.call("slice", {x, axis, start, end, step});
      continue;
    }
    axis = wrapped(axis, n.rank_of(0), "axis");
    const Dim& d = x->type.dims[static_cast<size_t>(axis)];
    if (!d.fixed()) return n.declines("a backwards slice of a size that is not known");
    const int64_t size = d.size;
    if (start < 0) start += size;
    if (end < 0) end = end < -size ? -1 : end + size;
    start = std::clamp<int64_t>(start, -1, size - 1);
    end = std::clamp<int64_t>(end, -1, size - 1);
    MOKA_CHECK_KIND(File, step != INT64_MIN, "step ", step, " is out of range");
    x = n.call("flip", {x, Dims{axis}});
    x = n.call("slice", {x, axis, size - 1 - start, std::max(size - 1 - end, size - 1 - start), -step});
  }
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
  Dims sizes;
  if (!spelling::fixed_sizes(n[1], sizes)) return n.declines("the sizes of the indices are not known");
  n.out(n.call("unflatten", {taken, axis, sizes}));
  return true;
}

bool gather_elements(NodeReader& n) {
  const int64_t axis = wrapped(n.integer("axis", 0), n.rank_of(0), "axis");
  n.out(n.call("gather", {n[0], axis, wrapped_indices(n, n[1], n[0], axis)}));
  return true;
}

// ONNX broadcasts both ways; our expand keeps a size where it is told -1.
bool expand(NodeReader& n) {
  auto target = n.known_ints(1);
  if (!target) {
    n.out(n.call("expand", {n[0], n.ints_argument(1)}));
    return true;
  }
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

bool cast(NodeReader& n) {
  const Any* to = n.attribute("to");
  MOKA_CHECK_KIND(File, to, "attribute 'to' is missing");
  DType dtype;
  if (to->tag() == Tag::String) {  // opset 1 named the type
    std::string name(to->string());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (name == "double") name = "float64";
    if (!find_dtype(name, dtype)) return n.declines("element type ", to->string(), " is not read");
  } else if (!spelling::find_dtype_code(n.dialect, n.integer("to", 0), dtype)) {
    return n.declines("element type ", n.integer("to", 0), " does not exist");
  }
  MOKA_CHECK_KIND(NotImplemented, dtype != DType::String, "tensors of strings are not computed");
  n.out(n.call("to", {n[0], dtype}));
  return true;
}

bool cast_like(NodeReader& n) {
  DType dtype;
  if (!spelling::has_dtype(n[1], &dtype)) return n.declines("the element type of input 1 is not known");
  n.out(n.call("to", {n[0], dtype}));
  return true;
}

// ONNX has all begins, then all ends, in the order of dimensions; ours has (begin, end) pairs from the last dimension on.
bool pad(NodeReader& n) {
  const std::string_view mode = n.text("mode", "constant");
  const char* border = mode == "reflect" ? "reflect"
                       : mode == "edge"  ? "replicate"
                       : mode == "wrap"  ? "circular"
                                         : "";
  MOKA_CHECK_KIND(File, mode == "constant" || *border, "mode '", mode, "' does not exist");
  auto pads = n.version < 2 && n.attribute("paddings") ? n.ints("paddings")
              : n.version < 11                         ? n.ints("pads")
                                                       : n.known_ints(1);
  const int rank = n.rank_of(0);
  const spelling::Argument value = n.has(2) ? n.number_argument(2) : spelling::Argument(n.number("value", 0));
  if (!pads) {
    if (*border) return n.declines("pads that are not constant in mode '", mode, "'");
    if (n.has(3)) return n.declines("pads of some axes that are not constant");
    std::vector<Value*> ours;
    for (int i = rank; i-- > 0;) {
      ours.push_back(n.int_argument(1, i).slot.value);
      ours.push_back(n.int_argument(1, rank + i).slot.value);
    }
    n.out(n.call("pad_constant", {n[0], n.list(ours), value}));
    return true;
  }
  Dims axes;
  if (n.has(3)) {
    auto given = n.known_ints(3);
    if (!given) return n.declines("the axes are not constant");
    axes = *given;
  } else {
    for (int i = 0; i < rank; i++) axes.push_back(i);
  }
  MOKA_CHECK_KIND(File, pads->size() == 2 * axes.size(), pads->size(), " pads were given for ", axes.size(),
                  " dimensions");
  Dims ours(static_cast<size_t>(rank) * 2, int64_t(0));
  for (size_t i = 0; i < axes.size(); i++) {
    const size_t at = static_cast<size_t>(rank - 1 - wrapped(axes[i], rank, "axis"));
    ours[2 * at] = (*pads)[i];
    ours[2 * at + 1] = (*pads)[axes.size() + i];
  }
  while (ours.size() >= 2 && ours.back() == 0 && ours[ours.size() - 2] == 0) {
    ours.pop_back();
    ours.pop_back();
  }
  if (*border && !ours.empty()) n.out(n.call("pad_border", {n[0], ours, border}));
  else n.out(ours.empty() ? n[0] : n.call("pad_constant", {n[0], ours, value}));
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

bool depth_to_space(NodeReader& n) {
  Dims s;
  if (!spelling::fixed_sizes(n[0], s) || s.size() != 4) return n.declines("four fixed sizes were expected");
  const int64_t b = n.integer("blocksize", 0);
  MOKA_CHECK_KIND(File, b > 0 && b < 65536 && s[1] % (b * b) == 0, "blocksize ", b, " does not divide ", s[1],
                  " channels");
  const bool columns_first = n.text("mode", "DCR") == "CRD";
  const int64_t c = s[1] / (b * b);
  Value* x = columns_first ? n.call("permute", {n.call("reshape", {n[0], Dims{s[0], c, b, b, s[2], s[3]}}),
                                                Dims{0, 1, 4, 2, 5, 3}})
                           : n.call("permute", {n.call("reshape", {n[0], Dims{s[0], b, b, c, s[2], s[3]}}),
                                                Dims{0, 3, 4, 1, 5, 2}});
  n.out(n.call("reshape", {x, Dims{s[0], c, s[2] * b, s[3] * b}}));
  return true;
}

bool space_to_depth(NodeReader& n) {
  Dims s;
  if (!spelling::fixed_sizes(n[0], s) || s.size() != 4) return n.declines("four fixed sizes were expected");
  const int64_t b = n.integer("blocksize", 0);
  MOKA_CHECK_KIND(File, b > 0 && b < 65536 && s[2] % b == 0 && s[3] % b == 0, "blocksize ", b,
                  " does not divide the sizes");
  Value* x = n.call("reshape", {n[0], Dims{s[0], s[1], s[2] / b, b, s[3] / b, b}});
  x = n.call("permute", {x, Dims{0, 3, 5, 1, 2, 4}});
  n.out(n.call("reshape", {x, Dims{s[0], s[1] * b * b, s[2] / b, s[3] / b}}));
  return true;
}

bool range(NodeReader& n) {
  DType dtype;
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  n.out(n.call("arange.start_step", {n.number_argument(0), n.number_argument(1), n.number_argument(2),
                                     spelling::named("dtype", dtype)}));
  return true;
}

bool tile(NodeReader& n) {
  if (n.version < 6) return n.declines("the form of opset 1");
  n.out(n.call("repeat", {n[0], n.ints_argument(1)}));
  return true;
}

// A column minus a row number is how far above the diagonal an element is.
bool triangle(NodeReader& n) {
  const int rank = n.rank_of(0);
  MOKA_CHECK_KIND(File, rank >= 2, "the input has ", rank, " dimensions, at least 2 were expected");
  const Dim &rows = n[0]->type.dims[static_cast<size_t>(rank) - 2],
            &columns = n[0]->type.dims[static_cast<size_t>(rank) - 1];
  if (!rows.fixed() || !columns.fixed()) return n.declines("the sizes are not known");
  auto count = [&](int64_t size) {
    return n.call("arange.start_step", {int64_t(0), size, int64_t(1), spelling::named("dtype", DType::I64)});
  };
  Value* above = n.call("sub", {count(columns.size), n.call("unsqueeze", {count(rows.size), int64_t(1)})});
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
    {"Split", 2, 0, split},
    {"Slice", 1, 0, slice},
    {"Gather", 1, 0, gather},
    {"GatherElements", 11, 0, gather_elements},
    {"Expand", 8, 0, expand},
    {"Cast", 1, 0, cast},
    {"CastLike", 15, 0, cast_like},
    {"Pad", 1, 0, pad},
    {"Dropout", 1, 0, dropout},
    {"DepthToSpace", 1, 0, depth_to_space},
    {"SpaceToDepth", 1, 0, space_to_depth},
    {"Range", 11, 0, range},
    {"Tile", 1, 0, tile},
    {"Trilu", 14, 0, triangle},
    {"TopK", 1, 0, top_k},
};

}  // namespace

std::span<const Adapter> tensor_adapters() { return table; }

}  // namespace moka::onnx
