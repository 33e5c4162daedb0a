// Complex tensors as real ones, for files that have no arithmetic with them: real and imaginary part in a last dimension
// of size 2, as view_as_real gives them.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/formats/spelling/pairs.h"
#include "moka/formats/spelling/writer.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Block;
using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

bool is_complex_value(const Value* v) {
  DType type;
  return has_dtype(v, &type) && is_complex(type);
}
DType part_of(DType complex) {
  switch (item_size(complex)) {
    case 4: return DType::F16;
    case 8: return DType::F32;
    default: return DType::F64;
  }
}
Tensor small_tensor(std::initializer_list<double> numbers, DType type) {
  Tensor out = new_tensor(Dims{static_cast<int64_t>(numbers.size())}, DType::F64);
  std::copy(numbers.begin(), numbers.end(), out.data<double>());
  return to_dtype(out, type);
}

DType PairRewriting::part_type() const {
  DType type = DType::F32;
  for (const Value* v : node.outputs())
    if (is_complex_value(v)) return part_of(v->type.dtype);
  for (Value* v : node.inputs())
    if (complex(v) && has_dtype(v, &type)) return is_complex_value(v) ? part_of(type) : type;
  return type;
}

namespace {
Tensor parts_of(const Tensor& complex) {
  const Tensor t = as_contiguous(complex);
  Dims sizes(t.sizes());
  sizes.push_back(2);
  Tensor out = new_tensor(sizes, part_of(t.dtype()));
  if (t.numel()) std::memcpy(out.raw_data(), t.raw_data(), t.bytes());
  return out;
}
}  // namespace

Value* Pairs::of(const Rewriting& r, Value* v, DType type) const {
  if (auto at = pairs_.find(v); at != pairs_.end()) return at->second;
  const Any* c = v->constant();
  if (c && c->is_tensor() && spelling::is_complex_value(v))
    return r.build.constant(Any(parts_of(c->tensor())));
  MOKA_CHECK_KIND(NotImplemented, !is_complex_value(v), "complex values of ",
                  v->producer() ? v->producer()->op_name() : "a block", " have no form in this format");
  if (c && c->arg().is_number()) return r.build.constant(Any(small_tensor({c->arg().as_double(), 0}, type)));
  Value* real = r.cast(v, type);
  return r.call("stack", {std::vector<Value*>{real, r.call("zeros_like", {real})}, int64_t(-1)});
}

bool Pairs::touches_complex(const Node& node) const {
  for (const Value* v : node.outputs())
    if (is_complex(v)) return true;
  for (const Value* v : node.inputs()) {
    if (is_complex(v)) return true;
    const Node* list = v->producer();
    if (list && list->kind == NodeKind::List)
      for (const Value* e : list->inputs())
        if (is_complex(e)) return true;
  }
  return false;
}
bool Pairs::has_complex(const Block& block) const {
  for (const Value* v : block.params())
    if (is_complex(v)) return true;
  for (const Node* n : block) {
    if (touches_complex(*n)) return true;
    for (const auto& inner : n->blocks())
      if (has_complex(*inner)) return true;
  }
  return false;
}

void Pairs::replace_unpack(Node& node) {
  const auto at = pairs_.find(node.input(0));
  if (at == pairs_.end()) return;
  Node* made = graph_.create(NodeKind::Unpack, {node.owner(), &node}, std::vector<Value*>{at->second},
                             static_cast<int>(node.outputs().size()));
  made->source = node.source;
  graph::infer_types(*made);
  for (int i = 0; i < static_cast<int>(node.outputs().size()); i++) pairs_[node.output(i)] = made->output(i);
}

