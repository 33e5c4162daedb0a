// Says the nodes of a graph one after the other, and gives values the names that the file will have.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/writer.h"

#include <algorithm>

#include "moka/formats/spelling/conversions.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::Value;

// ---- NodeWriter

Value* NodeWriter::value(std::string_view arg) const {
  Value* v = node.argument(arg);
  MOKA_ASSERT(v);
  return v;
}
const Any* NodeWriter::constant(std::string_view arg) const { return value(arg)->constant(); }
int64_t NodeWriter::integer(std::string_view arg) const {
  const Any* c = constant(arg);
  MOKA_CHECK_KIND(NotImplemented, c && c->arg().is_number(), "argument '", arg,
                  "' is known only when running");
  return c->arg().as_int();
}
bool NodeWriter::ints(std::string_view arg, Dims& out) const {
  const Any* c = constant(arg);
  return c && to_ints(*c, out);
}
int NodeWriter::rank(std::string_view arg) const { return spelling::rank(value(arg)); }
std::string NodeWriter::name(std::string_view arg) const { return model.name_of(value(arg)); }
std::string NodeWriter::tensor(Tensor t) const {
  return model.add_tensor(std::move(t), model.scoped(node, "constant"));
}

std::string NodeWriter::add(std::string_view op, std::vector<std::string> inputs,
                            std::vector<Attribute> attributes) const {
  std::string out = model.unique(cat(model.scoped(node, op), "_output_0"));
  model.add_node(node, op, "", std::move(inputs), {out}, std::move(attributes));
  return out;
}
bool NodeWriter::finish(std::string_view op, std::vector<std::string> inputs,
                        std::vector<Attribute> attributes, int output) const {
  model.add_node(node, op, "", std::move(inputs), {model.name_of(node.output(output))},
                 std::move(attributes));
  return true;
}

// ---- ModelWriter

ModelWriter::ModelWriter(Dialect dialect, int version, std::span<const WritingAdapter> adapters,
                         std::string_view copies)
    : dialect_(dialect), version_(version), adapters_(adapters), copies_(copies) {}

std::string ModelWriter::unique_in(Names& used, std::string name) {
  if (used.insert(name).second) return name;
  for (int i = 1;; i++)
    if (std::string next = cat(name, "_", i); used.insert(next).second) return next;
}

// Module paths as other exporters write them: "/layer1/0/conv1/Conv".
std::string ModelWriter::scoped(const Node& node, std::string_view last) const {
  std::string out = dialect_ == Dialect::Onnx ? "/" : "";
  for (char c : node.source.scope) out += c == '.' ? '/' : c;
  if (out.size() > 1 || (!out.empty() && out != "/")) out += '/';
  return out + std::string(last);
}

std::string ModelWriter::add_tensor(Tensor tensor, std::string_view hint) {
  auto [at, fresh] = tensors_.try_emplace(tensor.impl());
  if (!fresh) return at->second;
  at->second = unique(std::string(hint));
  out_.tensors.push_back({at->second, std::move(tensor)});
  return at->second;
}

std::string ModelWriter::name_of(Value* value) {
  if (auto i = names_.find(value); i != names_.end()) return i->second;
  Node* producer = value->producer();
  if (const Any* constant = value->constant()) {
    MOKA_CHECK_KIND(NotImplemented, constant->is_tensor(), dialect_name(dialect_), " export: ", *constant,
                    " is used where a tensor is needed");
    const std::string name =
        add_tensor(constant->tensor(), value->name.empty() ? scoped(*producer, "constant") : value->name);
    return names_[value] = name;
  }
  MOKA_CHECK_KIND(NotImplemented,
                  producer && (producer->kind == NodeKind::Op || producer->kind == NodeKind::Unpack),
                  dialect_name(dialect_), " export: a value made by ",
                  producer ? producer->op_name() : "a block", " cannot be written");
  const std::string name =
      unique(value->name.empty() ? cat(scoped(*producer, producer->op_name()), "_output_", value->index())
                                 : value->name);
  if (value->type.kind == graph::TypeKind::Tensor) out_.values.push_back({name, value->type});
  return names_[value] = name;
}

