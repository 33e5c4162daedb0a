// Operators of ours that ONNX says with inputs or attributes of another form.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/schema/frame.h"

namespace moka::onnx {

using spelling::Attribute;
using spelling::NodeWriter;
using spelling::wrap;
using spelling::WritingAdapter;

namespace {

bool flatten(NodeWriter& n) {
  const int rank = n.rank("input");
  const int64_t start = n.integer("start_dim"), end = n.integer("end_dim");
  if (rank < 2 || wrap(end, rank) != rank - 1 || wrap(start, rank) != 1) return false;
  return n.finish("Flatten", {n.name("input")}, {{"axis", Any(int64_t(1))}});
}

// A shape with run-time sizes: a size of the input at the same place is 0, one other is -1.
bool reshape(NodeWriter& n) {
  Dims shape;
  const bool known = n.ints("shape", shape);
  const graph::Node* list = n.value("shape")->producer();
  bool simple = known;
  if (!known && list && list->kind == graph::NodeKind::List) {
    bool open = false;
    simple = true;
    for (size_t i = 0; simple && i < list->inputs().size(); i++) {
      const graph::Value* v = list->inputs()[i];
      if (const Any* c = v->constant()) {
        simple = c->tag() == Tag::Int && c->arg().i != 0 && !(open && c->arg().i == -1);
        open |= c->arg().i == -1;
        shape.push_back(c->arg().i);
        continue;
      }
      const graph::Node* size = v->producer();
      const Any* dim = size && size->kind == graph::NodeKind::Builtin && size->name == "size"
                           ? size->input(1)->constant()
                           : nullptr;
      if (dim && size->input(0) == n.value("input") && dim->to_int() == static_cast<int64_t>(i)) {
        shape.push_back(0);
      } else {
        simple = !open;
        open = true;
        shape.push_back(-1);
      }
    }
  }
  if (!simple) return n.finish("Reshape", {n.name("input"), n.ints_name("shape")});
  // Zeros that we wrote copy a size; zeros of the graph are sizes.
  if (Dims result; spelling::fixed_sizes(n.node.output(), result) &&
                   std::find(result.begin(), result.end(), 0) != result.end() && n.model.version() >= 14)
    return n.finish("Reshape", {n.name("input"), n.ints_input(result)}, {{"allowzero", Any(int64_t(1))}});
  if (!known || std::find(shape.begin(), shape.end(), 0) == shape.end())
    return n.finish("Reshape", {n.name("input"), n.ints_input(shape)});
  if (std::find(shape.begin(), shape.end(), -1) != shape.end()) {
    Dims result;
    if (spelling::fixed_sizes(n.node.output(), result)) shape = result;
  }
  if (n.model.version() < 14) {
    n.why = "a size of 0 before opset 14";
    return n.left_to_rules();
  }
  return n.finish("Reshape", {n.name("input"), n.ints_input(shape)}, {{"allowzero", Any(int64_t(1))}});
}

bool slice(NodeWriter& n) {
  if (const Any *start = n.constant("start"), *end = n.constant("end"), *step = n.constant("step");
      start && end && step && step->to_int() == 1 && (start->is_none() || start->to_int() == 0) &&
      (end->is_none() || end->to_int() == INT64_MAX))
    return n.left_to_rules();  // all of it
  auto one = [&](std::string_view arg, int64_t otherwise) {
    const Any* c = n.constant(arg);
    return c && c->is_none() ? n.ints_input(Dims{otherwise}) : n.one_name(arg);
  };
  std::vector<std::string> inputs{n.name("input"), one("start", 0), one("end", INT64_MAX),
                                  n.ints_input(Dims{n.integer("dim")})};
  const Any* step = n.constant("step");
  if (!step || step->to_int() != 1) inputs.push_back(one("step", 1));
  return n.finish("Slice", inputs);
}

bool narrow(NodeWriter& n) {
  auto end = [&] {
    const Any *start = n.constant("start"), *length = n.constant("length");
    if (start && length && (start->to_int() >= 0 || start->to_int() + length->to_int() < 0))
      return n.ints_input(Dims{start->to_int() + length->to_int()});
    if (start && start->to_int() < 0) return std::string();  // the sum may be 0, which is the front
    return n.add("Add", {n.one_name("start"), n.one_name("length")});
  }();
  if (end.empty()) return n.declines("it starts behind the end by a length known only when running");
  return n.finish("Slice", {n.name("input"), n.one_name("start"), end, n.ints_input(Dims{n.integer("dim")})});
}

bool flip(NodeWriter& n) {
  Dims dims;
  if (!n.ints("dims", dims)) return n.declines("dims are known only when running");
  const size_t count = dims.size();
  return n.finish(
      "Slice", {n.name("input"), n.ints_input(Dims(count, int64_t(-1))), n.ints_input(Dims(count, INT64_MIN)),
                n.ints_input(dims), n.ints_input(Dims(count, int64_t(-1)))});
}

// The pads of an argument in ONNX's order: all begins, then all ends.
bool onnx_pads(NodeWriter& n, Dims& all) {
  Dims pad;
  const int rank = n.rank("input");
  if (rank < 0 || !n.ints("pad", pad)) return n.declines("the pads are known only when running");
  all = Dims(static_cast<size_t>(rank) * 2, int64_t(0));
  for (size_t i = 0; 2 * i + 1 < pad.size(); i++) {
    const size_t at = static_cast<size_t>(rank) - 1 - i;
    all[at] = pad[2 * i];
    all[static_cast<size_t>(rank) + at] = pad[2 * i + 1];
  }
  return true;
}

bool pad(NodeWriter& n) {
  Dims all;
  DType dtype;
  const Any* value = n.constant("value");
  if (!onnx_pads(n, all)) return false;
  if (!value || !spelling::has_dtype(n.value("input"), &dtype))
    return n.declines("value or type are known only when running");
  return n.finish("Pad",
                  {n.name("input"), n.ints_input(all), n.tensor(spelling::number_tensor(*value, dtype))});
}

bool pad_border(NodeWriter& n) {
  Dims all;
  if (!onnx_pads(n, all)) return false;
  std::string_view mode = n.constant("mode")->string();
  if (mode == "circular" && n.model.version() < 19) return n.declines("circular padding before opset 19");
  mode = mode == "replicate" ? "edge" : mode == "circular" ? "wrap" : mode;
  return n.finish("Pad", {n.name("input"), n.ints_input(all)}, {{"mode", Any(mode)}});
}

bool resample(NodeWriter& n) {
  Dims sizes;
  const Any *mode = n.constant("mode"), *align = n.constant("align_corners"),
            *antialias = n.constant("antialias"), *scales = n.constant("scales");
  const int rank = n.rank("input");
  if (!mode || !align || !antialias || !scales || rank < 3)
    return n.declines("its settings are known only when running");
  std::string_view m = mode->string();
  const bool nearest = m == "nearest" || m == "nearest-exact", wide = antialias->to_bool();
  if (m == "lanczos") return n.declines("mode lanczos");
  if (wide && n.model.version() < 18) return n.declines("a filter against aliasing before opset 18");
  std::vector<spelling::Attribute> attributes{
      {"mode", Any(nearest ? "nearest" : m)},
      {"coordinate_transformation_mode", Any(m == "nearest"     ? "asymmetric"
                                             : align->to_bool() ? "align_corners"
                                                                : "half_pixel")}};
  if (nearest) attributes.push_back({"nearest_mode", Any(m == "nearest" ? "floor" : "round_prefer_ceil")});
  if (m == "cubic") attributes.push_back({"cubic_coeff_a", Any(wide ? -0.5 : -0.75)});
  if (wide) {
    attributes.push_back({"antialias", Any(int64_t(1))});
    attributes.push_back({"exclude_outside", Any(int64_t(1))});
  }
  if (!scales->is_none() && n.model.version() >= 11 && !align->to_bool()) {
    const std::span<const double> factors = scales->arg().as_floats();
    const int64_t count = rank;
    Tensor all = new_tensor(std::span(&count, 1), DType::F32);
    auto* to = static_cast<float*>(all.raw_data());
    to[0] = to[1] = 1;
    for (int d = 2; d < rank; d++)
      to[d] = static_cast<float>(factors[factors.size() == 1 ? 0 : static_cast<size_t>(d - 2)]);
    return n.finish("Resize", {n.name("input"), "", n.tensor(all)}, attributes);
  }
  // The sizes of batch and channels, then those that are wanted.
  Dims input;
  if (n.ints("size", sizes) && spelling::fixed_sizes(n.value("input"), input)) {
    Dims all{input[0], input[1]};
    all.append(std::span<const int64_t>(sizes).last(input.size() - 2));
    return n.finish("Resize", {n.name("input"), "", "", n.ints_input(all)}, attributes);
  }
  if (n.model.version() < 11) return n.declines("sizes known only when running before opset 11");
  const std::string first =
      n.add("Slice", {n.add("Shape", {n.name("input")}), n.ints_input(Dims{0}), n.ints_input(Dims{2})});
  const std::string all = n.add("Concat", {first, n.ints_name("size")}, {{"axis", Any(int64_t(0))}});
  return n.finish("Resize", {n.name("input"), "", "", all}, attributes);
}

// Reductions took their axes as an attribute until opset 18 (ReduceSum until 13).
template <int kind>  // 0 sum, 1 mean, 2 amax, 3 amin, 4 prod, 5 logsumexp
bool reduce(NodeWriter& n) {
  constexpr const char* names[] = {"ReduceSum", "ReduceMean", "ReduceMax",
                                   "ReduceMin", "ReduceProd", "ReduceLogSumExp"};
  const Any* keep = n.constant("keepdim");
  const Any* given = n.constant("dim");
  const bool as_input = n.model.version() >= (kind == 0 ? 13 : 18);
  if (!keep || (!given && !as_input)) return n.declines("dim is known only when running");
  DType from, to;
  if (!spelling::has_dtype(n.value("input"), &from) || !spelling::has_dtype(n.node.output(), &to))
    return n.declines("the element type is not known");
  std::string x = n.name("input");
  if (from != to)
    x = n.add("Cast", {x}, {{"to", Any(int64_t(spelling::dtype_code(spelling::Dialect::Onnx, to)))}});
  Dims dims;
  if (given && !given->is_none()) spelling::to_ints(*given, dims);
  std::vector<Attribute> attributes{{"keepdims", Any(int64_t(keep->to_bool()))}};
  std::vector<std::string> inputs{x};
  if (!given) {
    inputs.push_back(n.ints_name("dim"));
  } else if (!dims.empty()) {
    if (as_input) inputs.push_back(n.ints_input(dims));
    else attributes.push_back({"axes", Any(dims)});
  }
  return n.finish(names[kind], inputs, attributes);
}

// -1 keeps a size here, 1 does there.
bool expand(NodeWriter& n) {
  Dims size;
  if (!n.ints("size", size)) {
    const graph::Node* list = n.value("size")->producer();
    if (!list || list->kind != graph::NodeKind::List)
      return n.finish("Expand", {n.name("input"), n.ints_name("size")});
    std::vector<std::string> parts;
    for (graph::Value* v : list->inputs()) {
      const Any* c = v->constant();
      parts.push_back(c ? n.ints_input(Dims{c->to_int() == -1 ? 1 : c->to_int()})
                        : n.add("Reshape", {n.model.name_of(v), n.ints_input(Dims{1})}));
    }
    return n.finish("Expand", {n.name("input"), n.add("Concat", parts, {{"axis", Any(int64_t(0))}})});
  }
  for (int64_t& d : size) d = d == -1 ? 1 : d;
  return n.finish("Expand", {n.name("input"), n.ints_input(size)});
}

// A tensor of one number.
std::string filled(NodeWriter& n, const Any& value, DType dtype, const std::string& shape) {
  const int64_t one = 1;
  Tensor fill = new_tensor(std::span(&one, 1), dtype);
  copy_elements(spelling::number_tensor(value, dtype), fill);
  return n.add("ConstantOfShape", {shape}, {{"value", Any(fill)}});
}
template <int kind>  // 0 zeros, 1 ones, 2 full
bool full(NodeWriter& n) {
  DType dtype;
  if (!spelling::has_dtype(n.node.output(), &dtype)) return n.declines("the element type is not known");
  const std::string size = n.ints_name("size");
  if (kind == 2 && !n.constant("fill_value")) {
    const std::string value = cast(n, n.model.name_of(n.value("fill_value")), dtype);
    return n.finish("Expand", {value, size});
  }
  const Any value = kind == 2 ? *n.constant("fill_value") : Any(int64_t(kind));
  return n.finish("Identity", {filled(n, value, dtype, size)});
}
bool arange(NodeWriter& n) {
  DType dtype;
  if (!spelling::has_dtype(n.node.output(), &dtype)) return n.declines("the element type is not known");
  auto one = [&](std::string_view arg) {
    if (const Any* c = n.constant(arg)) return n.tensor(spelling::number_tensor(*c, dtype));
    const std::string name = n.model.name_of(n.value(arg));
    return dtype == DType::I64 ? name : cast(n, name, dtype);
  };
  if (n.model.version() >= 11) return n.finish("Range", {one("start"), one("end"), one("step")});
  const Any *start = n.constant("start"), *step = n.constant("step");
  if (!start || start->to_double() != 0 || !step || step->to_double() != 1 || dtype != DType::I64)
    return n.declines("other ranges than 0, 1, ... before opset 11");
  // The places of as many ones.
  const std::string ones =
      filled(n, Any(int64_t(1)), DType::I64, n.add("Reshape", {one("end"), n.ints_input(Dims{1})}));
  return n.finish("Squeeze", {n.add("NonZero", {ones}), n.ints_input(Dims{0})});
}
bool tile(NodeWriter& n) {
  Dims repeats;
  if (!n.ints("repeats", repeats)) return n.finish("Tile", {n.name("input"), n.ints_name("repeats")});
  const int rank = n.rank("input");
  if (rank < 0) return n.declines("the rank is not known");
  std::string x = n.name("input");
  if (Dims front; static_cast<int>(repeats.size()) > rank) {
    for (int64_t d = 0; d < static_cast<int64_t>(repeats.size()) - rank; d++) front.push_back(d);
    x = n.add("Unsqueeze", {x, n.ints_input(front)});
  }
  return n.finish("Tile", {x, n.ints_input(repeats)});
}
bool squeeze(NodeWriter& n) {
  Dims dims;
  const graph::Type& type = n.value("input")->type;
  if (!type.has_dims || !n.ints("dim", dims)) return false;
  // A size that is open is 1 only where the result has a dimension less for it.
  Dims ones, open;
  for (int64_t d : dims) {
    if (type.dims.empty()) continue;
    const graph::Dim& size = type.dims[static_cast<size_t>(wrap(d, n.rank("input")))];
    if (!size.fixed()) open.push_back(d);
    else if (size.size == 1) ones.push_back(d);
  }
  const graph::Type& result = n.node.output()->type;
  if (!result.has_dims || result.dims.size() + ones.size() != type.dims.size())
    for (int64_t d : open) ones.push_back(d);
  if (ones.empty()) return n.finish("Identity", {n.name("input")});
  return n.finish("Squeeze", {n.name("input"), n.ints_input(ones)});
}
bool topk(NodeWriter& n) {
  const Any *largest = n.constant("largest"), *sorted = n.constant("sorted");
  if (!largest || !sorted) return n.declines("its settings are known only when running");
  if (n.rank("input") == 0) return n.declines("a tensor without dimensions");
  std::vector<std::string> outputs;
  for (int i = 0; i < 2; i++) outputs.push_back(n.model.name_of(n.node.output(i)));
  n.model.add_node(n.node, "TopK", "", {n.name("input"), n.one_name("k")}, outputs,
                   {{"axis", Any(n.integer("dim"))},
                    {"largest", Any(int64_t(largest->to_bool()))},
                    {"sorted", Any(int64_t(sorted->to_bool()))}});
  return true;
}
bool conversion(NodeWriter& n) {
  const Any* dtype = n.constant("dtype");
  DType have;
  if (!dtype) return n.declines("the type is known only when running");
  if (dtype->is_none() || (spelling::has_dtype(n.value("input"), &have) && have == dtype->dtype()))
    return n.finish("Identity", {n.name("input")});
  return n.finish("Cast", {n.name("input")}, {dtype_attribute("to", dtype->dtype())});
}

template <int kind>  // 0 zeros_like, 1 ones_like, 2 full_like
bool like(NodeWriter& n) {
  DType dtype;
  if (!spelling::has_dtype(n.node.output(), &dtype)) return n.declines("the element type is not known");
  const Any value =
      kind == 2 ? (n.constant("fill_value") ? *n.constant("fill_value") : Any()) : Any(int64_t(kind));
  if (!value.arg().is_number()) return n.declines("the value is known only when running");
  const int64_t one = 1;
  Tensor fill = new_tensor(std::span(&one, 1), dtype);
  copy_elements(spelling::number_tensor(value, dtype), fill);
  return n.finish("ConstantOfShape", {n.add("Shape", {n.name("input")})}, {{"value", Any(fill)}});
}

template <bool stacked>
bool joined(NodeWriter& n) {
  if (is_said_with_its_loop(n.node)) return true;
  const graph::Value* list = n.value("tensors");
  const graph::Node* maker = list->producer();
  const Any* dim = n.constant("dim");
  if (!dim || list->type.kind != graph::TypeKind::List || n.model.version() < 11 ||
      (maker && (maker->kind == graph::NodeKind::List || maker->kind == graph::NodeKind::Op)))
    return false;
  return n.finish("ConcatFromSequence", {n.name("tensors")},
                  {{"axis", Any(dim->to_int())}, {"new_axis", Any(int64_t(stacked))}});
}

template <bool largest>
bool arg_reduce(NodeWriter& n) {
  const Any *dim = n.constant("dim"), *keep = n.constant("keepdim");
  if (!dim || !keep) return n.declines("dim is known only when running");
  std::string x = n.name("input");
  int64_t axis = 0;
  if (dim->is_none()) {
    x = n.add("Reshape", {x, n.ints_input(Dims{-1})});
    if (keep->to_bool()) {
      const int rank = n.rank("input");
      if (rank < 0) return n.declines("keepdim over all dimensions of an unknown number");
      const std::string place =
          n.add(largest ? "ArgMax" : "ArgMin", {x}, {{"axis", Any(axis)}, {"keepdims", Any(int64_t(0))}});
      return n.finish("Reshape", {place, n.ints_input(Dims(static_cast<size_t>(rank), int64_t(1)))});
    }
  } else {
    axis = dim->to_int();
  }
  return n.finish(largest ? "ArgMax" : "ArgMin", {x},
                  {{"axis", Any(axis)}, {"keepdims", Any(int64_t(keep->to_bool()))}});
}

// The parts are named by the Unpack node behind the list.
bool split(NodeWriter& n) {
  const graph::Value* list = n.node.output();
  const graph::Node* unpack = nullptr;
  for (const graph::Value::Use& use : list->uses()) {
    if (!use.node || use.node->kind != graph::NodeKind::Unpack || unpack)
      return n.declines("its result is used as a list");
    unpack = use.node;
  }
  if (!unpack || !spelling::has_rank(n.value("input"))) return n.declines("its result is used as a list");
  const bool one_each = n.node.op_name() == "unbind";
  const int64_t dim = n.integer("dim");
  Dims lengths;
  std::vector<std::string> outputs;
  for (graph::Value* v : unpack->outputs()) {
    if (!spelling::has_rank(v)) return n.declines("the sizes are known only when running");
    const int rank = spelling::rank(v) + one_each;
    const graph::Dim& d = one_each ? graph::Dim{1, {}} : v->type.dims[static_cast<size_t>(wrap(dim, rank))];
    if (!d.fixed()) return n.declines("the sizes are known only when running");
    lengths.push_back(d.size);
  }
  for (size_t i = 0; i < unpack->outputs().size(); i++) {
    graph::Value* v = unpack->output(static_cast<int>(i));
    outputs.push_back(one_each ? n.model.unique(cat(n.model.scoped(n.node, "Split"), "_part_", i))
                               : n.model.name_of(v));
  }
  n.model.add_node(n.node, "Split", "", {n.name("input"), n.ints_input(lengths)}, outputs,
                   {{"axis", Any(dim)}});
  for (size_t i = 0; one_each && i < outputs.size(); i++)
    n.model.add_node(n.node, "Squeeze", "", {outputs[i], n.ints_input(Dims{dim})},
                     {n.model.name_of(unpack->output(static_cast<int>(i)))}, {});
  return true;
}

constexpr WritingAdapter table[] = {
    {"cat", 1, 0, joined<false>},
    {"stack", 1, 0, joined<true>},
    {"flatten", 1, 0, flatten},
    {"reshape", 5, 0, reshape},
    {"slice", 1, 0, slice},
    {"to", 1, 0, conversion},
    {"squeeze.dim", 1, 0, squeeze},
    {"repeat", 6, 0, tile},
    {"topk", 1, 0, topk},
    {"zeros", 9, 0, full<0>},
    {"ones", 9, 0, full<1>},
    {"full", 9, 0, full<2>},
    {"empty", 9, 0, full<0>},
    {"arange.start_step", 9, 0, arange},
    {"flip", 10, 0, flip},
    {"narrow", 1, 0, narrow},
    {"pad_constant", 2, 0, pad},
    {"pad_border", 2, 0, pad_border},
    {"resample", 9, 0, resample},
    {"sum", 1, 0, reduce<0>},
    {"mean", 1, 0, reduce<1>},
    {"amax", 1, 0, reduce<2>},
    {"amin", 1, 0, reduce<3>},
    {"argmax", 1, 0, arg_reduce<true>},
    {"argmin", 1, 0, arg_reduce<false>},
    {"split", 1, 0, split},
    {"prod", 1, 0, reduce<4>},
    {"logsumexp", 1, 0, reduce<5>},
    {"expand", 9, 0, expand},
    {"zeros_like", 9, 0, like<0>},
    {"ones_like", 9, 0, like<1>},
    {"full_like", 9, 0, like<2>},
    {"empty_like", 9, 0, like<0>},
    {"chunk", 1, 0, split},
    {"unbind", 1, 0, split},
};

}  // namespace

std::span<const WritingAdapter> tensor_writers() { return table; }

std::span<const std::span<const WritingAdapter>> writing_adapters() {
  static const std::span<const WritingAdapter> families[] = {
      quantized_writers(), tensor_writers(),    number_writers(), indexing_writers(),
      layer_writers(),     recurrent_writers(), signal_writers()};
  return families;
}

std::string cast(const NodeWriter& n, const std::string& input, DType dtype) {
  return n.add("Cast", {input}, {dtype_attribute("to", dtype)});
}
Attribute dtype_attribute(std::string_view name, DType dtype) {
  const int code = spelling::dtype_code(spelling::Dialect::Onnx, dtype);
  MOKA_CHECK_KIND(NotImplemented, code, "ONNX has no element type ", info(dtype).name);
  return {std::string(name), Any(int64_t(code))};
}

}  // namespace moka::onnx
