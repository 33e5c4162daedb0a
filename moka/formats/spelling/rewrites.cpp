// Operators written with others, for files that lack them. One rule an operator; what a rule makes is said or rewritten
// in turn, so rules must lead to simpler operators.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/rewriting.h"
#include "moka/formats/spelling/writer.h"
#include "moka/graph/expr.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Graph;
using graph::Node;
using graph::Value;

namespace {

constexpr std::span<const RuleEntry> (*families[])() = {number_rules, shape_rules, indexing_rules,
                                                        layer_rules, reduction_rules};

bool by_rule(const Rewriting& r, std::vector<Value*>& results) {
  for (auto family : families)
    for (const RuleEntry& e : family()) {
      if (e.op != r.node.op_name()) continue;
      try {
        if (e.rule) {
          Value* v = e.rule(r);
          if (v) results = {v};
        } else {
          results = e.rules(r);
        }
      } catch (const Error&) {  // of the shapes of its parts: no elements, and the like
        results.clear();
      }
      return !results.empty();
    }
  return false;
}

}  // namespace

bool promote_operands(Graph& graph, Node& node) {
  if (!node.op->formula) return false;
  const Formula& formula = node.op->formula;
  DType target;
  bool have = false;
  const Schema& schema = info(*node.op).schema;
  if (formula.rule == DTypeRule::Comparing) {
    for (size_t i = 0; i < schema.args.size(); i++) {
      DType d;
      if (!schema.args[i].type.is_tensor_like() || !has_dtype(node.inputs()[i], &d)) continue;
      target = have ? promote(target, d) : d;
      have = true;
    }
  } else {
    have =
        has_dtype(node.output(), &target) && (target != DType::Bool || formula.rule == DTypeRule::Condition);
  }
  if (!have) return false;
  Builder build(graph, {node.owner(), &node});
  build.source = node.source;
  bool changed = false;
  for (size_t i = formula.rule == DTypeRule::Condition ? 1 : 0; i < schema.args.size(); i++) {
    DType d;
    if (!schema.args[i].type.is_tensor_like() || !has_dtype(node.inputs()[i], &d) || d == target) continue;
    node.set_input(static_cast<int>(i), build.call("to", {node.inputs()[i], target}));
    changed = true;
  }
  return changed;
}

bool rewrite(Graph& graph, Node& node, std::vector<Value*>& results) {
  Builder build(graph, {node.owner(), &node});
  build.source = node.source;
  const Rewriting r{build, node};
  if (by_rule(r, results)) return true;
  // What depends on constants only is computed.
  bool constant = node.op->effect == Effect::Pure;
  for (const Value* v : node.inputs()) constant &= v->constant() != nullptr;
  if (constant && !node.inputs().empty()) {
    std::vector<Arg> args;
    for (const Value* v : node.inputs()) args.push_back(v->constant()->arg());
    LayersOff off(layer::autograd | layer::capture | layer::batch | layer::autocast);
    for (Tensor& t : call_boxed(*node.op, args)) results.push_back(build.constant(Any(std::move(t))));
    return results.size() == node.outputs().size();
  }
  if (Value* v = write_out_formula(r)) {
    results = {v};
    return true;
  }
  if (!node.op->body.graph) return false;
  graph::Building building(graph, {node.owner(), &node}, node.source);
  std::vector<graph::Expr> in, out(info(*node.op).schema.outs.size());
  for (Value* v : node.inputs()) {
    const Any* c = v->constant();
    in.push_back(c && c->is_none() ? graph::Expr() : graph::Expr(v));
  }
  node.op->body.graph(in.data(), out.data());
  for (const graph::Expr& e : out) results.push_back(e.value);
  return true;
}

}  // namespace moka::spelling
