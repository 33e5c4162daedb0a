// Caffe2 operators whose arguments or semantics no mapping row says.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/netdef/adapters.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::netdef {

using graph::Value;
using spelling::Adapter;
using spelling::Attribute;
using spelling::ForeignNode;
using spelling::named;
using spelling::NodeReader;

namespace {

const Attribute* find(const ForeignNode& node, std::string_view name) {
  for (const Attribute& a : node.attributes)
    if (a.name == name) return &a;
  return nullptr;
}

// kernel=3 | kernel_h=3, kernel_w=5 | kernels=[3, 5]
void gather_family(ForeignNode& node, const std::string& one, const std::string& many) {
  Dims values;
  if (find(node, many)) {
    std::erase_if(node.attributes, [&](const Attribute& a) {
      return a.name == one || a.name == one + "_h" || a.name == one + "_w";
    });
    return;
  }
  const Attribute *both = find(node, one), *h = find(node, one + "_h"), *w = find(node, one + "_w");
  if (both) values = {both->value.to_int(), both->value.to_int()};
  else if (h && w) values = {h->value.to_int(), w->value.to_int()};
  else if (h || w) fail_kind(ErrorKind::File, "has only one of ", one, "_h and ", one, "_w");
  else return;
  std::erase_if(node.attributes, [&](const Attribute& a) {
    return a.name == one || a.name == one + "_h" || a.name == one + "_w";
  });
  node.attributes.push_back({many, Any(values)});
}

void gather_pads(ForeignNode& node) {
  constexpr std::string_view sides[] = {"pad_t", "pad_l", "pad_b", "pad_r"};
  Dims values(4, int64_t(0));
  bool found = false;
  if (const Attribute* pad = find(node, "pad")) {
    values = Dims(4, pad->value.to_int());
    found = true;
  }
  for (size_t i = 0; i < 4; i++)
    if (const Attribute* side = find(node, sides[i])) {
      values[i] = side->value.to_int();
      found = true;
    }
  const bool has_list = find(node, "pads");
  std::erase_if(node.attributes, [&](const Attribute& a) {
    return a.name == "pad" || std::find(std::begin(sides), std::end(sides), a.name) != std::end(sides);
  });
  if (found && !has_list) node.attributes.push_back({"pads", Any(values)});
}

bool is_window(std::string_view op) {
  return op.substr(0, 4) == "Conv" || op.substr(0, 7) == "MaxPool" || op.substr(0, 11) == "AveragePool" ||
         op == "LpPool";
}

}  // namespace

void normalize(ForeignNode& node) {
  // What chooses or steers an engine, or only training reads.
  constexpr std::string_view hints[] = {"cudnn_exhaustive_search",
                                        "exhaustive_search",
                                        "ws_nbytes_limit",
                                        "shared_buffer",
                                        "init_scale",
                                        "enable_tensor_core",
                                        "use_cudnn",
                                        "algo",
                                        "deterministic",
                                        "float16_compute",
                                        "cudnn_state",
                                        "debug_info"};
  const bool keeps_test = node.op == "SpatialBN" || node.op == "Dropout";
  std::erase_if(node.attributes, [&](const Attribute& a) {
    return std::find(std::begin(hints), std::end(hints), a.name) != std::end(hints) ||
           (a.name == "is_test" && !keeps_test);
  });
  if (const Attribute* order = find(node, "order")) {
    // StorageOrder: "NCHW", "NHWC" or the numbers 2 and 1.
    const bool plain =
        order->value.tag() == Tag::String ? order->value.string() == "NCHW" : order->value.to_int() == 2;
    MOKA_CHECK_KIND(NotImplemented, plain, "order ", order->value, " is not supported, only NCHW");
    std::erase_if(node.attributes, [](const Attribute& a) { return a.name == "order"; });
  }
  if (!is_window(node.op)) return;
  gather_family(node, "kernel", "kernels");
  gather_family(node, "stride", "strides");
  gather_family(node, "dilation", "dilations");
  gather_pads(node);
  if (const Attribute* legacy = find(node, "legacy_pad")) {
    // NOTSET 0, VALID 1, SAME 2, CAFFE_LEGACY_POOLING 3
    const int64_t mode = legacy->value.to_int();
    MOKA_CHECK_KIND(NotImplemented, mode == 0 || mode == 1 || mode == 3, "legacy_pad ", mode,
                    " is not supported");
    std::erase_if(node.attributes, [&](const Attribute& a) {
      return a.name == "legacy_pad" || (mode == 1 && a.name == "pads");
    });
    if (mode == 3) node.attributes.push_back({"ceil_mode", Any(int64_t(1))});
  }
}

