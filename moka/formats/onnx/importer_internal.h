// The state of one import: names in scope, functions, parameters.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <span>

#include "moka/formats/onnx/model.h"
#include "moka/formats/spelling/node_reader.h"

namespace moka::onnx {

using spelling::Adapter;
using spelling::NodeReader;

// Values by name; subgraphs see those of the graphs around them.
struct Scope {
  const Scope* outer = nullptr;
  std::map<std::string, graph::Value*, std::less<>> values;
  // Of the graph's file: what it says of its values, and which node makes them.
  std::map<std::string_view, const graph::Type*> declared;
  std::map<std::string_view, const NodeProto*> makers;
};

class Importer {
 public:
  Importer(proto::Budget& budget, const Bytes& owner, ExternalData external, graph::Graph& graph);
  void run();
  // run() with other types of the inputs than the file says, in its order.
  void run_with(std::vector<graph::Type> inputs);
  // Whether every operator of the model has an adapter, a mapping or a function.
  bool knows_operators();
  // Instead of run(): a training algorithm, the graph that it gives its first values with; false: it has none.
  void run_training(int algorithm);
  bool run_initialization(int algorithm);

 private:
  struct FunctionCall {  // what a function's body sees of its call
    const FunctionProto* function = nullptr;
    const NodeProto* node = nullptr;
    const FunctionCall* outer = nullptr;
  };
  struct Context {
    Scope* scope;
    const Opsets* opsets;
    const FunctionCall* call = nullptr;
    int depth = 0;
  };

  void start();  // reads the model
  bool knows(std::span<const NodeProto> nodes, int depth);
  void graph_inputs(const GraphProto& graph, const Context& c);
  const TrainingInfo& training_info(int algorithm) const;
  void gradient(const NodeProto& node, const Context& c);
  void graph_nodes(const GraphProto& graph, const Context& c);
  void node(const NodeProto& node, const Context& c);
  void translate(const NodeProto& node, const Context& c);
  bool control_flow(const NodeProto& node, const Context& c);
  void if_node(const NodeProto& node, const Context& c);
  void loop_node(const NodeProto& node, const Context& c);
  bool loop_of(const NodeProto& node, const GraphProto& body, bool keeps_ranks, const Context& c);
  struct ScanPlan {
    Dims input_axes, input_backwards, output_axes, output_backwards;
  };
  void scan_node(const NodeProto& node, const Context& c);
  std::vector<graph::Value*> scan(NodeReader& n, const GraphProto& body, const ScanPlan& plan,
                                  std::vector<graph::Value*> states, const std::vector<graph::Value*>& inputs,
                                  const Context& c);
  void sequence_map(const NodeProto& node, const Context& c);
  void flex_attention(const NodeProto& node, const Context& c);
  std::vector<graph::Value*> inlined(const GraphProto& graph, std::span<graph::Value* const> params,
                                     const Context& c);
  spelling::ForeignNode foreign_node(const NodeProto& node, const Context& c);
  void function(const FunctionProto& function, const NodeProto& node, const Context& c);
  GraphProto subgraph(const NodeProto& node, std::string_view name, const Context& c);
  std::vector<graph::Value*> block(graph::Block* block, const GraphProto& graph,
                                   std::span<graph::Value* const> params, const Context& c);
  graph::Value* value(std::string_view name, const Context& c);
  graph::Value* initializer(const Initializer& from, const Context& c);
  std::vector<spelling::Attribute> attributes(const NodeProto& node, const Context& c);
  const AttributeProto* resolve(const AttributeProto& a, const FunctionCall* call) const;
  void bind(const NodeProto& node, std::span<graph::Value* const> outputs, const Context& c);
  std::string label(const NodeProto& node) const;

  proto::Budget& budget_;
  const Bytes& owner_;
  ExternalData external_;
  graph::Graph& graph_;
  spelling::Builder build_;
  ModelProto model_;
  std::map<std::string, const FunctionProto*, std::less<>> functions_;
  std::set<std::string_view> updated_;  // initializers that a training algorithm changes
  std::set<std::string, std::less<>> names_;  // of values, which must be unique in the graph
  std::vector<graph::Type> given_;  // of the inputs, instead of the file's
  size_t expanded_ = 0;  // nodes of functions, once for every call
};

// Adapters of this operator, in the order in which they are asked; all before the table.
std::vector<const Adapter*> find_adapters(std::string_view op, std::string_view domain, int version);
bool has_adapter(std::string_view op, std::string_view domain);  // in any version
bool has_own_reader(const NodeProto& node);  // operators with graphs, and Gradient
// The inputs that a run gives: those that are no initializers.
std::vector<const ValueInfo*> run_inputs(const GraphProto& graph);
// Whether an operator of ONNX's own domain has an attribute of this name, in any opset that is read.
bool is_attribute_name(std::string_view name);

// Families of adapters; each file has one table.
std::span<const Adapter> tensor_adapters();
std::span<const Adapter> arithmetic_adapters();
std::span<const Adapter> network_adapters();
std::span<const Adapter> layer_adapters();
std::span<const Adapter> ml_adapters();
std::span<const Adapter> tree_adapters();
std::span<const Adapter> attention_adapters();
std::span<const Adapter> cast_adapters();
std::span<const Adapter> indexing_adapters();
std::span<const Adapter> pool_adapters();
std::span<const Adapter> quantization_adapters();
std::span<const Adapter> random_adapters();
std::span<const Adapter> recurrent_adapters();
std::span<const Adapter> reshape_adapters();
std::span<const Adapter> resize_adapters();
std::span<const Adapter> sequence_adapters();
std::span<const Adapter> signal_adapters();
std::span<const Adapter> slicing_adapters();
std::span<const Adapter> string_adapters();
std::span<const Adapter> training_adapters();
std::span<const Adapter> vision_adapters();
std::span<const Adapter> withdrawn_adapters();

}  // namespace moka::onnx
