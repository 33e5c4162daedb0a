// The messages of onnx.proto that Moka reads, as views into the file's bytes. Tensors and subgraphs stay unread until
// somebody asks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moka/formats/files.h"
#include "moka/formats/proto/reader.h"
#include "moka/graph/graph.h"

namespace moka::onnx {

// AttributeProto.AttributeType
enum class AttributeKind : uint8_t {
  Undefined = 0,
  Float = 1,
  Int = 2,
  String = 3,
  Tensor = 4,
  Graph = 5,
  Floats = 6,
  Ints = 7,
  Strings = 8,
  Tensors = 9,
  Graphs = 10,
  SparseTensor = 11,
  SparseTensors = 12,
  TypeProto = 13,
  TypeProtos = 14,
};

struct AttributeProto {
  std::string_view name, reference;  // reference: the attribute of the surrounding function that stands here
  AttributeKind kind = AttributeKind::Undefined;
  Any value;  // Float, Int, String, Floats, Ints, Strings (a List)
  std::string_view message;  // Tensor, Graph: its bytes
};

struct NodeProto {
  std::string_view name, op, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeProto> attributes;
  const AttributeProto* attribute(std::string_view name) const;
};

struct ValueInfo {
  std::string_view name;
  graph::Type type;
};

struct Initializer {
  std::string_view name;
  std::string_view message;
  bool sparse = false;  // a SparseTensorProto
};

struct GraphProto {
  std::string_view name, doc;
  std::vector<NodeProto> nodes;
  std::vector<Initializer> initializers;
  std::vector<ValueInfo> inputs, outputs, values;
};

using Opsets = std::map<std::string, int64_t, std::less<>>;  // domain -> version; "ai.onnx" is ""

struct FunctionProto {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs, attributes;
  std::vector<AttributeProto> defaults;
  std::vector<NodeProto> nodes;
  Opsets opsets;
};

using Bindings =
    std::vector<std::pair<std::string_view, std::string_view>>;  // initializer, output of a graph

struct TrainingInfo {
  std::string_view initialization, algorithm;  // the bytes of graphs; may be empty
  Bindings initial, update;
};

struct ModelProto {
  int64_t ir_version = 0;
  Opsets opsets;
  std::string_view producer, producer_version, domain, doc;
  int64_t model_version = 0;
  std::map<std::string, std::string> metadata;
  std::string_view graph;  // its bytes
  std::vector<FunctionProto> functions;
  std::vector<TrainingInfo> training;
};

ModelProto read_model(proto::Budget& budget, std::string_view bytes);
GraphProto read_graph(proto::Budget& budget, std::string_view bytes, int depth);
std::string_view plain_domain(std::string_view domain);  // "ai.onnx" and "" are one

// Where tensors kept outside the model file come from: files of its folder only. Copies share what was opened.
class ExternalData {
 public:
  ExternalData() = default;  // a model from memory: there is no folder
  ExternalData(std::string model_path, Limits limits);
  Bytes open(const std::string& location);  // errors name the location and what is wrong with it
  void leave() const;  // pages of all that was opened
 private:
  std::string folder_;
  bool has_folder_ = false;
  Limits limits_;
  std::shared_ptr<std::map<std::string, Bytes>> open_ = std::make_shared<std::map<std::string, Bytes>>();
};

// A TensorProto. `owner` holds the bytes: large tensors are views of it.
Tensor read_tensor(proto::Budget& budget, std::string_view message, const Bytes& owner,
                   ExternalData& external);
// A SparseTensorProto, as the dense tensor that it stands for.
Tensor read_sparse_tensor(proto::Budget& budget, std::string_view message, const Bytes& owner,
                          ExternalData& external);
// Converts packed elements of files (little endian; 4- and 2-bit types share bytes) to those of memory.
Tensor unpack_raw(std::string_view raw, std::span<const int64_t> sizes, DType dtype, const Bytes& owner,
                  std::string_view what);

}  // namespace moka::onnx