namespace {

bool convolution(NodeReader& n) {
  Dims weight;
  if (!spelling::fixed_sizes(n[1], weight) || weight.size() != 4)
    return n.declines("a weight with 4 known dimensions was expected");
  const Dims pads = n.ints("pads").value_or(Dims(4, int64_t(0)));
  MOKA_CHECK_KIND(File, pads.size() == 4, pads.size(), " pads were given, 4 were expected");
  if (const auto kernels = n.ints("kernels"))
    MOKA_CHECK_KIND(File, kernels->size() == 2 && (*kernels)[0] == weight[2] && (*kernels)[1] == weight[3],
                    "kernel ", std::span<const int64_t>(*kernels),
                    " is not the weight's: ", std::span<const int64_t>(weight));
  Value* x = n[0];
  Dims begin{pads[0], pads[1]};
  if (pads[0] != pads[2] || pads[1] != pads[3]) {
    x = n.call("pad_constant", {x, Dims{pads[1], pads[3], pads[0], pads[2]}, 0.0});
    begin = {0, 0};
  }
  n.out(n.call("conv2d", {x, n[1], n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any()),
                          named("stride", n.ints("strides").value_or(Dims{1, 1})), named("padding", begin),
                          named("dilation", n.ints("dilations").value_or(Dims{1, 1})),
                          named("groups", n.integer("group", 1))}));
  return true;
}

template <bool largest>
bool pool(NodeReader& n) {
  if (n.integer("global_pooling", 0) != 0) {
    n.out(n.call(largest ? "amax" : "mean", {n[0], named("dim", Dims{2, 3}), named("keepdim", true)}));
    return true;
  }
  const auto kernels = n.ints("kernels");
  MOKA_CHECK_KIND(File, kernels && kernels->size() == 2, "a kernel of two sizes was expected");
  const Dims pads = n.ints("pads").value_or(Dims(4, int64_t(0)));
  MOKA_CHECK_KIND(File, pads.size() == 4, pads.size(), " pads were given, 4 were expected");
  const Dims strides = n.ints("strides").value_or(Dims{1, 1});
  for (int64_t d : n.ints("dilations").value_or(Dims{}))
    if (d != 1) return n.declines("dilated pooling");
  if (pads[0] != pads[2] || pads[1] != pads[3]) return n.declines("pads that differ between begin and end");
  const bool ceil = n.integer("ceil_mode", 0) != 0;
  const Dims padding{pads[0], pads[1]};
  if constexpr (largest)
    n.out(n.call("max_pool2d", {n[0], *kernels, named("stride", strides), named("padding", padding),
                                named("ceil_mode", ceil)}));
  else
    n.out(n.call("avg_pool2d", {n[0], *kernels, named("stride", strides), named("padding", padding),
                                named("ceil_mode", ceil),
                                named("count_include_pad", n.integer("count_include_pad", 0) != 0)}));
  return true;
}

// Everything from `axis` on is one dimension, everything before another.
bool fully_connected(NodeReader& n) {
  const int64_t axis = n.integer("axis", 1);
  if (n.integer("axis_w", 1) != 1) return n.declines("axis_w ", n.integer("axis_w", 1));
  const int rank = spelling::rank(n[0]);
  Value* x = n[0];
  if (rank < 0 || axis != rank - 1) x = n.call("flatten", {x, axis, int64_t(-1)});
  n.out(n.call("linear", {x, n[1], n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any())}));
  return true;
}

bool flatten(NodeReader& n) {
  const int64_t axis = n.integer("axis", 1);
  if (axis == 0) n.out(n.call("reshape", {n[0], Dims{1, -1}}));
  else if (axis == 1) n.out(n.call("flatten", {n[0], int64_t(1), int64_t(-1)}));
  else n.out(n.call("flatten", {n.call("flatten", {n[0], int64_t(0), axis - 1}), int64_t(1), int64_t(-1)}));
  return true;
}

bool flatten_to_vector(NodeReader& n) {
  n.out(n.call("reshape", {n[0], Dims{-1}}));
  return true;
}

bool softmax(NodeReader& n) {
  const int64_t axis = n.integer("axis", 1);
  const int rank = spelling::rank(n[0]);
  if (rank >= 0 && (axis == rank - 1 || axis == -1)) {
    n.out(n.call("softmax", {n[0], named("dim", axis)}));
    return true;
  }
  if (axis != 1) return n.declines("axis ", axis, " of an input whose number of dimensions is not known");
  graph::Node* sizes =
      n.build.graph.create_named(graph::NodeKind::Builtin, "sizes", n.build.at, std::vector<Value*>{n[0]}, 1);
  sizes->source = n.build.source;
  graph::infer_types(*sizes);
  Value* flat = n.call("flatten", {n[0], int64_t(1), int64_t(-1)});
  n.out(n.call("reshape", {n.call("softmax", {flat, named("dim", int64_t(1))}), sizes->output()}));
  return true;
}

bool spatial_batch_norm(NodeReader& n) {
  if (n.integer("is_test", 0) == 0) return n.declines("training mode (is_test=0)");
  n.out(n.call("batch_norm", {n[0], n[1], n[2], n[3], n[4], named("eps", n.number("epsilon", 1e-5))}));
  return true;
}

