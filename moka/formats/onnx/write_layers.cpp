// Layers that ONNX has an operator of its own for: pooling with places, normalization, determinants.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/passes/constants.h"
#include "moka/schema/frame.h"

namespace moka::onnx {

using graph::Node;
using graph::NodeKind;
using graph::Value;
using passes::is_none;
using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

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

// With corners aligned, the one place of a size of 1 lies in the middle here; runtimes put it at different ends.
bool affine_grid(NodeWriter& n) {
  Dims sizes;
  if (!n.constant("align_corners") || !n.constant("align_corners")->to_bool()) return false;
  if (n.ints("size", sizes) && std::find(sizes.begin() + 2, sizes.end(), 1) == sizes.end()) return false;
  return n.left_to_rules();
}

constexpr WritingAdapter table[] = {
    {"roi_align", 10, 0, roi_align},
    {"affine_grid", 20, 0, affine_grid},
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
