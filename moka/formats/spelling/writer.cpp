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
std::string NodeWriter::ints_name(std::string_view arg) const {
  Dims known;
  return ints(arg, known) ? ints_input(known) : model.name_of(value(arg));
}
std::string NodeWriter::one_name(std::string_view arg) const {
  Dims known;
  return ints(arg, known) ? ints_input(known)
                          : add("Reshape", {model.name_of(value(arg)), ints_input(Dims{1})});
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

ModelWriter::ModelWriter(const WritingRules& rules)
    : rules_(rules), dialect_(rules.dialect), nodes_(&out_.nodes) {}

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
  // Small constants that are alike are one.
  if (rules_.builtin && tensor.has_storage() && tensor.numel() <= 16 && tensor.is_contiguous() &&
      tensor.dtype() != DType::String && hint.ends_with("constant")) {
    std::string key = cat(info(tensor.dtype()).name, tensor.sizes());
    if (tensor.numel()) key.append(static_cast<const char*>(tensor.raw_data()), tensor.bytes());
    auto [at, fresh] = small_.try_emplace(std::move(key));
    if (fresh) {
      at->second = unique(std::string(hint));
      out_.tensors.push_back({at->second, std::move(tensor)});
    }
    return at->second;
  }
  auto [at, fresh] = tensors_.try_emplace(tensor.impl());
  if (!fresh) return at->second;
  at->second = unique(std::string(hint));
  out_.tensors.push_back({at->second, std::move(tensor)});
  return at->second;
}

std::string ModelWriter::default_name(const Value& value) const {
  if (!value.name.empty()) return value.name;
  const Node* producer = value.producer();
  return producer ? cat(scoped(*producer, producer->op_name()), "_output_", value.index())
                  : std::string("value");
}

std::string ModelWriter::name_of(Value* value) {
  if (auto i = names_.find(value); i != names_.end()) return i->second;
  Node* producer = value->producer();
  if (const Any* constant = value->constant()) {
    Tensor tensor;
    Dims ints;
    if (constant->is_tensor()) tensor = constant->tensor();
    else if (rules_.builtin && constant->tag() == Tag::Ints) tensor = ints_tensor(constant->ints());
    else if (rules_.builtin && constant->arg().is_number())
      tensor = number_tensor(*constant, constant->tag() == Tag::Float  ? DType::F32
                                        : constant->tag() == Tag::Bool ? DType::Bool
                                                                       : DType::I64);
    MOKA_CHECK_KIND(NotImplemented, tensor, dialect_name(dialect_), " export: ", *constant,
                    " is used where a tensor is needed");
    const std::string name =
        add_tensor(tensor, value->name.empty() ? scoped(*producer, "constant") : value->name);
    return names_[value] = name;
  }
  if (auto i = producer ? unsaid_.find(producer) : unsaid_.end(); i != unsaid_.end())
    fail_kind(ErrorKind::NotImplemented, "the value of ", producer->op_name(),
              producer->name.empty() ? "" : cat(" '", producer->name, "'"),
              " cannot be written: ", i->second);
  MOKA_CHECK_KIND(NotImplemented,
                  producer && (producer->kind == NodeKind::Op || producer->kind == NodeKind::Unpack ||
                               ((producer->kind == NodeKind::Builtin || producer->kind == NodeKind::List ||
                                 producer->kind == NodeKind::If || producer->kind == NodeKind::Loop) &&
                                rules_.builtin)),
                  "a value made by ", producer ? producer->op_name() : "a block", " cannot be written");
  const std::string name = unique(default_name(*value));
  if (value->type.kind == graph::TypeKind::Tensor && nodes_ == &out_.nodes)
    out_.values.push_back({name, value->type});
  return names_[value] = name;
}

std::string ModelWriter::bind(Value* value, std::string name) {
  return names_[value] = unique(std::move(name));
}