bool dropout(NodeReader& n) {
  if (n.integer("is_test", 0) == 0) return n.declines("training mode (is_test=0)");
  n.out(n[0]);
  return true;
}

template <const char* const& name>
bool binary(NodeReader& n) {
  Value* b = n[1];
  if (n.integer("broadcast", 0) != 0 && n.attribute("axis") && n.integer("axis", -1) != -1) {
    for (int64_t behind = n.rank_of(0) - n.integer("axis", 0) - n.rank_of(1); behind > 0; behind--)
      b = n.call("unsqueeze", {b, int64_t(-1)});
  }
  n.out(n.call(name, {n[0], b}));
  return true;
}
const char* const add_name = "add";
const char* const sub_name = "sub";
const char* const mul_name = "mul";
const char* const div_name = "div";

bool sum(NodeReader& n) {
  Value* y = n[0];
  for (int i = 1; i < n.inputs(); i++) y = n.call("add", {y, n[i]});
  n.out(y);
  return true;
}

bool clip(NodeReader& n) {
  const bool low = n.attribute("min"), high = n.attribute("max");
  if (low && high) n.out(n.call("clamp", {n[0], n.number("min", 0), n.number("max", 0)}));
  else if (low) n.out(n.call("clamp_min", {n[0], n.number("min", 0)}));
  else if (high) n.out(n.call("clamp_max", {n[0], n.number("max", 0)}));
  else n.out(n[0]);
  return true;
}

bool concat(NodeReader& n) {
  if (n.integer("add_axis", 0) != 0) return n.declines("add_axis");
  std::vector<Value*> parts;
  for (int i = 0; i < n.inputs(); i++) parts.push_back(n[i]);
  n.out(n.call("cat", {parts, n.integer("axis", 1)}));
  return true;
}

bool copy(NodeReader& n) {
  n.out(n[0]);
  return true;
}

bool reshape(NodeReader& n) {
  auto shape = n.attribute("shape") ? n.ints("shape") : n.known_ints(1);
  if (!shape) return n.declines("the shape is not constant");
  for (size_t i = 0; i < shape->size(); i++) {
    if ((*shape)[i] != 0) continue;  // 0 copies the input's size
    const int rank = spelling::rank(n[0]);
    if (rank > static_cast<int>(i) && n[0]->type.dims[i].fixed()) (*shape)[i] = n[0]->type.dims[i].size;
    else if (std::find(shape->begin(), shape->end(), -1) == shape->end()) (*shape)[i] = -1;
    else return n.declines("a copied size that is not known");
  }
  n.out(n.call("reshape", {n[0], *shape}));
  return true;
}

bool cast(NodeReader& n) {
  DType dtype;
  if (!spelling::find_dtype_code(n.dialect, n.integer("to", 0), dtype))
    return n.declines("element type ", n.integer("to", 0));
  n.out(n.call("to", {n[0], dtype}));
  return true;
}

bool squeeze(NodeReader& n) {
  Dims dims = n.ints("dims").value_or(Dims{});
  std::sort(dims.begin(), dims.end());
  Value* x = n[0];
  for (size_t i = dims.size(); i-- > 0;) x = n.call("squeeze.dim", {x, Dims{dims[i]}});
  n.out(x);
  return true;
}

bool expand_dims(NodeReader& n) {
  Dims dims = n.ints("dims").value_or(Dims{});
  std::sort(dims.begin(), dims.end());
  Value* x = n[0];
  for (int64_t d : dims) x = n.call("unsqueeze", {x, d});
  n.out(x);
  return true;
}

constexpr Adapter table[] = {
    {"Conv", 1, 0, convolution},
    {"Conv2D", 1, 0, convolution},
    {"MaxPool", 1, 0, pool<true>},
    {"MaxPool2D", 1, 0, pool<true>},
    {"AveragePool", 1, 0, pool<false>},
    {"AveragePool2D", 1, 0, pool<false>},
    {"FC", 1, 0, fully_connected},
    {"Flatten", 1, 0, flatten},
    {"FlattenToVec", 1, 0, flatten_to_vector},
    {"Softmax", 1, 0, softmax},
    {"SpatialBN", 1, 0, spatial_batch_norm},
    {"Dropout", 1, 0, dropout},
    {"Add", 1, 0, binary<add_name>},
    {"Sub", 1, 0, binary<sub_name>},
    {"Mul", 1, 0, binary<mul_name>},
    {"Div", 1, 0, binary<div_name>},
    {"Sum", 1, 0, sum},
    {"Clip", 1, 0, clip},
    {"Concat", 1, 0, concat},
    {"Copy", 1, 0, copy},
    {"Alias", 1, 0, copy},
    {"StopGradient", 1, 0, copy},
    {"Reshape", 1, 0, reshape},
    {"Cast", 1, 0, cast},
    {"Squeeze", 1, 0, squeeze},
    {"ExpandDims", 1, 0, expand_dims},
};

}  // namespace

std::span<const Adapter> reading_adapters() { return table; }

}  // namespace moka::netdef