void ModelWriter::add_node(const Node& node, std::string_view op, std::string_view domain,
                           std::vector<std::string> inputs, std::vector<std::string> outputs,
                           std::vector<Attribute> attributes) {
  FileNode n;
  n.name = scoped(node, op);
  if (n.name == op || n.name == cat("/", op))
    n.name = outputs.empty() ? std::string(op) : cat(op, "_", outputs[0]);
  n.name = unique_in(node_names_, std::move(n.name));
  n.op = std::string(op);
  n.domain = std::string(domain);
  n.inputs = std::move(inputs);
  n.outputs = std::move(outputs);
  n.attributes = std::move(attributes);
  out_.nodes.push_back(std::move(n));
}

bool ModelWriter::say_row(const Row& row, Node& node, std::string& why) {
  WrittenNode w;
  if (!write_row(row, dialect_, node, w, why)) return false;
  std::vector<std::string> inputs, outputs;
  for (WrittenInput& in : w.inputs) {
    if (in.value) inputs.push_back(name_of(in.value));
    else if (in.constant.is_tensor())
      inputs.push_back(add_tensor(in.constant.tensor(), scoped(node, "constant")));
    else inputs.push_back({});
  }
  for (int o : w.outputs) {
    if (o >= 0 && o < static_cast<int>(node.outputs().size())) outputs.push_back(name_of(node.output(o)));
    else if (dialect_ == Dialect::NetDef) outputs.push_back(unique(cat(scoped(node, w.op), "_unused")));
    else outputs.push_back({});
  }
  while (!outputs.empty() && outputs.back().empty()) outputs.pop_back();
  add_node(node, w.op, w.domain, std::move(inputs), std::move(outputs), std::move(w.attributes));
  return true;
}

bool ModelWriter::say(Node& node, std::string& why) {
  std::string reasons;
  for (const WritingAdapter& a : adapters_) {
    if (a.op != node.op_name() || version_ < a.since || (a.until && version_ >= a.until)) continue;
    NodeWriter writer(*this, node);
    if (a.write(writer)) return true;
    if (!writer.why.empty()) reasons += cat("; ", writer.why);
  }
  for (const Row* row : Table::of(dialect_).of_op(*node.op, version_)) {
    std::string reason;
    if (say_row(*row, node, reason)) return true;
    reasons += cat("; as ", row->mapping.op, ": ", reason);
  }
  why = reasons.empty() ? cat("no form of it in version ", version_) : reasons.substr(2);
  return false;
}

// Outputs keep their names. A value that has another name already (an input, a parameter, another output) is copied.
void ModelWriter::name_outputs(const Graph& graph) {
  for (size_t i = 0; i < graph.outputs().size(); i++) {
    Value* v = graph.outputs()[i];
    const Node* producer = v->producer();
    const std::string wanted = graph.output_names.size() > i && !graph.output_names[i].empty()
                                   ? graph.output_names[i]
                                   : cat("output_", i);
    if (used_.count(wanted)) continue;
    if (names_.count(v) || !producer || producer->kind != NodeKind::Op) {
      if (names_.count(v) && names_[v] == wanted) continue;
      reserved_.insert(i);  // a copy will have the name
    } else {
      names_[v] = wanted;
    }
    used_.insert(wanted);
  }
}

