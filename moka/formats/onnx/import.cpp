// Walks the nodes of an ONNX model and builds the graph: names, parameters, functions, and the choice between adapters
// and the table of mappings.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/importer_internal.h"
#include "moka/formats/onnx/microsoft_internal.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/formats/onnx/running_internal.h"
#include "moka/graph/expr.h"
#include "moka/schema/frame.h"

namespace moka::onnx {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::Value;
using spelling::Attribute;
using spelling::Dialect;
using spelling::ForeignNode;
using spelling::Table;

namespace {

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string function_key(std::string_view domain, std::string_view name, std::string_view overload) {
  return cat(domain, "\n", name, "\n", overload);
}

// Attributes that say nothing: old versions carried hints about memory.
bool is_hint(const NodeProto& node, std::string_view attribute) {
  return attribute == "consumed_inputs" && plain_domain(node.domain).empty();
}

// What the file says of a value whose element type or rank could not be inferred. Sizes are left to the run.
void complete(Value* v, const Type& said) {
  using graph::TypeKind;
  if (said.kind != TypeKind::Tensor || v->constant()) return;
  if (v->type.kind != TypeKind::Tensor && v->type.kind != TypeKind::Any) return;
  v->type.kind = TypeKind::Tensor;
  if (!v->type.has_dtype && said.has_dtype) {
    v->type.has_dtype = true;
    v->type.dtype = said.dtype;
  }
  if (!v->type.has_dims && said.has_dims) {
    v->type.has_dims = true;
    v->type.dims.assign(said.dims.size(), graph::Dim());
  }
}

}  // namespace

Importer::Importer(proto::Budget& budget, const Bytes& owner, ExternalData external, Graph& graph)
    : budget_(budget),
      owner_(owner),
      external_(std::move(external)),
      graph_(graph),
      build_(graph, {graph.main()}) {}

std::string Importer::label(const NodeProto& node) const {
  std::string out = cat("In node ");
  if (!node.name.empty()) out += cat("'", node.name, "' ");
  out += cat("(", node.domain, node.domain.empty() ? "" : ".", node.op);
  for (std::string_view o : node.outputs)
    if (!o.empty()) {
      out += cat(" -> '", o, "'");
      break;
    }
  return out + cat(") of ", budget_.file);
}

void Importer::start() {
  model_ = read_model(budget_, owner_.text());
  for (const FunctionProto& f : model_.functions) {
    const bool fresh = functions_.emplace(function_key(f.domain, f.name, f.overload), &f).second;
    MOKA_CHECK_KIND(File, fresh, budget_.file, ": function ", f.domain, ".", f.name, " is defined twice");
  }
  if (const auto own = model_.opsets.find(""); own != model_.opsets.end())
    MOKA_CHECK_KIND(NotImplemented, own->second <= latest_opset, budget_.file, ": is written for opset ",
                    own->second, ", this library reads opsets up to ", latest_opset,
                    "; update Moka, or convert the model with onnx.version_converter");
  graph_.metadata = model_.metadata;
  if (!model_.producer.empty())
    graph_.metadata["producer"] =
        cat(model_.producer, model_.producer_version.empty() ? "" : " ", model_.producer_version);
  build_.source.file = std::string(base_name(budget_.file));
}

void Importer::run() {
  start();
  const GraphProto main = read_graph(budget_, model_.graph, 1);
  graph_.name = main.name.empty() ? "main" : std::string(main.name);
  if (!main.doc.empty()) graph_.metadata["doc"] = std::string(main.doc);
  for (const TrainingInfo& training : model_.training)  // what may be trained is a state
    for (const auto& [name, output] : training.update) updated_.insert(name);
  Scope scope;
  const Context c{&scope, &model_.opsets};
  graph_inputs(main, c);
  graph_nodes(main, c);
  for (const ValueInfo& output : main.outputs) {
    Value* v = value(output.name, c);
    if (v->type.kind == graph::TypeKind::Optional && output.type.kind != graph::TypeKind::Optional &&
        output.type.kind != graph::TypeKind::Any) {
      Node* element = graph_.create_named(NodeKind::Builtin, "unwrap", build_.at, {&v, 1}, 1);
      graph::infer_types(*element);
      v = element->output();
    }
    graph_.add_output(v, std::string(output.name));
  }
  spelling::drop_unused(graph_);
}

std::vector<const ValueInfo*> run_inputs(const GraphProto& graph) {
  std::set<std::string_view> initialized;
  for (const Initializer& i : graph.initializers) initialized.insert(i.name);
  std::vector<const ValueInfo*> out;
  for (const ValueInfo& input : graph.inputs)  // IR 3 and older list parameters among the inputs
    if (!initialized.count(input.name)) out.push_back(&input);
  return out;
}

void Importer::graph_inputs(const GraphProto& graph, const Context& c) {
  const std::vector<const ValueInfo*> inputs = run_inputs(graph);
  for (size_t i = 0; i < inputs.size(); i++) {
    const ValueInfo& input = *inputs[i];
    MOKA_CHECK_KIND(File, !input.name.empty(), budget_.file, ": an input has no name");
    Value* v = graph_.add_input(std::string(input.name), i < given_.size() ? given_[i] : input.type);
    MOKA_CHECK_KIND(File, c.scope->values.emplace(input.name, v).second, budget_.file,
                    ": two inputs have the name '", input.name, "'");
    names_.insert(std::string(input.name));
  }
}

void Importer::graph_nodes(const GraphProto& graph, const Context& c) {
  for (const Initializer& i : graph.initializers) {
    if (i.name.empty()) continue;
    Value* v = initializer(i, c);
    MOKA_CHECK_KIND(File, c.scope->values.emplace(i.name, v).second, budget_.file, ": '", i.name,
                    "' is defined twice");
  }
  for (const ValueInfo& v : graph.values) c.scope->declared.emplace(v.name, &v.type);
  for (const ValueInfo& v : graph.outputs) c.scope->declared.emplace(v.name, &v.type);
  for (const NodeProto& n : graph.nodes)
    for (std::string_view output : n.outputs) c.scope->makers.emplace(output, &n);
  for (const NodeProto& n : graph.nodes) node(n, c);
}

Value* Importer::value(std::string_view name, const Context& c) {
  for (const Scope* s = c.scope; s; s = s->outer)
    if (auto i = s->values.find(name); i != s->values.end()) return i->second;
  for (const Scope* s = c.scope; s; s = s->outer)
    if (auto i = s->makers.find(name); i != s->makers.end())
      fail_kind(ErrorKind::File, budget_.file, ": '", name, "' is used before ", i->second->op, " '",
                i->second->name,
                "' makes it; nodes must stand in the order in which they run, without circles");
  fail_kind(ErrorKind::File, budget_.file, ": '", name,
            "' is used, but no input, initializer or node has that name");
}

// Floating tensors of the main graph are parameters: named states that training may change. The rest are constants.
Value* Importer::initializer(const Initializer& from, const Context& c) {
  const std::string_view name = from.name;
  Tensor tensor = from.sparse ? read_sparse_tensor(budget_, from.message, owner_, external_)
                              : read_tensor(budget_, from.message, owner_, external_);
  const bool updated = c.scope->outer == nullptr && c.call == nullptr && updated_.count(name);
  const bool state = updated || (c.scope->outer == nullptr && c.call == nullptr &&
                                 is_floating(tensor.dtype()) && tensor.dim() > 0);
  if (!state) {
    Value* v = build_.constant(Any(tensor));
    if (names_.insert(std::string(name)).second) v->name = std::string(name);
    return v;
  }
  graph::State s;
  s.name = std::string(name);
  s.type = Type::tensor(tensor.dtype(), tensor.sizes());
  s.value = Any(tensor);
  s.parameter = is_floating(tensor.dtype());
  MOKA_CHECK_KIND(File, graph_.states.emplace(s.name, s).second, budget_.file, ": initializer '", name,
                  "' is defined twice");
  Node* get = graph_.create_named(NodeKind::Get, s.name, build_.at, {}, 1);
  get->source = build_.source;
  get->output()->type = s.type;
  if (!updated) build_.remember(get->output(), s.value);
  return get->output();
}

const AttributeProto* Importer::resolve(const AttributeProto& a, const FunctionCall* call) const {
  const AttributeProto* found = &a;
  while (!found->reference.empty()) {
    MOKA_CHECK_KIND(File, call, "attribute '", a.name, "' refers to '", found->reference,
                    "' of a function, but stands in none");
    const std::string_view wanted = found->reference;
    found = call->node->attribute(wanted);
    if (!found) {
      for (const AttributeProto& d : call->function->defaults)
        if (d.name == wanted) return &d;
      return nullptr;
    }
    call = call->outer;
  }
  return found;
}

std::vector<Attribute> Importer::attributes(const NodeProto& node, const Context& c) {
  std::vector<Attribute> out;
  for (const AttributeProto& given : node.attributes) {
    if (is_hint(node, given.name)) continue;
    const AttributeProto* a = resolve(given, c.call);
    if (!a) continue;
    Any value = a->value;
    switch (a->kind) {
      case AttributeKind::Tensor: value = Any(read_tensor(budget_, a->message, owner_, external_)); break;
      case AttributeKind::SparseTensor:
        value = Any(read_sparse_tensor(budget_, a->message, owner_, external_));
        break;
      case AttributeKind::Graph:  // control_flow() reads them
      case AttributeKind::TypeProto: continue;  // says what can be seen from the inputs
      case AttributeKind::Undefined:
      case AttributeKind::Tensors:
      case AttributeKind::Graphs:
      case AttributeKind::SparseTensors:
      case AttributeKind::TypeProtos:
        fail_kind(ErrorKind::NotImplemented, "attribute '", given.name, "' is of a kind that is not read (",
                  static_cast<int>(a->kind), ")");
      default: break;
    }
    out.push_back({std::string(given.name), std::move(value)});
  }
  return out;
}

void Importer::bind(const NodeProto& node, std::span<Value* const> outputs, const Context& c) {
  for (size_t i = 0; i < node.outputs.size(); i++) {
    const std::string_view name = node.outputs[i];
    if (name.empty()) continue;
    MOKA_CHECK_KIND(NotImplemented, i < outputs.size() && outputs[i], "output ", i, " ('", name,
                    "') is not computed");
    MOKA_CHECK_KIND(File, c.scope->values.emplace(name, outputs[i]).second, "'", name, "' is defined twice");
    if (auto said = c.scope->declared.find(name); said != c.scope->declared.end())
      complete(outputs[i], *said->second);
    if (!c.call && outputs[i]->name.empty() && names_.insert(std::string(name)).second)
      outputs[i]->name = std::string(name);
  }
}

void Importer::node(const NodeProto& node, const Context& c) {
  const std::string scope = build_.source.scope;
  std::string own(node.name);
  for (size_t i = 0; own.empty() && i < node.outputs.size(); i++) own = std::string(node.outputs[i]);
  build_.source.scope = c.call ? cat(scope, "/", own) : own;
  try {
    translate(node, c);
  } catch (Error& e) {
    e.add_context(label(node));
    throw;
  }
  build_.source.scope = scope;
}

ForeignNode Importer::foreign_node(const NodeProto& node, const Context& c) {
  ForeignNode foreign;
  foreign.op = std::string(node.op);
  foreign.domain = std::string(node.domain);
  foreign.name = std::string(node.name);
  for (std::string_view name : node.inputs) foreign.inputs.push_back(name.empty() ? nullptr : value(name, c));
  foreign.outputs = 0;
  for (size_t i = 0; i < node.outputs.size(); i++)
    if (!node.outputs[i].empty()) foreign.outputs = static_cast<int>(i) + 1;
  foreign.attributes = attributes(node, c);
  if (node.domain.empty())
    for (const spelling::Attribute& a : foreign.attributes)
      MOKA_CHECK_KIND(File, is_attribute_name(a.name), "no operator of ONNX has an attribute '", a.name, "'");
  return foreign;
}

namespace {
// Adapters are asked first, then the mapping texts. False: `reasons` says why none serves.
bool read_node_by_tables(spelling::Builder& build, const ForeignNode& foreign, int version,
                         std::vector<Value*>& outputs, std::string& reasons) {
  for (const Adapter* adapter : find_adapters(foreign.op, foreign.domain, version)) {
    NodeReader reader(build, foreign, Dialect::Onnx, version);
    if (adapter->read(reader)) {
      promise_ranks(reader);
      follow_elements(reader);
      outputs = reader.outputs;
      return true;
    }
    if (!reader.why.empty()) reasons += cat("\n    ", foreign.op, ": ", reader.why);
  }
  for (const spelling::Row* row : Table::of(Dialect::Onnx).named(foreign.op, foreign.domain, version)) {
    spelling::Match match;
    std::string why;
    const Schema& schema = info(*row->op).schema;
    if (!read_row(*row, Dialect::Onnx, foreign, build, match, why)) {
      reasons += cat("\n    as ", schema.name, ": ", why);
      continue;
    }
    std::vector<Value*> made = build.emit(*row->op, match.slots);
    outputs = made;
    if (schema.outs.size() == 1 && schema.outs[0].type.list && made.size() == 1) {
      Node* unpack = build.graph.create(NodeKind::Unpack, build.at, made, foreign.outputs);
      unpack->source = build.source;
      graph::infer_types(*unpack);
      outputs.assign(unpack->outputs().begin(), unpack->outputs().end());
    } else if (!row->mapping.outputs.empty()) {
      outputs.assign(row->mapping.outputs.size(), nullptr);
      for (size_t i = 0; i < outputs.size(); i++)
        if (row->mapping.outputs[i] >= 0) outputs[i] = made[static_cast<size_t>(row->mapping.outputs[i])];
    }
    NodeReader reader(build, foreign, Dialect::Onnx, version);
    reader.outputs = outputs;
    promise_ranks(reader);
    follow_elements(reader);
    outputs = reader.outputs;
    return true;
  }
  return false;
}
}  // namespace

std::vector<Value*> onnx_nodes(NodeReader& n, std::string_view op, std::vector<Value*> inputs,
                               std::vector<Attribute> attributes, int outputs) {
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  ForeignNode node;
  node.op = std::string(op);
  node.name = n.node.name;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  node.outputs = outputs;
  std::vector<Value*> out;
  std::string reasons;
  MOKA_CHECK_KIND(NotImplemented, read_node_by_tables(n.build, node, latest_opset, out, reasons), "as ", op,
                  " of ONNX this form is not supported:", reasons);
  out.resize(static_cast<size_t>(outputs));
  return out;
}

void Importer::translate(const NodeProto& node, const Context& c) {
  MOKA_CHECK_KIND(File, c.depth < budget_.limits.max_depth, "graphs and functions are nested more than ",
                  budget_.limits.max_depth, " deep");
  auto opset = c.opsets->find(node.domain);
  if (auto f = functions_.find(function_key(node.domain, node.op, node.overload)); f != functions_.end())
    return function(*f->second, node, c);
  MOKA_CHECK_KIND(File, opset != c.opsets->end(), "the model imports no opset of domain '", node.domain, "'");
  const int version = static_cast<int>(opset->second);
  if (control_flow(node, c)) return;

  const ForeignNode foreign = foreign_node(node, c);
  std::string reasons;
  std::vector<Value*> outputs;
  if (read_node_by_tables(build_, foreign, version, outputs, reasons)) return bind(node, outputs, c);
  const Table& table = Table::of(Dialect::Onnx);
  if (!reasons.empty())
    fail_kind(ErrorKind::NotImplemented, "this form of ", node.op, " (opset ", version,
              ") is not supported:", reasons);
  std::string near;
  for (const std::string& name : table.near(node.op)) near += cat(near.empty() ? "; near it: " : ", ", name);
  const bool other = table.knows(node.op, node.domain) || has_adapter(node.op, node.domain);
  fail_kind(ErrorKind::NotImplemented, "operator ", node.domain, node.domain.empty() ? "" : ".", node.op,
            other ? cat(" is not known in opset ", version) : cat(" is not known", near));
}

void Importer::function(const FunctionProto& f, const NodeProto& node, const Context& c) {
  // Calls may multiply: what they expand to counts, and is bounded by what the file has.
  budget_.take_nodes(f.nodes.size() + 1);
  expanded_ += f.nodes.size() + 1;
  const size_t most = 32768 + budget_.bytes.size() / 16;
  MOKA_CHECK_KIND(File, expanded_ <= most, budget_.file,
                  ": its functions call each other so often that they have more than ", most,
                  " nodes, which is the limit for a file of ", budget_.bytes.size(), " bytes");
  Scope scope;
  MOKA_CHECK_KIND(File, node.inputs.size() <= f.inputs.size(), "function ", f.name, " takes ",
                  f.inputs.size(), " inputs, got ", node.inputs.size());
  for (size_t i = 0; i < f.inputs.size(); i++)
    if (i < node.inputs.size() && !node.inputs[i].empty())
      scope.values.emplace(f.inputs[i], value(node.inputs[i], c));
  FunctionCall call{&f, &node, c.call};
  Opsets opsets = f.opsets;
  for (const auto& [domain, version] : *c.opsets) opsets.emplace(domain, version);
  const Context inner{&scope, &opsets, &call, c.depth + 1};
  for (NodeProto n : f.nodes) {
    // An input that the call leaves out is missing for the nodes inside.
    for (std::string_view& input : n.inputs)
      if (!scope.values.count(input) && std::find(f.inputs.begin(), f.inputs.end(), input) != f.inputs.end())
        input = {};
    this->node(n, inner);
  }
  std::vector<Value*> outputs;
  for (size_t i = 0; i < node.outputs.size(); i++) {
    MOKA_CHECK_KIND(File, i < f.outputs.size(), "function ", f.name, " has ", f.outputs.size(), " outputs");
    outputs.push_back(node.outputs[i].empty() ? nullptr : value(f.outputs[i], inner));
  }
  bind(node, outputs, c);
}

Source::Source(Bytes bytes, std::string_view name, const Limits& limits)
    : bytes_(std::move(bytes)),
      name_(name),
      limits_(limits),
      external_(std::make_shared<const ExternalData>()) {}

Source::Source(const std::string& path, const Limits& limits)
    : bytes_(Bytes::of_file(path, limits)),
      name_(path),
      limits_(limits),
      external_(std::make_shared<const ExternalData>(path, limits)) {}

std::unique_ptr<Graph> Source::read() const {
  proto::Budget budget(name_, bytes_.text(), limits_);
  auto out = std::make_unique<Graph>();
  Importer(budget, bytes_, *external_, *out).run();
  return out;
}

void Source::leave() const {
  bytes_.leave(0, bytes_.size());
  external_->leave();
}

std::unique_ptr<Graph> load(const Bytes& bytes, std::string_view name, const Limits& limits) {
  return Source(bytes, name, limits).read();
}

std::unique_ptr<Graph> load(const std::string& path, const Limits& limits) {
  return Source(path, limits).read();
}

namespace {
// In the order in which they are asked.
constexpr std::span<const Adapter> (*families[])() = {string_adapters,
                                                      reshape_adapters,
                                                      random_adapters,
                                                      tensor_adapters,
                                                      slicing_adapters,
                                                      cast_adapters,
                                                      arithmetic_adapters,
                                                      network_adapters,
                                                      layer_adapters,
                                                      resize_adapters,
                                                      recurrent_adapters,
                                                      pool_adapters,
                                                      attention_adapters,
                                                      indexing_adapters,
                                                      vision_adapters,
                                                      signal_adapters,
                                                      quantization_adapters,
                                                      sequence_adapters,
                                                      training_adapters,
                                                      ml_adapters,
                                                      tree_adapters,
                                                      withdrawn_adapters,
                                                      microsoft_adapters,
                                                      microsoft_attention_adapters,
                                                      microsoft_quantized_adapters};
}  // namespace

std::vector<const Adapter*> find_adapters(std::string_view op, std::string_view domain, int version) {
  std::vector<const Adapter*> out;
  for (auto family : families)
    for (const Adapter& a : family())
      if (a.op == op && a.domain == domain && version >= a.since && (a.until == 0 || version < a.until))
        out.push_back(&a);
  return out;
}

bool has_adapter(std::string_view op, std::string_view domain) {
  for (auto family : families)
    for (const Adapter& a : family())
      if (a.op == op && a.domain == domain) return true;
  return false;
}

}  // namespace moka::onnx
