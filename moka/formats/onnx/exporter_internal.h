// What the ONNX exporter's parts share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <protozero/pbf_writer.hpp>
#include <span>

#include "moka/formats/files.h"
#include "moka/formats/spelling/writer.h"

namespace moka::onnx {

// Asked in this order, before the mappings of the table.
std::span<const std::span<const spelling::WritingAdapter>> writing_adapters();
std::span<const spelling::WritingAdapter> tensor_writers();
std::span<const spelling::WritingAdapter> number_writers();
std::span<const spelling::WritingAdapter> indexing_writers();
std::span<const spelling::WritingAdapter> layer_writers();
std::span<const spelling::WritingAdapter> recurrent_writers();
std::span<const spelling::WritingAdapter> quantized_writers();
std::span<const spelling::WritingAdapter> signal_writers();

bool range_of(DType dtype, double& low, double& high);  // of small integers; false: it is another type

// protobuf counts a message in 31 bits
inline constexpr uint64_t largest_model = (uint64_t(1) << 31) - 1;

// A file of tensors beside the model.
struct DataFile {
  explicit DataFile(const std::string& path, uint64_t least = 0);
  AtomicFile file;
  std::string location;  // its name, as the model says it
  uint64_t least;        // smaller tensors stay in the model
};
void write_tensor(protozero::pbf_writer& w, const Tensor& tensor, std::string_view name,
                  DataFile* data = nullptr);
void write_node(protozero::pbf_writer& w, const spelling::FileNode& node);
void write_attribute(protozero::pbf_writer& node, const spelling::Attribute& attribute);
// A ValueInfoProto as a field of a graph. NotImplemented where the type has no form in ONNX.
void write_value(protozero::pbf_writer& graph, int field, const spelling::FileValue& value);
// The graph as a file's operators, those that the opset has.
spelling::FileModel described(const graph::Graph& graph, int opset);

// The bytes of the graph's nodes; `kept` are the names that it shares with a file, all others begin with `stem`.
std::vector<std::string> said_anew(const graph::Graph& graph, int opset,
                                   const std::set<std::string_view>& kept, const std::string& stem);
std::string constant_node(const std::string& name, const Tensor& value);  // its bytes

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