FileNode& ModelWriter::add_node(const Node& node, std::string_view op, std::string_view domain,
                                std::vector<std::string> inputs, std::vector<std::string> outputs,
                                std::vector<Attribute> attributes) {
  FileNode n;
  n.scope = node.source.scope;
  n.name = scoped(node, op);
  if (n.name == op || n.name == cat("/", op))
    n.name = outputs.empty() ? std::string(op) : cat(op, "_", outputs[0]);
  n.name = unique_in(node_names_, std::move(n.name));
  n.op = std::string(op);
  n.domain = std::string(domain);
  n.inputs = std::move(inputs);
  n.outputs = std::move(outputs);
  n.attributes = std::move(attributes);
  nodes_->push_back(std::move(n));
  return nodes_->back();
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
  const int version = rules_.version;
  try {
    for (const auto family : rules_.adapters)
      for (const WritingAdapter& a : family) {
        if (a.op != node.op_name() || version < a.since || (a.until && version >= a.until)) continue;
        NodeWriter writer(*this, node);
        if (a.write(writer)) return true;
        if (writer.to_rules) {
          why = writer.why.empty() ? "this form of it has no operator" : writer.why;
          return false;
        }
        if (!writer.why.empty()) reasons += cat("; ", writer.why);
      }
    const Table& table = Table::of(dialect_);
    std::vector<const Row*> rows = table.of_op(*node.op, version);
    if (rules_.older)
      for (const Row* row : table.of_op(*node.op, rules_.written_as))
        if (!row->valid_in(version) && rules_.older(row->mapping.op, row->since, version))
          rows.push_back(row);
    for (const Row* row : rows) {
      std::string reason;
      if (say_row(*row, node, reason)) return true;
      reasons += cat("; as ", row->mapping.op, ": ", reason);
    }
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::NotImplemented) throw;
    reasons += cat("; ", e.message());
  }
  why = reasons.empty()
            ? cat("no form of it in ", dialect_ == Dialect::Onnx ? cat("opset ", version) : "this format")
            : reasons.substr(2);
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

