// Model files of any format that Moka reads, as a program of graphs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moka/formats/files.h"
#include "moka/graph/graph.h"

namespace moka {

enum class ModelFormat : uint8_t { Package, Onnx, NetDef };
const char* model_format_name(ModelFormat format);

// What a model takes or gives.
struct Port {
  std::string name;
  graph::Type type;
};

struct Model {
  graph::Program program;
  std::string main;  // the graph that is run
  ModelFormat format = ModelFormat::Package;
  std::map<std::string, std::string> metadata;
  std::map<std::string, Bytes> files;  // of packages: every entry beside program and weights
  // ONNX models: the main graph for the inputs of a run, where what the file says of them is not enough or wrong.
  std::function<std::unique_ptr<graph::Graph>(std::span<const Any>)> read_for;
  // For when the weights are packed: pages of the file leave the process. May be missing.
  std::function<void()> leave;
  // Such a model before its first run: it has no graph yet; why, and what the file says it takes and gives.
  std::string waits;
  bool lacks_ranks = false;  // of inputs: read_for makes the graphs that run
  std::vector<Port> inputs, outputs;
  const graph::Graph& graph() const;  // NotImplemented with `waits` where there is none
};

// What the first bytes look like; an error when like nothing that is known. Protobuf carries no magic text: a
// model that begins with its IR version is ONNX, one that begins with a name or an operator is NetDef.
ModelFormat model_format(std::string_view bytes, std::string_view what);

// A package or an ONNX model by its content. A lone predict net of Caffe2 is an error that asks for its init
// net.
Model load_model(const std::string& path, const Limits& limits = {});
Model load_model(const Bytes& bytes, std::string_view what, const Limits& limits = {});
Model load_netdef(const std::string& init_path, const std::string& predict_path, const Limits& limits = {});

}  // namespace moka
