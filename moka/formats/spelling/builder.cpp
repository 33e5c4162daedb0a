// Nodes from operator names and arguments; folding of what is constant.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/builder.h"

#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Dim;
using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::TypeKind;
using graph::Value;

namespace {

// Calls on constants up to this size are computed while reading: shapes, indices, small tables.
constexpr int64_t fold_limit = 4096;

bool small(const Any& a) {
  if (a.tag() == Tag::Tensor) return a.tensor().has_storage() && a.tensor().numel() <= fold_limit;
  if (a.tag() == Tag::Tensors) {
    for (const Tensor& t : a.tensors())
      if (t && (!t.has_storage() || t.numel() > fold_limit)) return false;
  }
  return true;
}

// The call's result without a node, when all it reads is constant and small. An operator may make much of little
// (expand, full): the shapes are inferred before anything is computed.
bool fold(const Op& op, std::span<const Any> args, std::vector<Tensor>& out) {
  const auto& results = info(op).schema.outs;
  if (op.effect != Effect::Pure || (results.size() == 1 && results[0].type.list)) return false;
  std::vector<Arg> borrowed(args.begin(), args.end());
  if (!op.formula && !op.view && !op.shape) {
    // A composite has no shape function; without integers for sizes it makes no more than its tensors broadcast to.
    for (const Any& a : args)
      if (a.tag() == Tag::Int || a.tag() == Tag::Ints || a.tag() == Tag::List) return false;
  } else {
    try {
      const std::vector<Tensor> shapes = infer_shapes(op, borrowed);
      for (const Tensor& t : shapes)
        if (t && t.numel() > fold_limit) return false;
    } catch (const Error& e) {  // how much it makes depends on values
      if (e.kind() == ErrorKind::NotImplemented) return false;
      throw;
    }
  }
  LayersOff off(layer::autograd | layer::capture | layer::batch | layer::autocast);
  out = call_boxed(op, borrowed);
  return true;
}

}  // namespace

Argument::Argument(Value* value) {
  slot.value = value;
  slot.set = true;
}
Argument::Argument(std::vector<Value*> list) {
  slot.list = std::move(list);
  slot.set = slot.is_list = true;
}
Argument::Argument(Any constant) {
  slot.constant = std::move(constant);
  slot.set = true;
}
Argument::Argument(bool v) : Argument(Any(v)) {}
Argument::Argument(int v) : Argument(Any(v)) {}
Argument::Argument(int64_t v) : Argument(Any(v)) {}
Argument::Argument(double v) : Argument(Any(v)) {}
Argument::Argument(const char* v) : Argument(Any(v)) {}
Argument::Argument(DType v) : Argument(Any(v)) {}
Argument::Argument(const Dims& v) : Argument(Any(v)) {}
Argument::Argument(const Argument& other) = default;
Argument::Argument(Argument&& other) noexcept = default;
Argument& Argument::operator=(Argument other) noexcept {
  std::swap(slot, other.slot);
  std::swap(name, other.name);
  return *this;
}
Argument::~Argument() = default;
Argument named(std::string_view name, Argument a) {
  a.name = name;
  return a;
}

Value* Builder::constant(Any value) {
  Value* out = graph.constant(std::move(value), at);
  out->producer()->source = source;
  return out;
}

const Any* Builder::known(Value* value) {
  if (const Any* constant = value->constant()) return constant;
  auto i = remembered_.find(value);
  return i == remembered_.end() ? nullptr : &i->second;
}

const std::vector<Value*>* Builder::elements(Value* value) {
  auto i = elements_.find(value);
  return i == elements_.end() ? nullptr : &i->second;
}

Value* Builder::call(std::string_view op, std::initializer_list<Argument> args) {
  return call_all(op, std::span(args.begin(), args.size()))[0];
}

std::vector<Value*> Builder::call_all(std::string_view name, std::span<const Argument> args) {
  const Op* op = find_op(name);
  MOKA_CHECK_KIND(NotImplemented, op, "this build has no operator '", name,
                  "', which reading this node needs");
  const Schema& schema = info(*op).schema;
  std::vector<Slot> slots(schema.args.size());
  size_t position = 0;
  for (const Argument& a : args) {
    int at = a.name.empty() ? static_cast<int>(position++) : schema.find_arg(a.name);
    MOKA_ASSERT(at >= 0 && at < static_cast<int>(slots.size()));
    slots[static_cast<size_t>(at)] = a.slot;
  }
  for (size_t i = 0; i < slots.size(); i++) {
    if (slots[i].set) continue;
    MOKA_ASSERT(schema.args[i].has_default || schema.args[i].type.optional);
    slots[i].set = true;
    slots[i].constant = schema.args[i].has_default ? schema.args[i].default_value : Any();
  }
  return emit(*op, slots);
}

