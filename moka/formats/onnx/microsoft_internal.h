// For operators of onnxruntime's own domain: most are ONNX's, joined.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <vector>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

inline constexpr std::string_view microsoft = "com.microsoft";

// Products, activations and normalizations; attention; quantized numbers.
std::span<const Adapter> microsoft_adapters();
std::span<const Adapter> microsoft_attention_adapters();
std::span<const Adapter> microsoft_quantized_adapters();

// What a node of ONNX's own domain computes, in the latest opset. NotImplemented where it cannot be read.
std::vector<graph::Value*> onnx_nodes(NodeReader& n, std::string_view op, std::vector<graph::Value*> inputs,
                                      std::vector<spelling::Attribute> attributes, int outputs);
inline graph::Value* onnx_node(NodeReader& n, std::string_view op, std::vector<graph::Value*> inputs,
                               std::vector<spelling::Attribute> attributes = {}) {
  return onnx_nodes(n, op, std::move(inputs), std::move(attributes), 1)[0];
}
// All attributes of the node but those of these names.
std::vector<spelling::Attribute> attributes_without(const NodeReader& n,
                                                    std::initializer_list<std::string_view> names);
// The input in float32 or its zero point's type and back; `zero` may be missing.
graph::Value* dequantized(NodeReader& n, int x, int scale, int zero, int64_t axis = 1);
graph::Value* quantized(NodeReader& n, graph::Value* y, int scale, int zero, DType otherwise);
// The channels of the last dimension become the second (to = 1), or those of the second the last (to = rank - 1).
graph::Value* channels_moved(NodeReader& n, graph::Value* x, int rank, int to);
// Normalization over the last dimension; the mean is kept where `simple` (RMS).
graph::Value* normalized_last(NodeReader& n, graph::Value* x, graph::Value* scale, graph::Value* shift,
                              bool simple);
// Word, position and segment embeddings, summed and normalized; sets the outputs of the node.
struct Embeddings {
  graph::Value *words, *positions, *segments, *scale, *shift;  // segments may be null
  graph::Value *ids, *segment_ids, *position_ids, *mask;       // all but ids may be null
};
void embed(NodeReader& n, const Embeddings& e);
// Attention's outputs for an input times weights, [batch, length, sizes of query, key and value together].
bool attend_packed(NodeReader& n, graph::Value* product, int mask, int past, int bias);

}  // namespace moka::onnx