bool Pairs::replace(Node& node) {
  Builder build(graph_, {node.owner(), &node});
  build.source = node.source;
  const PairRewriting r(build, node, *this);
  std::vector<Value*> made;
  for (const auto family : {pair_rules(), fourier_rules()})
    for (const PairRuleEntry& e : family)
      if (e.op == node.op_name()) made = {e.rule(r)};
  if (made.empty()) made = moved_pairs(r);
  if (made.empty()) return false;
  for (size_t i = 0; i < made.size(); i++) {
    Value* old = node.output(static_cast<int>(i));
    if (made[i]->name.empty() && made[i]->producer()) made[i]->name = old->name;
    if (is_complex_value(old) || old->type.kind == graph::TypeKind::List) pairs_[old] = made[i];
    else old->replace_all_uses_with(made[i]);
  }
  return true;
}

Value* Pairs::moved_otherwise(Node& node) {
  Builder build(graph_, {node.owner(), &node});
  build.source = node.source;
  for (const RuleEntry& e : shape_rules())
    if (e.op == node.op_name() && e.rule) return e.rule(Rewriting{build, node});
  return nullptr;
}

// Inputs and states become pairs; what reads them sees the complex value that view_as_complex makes of them.
void Pairs::split_at_boundary() {
  auto split = [&](Value* v, Node* before) {
    v->type.dtype = part_of(v->type.dtype);
    if (v->type.has_dims) v->type.dims.push_back({2, {}});
    Builder build(graph_, {graph_.main(), before});
    Value* whole = build.call("view_as_complex", {v});
    v->replace_all_uses_with(whole);
    whole->producer()->set_input(0, v);
  };
  Node* first = graph_.main()->first();
  for (Value* v : graph_.inputs())
    if (is_complex_value(v)) split(v, first);
  for (Node* n : *graph_.main()) {
    if (n->kind != NodeKind::Get || !is_complex_value(n->output())) continue;
    split(n->output(), n->next());
    graph::State& state = graph_.states.at(n->name);
    if (!state.value.is_tensor() || !moka::is_complex(state.value.tensor().dtype())) continue;
    state.value = Any(parts_of(state.value.tensor()));
    state.type = graph::type_of(state.value.arg());
  }
}

void Pairs::replace_all() {
  split_at_boundary();
  for (Node* n = graph_.main()->first(); n;) {
    Node *const next = n->next(), *const before = n->previous();
    if (n->kind == NodeKind::Unpack) replace_unpack(*n);
    for (const auto& block : n->blocks())
      MOKA_CHECK_KIND(NotImplemented, !has_complex(*block),
                      "complex values in a branch or a loop have no form in this format");
    if (n->kind != NodeKind::Op || !touches_complex(*n)) {
      n = next;
      continue;
    }
    try {
      if (replace(*n)) {
        n = next;
        continue;
      }
      Value* made = moved_otherwise(*n);
      MOKA_CHECK_KIND(NotImplemented, made, "it has no form for complex values in this format");
      n->output()->replace_all_uses_with(made);
      n->destroy();
      n = before ? before->next() : graph_.main()->first();  // what was made is to be replaced in turn
    } catch (Error& e) {
      const std::string line = n->source.line ? cat(":", n->source.line) : "";
      e.add_context(
          cat("in ", n->op_name(), n->source.file.empty() ? "" : cat(" (", n->source.file, line, ")")));
      throw;
    }
  }
  for (size_t i = 0; i < graph_.outputs().size(); i++) {
    Value* v = graph_.outputs()[i];
    const auto at = pairs_.find(v);
    if (at == pairs_.end() && !is_complex_value(v)) continue;
    Value* pair = at == pairs_.end()
                      ? graph_.constant(Any(parts_of(v->constant()->tensor())), {graph_.main()})
                      : at->second;
    graph_.main()->set_result(static_cast<int>(i), pair);
  }
  drop_unused(graph_);
}

namespace {
bool any_complex(Graph& graph) {
  for (const Value* v : graph.inputs())
    if (is_complex_value(v)) return true;
  for (Node* n : *graph.main())
    for (const Value* v : n->outputs())
      if (is_complex_value(v)) return true;
  return false;
}
}  // namespace

void split_complex(Graph& graph, bool has_transforms) {
  if (any_complex(graph)) Pairs(graph, has_transforms).replace_all();
}

}  // namespace moka::spelling
