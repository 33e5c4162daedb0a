// What the ONNX exporter's parts share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/formats/spelling/writer.h"

namespace moka::onnx {

// Asked in this order, before the mappings of the table.
std::span<const std::span<const spelling::WritingAdapter>> writing_adapters();
std::span<const spelling::WritingAdapter> tensor_writers();
std::span<const spelling::WritingAdapter> number_writers();
std::span<const spelling::WritingAdapter> indexing_writers();
std::span<const spelling::WritingAdapter> layer_writers();

// A Cast between; the name of its output.
std::string cast(const spelling::NodeWriter& n, const std::string& input, DType dtype);
spelling::Attribute dtype_attribute(std::string_view name, DType dtype);

// Numbers, lists of integers and sizes as tensors of int64, bool and float.
bool write_builtin(spelling::ModelWriter& model, const graph::Node& node, std::string& why);
// If and Loop.
bool write_control(spelling::ModelWriter& model, graph::Node& node, std::string& why);
// A cat of the list that a loop makes is one of the loop's outputs.
bool is_said_with_its_loop(const graph::Node& node);

// Nodes are said as of opset 13 at least; these rewrite them for an older one. NotImplemented names what has no older form.
void to_older_forms(spelling::FileModel& model, int opset);
// Whether the mapping of an operator from a later opset may be used, because an older form can be made of it.
bool has_older_form(std::string_view op, int since, int opset);

}  // namespace moka::onnx