FileModel ModelWriter::write(const Graph& source) {
  const std::unique_ptr<Graph> copy = source.clone();
  Graph& graph = *copy;
  drop_unused(graph);
  out_.name = graph.name;
  for (size_t i = 0; i < graph.inputs().size(); i++) {
    Value* v = graph.inputs()[i];
    names_[v] = unique(v->name.empty() ? cat("input_", i) : v->name);
    out_.inputs.push_back({names_[v], v->type});
  }
  for (Node* n : *graph.main()) {
    if (n->kind != NodeKind::Get) continue;
    const graph::State& state = graph.states.at(n->name);
    MOKA_CHECK_KIND(NotImplemented, !state.written, dialect_name(dialect_), " export: state '", n->name,
                    "' is written by the graph; export the model in evaluation mode");
    MOKA_CHECK_KIND(Runtime, state.value.is_tensor(), dialect_name(dialect_), " export: state '", n->name,
                    "' holds no tensor");
    names_[n->output()] = add_tensor(state.value.tensor(), n->name);
  }
  name_outputs(graph);

  std::vector<std::string> problems;
  size_t rewrites = 0;
  for (Node* n = graph.main()->first(); n;) {
    if (n->kind == NodeKind::Constant || n->kind == NodeKind::Get || n->kind == NodeKind::List) {
      n = n->next();
      continue;
    }
    // Files have no words for what a program checks of sizes.
    bool used = n->has_effects() && n->kind != NodeKind::Builtin;
    for (Value* v : n->outputs()) used |= !v->uses().empty();
    if (!used || n->kind == NodeKind::Unpack) {  // who makes the list names its elements
      n = n->next();
      continue;
    }
    if (n->kind != NodeKind::Op) {
      problems.push_back(
          cat(n->op_name(), n->source.scope.empty() ? "" : " in ", n->source.scope, ": cannot be written"));
      n = n->next();
      continue;
    }
    Node* before = n->previous();
    auto first_new = [&] { return before ? before->next() : graph.main()->first(); };
    if (promote_operands(graph, *n)) {  // its casts stand before it now and are said first
      n = first_new();
      continue;
    }
    std::string why;
    const size_t nodes = out_.nodes.size();
    if (say(*n, why)) {
      n = n->next();
      continue;
    }
    out_.nodes.resize(nodes);
    std::vector<Value*> results;
    if (rewrites < 100'000 && rewrite(graph, *n, results)) {
      rewrites++;
      for (size_t i = 0; i < results.size(); i++) {
        Value* old = n->output(static_cast<int>(i));
        if (!results[i]) continue;
        const bool made_here = results[i]->producer() && results[i]->producer()->kind == NodeKind::Op &&
                               !names_.count(results[i]);
        if (auto named = names_.find(old); named != names_.end()) {
          const std::string name = named->second;
          names_.erase(named);  // the value goes, its place in memory may be another's soon
          if (made_here) names_[results[i]] = name;
          else used_.erase(name);
        } else if (made_here && results[i]->name.empty()) {
          results[i]->name = old->name;
        }
        old->replace_all_uses_with(results[i]);
      }
      n->destroy();
      n = first_new();
      continue;
    }
    std::string place = n->source.scope;
    if (!n->source.file.empty())
      place += cat(place.empty() ? "" : ", ", n->source.file, n->source.line ? cat(":", n->source.line) : "");
    problems.push_back(cat(n->op_name(), place.empty() ? "" : cat(" (", place, ")"), ": ", why));
    n = n->next();
  }
  if (!problems.empty()) {
    std::string all;
    for (size_t i = 0; i < problems.size() && i < 20; i++) all += cat("\n  ", problems[i]);
    fail_kind(ErrorKind::NotImplemented, dialect_name(dialect_), " export of '", graph.name,
              "': ", problems.size(), problems.size() == 1 ? " node" : " nodes", " cannot be written:", all);
  }
  std::set<std::string> made;
  for (size_t i = 0; i < graph.outputs().size(); i++) {
    Value* v = graph.outputs()[i];
    const std::string wanted = graph.output_names.size() > i && !graph.output_names[i].empty()
                                   ? graph.output_names[i]
                                   : cat("output_", i);
    std::string name = name_of(v);
    if (!v->producer() || v->producer()->kind != NodeKind::Op || !made.insert(name).second) {
      const std::string copied = reserved_.count(i)    ? wanted
                                 : used_.count(wanted) ? unique(cat(wanted, "_copy"))
                                                       : unique(wanted);
      FileNode n{unique_in(node_names_, cat(copies_, "_", copied)), copies_, "", {name}, {copied}, {}};
      out_.nodes.push_back(std::move(n));
      name = copied;
    }
    out_.outputs.push_back({name, v->type});
  }
  // Types of what lies between; inputs and outputs have theirs.
  std::set<std::string> known;
  for (const FileValue& v : out_.inputs) known.insert(v.name);
  for (const FileValue& v : out_.outputs) known.insert(v.name);
  std::erase_if(out_.values, [&](const FileValue& v) { return !known.insert(v.name).second; });
  return std::move(out_);
}

}  // namespace moka::spelling