std::vector<Value*> Builder::emit(const Op& op, std::span<Slot> slots) {
  // A plain number where only a tensor can be, as in a rewritten x >> 2, is one without dimensions.
  const Schema& schema = info(op).schema;
  for (size_t i = 0; i < slots.size(); i++) {
    Slot& s = slots[i];
    if (s.is_list || schema.args[i].type.kind != Kind::Tensor || schema.args[i].type.list) continue;
    const Any* c = s.value ? known(s.value) : &s.constant;
    if (!c || !c->arg().is_number()) continue;
    const Tag tag = c->tag();
    s.constant = number_tensor(*c, tag == Tag::Bool  ? DType::Bool
                                   : tag == Tag::Int ? DType::I64
                                                     : default_float());
    s.value = nullptr;
  }
  std::vector<Any> constants;
  bool all_constant = true;
  for (const Slot& s : slots) {
    if (s.is_list) {
      std::vector<Tensor> tensors;
      for (Value* v : s.list) {
        const Any* c = known(v);
        if (c && c->is_tensor()) tensors.push_back(c->tensor());
      }
      all_constant &= tensors.size() == s.list.size();
      constants.push_back(Any(std::span<const Tensor>(tensors)));
    } else if (s.value) {
      const Any* c = known(s.value);
      all_constant &= c != nullptr;
      constants.push_back(c ? *c : Any());
    } else {
      constants.push_back(s.constant);
    }
    all_constant &= small(constants.back());
  }
  std::vector<Value*> out;
  if (std::vector<Tensor> results; all_constant && fold(op, constants, results)) {
    for (Tensor& t : results) out.push_back(constant(Any(std::move(t))));
    return out;
  }
  std::vector<Value*> inputs;
  for (const Slot& s : slots) {
    if (s.is_list) {
      Node* list = graph.create(NodeKind::List, at, s.list, 1);
      list->source = source;
      list->output()->type = Type::list(Type::tensor());
      graph::infer_types(*list);
      inputs.push_back(list->output());
    } else {
      inputs.push_back(s.value ? s.value : constant(s.constant));
    }
  }
  Node* node = graph.create_op(op, at, inputs);
  node->source = source;
  graph::infer_types(*node);
  for (Value* v : node->outputs()) out.push_back(v);
  return out;
}

void drop_unused(graph::Graph& graph) {
  std::vector<Node*> nodes;
  std::map<std::string, int> readers;  // of each state
  for (Node* n : *graph.main()) {
    nodes.push_back(n);
    if (n->kind == NodeKind::Get) readers[n->name]++;
  }
  for (size_t i = nodes.size(); i-- > 0;) {
    Node* n = nodes[i];
    bool used = n->kind != NodeKind::Get && n->has_effects();
    for (const Value* v : n->outputs()) used |= !v->uses().empty();
    if (used) continue;
    if (n->kind == NodeKind::Get && --readers[n->name] == 0) {
      auto state = graph.states.find(n->name);
      if (state != graph.states.end() && !state->second.written) graph.states.erase(state);
    }
    n->destroy();
  }
}

bool has_rank(const Value* value) { return value->type.kind == TypeKind::Tensor && value->type.has_dims; }

int rank(const Value* value) { return has_rank(value) ? static_cast<int>(value->type.dims.size()) : -1; }

bool has_dtype(const Value* value, DType* out) {
  if (value->type.kind != TypeKind::Tensor || !value->type.has_dtype) return false;
  if (out) *out = value->type.dtype;
  return true;
}

bool fixed_sizes(const Value* value, Dims& out) {
  out.clear();
  if (!has_rank(value)) return false;
  for (const Dim& d : value->type.dims) {
    if (!d.fixed()) return false;
    out.push_back(d.size);
  }
  return true;
}

}  // namespace moka::spelling
