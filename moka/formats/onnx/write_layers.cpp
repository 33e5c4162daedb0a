// Layers that ONNX has an operator of its own for: recurrent layers, pooling with places, normalization, determinants.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/schema/frame.h"

namespace moka::onnx {

using graph::Node;
using graph::NodeKind;
using graph::Value;
using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

// ---- recurrent layers

bool is_none(const Value* v) { return v->constant() && v->constant()->is_none(); }

// The rows of one step, which all steps share: a number, or the size of a tensor.
struct Rows {
  int64_t number = -1;
  Value* value = nullptr;  // known only when running
  const Value* of = nullptr;
  int64_t dim = 0;
  bool same(const Value* v) const {
    if (const Any* c = v->constant()) return number >= 0 && c->to_int() == number;
    const Node* n = v->producer();
    return of && n && n->kind == NodeKind::Builtin && n->name == "size" && n->input(0) == of &&
           n->input(1)->constant() && n->input(1)->constant()->to_int() == dim;
  }
  // [start, end) are the rows of the first or the last step; `total` rows there are, -1: known only when running.
  bool is_step(const Value* start, const Value* end, bool last, int64_t total) const {
    const Any *from = start->constant(), *to = end->constant();
    if (!last) return from && (from->is_none() || from->to_int() == 0) && same(end);
    if (from && to)
      return total >= 0 && number >= 0 && !from->is_none() && from->to_int() == total - number &&
             (to->is_none() || to->to_int() >= total);
    const Node *difference = start->producer(), *all = end->producer();
    if (from || to || difference->kind != NodeKind::Builtin || difference->name != "sub" ||
        difference->input(0) != end || !same(difference->input(1)) || all->kind != NodeKind::Builtin)
      return false;
    if (all->name == "size") return true;
    return all->name == "mul" && (same(all->input(0)) || same(all->input(1)));
  }
};

bool is_whole(const Value* start, const Value* end) {
  const Any *from = start->constant(), *to = end->constant();
  return from && to && (from->is_none() || from->to_int() == 0) &&
         (to->is_none() || to->to_int() == INT64_MAX);
}

// `states` of an LSTM holds h and, beside it, c of every step; ONNX gives c of the last step alone. Uses that ask for
// no other are slices of the rows of that step, then of the columns.
bool reads_last_cell_only(const Value* v, int64_t hidden, const Rows& rows, bool last, int64_t total,
                          bool rows_known) {
  for (const Value::Use& use : v->uses()) {
    const Node* n = use.node;
    if (!n || n->kind != NodeKind::Op || n->op_name() != "slice") return false;
    const Value *start = n->argument("start"), *end = n->argument("end");
    const Any *dim = n->argument("dim")->constant(), *step = n->argument("step")->constant();
    if (!dim || !step || step->to_int() != 1) return false;
    if (dim->to_int() == 0 || is_whole(start, end)) {
      const bool known = rows_known || (!is_whole(start, end) && rows.is_step(start, end, last, total));
      if (!reads_last_cell_only(n->output(), hidden, rows, last, total, known)) return false;
      continue;
    }
    const Any *from = start->constant(), *to = end->constant();
    if (!rows_known &&
        (!from || !to || from->is_none() || to->is_none() || from->to_int() < 0 || to->to_int() > hidden))
      return false;
  }
  return true;
}

struct Recurrent {
  int64_t steps = 0;
  Rows rows;
  int64_t hidden;  // size of h
  int gates;  // 4 for an LSTM, 3 for a GRU
  const Node* linear = nullptr;  // that made the gates, when nothing else reads them
};
// One number stands for all steps, else there is one for each.
bool steps_of(const Value* sizes, int64_t total, Recurrent& out) {
  Dims all;
  if (const Any* c = sizes->constant()) {
    if (!spelling::to_ints(*c, all) || all.empty() || all[0] <= 0) return false;
    out.rows.number = all[0];
    for (int64_t b : all)
      if (b != all[0]) return false;
    out.steps = all.size() > 1 ? static_cast<int64_t>(all.size()) : total < 0 ? -1 : total / all[0];
    return true;
  }
  const Node* list = sizes->producer();
  if (!list || list->kind != NodeKind::List || list->inputs().empty()) return false;
  const Node* size = list->input(0)->producer();
  if (!size || size->kind != NodeKind::Builtin || size->name != "size" || !size->input(1)->constant())
    return false;
  out.rows.of = size->input(0);
  out.rows.dim = size->input(1)->constant()->to_int();
  out.rows.value = list->input(0);
  out.steps = list->inputs().size() > 1 ? static_cast<int64_t>(list->inputs().size()) : -1;
  for (const Value* v : list->inputs())
    if (!out.rows.same(v)) return false;
  return true;
}
bool recurrent(const Node& n, Recurrent& out, std::string& why) {
  const Any* mode = n.argument("mode")->constant();
  Dims weight;
  auto no = [&](std::string_view text) {
    why = std::string(text);
    return false;
  };
  const Value* gates = n.argument("gates");
  const int64_t total =
      spelling::rank(gates) == 2 && gates->type.dims[0].fixed() ? gates->type.dims[0].size : -1;
  if (!mode || !steps_of(n.argument("batch_sizes"), total, out))
    return no("packed sequences of several lengths");
  if (!is_none(n.argument("weight_hr"))) return no("a projection of the state");
  if (!spelling::fixed_sizes(n.argument("weight_hh"), weight))
    return no("the sizes of the weight are not known");
  out.hidden = weight[1];
  out.gates = mode->string() == "lstm" ? 4 : mode->string() == "gru" ? 3 : 1;
  const Node* maker = n.argument("gates")->producer();
  if (maker && maker->kind == NodeKind::Op && maker->op_name() == "linear" &&
      n.argument("gates")->uses().size() == 1 && spelling::rank(maker->argument("input")) == 2)
    out.linear = maker;
  const bool reverse = n.argument("reverse")->constant() && n.argument("reverse")->constant()->to_bool();
  if (!n.output(1)->uses().empty()) return no("what the gradient keeps is used");
  if (out.gates == 4 &&
      !reads_last_cell_only(n.output(), out.hidden, out.rows, !reverse, total, out.steps == 1))
    return no("cells of other steps than the last are used");
  return true;
}

// The linear layer that makes the gates is part of the recurrent operator.
bool linear_of_gates(NodeWriter& n) {
  const Value* y = n.node.output();
  if (y->uses().size() != 1 || !y->uses()[0].node) return false;
  const Node& user = *y->uses()[0].node;
  if (user.kind != NodeKind::Op || user.op_name() != "rnn_layer" || user.argument("gates") != y) return false;
  Recurrent layer;
  std::string why;
  return recurrent(user, layer, why) && layer.linear == &n.node;
}

// Rows of gates in the file's order, computed now where they are known.
std::string reordered(NodeWriter& n, Value* v, const Recurrent& layer) {
  if (layer.gates == 1) return n.model.name_of(v);
  Dims order;
  for (int64_t gate : layer.gates == 4 ? Dims{0, 3, 1, 2} : Dims{1, 0, 2})
    for (int64_t i = 0; i < layer.hidden; i++) order.push_back(gate * layer.hidden + i);
  return n.add("Gather", {n.model.name_of(v), n.ints_input(order)}, {{"axis", Any(int64_t(0))}});
}
std::string leading_one(NodeWriter& n, const std::string& name) {
  return n.add("Unsqueeze", {name, n.ints_input(Dims{0})});
}

bool rnn_layer(NodeWriter& n) {
  Recurrent layer;
  if (!recurrent(n.node, layer, n.why)) return false;
  DType type;
  if (!spelling::has_dtype(n.value("h0"), &type)) return n.declines("the element type is not known");
  const int64_t steps = layer.steps, rows = layer.rows.number, h = layer.hidden;
  const int64_t width = layer.gates * h;
  const bool reverse = n.constant("reverse")->to_bool();
  const std::string_view mode = n.constant("mode")->string();
  auto zeros = [&](Dims sizes) {
    Tensor t = new_tensor(sizes, type);
    copy_elements(spelling::number_tensor(Any(int64_t(0)), type), t);
    return t;
  };
  Value* input = layer.linear ? layer.linear->argument("input") : n.value("gates");
  Dims columns;
  if (!spelling::has_rank(input) || !input->type.dims.back().fixed())
    return n.declines("the input's size is not known");
  const int64_t inside = input->type.dims.back().size;
  std::string shape;
  if (rows < 0 && steps < 0) {
    const std::string one = n.add("Reshape", {n.model.name_of(layer.rows.value), n.ints_input(Dims{1})});
    shape = n.add("Concat", {n.ints_input(Dims{-1}), one, n.ints_input(Dims{inside})},
                  {{"axis", Any(int64_t(0))}});
  } else {
    shape = n.ints_input(Dims{rows < 0 ? steps : -1, rows, inside});
  }
  const std::string x = n.add("Reshape", {n.model.name_of(input), shape});
  std::string weight;
  if (layer.linear) {
    weight = reordered(n, layer.linear->argument("weight"), layer);
  } else {
    // The gates come ready: a product with the identity hands them on.
    const int64_t square[] = {width, width};
    Tensor unit = new_tensor(square, DType::F64), one = new_tensor(square, type);
    for (int64_t i = 0; i < width * width; i++)
      static_cast<double*>(unit.raw_data())[i] = i % (width + 1) == 0;
    convert_elements(unit.raw_data(), DType::F64, one.raw_data(), type, width * width);
    weight = n.tensor(one);
    if (layer.gates > 1) {
      Dims order;
      for (int64_t gate : layer.gates == 4 ? Dims{0, 3, 1, 2} : Dims{1, 0, 2})
        for (int64_t i = 0; i < h; i++) order.push_back(gate * h + i);
      weight = n.add("Gather", {weight, n.ints_input(order)}, {{"axis", Any(int64_t(0))}});
    }
  }
  const std::string recurrence = reordered(n, n.value("weight_hh"), layer);
  Value* bias = layer.linear ? layer.linear->argument("bias") : nullptr;
  auto bias_name = [&](Value* v) {
    return v && !is_none(v) ? reordered(n, v, layer) : n.tensor(zeros(Dims{width}));
  };
  const std::string biases =
      n.add("Concat", {bias_name(bias), bias_name(n.value("bias_hh"))}, {{"axis", Any(int64_t(0))}});
  std::vector<std::string> inputs{
      x,  leading_one(n, weight),      leading_one(n, recurrence), leading_one(n, biases),
      "", leading_one(n, n.name("h0"))};
  std::vector<spelling::Attribute> attributes{{"hidden_size", Any(h)}};
  if (reverse) attributes.push_back({"direction", Any("reverse")});
  std::string op = "RNN";
  if (layer.gates == 4) op = "LSTM", inputs.push_back(leading_one(n, n.name("c0")));
  else if (layer.gates == 3) op = "GRU", attributes.push_back({"linear_before_reset", Any(int64_t(1))});
  else {
    const Any name(mode == "relu" ? "Relu" : "Tanh");
    attributes.push_back({"activations", Any(std::span<const Any>(&name, 1))});
  }
  std::vector<std::string> outputs{n.model.unique(n.model.scoped(n.node, cat(op, "_output_0")))};
  if (layer.gates == 4) {
    outputs.push_back("");
    outputs.push_back(n.model.unique(n.model.scoped(n.node, cat(op, "_output_2"))));
  }
  n.model.add_node(n.node, op, "", inputs, outputs, attributes);
  const std::string hs =
      layer.gates == 4 ? n.add("Reshape", {outputs[0], n.ints_input(Dims{-1, h})}) : std::string();
  if (layer.gates != 4)  // [steps, 1, rows, h]
    return n.finish("Reshape", {outputs[0], n.ints_input(Dims{-1, h})});
  std::string cells = n.add("Reshape", {outputs[2], n.ints_input(Dims{-1, h})});
  if (steps != 1) {  // nothing reads the cells of other steps
    const std::string part = n.add(
        "Slice", {outputs[0], n.ints_input(Dims{1}), n.ints_input(Dims{INT64_MAX}), n.ints_input(Dims{0})});
    const std::string unread = n.add("Reshape", {part, n.ints_input(Dims{-1, h})});
    cells = n.add("Concat", reverse ? std::vector{cells, unread} : std::vector{unread, cells},
                  {{"axis", Any(int64_t(0))}});
  }
  return n.finish("Concat", {hs, cells}, {{"axis", Any(int64_t(1))}});
}

// ---- pooling

// ONNX counts places over the whole tensor, ours within a plane.
template <int spatial>
bool max_pool_places(NodeWriter& n) {
  if (n.rank("input") != spatial + 2) return n.declines("an input without a batch");
  Dims kernel, stride, padding, dilation, pads;
  auto list = [&](std::string_view name, Dims& out) {
    const Any* c = n.constant(name);
    if (!c) return false;
    out = c->is_none() ? Dims() : spelling::expanded(*c, ArgDef{}, spatial);
    return true;
  };
  const Any* ceil = n.constant("ceil_mode");
  if (!list("kernel_size", kernel) || !list("stride", stride) || !list("padding", padding) ||
      !list("dilation", dilation) || !ceil)
    return n.declines("its settings are known only when running");
  if (stride.empty()) stride = kernel;
  pads = padding;
  pads.append(padding);
  std::vector<spelling::Attribute> attributes{
      {"kernel_shape", Any(kernel)}, {"strides", Any(stride)}, {"pads", Any(pads)}};
  bool dilated = false;
  for (int64_t d : dilation) dilated |= d != 1;
  if (dilated) attributes.push_back({"dilations", Any(dilation)});
  if (ceil->to_bool()) attributes.push_back({"ceil_mode", Any(int64_t(1))});
  std::vector<std::string> outputs{n.model.name_of(n.node.output())};
  const bool places = !n.node.output(1)->uses().empty();
  if (places) outputs.push_back(n.model.unique(n.model.scoped(n.node, "MaxPool_places")));
  n.model.add_node(n.node, "MaxPool", "", {n.name("input")}, outputs, attributes);
  if (!places) return true;
  const graph::Type& type = n.value("input")->type;
  int64_t plane = 1;
  bool fixed = true;
  for (int d = 0; d < spatial; d++) {
    fixed &= type.dims[static_cast<size_t>(2 + d)].fixed();
    plane *= type.dims[static_cast<size_t>(2 + d)].size;
  }
  std::string size = n.tensor(spelling::number_tensor(Any(plane), DType::I64));
  if (!fixed) {
    const std::string shape = n.add(
        "Slice", {n.add("Shape", {n.name("input")}), n.ints_input(Dims{2}), n.ints_input(Dims{INT64_MAX})});
    size = n.add("ReduceProd", {shape}, {{"keepdims", Any(int64_t(0))}});
  }
  return n.finish("Mod", {outputs[1], size}, {}, 1);
}

// ---- normalization

bool layer_norm(NodeWriter& n) {
  Dims shape;
  DType type;
  const Any* eps = n.constant("eps");
  if (!n.ints("normalized_shape", shape) || !eps || !spelling::has_dtype(n.value("input"), &type))
    return n.declines("its settings are known only when running");
  std::string weight;
  if (is_none(n.value("weight"))) {
    Tensor ones = new_tensor(shape, type);
    copy_elements(spelling::number_tensor(Any(int64_t(1)), type), ones);
    weight = n.tensor(ones);
  } else {
    weight = n.name("weight");
  }
  std::vector<std::string> inputs{n.name("input"), weight};
  if (!is_none(n.value("bias"))) inputs.push_back(n.name("bias"));
  return n.finish("LayerNormalization", inputs,
                  {{"axis", Any(-static_cast<int64_t>(shape.size()))}, {"epsilon", Any(eps->to_double())}});
}

// Forms that ONNX's operators of the same name have not; the rules have them.
bool of_no_dimensions(NodeWriter& n) {
  const Any* type = n.node.argument("dtype") ? n.constant("dtype") : nullptr;
  DType have, want;
  const bool casts = type && !type->is_none() && spelling::has_dtype(n.value("input"), &have) &&
                     spelling::has_dtype(n.node.output(), &want) && have != want;
  return n.rank("input") == 0 || casts ? n.left_to_rules() : false;
}
bool cumsum(NodeWriter& n) { return n.model.version() < 11 ? n.left_to_rules() : of_no_dimensions(n); }
bool cumsum_backward(NodeWriter& n) { return n.model.version() < 11 && n.left_to_rules(); }
bool left_out(NodeWriter& n) { return n.left_to_rules(); }
// The mask's rows are as many as the queries: runtimes do not broadcast them.
bool attention(NodeWriter& n) {
  const graph::Value *mask = n.value("attn_mask"), *query = n.value("query");
  if (is_none(mask)) return false;
  const int rank = spelling::rank(mask), all = spelling::rank(query);
  const bool same =
      rank == 4 && all == 4 && mask->type.dims[2] == query->type.dims[2] && mask->type.dims[2].fixed();
  return same ? false : n.left_to_rules();
}
bool class_loss(NodeWriter& n) {
  DType target;
  const bool floating = spelling::has_dtype(n.value("target"), &target) && is_floating(target);
  return n.rank("input") < 2 || floating ? n.left_to_rules() : false;
}
bool scatter(NodeWriter& n) {
  const graph::Type &index = n.value("index")->type, &src = n.value("src")->type;
  const bool same = index.has_dims && src.has_dims && index.dims == src.dims && !index.dims.empty();
  return same ? false : n.left_to_rules();
}
bool inverse(NodeWriter& n) {
  if (n.node.outputs().size() > 1 && !n.node.output(1)->uses().empty())
    return n.declines("the error code is used");
  n.model.add_node(n.node, "Inverse", "com.microsoft", {n.name("A")}, {n.model.name_of(n.node.output())}, {});
  return true;
}

bool det(NodeWriter& n) { return n.finish("Det", {n.name("A")}); }

bool roi_align(NodeWriter& n) {
  Dims size;
  const Any *scale = n.constant("spatial_scale"), *aligned = n.constant("aligned"),
            *mode = n.constant("mode");
  if (!n.ints("output_size", size) || size.size() != 2 || !scale || !aligned || !mode)
    return n.declines("its settings are known only when running");
  std::vector<spelling::Attribute> attributes{
      {"output_height", Any(size[0])},
      {"output_width", Any(size[1])},
      {"spatial_scale", Any(scale->to_double())},
      {"sampling_ratio", Any(std::max<int64_t>(n.integer("sampling_ratio"), 0))},
      {"mode", *mode}};
  if (n.model.version() >= 16)
    attributes.push_back(
        {"coordinate_transformation_mode", Any(aligned->to_bool() ? "half_pixel" : "output_half_pixel")});
  else if (aligned->to_bool()) return n.declines("aligned regions before opset 16");
  return n.finish("RoiAlign", {n.name("input"), n.name("rois"), cast(n, n.name("batch_indices"), DType::I64)},
                  attributes);
}

constexpr WritingAdapter table[] = {
    {"roi_align", 10, 0, roi_align},
    {"linear", 7, 0, linear_of_gates},
    {"rnn_layer", 7, 0, rnn_layer},
    {"max_pool1d_with_indices", 10, 0, max_pool_places<1>},
    {"max_pool2d_with_indices", 10, 0, max_pool_places<2>},
    {"max_pool3d_with_indices", 10, 0, max_pool_places<3>},
    {"layer_norm", 17, 0, layer_norm},
    {"linalg_det", 11, 0, det},
    {"linalg_inv_ex", 1, 0, inverse},
    {"softmax", 1, 0, of_no_dimensions},
    {"log_softmax", 1, 0, of_no_dimensions},
    {"cumsum", 1, 0, cumsum},
    {"cumprod", 26, 0, of_no_dimensions},
    {"cumsum_backward", 1, 0, cumsum_backward},
    {"det", 1, 11, left_out},
    {"attention", 23, 0, attention},
    {"nll_loss", 1, 0, class_loss},
    {"cross_entropy", 1, 0, class_loss},
    {"scatter", 1, 0, scatter},
    {"scatter_add", 1, 0, scatter},
};

}  // namespace

std::span<const WritingAdapter> layer_writers() { return table; }

}  // namespace moka::onnx
