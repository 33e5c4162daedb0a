// Building and changing graphs: use lists, moving, copying and destroying nodes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/graph.h"

#include "moka/graph/builtins.h"

#include <algorithm>

namespace moka::graph {

const char* node_kind_name(NodeKind kind) {
  static const char* const names[] = {"op",    "constant", "if",   "loop",   "get",     "set", "list",
                                      "tuple", "unpack",   "call", "python", "builtin", "join"};
  return names[static_cast<int>(kind)];
}

// ---- Value

void Value::remove_use(const Use& use) {
  // From the back: passes usually take away what was added last.
  for (size_t i = uses_.size(); i-- > 0;) {
    const Use& u = uses_[i];
    if (u.node == use.node && u.results_of == use.results_of && u.index == use.index) {
      uses_[i] = uses_.back();
      uses_.pop_back();
      return;
    }
  }
  fail_kind(ErrorKind::Internal, "graph: a use of value '", name, "' is missing from its list");
}

void Value::replace_all_uses_with(Value* other) {
  MOKA_ASSERT(other && other != this);
  for (const Use& u : uses_) {
    if (u.node) u.node->inputs_[u.index] = other;
    else u.results_of->results_[u.index] = other;
    other->add_use(u);
  }
  uses_.clear();
}

const Any* Value::constant() const {
  return producer_ && producer_->kind == NodeKind::Constant ? &producer_->constant : nullptr;
}

// ---- Node

void Node::set_input(int i, Value* v) {
  MOKA_ASSERT(v && i >= 0 && static_cast<size_t>(i) < inputs_.size());
  inputs_[i]->remove_use({this, nullptr, i});
  inputs_[i] = v;
  v->add_use({this, nullptr, i});
}

void Node::add_input(Value* v) {
  MOKA_ASSERT(v);
  v->add_use({this, nullptr, static_cast<int>(inputs_.size())});
  inputs_.push_back(v);
}

void Node::remove_input(int i) {
  MOKA_ASSERT(i >= 0 && static_cast<size_t>(i) < inputs_.size());
  for (size_t k = static_cast<size_t>(i); k < inputs_.size(); k++)
    inputs_[k]->remove_use({this, nullptr, static_cast<int>(k)});
  inputs_.erase(inputs_.begin() + i);
  for (size_t k = static_cast<size_t>(i); k < inputs_.size(); k++)
    inputs_[k]->add_use({this, nullptr, static_cast<int>(k)});
}

Value* Node::add_output(Type type) {
  Value* v = owner_->graph_->make_value(std::move(type));
  v->producer_ = this;
  v->block_ = owner_;
  v->index_ = static_cast<int>(outputs_.size());
  outputs_.push_back(v);
  return v;
}

void Node::remove_output(int i) {
  MOKA_ASSERT(i >= 0 && static_cast<size_t>(i) < outputs_.size() && outputs_[i]->uses_.empty());
  owner_->graph_->drop_value(outputs_[i]);
  outputs_.erase(outputs_.begin() + i);
  for (size_t k = static_cast<size_t>(i); k < outputs_.size(); k++) outputs_[k]->index_ = static_cast<int>(k);
}

Block* Node::add_block() {
  blocks_.emplace_back(new Block(owner_->graph_, this));
  return blocks_.back().get();
}

void Node::move_before(Node* other) {
  MOKA_ASSERT(other && other != this);
  owner_->unlink(this);
  other->owner_->link(this, other);
  for (Value* v : outputs_) v->block_ = owner_;
}

int Node::data_inputs() const {
  int n = static_cast<int>(inputs_.size());
  if (kind == NodeKind::Join || kind == NodeKind::Loop) return n;  // a loop carries tokens like any value
  while (n > 0 && inputs_[n - 1]->type.kind == TypeKind::Token) n--;
  return n;
}

int Node::data_outputs() const {
  int n = static_cast<int>(outputs_.size());
  if (kind == NodeKind::Join || kind == NodeKind::Loop || kind == NodeKind::If) return n;
  while (n > 0 && outputs_[n - 1]->type.kind == TypeKind::Token) n--;
  return n;
}

void Node::drop_uses() {
  for (size_t i = 0; i < inputs_.size(); i++) inputs_[i]->remove_use({this, nullptr, static_cast<int>(i)});
  inputs_.clear();
  for (auto& b : blocks_) b->drop_uses();
}

void Node::drop_values() {
  for (auto& b : blocks_) b->drop_values();
  for (Value* v : outputs_) owner_->graph_->drop_value(v);
  outputs_.clear();
}

void Node::destroy() {
  for (Value* v : outputs_)
    if (!v->uses_.empty())
      fail_kind(ErrorKind::Internal, "graph: '", op_name(), "' is destroyed while value '", v->name,
                "' is used");
  drop_uses();
  drop_values();
  owner_->unlink(this);
  delete this;
}

Node::~Node() = default;

bool Node::has_effects() const {
  switch (kind) {
    case NodeKind::Op: return op->effect != Effect::Pure;
    case NodeKind::Builtin: return get_builtin(name).keeps;
    case NodeKind::Get:
    case NodeKind::Set:
    case NodeKind::Call:
    case NodeKind::Python: return true;
    case NodeKind::If:
    case NodeKind::Loop:
      for (const auto& b : blocks_)
        for (Node* n : *b)
          if (n->has_effects()) return true;
      return false;
    default: return false;
  }
}

std::string_view Node::op_name() const {
  if (kind == NodeKind::Op) return op ? std::string_view(info(*op).schema.name) : "operator";
  if (kind == NodeKind::Builtin) return name;
  return node_kind_name(kind);
}

Value* Node::argument(std::string_view arg) const {
  if (kind != NodeKind::Op) return nullptr;
  int i = info(*op).schema.find_arg(arg);
  return i >= 0 && static_cast<size_t>(i) < inputs_.size() ? inputs_[i] : nullptr;
}

// ---- Block

Block::~Block() {
  while (first_) {
    Node* next = first_->next_;
    delete first_;
    first_ = next;
  }
}

Value* Block::add_param(Type type, std::string name) {
  Value* v = graph_->make_value(std::move(type));
  v->name = std::move(name);
  v->block_ = this;
  v->index_ = static_cast<int>(params_.size());
  params_.push_back(v);
  return v;
}

void Block::add_result(Value* v) {
  MOKA_ASSERT(v);
  v->add_use({nullptr, this, static_cast<int>(results_.size())});
  results_.push_back(v);
}

void Block::set_result(int i, Value* v) {
  MOKA_ASSERT(v && i >= 0 && static_cast<size_t>(i) < results_.size());
  results_[i]->remove_use({nullptr, this, i});
  results_[i] = v;
  v->add_use({nullptr, this, i});
}

void Block::remove_param(int i) {
  MOKA_ASSERT(i >= 0 && static_cast<size_t>(i) < params_.size() && params_[i]->uses_.empty());
  graph_->drop_value(params_[i]);
  params_.erase(params_.begin() + i);
  for (size_t k = static_cast<size_t>(i); k < params_.size(); k++) params_[k]->index_ = static_cast<int>(k);
}

void Block::remove_result(int i) {
  MOKA_ASSERT(i >= 0 && static_cast<size_t>(i) < results_.size());
  for (size_t k = static_cast<size_t>(i); k < results_.size(); k++)
    results_[k]->remove_use({nullptr, this, static_cast<int>(k)});
  results_.erase(results_.begin() + i);
  for (size_t k = static_cast<size_t>(i); k < results_.size(); k++)
    results_[k]->add_use({nullptr, this, static_cast<int>(k)});
}

void Block::link(Node* node, Node* before) {
  MOKA_ASSERT(!before || before->owner_ == this);
  node->owner_ = this;
  node->next_ = before;
  node->previous_ = before ? before->previous_ : last_;
  (node->previous_ ? node->previous_->next_ : first_) = node;
  (before ? before->previous_ : last_) = node;
}

void Block::unlink(Node* node) {
  (node->previous_ ? node->previous_->next_ : first_) = node->next_;
  (node->next_ ? node->next_->previous_ : last_) = node->previous_;
  node->next_ = node->previous_ = nullptr;
}

void Block::drop_uses() {
  for (Node* n : *this) n->drop_uses();
  for (size_t i = 0; i < results_.size(); i++) results_[i]->remove_use({nullptr, this, static_cast<int>(i)});
  results_.clear();
}

void Block::drop_values() {
  for (Node* n : *this) n->drop_values();
  for (Value* v : params_) graph_->drop_value(v);
  params_.clear();
}

// ---- Graph

Graph::Graph(std::string name) : name(std::move(name)), main_(new Block(this, nullptr)) {}
Graph::~Graph() { main_.reset(); }

Value* Graph::make_value(Type type) {
  values_.push_back(std::make_unique<Value>());
  Value* v = values_.back().get();
  v->type = std::move(type);
  v->slot_ = values_.size() - 1;
  return v;
}

void Graph::drop_value(Value* v) {
  size_t slot = v->slot_;
  MOKA_ASSERT(slot < values_.size() && values_[slot].get() == v);
  if (slot + 1 != values_.size()) {
    std::swap(values_[slot], values_.back());
    values_[slot]->slot_ = slot;
  }
  values_.pop_back();
}

void Graph::add_output(Value* v, std::string output_name) {
  main_->add_result(v);
  output_names.resize(main_->results().size());
  output_names.back() = std::move(output_name);
}

void Graph::remove_output(int i) {
  output_names.resize(main_->results().size());
  main_->remove_result(i);
  output_names.erase(output_names.begin() + i);
}

Node* Graph::create(NodeKind kind, Point at, std::span<Value* const> inputs, int outputs) {
  MOKA_ASSERT(at.block && at.block->graph_ == this);
  Node* node = new Node(kind);
  at.block->link(node, at.before);
  for (Value* v : inputs) node->add_input(v);
  for (int i = 0; i < outputs; i++) node->add_output(Type());
  return node;
}

Node* Graph::create_op(const Op& op, Point at, std::span<Value* const> inputs) {
  const Schema& schema = info(op).schema;
  if (inputs.size() < schema.args.size())
    fail_kind(ErrorKind::Internal, "graph: ", schema.name, " takes ", schema.args.size(),
              " inputs, one for every argument, got ", inputs.size());
  for (size_t i = schema.args.size(); i < inputs.size(); i++)
    if (inputs[i]->type.kind != TypeKind::Token)
      fail_kind(ErrorKind::Internal, "graph: ", schema.name, " takes ", schema.args.size(), " inputs, got ",
                inputs.size());
  Node* node = create(NodeKind::Op, at, inputs, 0);
  node->op = &op;
  for (const ArgDef& out : schema.outs)
    node->add_output(out.type.list ? Type::list(Type::tensor()) : Type::tensor());
  return node;
}

Value* Graph::constant(Any value, Point at) {
  Node* node = create(NodeKind::Constant, at, {}, 1);
  node->outputs_[0]->type = type_of(value);
  node->constant = std::move(value);
  return node->outputs_[0];
}

Node* Graph::create_named(NodeKind kind, std::string node_name, Point at, std::span<Value* const> inputs,
                          int outputs) {
  Node* node = create(kind, at, inputs, outputs);
  node->name = std::move(node_name);
  return node;
}

namespace {
Value* mapped(const ValueMap& map, Value* v) {
  auto it = map.find(v);
  return it == map.end() ? v : it->second;
}

Value* copy_value(const Value* from, Value* to, ValueMap& map) {
  to->type = from->type;
  to->name = from->name;
  map[from] = to;
  return to;
}

void copy_node(const Node& from, Graph::Point to, ValueMap& map) {
  Node* node = to.block->graph()->create(from.kind, to, {}, 0);
  node->op = from.op;
  node->constant = from.constant;
  node->name = from.name;
  node->source = from.source;
  node->notes = from.notes;
  for (Value* v : from.inputs()) node->add_input(mapped(map, v));
  for (const auto& b : from.blocks()) {
    Block* block = node->add_block();
    for (Value* p : b->params()) copy_value(p, block->add_param({}), map);
    copy_nodes(*b, {block}, map);
    for (Value* r : b->results()) block->add_result(mapped(map, r));
  }
  for (Value* v : from.outputs()) copy_value(v, node->add_output({}), map);
}
}  // namespace

void copy_nodes(const Block& from, Graph::Point to, ValueMap& map) {
  for (Node* n : from) copy_node(*n, to, map);
}

std::unique_ptr<Graph> Graph::clone() const {
  auto copy = std::make_unique<Graph>(name);
  ValueMap map;
  for (Value* p : inputs()) copy_value(p, copy->main()->add_param({}), map);
  copy_nodes(*main(), {copy->main()}, map);
  for (Value* r : outputs()) copy->main()->add_result(mapped(map, r));
  copy->output_names = output_names;
  copy->states = states;
  copy->metadata = metadata;
  return copy;
}

}  // namespace moka::graph