// The node's results are made by other nodes before it.
void ModelWriter::replace(Node& node, std::span<Value* const> results) {
  for (size_t i = 0; i < results.size(); i++) {
    Value* old = node.output(static_cast<int>(i));
    if (!results[i]) continue;
    // What the graph knew of the old one, as from a recording, still holds.
    if (has_rank(old) && !has_rank(results[i]) && !results[i]->constant()) {
      results[i]->type.kind = graph::TypeKind::Tensor;
      results[i]->type.has_dims = true;
      results[i]->type.dims = old->type.dims;
      if (!results[i]->type.has_dtype && old->type.has_dtype) {
        results[i]->type.has_dtype = true;
        results[i]->type.dtype = old->type.dtype;
      }
    }
    const bool made_here =
        results[i]->producer() && results[i]->producer()->kind == NodeKind::Op && !names_.count(results[i]);
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
  node.destroy();
}

// Tensors without elements are constants: runtimes differ in what their operators make of sizes of 0.
bool ModelWriter::replace_empty(Node& node) {
  if (node.has_effects()) return false;
  std::vector<Dims> sizes(node.outputs().size());
  for (size_t i = 0; i < sizes.size(); i++) {
    const Value* v = node.outputs()[i];
    if (!fixed_sizes(v, sizes[i]) || !has_dtype(v) || is_complex(v->type.dtype)) return false;
    if (std::find(sizes[i].begin(), sizes[i].end(), 0) == sizes[i].end()) return false;
  }
  std::vector<Value*> results;
  for (size_t i = 0; i < sizes.size(); i++)
    results.push_back(node.owner()->graph()->constant(
        Any(new_tensor(sizes[i], node.outputs()[i]->type.dtype)), {node.owner(), &node}));
  replace(node, results);
  return true;
}

bool ModelWriter::rewrite_node(Node& node) {
  std::vector<Value*> results;
  if (rewrites_ >= 100'000 || !rewrite(*node.owner()->graph(), node, results)) return false;
  rewrites_++;
  replace(node, results);
  return true;
}

void ModelWriter::say_nodes(graph::Block& block) {
  Graph& graph = *block.graph();
  auto refuse = [&](const Node& n, std::string_view why) {
    std::string place = n.source.scope;
    if (!n.source.file.empty())
      place += cat(place.empty() ? "" : ", ", n.source.file, n.source.line ? cat(":", n.source.line) : "");
    problems_.push_back(
        cat(n.op_name(), n.kind == NodeKind::Python || n.kind == NodeKind::Call ? cat(" '", n.name, "'") : "",
            place.empty() ? "" : cat(" (", place, ")"), ": ", why));
  };
  for (Node* n = block.first(); n;) {
    // Files have no words for what a program checks of sizes.
    bool used = n->has_effects() && n->kind != NodeKind::Builtin;
    for (Value* v : n->outputs()) used |= !v->uses().empty();
    if (!used || n->kind == NodeKind::Constant || n->kind == NodeKind::Get || n->kind == NodeKind::Unpack) {
      n = n->next();  // who makes a list names its elements
      continue;
    }
    std::string why;
    if (n->kind == NodeKind::Builtin || n->kind == NodeKind::List) {
      try {
        if (rules_.builtin && !rules_.builtin(*this, *n, why)) unsaid_[n] = why;
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::NotImplemented) throw;
        unsaid_[n] = e.message();
      }
      n = n->next();
      continue;
    }
    if (n->kind == NodeKind::If || n->kind == NodeKind::Loop) {
      why = "there are no conditions and loops in this format";
      if (!rules_.control || !rules_.control(*this, *n, why)) refuse(*n, why);
      n = n->next();
      continue;
    }
    if (n->kind != NodeKind::Op) {
      refuse(*n, n->kind == NodeKind::Python ? "it stays Python; write it with operators of moka"
                 : n->kind == NodeKind::Set  ? cat("state '", n->name,
                                                   "' is written by the graph; export the model in "
                                                   "evaluation mode")
                                             : std::string("cannot be written"));
      n = n->next();
      continue;
    }
    Node* before = n->previous();
    auto first_new = [&] { return before ? before->next() : block.first(); };
    if (replace_empty(*n)) {
      n = first_new();
      continue;
    }
    if (promote_operands(graph, *n)) {  // its casts stand before it now and are said first
      n = first_new();
      continue;
    }
    const size_t nodes = nodes_->size();
    if (say(*n, why)) {
      n = n->next();
      continue;
    }
    nodes_->resize(nodes);
    if (rewrite_node(*n)) {
      n = first_new();
      continue;
    }
    refuse(*n, why);
    n = n->next();
  }
}

void ModelWriter::say_block(graph::Block& block, FileGraph& out) {
  std::vector<FileNode>* outer = std::exchange(nodes_, &out.nodes);
  say_nodes(block);
  nodes_ = outer;
}

FileValue ModelWriter::result_of(graph::Block& block, Value* value, FileGraph& out) {
  std::string name = name_of(value);
  const Node* producer = value->producer();
  bool again = false;
  for (const FileValue& v : out.outputs) again |= v.name == name;
  // A branch gives what its own nodes make.
  if (again || !producer || producer->owner() != &block || value->constant() ||
      producer->kind == NodeKind::Get) {
    const std::string copied = unique(cat(name, "_copy"));
    out.nodes.push_back({unique_in(node_names_, cat(rules_.copies, "_", copied)),
                         std::string(rules_.copies),
                         "",
                         {name},
                         {copied},
                         {},
                         {},
                         {}});
    name = copied;
  }
  return {name, value->type};
}

void drop_unread(FileModel& model) {
  std::set<std::string> read;
  for (const FileValue& v : model.outputs) read.insert(v.name);
  auto reads_of = [&](auto& self, const FileNode& n) -> void {
    for (const std::string& i : n.inputs) read.insert(i);
    for (const auto& [name, graph] : n.graphs) {
      for (const FileNode& inner : graph.nodes) self(self, inner);
      for (const FileValue& v : graph.outputs) read.insert(v.name);
    }
  };
  std::vector<FileNode> kept;
  for (size_t i = model.nodes.size(); i-- > 0;) {
    FileNode& n = model.nodes[i];
    bool used = false;
    for (const std::string& o : n.outputs) used |= !o.empty() && read.count(o);
    if (!used) continue;
    reads_of(reads_of, n);
    kept.push_back(std::move(n));
  }
  model.nodes.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  std::erase_if(model.tensors, [&](const FileTensor& t) { return !read.count(t.name); });
  std::set<std::string> made;
  for (const FileNode& n : model.nodes) made.insert(n.outputs.begin(), n.outputs.end());
  std::erase_if(model.values, [&](const FileValue& v) { return !made.count(v.name); });
}

FileModel ModelWriter::write(const Graph& source) {
  const std::unique_ptr<Graph> copy = source.clone();
  Graph& graph = *copy;
  drop_unused(graph);
  try {
    split_complex(graph, rules_.transforms);
  } catch (Error& e) {
    e.add_context(cat(dialect_name(dialect_), " export of '", graph.name, "'"));
    throw;
  }
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
  say_nodes(*graph.main());
  if (!problems_.empty()) {
    std::string all;
    for (size_t i = 0; i < problems_.size() && i < 20; i++) all += cat("\n  ", problems_[i]);
    if (problems_.size() > 20) all += cat("\n  and ", problems_.size() - 20, " more");
    fail_kind(ErrorKind::NotImplemented, dialect_name(dialect_), " export of '", graph.name,
              "': ", problems_.size(), problems_.size() == 1 ? " node" : " nodes",
              " cannot be written:", all);
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
      FileNode n{unique_in(node_names_, cat(rules_.copies, "_", copied)),
                 std::string(rules_.copies),
                 "",
                 {name},
                 {copied},
                 {},
                 {},
                 {}};
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
