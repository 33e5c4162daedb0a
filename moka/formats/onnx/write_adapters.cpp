// Operators of ours that ONNX says with inputs or attributes of another form.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/schema/frame.h"

namespace moka::onnx {

using spelling::Attribute;
using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

int64_t wrap(int64_t dim, int rank) { return dim < 0 ? dim + rank : dim; }

bool flatten(NodeWriter& n) {
  const int rank = n.rank("input");
  const int64_t start = n.integer("start_dim"), end = n.integer("end_dim");
  if (rank < 2 || wrap(end, rank) != rank - 1 || wrap(start, rank) != 1) return false;
  return n.finish("Flatten", {n.name("input")}, {{"axis", Any(int64_t(1))}});
}

// A shape with run-time sizes: a size of the input at the same place is 0, one other is -1.
bool reshape(NodeWriter& n) {
  Dims shape;
  if (!n.ints("shape", shape)) {
    const graph::Node* list = n.value("shape")->producer();
    if (!list || list->kind != graph::NodeKind::List)
      return n.declines("the shape is known only when running");
    bool open = false;
    for (size_t i = 0; i < list->inputs().size(); i++) {
      const graph::Value* v = list->inputs()[i];
      if (const Any* c = v->constant()) {
        if (c->tag() != Tag::Int || c->arg().i == 0)
          return n.declines("the shape is known only when running");
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
      } else if (!open) {
        open = true;
        shape.push_back(-1);
      } else {
        return n.declines("the shape is known only when running");
      }
    }
  }
  if (shape.size() == 0 || std::find(shape.begin(), shape.end(), 0) == shape.end() || n.model.version() < 14)
    return n.finish("Reshape", {n.name("input"), n.ints_input(shape)});
  // Zeros that we wrote copy a size; zeros of the graph are sizes.
  const bool ours = !n.constant("shape");
  if (ours) return n.finish("Reshape", {n.name("input"), n.ints_input(shape)});
  return n.finish("Reshape", {n.name("input"), n.ints_input(shape)}, {{"allowzero", Any(int64_t(1))}});
}

bool slice(NodeWriter& n) {
  const Any *start = n.constant("start"), *end = n.constant("end"), *step = n.constant("step");
  if (!start || !end || !step) return n.declines("its ends are known only when running");
  auto one = [](const Any& v, int64_t otherwise) { return Dims{v.is_none() ? otherwise : v.arg().as_int()}; };
  return n.finish("Slice", {n.name("input"), n.ints_input(one(*start, 0)), n.ints_input(one(*end, INT64_MAX)),
                            n.ints_input(Dims{n.integer("dim")}), n.ints_input(one(*step, 1))});
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
  Dims sizes, input;
  const Any *mode = n.constant("mode"), *align = n.constant("align_corners"),
            *antialias = n.constant("antialias"), *scales = n.constant("scales");
  if (!mode || !align || !antialias || !scales || !n.ints("size", sizes) ||
      !spelling::fixed_sizes(n.value("input"), input))
    return n.declines("its settings or sizes are known only when running");
  if (!scales->is_none()) return n.declines("results that lie closer or farther apart than the sizes say");
  std::string_view m = mode->string();
  const bool nearest = m == "nearest" || m == "nearest-exact", wide = antialias->to_bool();
  if (m == "lanczos") return n.declines("mode lanczos");
  if (wide && n.model.version() < 18) return n.declines("a filter against aliasing before opset 18");
  Dims all{input[0], input[1]};
  all.append(std::span<const int64_t>(sizes).last(input.size() - 2));
  std::vector<spelling::Attribute> attributes{
      {"mode", Any(nearest ? "nearest" : m)},
      {"coordinate_transformation_mode", Any(m == "nearest"     ? "asymmetric"
                                             : align->to_bool() ? "align_corners"
                                                                : "half_pixel")}};
  if (nearest) attributes.push_back({"nearest_mode", Any(m == "nearest" ? "floor" : "round_prefer_ceil")});
  if (m == "cubic") attributes.push_back({"cubic_coeff_a", Any(wide ? -0.5 : -0.75)});
  if (wide) attributes.push_back({"antialias", Any(int64_t(1))});
  return n.finish("Resize", {n.name("input"), "", "", n.ints_input(all)}, attributes);
}

// Reductions took their axes as an attribute until opset 18 (ReduceSum until 13).
template <int kind>  // 0 sum, 1 mean, 2 amax, 3 amin, 4 prod, 5 logsumexp
bool reduce(NodeWriter& n) {
  constexpr const char* names[] = {"ReduceSum", "ReduceMean", "ReduceMax",
                                   "ReduceMin", "ReduceProd", "ReduceLogSumExp"};
  const Any* keep = n.constant("keepdim");
  const Any* given = n.constant("dim");
  if (!keep || !given) return n.declines("dim is known only when running");
  DType from, to;
  if (!spelling::has_dtype(n.value("input"), &from) || !spelling::has_dtype(n.node.output(), &to))
    return n.declines("the element type is not known");
  std::string x = n.name("input");
  if (from != to)
    x = n.add("Cast", {x}, {{"to", Any(int64_t(spelling::dtype_code(spelling::Dialect::Onnx, to)))}});
  Dims dims;
  if (!given->is_none()) spelling::to_ints(*given, dims);
  std::vector<Attribute> attributes{{"keepdims", Any(int64_t(keep->to_bool()))}};
  std::vector<std::string> inputs{x};
  if (!dims.empty()) {
    if (n.model.version() >= (kind == 0 ? 13 : 18)) inputs.push_back(n.ints_input(dims));
    else attributes.push_back({"axes", Any(dims)});
  }
  return n.finish(names[kind], inputs, attributes);
}

// -1 keeps a size here, 1 does there.
bool expand(NodeWriter& n) {
  Dims size;
  if (!n.ints("size", size)) return n.declines("the size is known only when running");
  for (int64_t& d : size) d = d == -1 ? 1 : d;
  return n.finish("Expand", {n.name("input"), n.ints_input(size)});
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

template <bool largest>
bool arg_reduce(NodeWriter& n) {
  const Any *dim = n.constant("dim"), *keep = n.constant("keepdim");
  if (!dim || !keep) return n.declines("dim is known only when running");
  std::string x = n.name("input");
  int64_t axis = 0;
  if (dim->is_none()) {
    x = n.add("Reshape", {x, n.ints_input(Dims{-1})});
    if (keep->to_bool()) return n.declines("keepdim over all dimensions");
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

// The result has the base's type: ours promotes.
bool power(NodeWriter& n) {
  DType base, result;
  if (!spelling::has_dtype(n.value("input"), &base) || !spelling::has_dtype(n.node.output(), &result) ||
      base == result)
    return false;
  const std::string x = n.add("Cast", {n.name("input")},
                              {{"to", Any(int64_t(spelling::dtype_code(spelling::Dialect::Onnx, result)))}});
  const Any* exponent = n.constant("exponent");
  return n.finish("Pow", {x, exponent && exponent->arg().is_number()
                                 ? n.tensor(spelling::number_tensor(*exponent, result))
                                 : n.name("exponent")});
}

constexpr WritingAdapter table[] = {
    {"flatten", 1, 0, flatten},
    {"reshape", 5, 0, reshape},
    {"slice", 10, 0, slice},
    {"flip", 10, 0, flip},
    {"pad_constant", 11, 0, pad},
    {"pad_border", 11, 0, pad_border},
    {"resample", 13, 0, resample},
    {"sum", 13, 0, reduce<0>},
    {"mean", 13, 0, reduce<1>},
    {"amax", 13, 0, reduce<2>},
    {"amin", 13, 0, reduce<3>},
    {"argmax", 13, 0, arg_reduce<true>},
    {"argmin", 13, 0, arg_reduce<false>},
    {"split", 13, 0, split},
    {"prod", 13, 0, reduce<4>},
    {"logsumexp", 13, 0, reduce<5>},
    {"expand", 13, 0, expand},
    {"zeros_like", 13, 0, like<0>},
    {"ones_like", 13, 0, like<1>},
    {"full_like", 13, 0, like<2>},
    {"chunk", 13, 0, split},
    {"unbind", 13, 0, split},
    {"pow", 13, 0, power},
};

}  // namespace

std::span<const WritingAdapter> writing_adapters() { return table; }

}  // namespace moka::onnx
