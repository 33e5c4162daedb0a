// If and Loop of ONNX (scan_flow.cpp has the others) as the graph's own.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/importer_internal.h"
#include "moka/graph/expr.h"

namespace moka::onnx {

using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::TypeKind;
using graph::Value;

namespace {

// Puts the builder into a block for a while.
class Inside {
 public:
  Inside(spelling::Builder& build, graph::Block* block) : build_(build), before_(build.at) {
    build.at = {block};
  }
  ~Inside() { build_.at = before_; }
  Inside(const Inside&) = delete;

 private:
  spelling::Builder& build_;
  graph::Graph::Point before_;
};

Value* builtin(spelling::Builder& build, std::string_view name, std::vector<Value*> inputs) {
  Node* n = build.graph.create_named(NodeKind::Builtin, std::string(name), build.at, inputs, 1);
  n->source = build.source;
  graph::infer_types(*n);
  return n->output();
}

}  // namespace

bool has_own_reader(const NodeProto& node) {
  if (node.domain == "ai.onnx.preview") return node.op == "FlexAttention";
  if (node.domain == "ai.onnx.preview.training") return node.op == "Gradient";
  return node.domain.empty() &&
         (node.op == "If" || node.op == "Loop" || node.op == "Scan" || node.op == "SequenceMap");
}

bool Importer::control_flow(const NodeProto& node, const Context& c) {
  if (!has_own_reader(node)) return false;
  if (node.op == "If") if_node(node, c);
  else if (node.op == "Loop") loop_node(node, c);
  else if (node.op == "Scan") scan_node(node, c);
  else if (node.op == "SequenceMap") sequence_map(node, c);
  else if (node.op == "FlexAttention") flex_attention(node, c);
  else gradient(node, c);
  return true;
}

GraphProto Importer::subgraph(const NodeProto& node, std::string_view name, const Context& c) {
  const AttributeProto* a = node.attribute(name);
  if (a) a = resolve(*a, c.call);
  MOKA_CHECK_KIND(File, a && a->kind == AttributeKind::Graph, "graph '", name, "' is missing");
  GraphProto out = read_graph(budget_, a->message, c.depth + 2);
  return out;
}

// The graph's nodes inside `block`; its inputs are `params`. Returns the values of its outputs.
std::vector<Value*> Importer::block(graph::Block* block, const GraphProto& graph,
                                    std::span<Value* const> params, const Context& c) {
  Inside inside(build_, block);
  Scope scope{c.scope, {}};
  MOKA_CHECK_KIND(File, graph.inputs.size() == params.size(), "graph '", graph.name, "' has ",
                  graph.inputs.size(), " inputs, ", params.size(), " were expected");
  for (size_t i = 0; i < params.size(); i++) {
    const ValueInfo& input = graph.inputs[i];
    scope.values.emplace(input.name, params[i]);
    if (params[i]->name.empty() && names_.insert(std::string(input.name)).second)
      params[i]->name = std::string(input.name);
  }
  const Context inner{&scope, c.opsets, c.call, c.depth + 1};
  graph_nodes(graph, inner);
  std::vector<Value*> out;
  for (const ValueInfo& output : graph.outputs) out.push_back(value(output.name, inner));
  return out;
}

void Importer::if_node(const NodeProto& node, const Context& c) {
  MOKA_CHECK_KIND(File, node.inputs.size() == 1, "If has ", node.inputs.size(), " inputs, one was expected");
  Value* said = value(node.inputs[0], c);
  // A condition on shapes is often known by now: then only the branch that is taken exists, with its own ranks.
  if (const Any* known = build_.known(said);
      known && known->is_tensor() && known->tensor().numel() == 1 && known->tensor().dtype() == DType::Bool) {
    const char* name = element_as_int(known->tensor(), 0) ? "then_branch" : "else_branch";
    const GraphProto branch = subgraph(node, name, c);
    MOKA_CHECK_KIND(File, branch.outputs.size() == node.outputs.size(), name, " has ", branch.outputs.size(),
                    " outputs, the node ", node.outputs.size());
    return bind(node, inlined(branch, {}, c), c);
  }
  Value* condition = builtin(build_, "bool", {said});
  Node* n = graph_.create(NodeKind::If, build_.at, std::vector<Value*>{condition},
                          static_cast<int>(node.outputs.size()));
  n->source = build_.source;
  std::vector<Value*> results[2];
  for (int k = 0; k < 2; k++) {
    const char* name = k == 0 ? "then_branch" : "else_branch";
    const GraphProto branch = subgraph(node, name, c);
    MOKA_CHECK_KIND(File, branch.outputs.size() == node.outputs.size(), name, " has ", branch.outputs.size(),
                    " outputs, the node ", node.outputs.size());
    graph::Block* b = n->add_block();
    results[k] = block(b, branch, {}, c);
    for (Value* v : results[k]) b->add_result(v);
  }
  for (size_t i = 0; i < node.outputs.size(); i++)
    n->output(static_cast<int>(i))->type = graph::join(results[0][i]->type, results[1][i]->type);
  bind(node, n->outputs(), c);
}

// Scan outputs are lists that grow by one element each turn and are stacked at the end.
void Importer::loop_node(const NodeProto& node, const Context& c) {
  const GraphProto body = subgraph(node, "body", c);
  // Ranks rarely change from turn to turn: when they turn out to, the body is read again without them.
  if (!loop_of(node, body, true, c)) loop_of(node, body, false, c);
}

bool Importer::loop_of(const NodeProto& node, const GraphProto& body, bool keeps_ranks, const Context& c) {
  const size_t carried = node.inputs.size() < 2 ? 0 : node.inputs.size() - 2;
  MOKA_CHECK_KIND(File, body.inputs.size() == carried + 2, "the body has ", body.inputs.size(), " inputs, ",
                  carried + 2, " were expected");
  MOKA_CHECK_KIND(File, body.outputs.size() >= carried + 1 && body.outputs.size() - 1 == node.outputs.size(),
                  "the body has ", body.outputs.size(), " outputs, the node ", node.outputs.size(), " with ",
                  carried, " carried values");
  const size_t scans = body.outputs.size() - 1 - carried;
  auto given = [&](size_t i) { return i < node.inputs.size() && !node.inputs[i].empty(); };
  std::vector<Value*> inputs;
  inputs.push_back(given(0) ? builtin(build_, "int", {value(node.inputs[0], c)}) : build_.constant(Any()));
  inputs.push_back(given(1) ? builtin(build_, "bool", {value(node.inputs[1], c)})
                            : build_.constant(Any(true)));
  for (size_t i = 0; i < carried; i++) inputs.push_back(value(node.inputs[i + 2], c));
  for (size_t i = 0; i < scans; i++) {
    Node* list = graph_.create(NodeKind::List, build_.at, {}, 1);
    list->source = build_.source;
    list->output()->type = Type::list(Type::tensor());
    inputs.push_back(list->output());
  }
  Node* loop = graph_.create(NodeKind::Loop, build_.at, inputs, static_cast<int>(carried + scans));
  loop->source = build_.source;
  graph::Block* b = loop->add_block();
  Value* iteration = b->add_param(TypeKind::Int);
  std::vector<Value*> params;
  {
    Inside inside(build_, b);
    Value* dtype = build_.constant(Any(DType::I64));
    params.push_back(builtin(build_, "tensor", {iteration, dtype}));
    Tensor yes = new_tensor({}, DType::Bool);  // the body runs only while the condition holds
    *static_cast<bool*>(yes.raw_data()) = true;
    params.push_back(build_.constant(Any(yes)));
  }
  std::vector<Value*> lists;
  // Sizes may change from turn to turn: a carried value keeps its element type only.
  for (size_t i = 0; i < carried; i++) {
    Type type = inputs[i + 2]->type;
    if (keeps_ranks) type.dims.assign(type.dims.size(), graph::Dim());
    else type.has_dims = false, type.dims.clear();
    params.push_back(b->add_param(type));
  }
  for (size_t i = 0; i < scans; i++) lists.push_back(b->add_param(Type::list(Type::tensor())));
  const std::vector<Value*> results = block(b, body, params, c);
  for (size_t i = 0; i < carried && keeps_ranks; i++) {
    const Type &before = params[i + 2]->type, &after = results[i + 1]->type;
    if (before.kind != TypeKind::Tensor || !before.has_dims || after.kind != TypeKind::Tensor ||
        !after.has_dims)
      continue;
    if (before.dims.size() == after.dims.size()) continue;
    loop->destroy();
    return false;
  }
  {
    Inside inside(build_, b);
    b->add_result(builtin(build_, "bool", {results[0]}));
    for (size_t i = 0; i < carried; i++) b->add_result(results[i + 1]);
    for (size_t i = 0; i < scans; i++) {
      Value* row = build_.call("unsqueeze", {results[i + 1 + carried], int64_t(0)});
      Value* longer = builtin(build_, "append", {lists[i], row});
      longer->type = Type::list(Type::tensor());
      b->add_result(longer);
    }
  }
  std::vector<Value*> outputs;
  for (size_t i = 0; i < carried; i++) {
    Type type = params[i + 2]->type;
    loop->output(static_cast<int>(i))->type = type;
    outputs.push_back(loop->output(static_cast<int>(i)));
  }
  for (size_t i = 0; i < scans; i++) {
    Value* list = loop->output(static_cast<int>(carried + i));
    list->type = Type::list(Type::tensor());
    outputs.push_back(build_.call("cat", {list, int64_t(0)}));
  }
  bind(node, outputs, c);
  return true;
}

}  // namespace moka::onnx
