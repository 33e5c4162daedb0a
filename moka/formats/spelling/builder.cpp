// Nodes from operator names and arguments; folding of what is constant; type inference through shape functions.
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
  if (op.effect != Effect::Pure) return false;
  std::vector<Arg> borrowed(args.begin(), args.end());
  const std::vector<Tensor> shapes = infer_shapes(op, borrowed);
  for (const Tensor& t : shapes)
    if (t && t.numel() > fold_limit) return false;
  LayersOff off(layer::autograd | layer::capture | layer::batch | layer::autocast);
  out = call_boxed(op, borrowed);
  return true;
}

}  // namespace

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

Value* Builder::call(std::string_view op, std::initializer_list<Argument> args) {
  return call_all(op, std::span(args.begin(), args.size()))[0];
}

std::vector<Value*> Builder::call_all(std::string_view name, std::span<const Argument> args) {
  const Op* op = find_op(name);
  MOKA_CHECK_KIND(NotImplemented, op, "this build has no operator '", name, "', which reading this node needs");
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
      inputs.push_back(list->output());
    } else {
      inputs.push_back(s.value ? s.value : constant(s.constant));
    }
  }
  Node* node = graph.create_op(op, at, inputs);
  node->source = source;
  infer_types(*node);
  for (Value* v : node->outputs()) out.push_back(v);
  return out;
}

// ---- types

namespace {

// Sizes that stand for symbols and unknowns while a shape function runs: two runs with different ones tell which sizes of
// the result depend on them. Primes that no model uses as a size, so that what equals a stand-in is that symbol.
constexpr int64_t stand_ins[2][8] = {{1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049},
                                     {1511, 1523, 1531, 1543, 1549, 1553, 1559, 1567}};

class Inference {
 public:
  explicit Inference(Node& node) : node_(node) {}

  void run() {
    const Schema& schema = info(*node_.op).schema;
    std::vector<Any> args[2];
    bool complete = true;
    for (size_t i = 0; i < node_.inputs().size() && complete; i++) {
      const Value* v = node_.inputs()[i];
      const Node* producer = v->producer();
      if (const Any* constant = v->constant()) {
        for (auto& a : args) a.push_back(*constant);
      } else if (v->type.kind == TypeKind::Tensor) {
        complete = add(v->type, args);
      } else if (producer && producer->kind == NodeKind::List && schema.args[i].type.is_tensor_like()) {
        std::vector<Tensor> lists[2];
        for (const Value* element : producer->inputs())
          if (!(complete = complete && shapes(element->type, lists))) break;
        for (int r = 0; r < 2; r++) args[r].push_back(Any(std::span<const Tensor>(lists[r])));
      } else {
        complete = false;
      }
    }
    for (Value* v : node_.outputs())
      if (v->type.kind == TypeKind::Any) v->type = Type::tensor();
    if (!complete) return;
    std::vector<Tensor> results[2];
    for (int r = 0; r < (symbols_.empty() ? 1 : 2); r++) {
      std::vector<Arg> borrowed(args[r].begin(), args[r].end());
      if (symbols_.empty()) {
        results[r] = infer_shapes(*node_.op, borrowed);
        continue;
      }
      try {
        results[r] = infer_shapes(*node_.op, borrowed);
      } catch (const Error&) {
        return;  // the stand-ins do not fit; the true sizes may
      }
    }
    const auto& first = results[0];
    const auto& second = symbols_.empty() ? results[0] : results[1];
    if (first.size() != second.size() || first.size() != node_.outputs().size()) return;
    for (size_t i = 0; i < first.size(); i++)
      if (first[i] && second[i]) node_.outputs()[i]->type = combine(first[i], second[i]);
  }

 private:
  bool shapes(const Type& type, std::vector<Tensor> (&lists)[2]) {
    std::vector<Any> one[2];
    if (type.kind != TypeKind::Tensor || !add(type, one)) return false;
    for (int r = 0; r < 2; r++) lists[r].push_back(one[r][0].tensor());
    return true;
  }
  bool add(const Type& type, std::vector<Any> (&args)[2]) {
    if (!type.has_dtype || !type.has_dims) return false;
    Dims sizes[2];
    for (const Dim& d : type.dims) {
      if (d.fixed()) {
        for (auto& s : sizes) s.push_back(d.size);
        continue;
      }
      size_t k = 0;
      while (k < symbols_.size() && (d.symbol.empty() || symbols_[k] != d.symbol)) k++;
      if (k == symbols_.size()) symbols_.push_back(d.symbol);
      if (k >= std::size(stand_ins[0])) return false;
      for (int r = 0; r < 2; r++) sizes[r].push_back(stand_ins[r][k]);
    }
    for (int r = 0; r < 2; r++) args[r].push_back(Any(shape_only(sizes[r], type.dtype)));
    return true;
  }
  Type combine(const Tensor& a, const Tensor& b) const {
    Type out = Type::tensor();
    out.has_dtype = true;
    out.dtype = a.dtype();
    if (a.dim() != b.dim()) return out;
    out.has_dims = true;
    for (int d = 0; d < a.dim(); d++) {
      Dim dim;
      if (a.size(d) == b.size(d)) dim.size = a.size(d);
      for (size_t k = 0; k < symbols_.size(); k++)
        if (a.size(d) == stand_ins[0][k] && b.size(d) == stand_ins[1][k]) dim.symbol = symbols_[k];
      out.dims.push_back(dim);
    }
    return out;
  }

  Node& node_;
  std::vector<std::string> symbols_;  // one for each stand-in; empty text: an unknown size
};

}  // namespace

void infer_types(Node& node) {
  if (node.kind == NodeKind::Op) Inference(node).run();
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
