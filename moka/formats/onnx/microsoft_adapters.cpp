// Operators of onnxruntime's domain that join products, activations, normalizations and embeddings.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/microsoft_internal.h"

#include <algorithm>

namespace moka::onnx {

using graph::Value;
using spelling::Attribute;
using spelling::named;

std::vector<Attribute> attributes_without(const NodeReader& n,
                                          std::initializer_list<std::string_view> names) {
  std::vector<Attribute> out;
  for (const Attribute& a : n.node.attributes)
    if (std::find(names.begin(), names.end(), a.name) == names.end()) out.push_back(a);
  return out;
}

Value* channels_moved(NodeReader& n, Value* x, int rank, int to) {
  Dims order;
  for (int d = 0; d < rank; d++)
    order.push_back(to == 1 ? (d == 0   ? 0
                               : d == 1 ? rank - 1
                                        : d - 1)
                            : (d == 0          ? 0
                               : d == rank - 1 ? 1
                                               : d + 1));
  return n.call("permute", {x, order});
}

Value* normalized_last(NodeReader& n, Value* x, Value* scale, Value* shift, bool simple) {
  const std::vector<Attribute> settings{{"axis", Any(int64_t(-1))},
                                        {"epsilon", Any(n.number("epsilon", simple ? 1e-6 : 1e-12))}};
  if (simple) return onnx_node(n, "RMSNormalization", {x, scale}, settings);
  return onnx_node(n, "LayerNormalization", {x, scale, shift}, settings);
}

namespace {

Value* plus(NodeReader& n, Value* a, Value* b) { return b ? n.call("add", {a, b}) : a; }

// What a fused activation adds to an operator; its numbers are named or stand in a list.
Value* activated(NodeReader& n, Value* y) {
  const std::string_view name = n.text("activation", "");
  if (name.empty()) return y;
  std::vector<double> numbers;
  if (const Any* list = n.attribute("activation_params"); list && list->tag() == Tag::Floats)
    for (double d : list->arg().as_floats()) numbers.push_back(d);
  if (name == "Clip") {
    MOKA_CHECK_KIND(File, numbers.size() == 2, "Clip needs two activation_params");
    return n.call("clamp", {y, numbers[0], numbers[1]});
  }
  std::vector<Attribute> settings;
  const char* names[] = {"alpha", "beta", "gamma"};
  for (size_t i = 0; i < 3; i++) {
    const std::string own = cat("activation_", names[i]);
    if (n.attribute(own)) settings.push_back({names[i], Any(n.number(own, 0))});
    else if (i < numbers.size()) settings.push_back({names[i], Any(numbers[i])});
  }
  return onnx_node(n, name, {y}, settings);
}

bool gelu(NodeReader& n) {
  n.out(onnx_node(n, "Gelu", {plus(n, n[0], n.maybe(1))}));
  return true;
}
bool fast_gelu(NodeReader& n) {
  n.out(onnx_node(n, "Gelu", {plus(n, n[0], n.maybe(1))}, {{"approximate", Any(std::string_view("tanh"))}}));
  return true;
}
bool quick_gelu(NodeReader& n) {
  n.out(n.call("mul", {n[0], n.call("sigmoid", {n.call("mul", {n[0], n.number("alpha", 1.702)})})}));
  return true;
}

// Batches may lie behind the rows: [rows, batches..., columns].
Value* factor(NodeReader& n, int input, bool turned, bool batches_behind) {
  Value* x = n[input];
  if (!turned && !batches_behind) return x;
  const int rank = rank_of(x, "a factor");
  if (rank < 2) return x;
  if (batches_behind) {
    Dims order;
    for (int d = 1; d < rank - 1; d++) order.push_back(d);
    order.push_back(0);
    order.push_back(rank - 1);
    x = n.call("permute", {x, order});
  }
  return turned ? n.call("transpose", {x, int64_t(-2), int64_t(-1)}) : x;
}
bool fused_matmul(NodeReader& n) {
  Value* y = product(n, factor(n, 0, n.integer("transA", 0), n.integer("transBatchA", 0)),
                     factor(n, 1, n.integer("transB", 0), n.integer("transBatchB", 0)));
  const double alpha = n.number("alpha", 1);
  n.out(activated(n, alpha == 1 ? y : n.call("mul", {y, alpha})));
  return true;
}
bool fused_gemm(NodeReader& n) {
  Value* y = onnx_node(
      n, "Gemm", {n[0], n[1], n.maybe(2)},
      attributes_without(n, {"activation", "activation_alpha", "activation_beta", "activation_gamma"}));
  n.out(activated(n, y));
  return true;
}
bool fused_convolution(NodeReader& n) {
  Value* y = onnx_node(n, "Conv", {n[0], n[1], n.maybe(2)},
                       attributes_without(n, {"activation", "activation_params"}));
  n.out(activated(n, plus(n, y, n.maybe(3))));
  return true;
}

// [batch, height, width, channels]
bool group_norm(NodeReader& n) {
  const bool skips = n.node.op == "SkipGroupNorm", last = n.integer("channels_last", 1) != 0;
  Value* x = n[0];
  if (skips) {
    Value* skip = n[3];
    if (spelling::rank(skip) == 2)
      skip = spread(n, skip, last ? std::initializer_list<int>{0, 3} : std::initializer_list<int>{0, 1}, 4);
    x = plus(n, n.call("add", {x, skip}), n.maybe(4));
    n.out(x, 1);
  }
  const int rank = rank_of(x, "the input");
  if (last) x = channels_moved(n, x, rank, 1);
  Value* y =
      n.call("group_norm", {x, n.integer("groups", 1), n[1], n[2], named("eps", n.number("epsilon", 1e-5))});
  if (n.integer("activation", 0) != 0) y = n.call("silu", {y});
  if (last) y = channels_moved(n, y, rank, rank - 1);
  n.out(y);
  return true;
}

bool simplified_layer_norm(NodeReader& n) {
  const auto both =
      onnx_node(n, "RMSNormalization", {n[0], n[1]},
                {{"axis", Any(n.integer("axis", -1))}, {"epsilon", Any(n.number("epsilon", 1e-5))}});
  if (n.wants(1)) return n.declines("its second output is not computed");
  n.out(both);
  return true;
}
bool skip_layer_norm(NodeReader& n) {
  const bool simple = n.node.op == "SkipSimplifiedLayerNormalization";
  Value* sum = plus(n, n.call("add", {n[0], n[1]}), n.maybe(simple ? 3 : 4));
  n.out(normalized_last(n, sum, n[2], simple ? nullptr : n.maybe(3), simple));
  n.out(sum, 3);
  return true;
}
bool embed_layer_norm(NodeReader& n) {
  embed(n, {n[2], n[3], n.maybe(4), n[5], n[6], n[0], n.maybe(1), n.maybe(8), n.maybe(7)});
  return true;
}
bool quantized_embed_layer_norm(NodeReader& n) {
  embed(n,
        {dequantized(n, 2, 8, 13), dequantized(n, 3, 9, 14), n.has(4) ? dequantized(n, 4, 10, 15) : nullptr,
         dequantized(n, 5, 11, 16), dequantized(n, 6, 12, 17), n[0], n.maybe(1), nullptr, n.maybe(7)});
  return true;
}

bool bias_dropout(NodeReader& n) {
  Value* x = n.call("add", {n[0], n[1]});
  std::vector<Attribute> settings = attributes_without(n, {});
  const std::vector<Value*> y =
      onnx_nodes(n, "Dropout", {x, n.maybe(3), n.maybe(4)}, settings, n.wants(1) ? 2 : 1);
  n.out(plus(n, y[0], n.maybe(2)));
  if (n.wants(1)) n.out(y[1], 1);
  return true;
}
// Over all dimensions from an axis on, as Softmax before opset 13.
bool bias_softmax(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  const int64_t axis = wrapped(n.integer("axis", 1), rank);
  Value* x = n.call("add", {n[0], n[1]});
  if (axis == rank - 1) {
    n.out(n.call("softmax", {x, int64_t(-1)}));
    return true;
  }
  const Wholes sizes = sizes_of(n, n[0]);
  Value* flat = n.call("softmax", {n.call("flatten", {x, axis, int64_t(-1)}), int64_t(-1)});
  n.out(reshaped(n, flat, sizes));
  return true;
}
bool bias_add(NodeReader& n) {
  n.out(n.call("add", {n.call("add", {n[0], n[1]}), n[2]}));
  return true;
}

bool distances(NodeReader& n) {
  const std::string_view metric = n.text("metric", "sqeuclidean");
  MOKA_CHECK_KIND(File, metric == "sqeuclidean" || metric == "euclidean", "metric '", metric,
                  "' does not exist");
  Value* d = n.call("cdist", {n[0], n[1]});
  n.out(metric == "euclidean" ? d : n.call("mul", {d, d}));
  return true;
}
bool unique(NodeReader& n) {
  const std::vector<Value*> all = onnx_nodes(n, "Unique", {n[0]}, {{"sorted", Any(int64_t(0))}}, 4);
  n.out(all[0]);
  n.out(all[2], 1);
  n.out(all[3], 2);
  return true;
}
bool range(NodeReader& n) {
  Value* delta = n.has(2) ? n[2] : constant_number(n, 1, dtype_of(n[0], "the start"));
  n.out(onnx_node(n, "Range", {n[0], n[1], delta}));
  return true;
}
bool expand_dims(NodeReader& n) {
  auto axis = n.known_number(1);
  if (!axis) return n.declines("an axis that is known only when running");
  n.out(n.call("unsqueeze", {n[0], axis->arg().as_int()}));
  return true;
}
bool grid_sample(NodeReader& n) {
  std::vector<Attribute> settings = attributes_without(n, {"mode"});
  const std::string_view mode = n.text("mode", "bilinear");
  settings.push_back({"mode", Any(mode == "bilinear"  ? std::string_view("linear")
                                  : mode == "bicubic" ? std::string_view("cubic")
                                                      : mode)});
  n.out(onnx_node(n, "GridSample", {n[0], n[1]}, settings));
  return true;
}
// Those that ONNX took over as they were.
bool taken_over(NodeReader& n) {
  std::vector<Value*> outputs = onnx_nodes(n, n.node.op, n.node.inputs, n.node.attributes, n.node.outputs);
  for (size_t i = 0; i < outputs.size(); i++)
    if (outputs[i]) n.out(outputs[i], static_cast<int>(i));
  return true;
}

constexpr Adapter table[] = {
    {"Gelu", 1, 0, gelu, microsoft},
    {"BiasGelu", 1, 0, gelu, microsoft},
    {"FastGelu", 1, 0, fast_gelu, microsoft},
    {"QuickGelu", 1, 0, quick_gelu, microsoft},
    {"FusedMatMul", 1, 0, fused_matmul, microsoft},
    {"TransposeMatMul", 1, 0, fused_matmul, microsoft},
    {"FusedMatMulActivation", 1, 0, fused_matmul, microsoft},
    {"FusedGemm", 1, 0, fused_gemm, microsoft},
    {"FusedConv", 1, 0, fused_convolution, microsoft},
    {"GroupNorm", 1, 0, group_norm, microsoft},
    {"SkipGroupNorm", 1, 0, group_norm, microsoft},
    {"SimplifiedLayerNormalization", 1, 0, simplified_layer_norm},
    {"SkipLayerNormalization", 1, 0, skip_layer_norm, microsoft},
    {"SkipSimplifiedLayerNormalization", 1, 0, skip_layer_norm, microsoft},
    {"EmbedLayerNormalization", 1, 0, embed_layer_norm, microsoft},
    {"QEmbedLayerNormalization", 1, 0, quantized_embed_layer_norm, microsoft},
    {"BiasDropout", 1, 0, bias_dropout, microsoft},
    {"BiasSoftmax", 1, 0, bias_softmax, microsoft},
    {"BiasAdd", 1, 0, bias_add, microsoft},
    {"CDist", 1, 0, distances, microsoft},
    {"Unique", 1, 0, unique, microsoft},
    {"Range", 1, 0, range, microsoft},
    {"ExpandDims", 1, 0, expand_dims, microsoft},
    {"GridSample", 1, 0, grid_sample, microsoft},
    {"Trilu", 1, 0, taken_over, microsoft},
    {"Pad", 1, 0, taken_over, microsoft},
    {"GatherND", 1, 0, taken_over, microsoft},
};

}  // namespace

void embed(NodeReader& n, const Embeddings& e) {
  auto rows = [&](Value* table, Value* ids) {
    return n.call("embedding", {table, n.call("to", {ids, DType::I64})});
  };
  const Whole length = size_of(n, e.ids, 1);
  Value* places = e.position_ids ? e.position_ids : count_to(n, length);
  Value* sum = n.call("add", {rows(e.words, e.ids), rows(e.positions, places)});
  if (e.segments) {
    Value* kinds = e.segment_ids ? e.segment_ids : n.call("zeros_like", {e.ids});
    sum = n.call("add", {sum, rows(e.segments, kinds)});
  }
  n.out(normalized_last(n, sum, e.scale, e.shift, false));
  n.out(sum, 2);
  if (!n.wants(1)) return;
  // How many tokens of each row are shown.
  Value* ones =
      e.mask ? n.call("to", {e.mask, DType::I32}) : n.call("to", {n.call("zeros_like", {e.ids}), DType::I32});
  n.out(n.call("to", {n.call("sum", {ones, named("dim", Dims{1})}), DType::I32}), 1);
}

std::span<const Adapter> microsoft_adapters() { return table; }

}  // namespace moka::onnx
