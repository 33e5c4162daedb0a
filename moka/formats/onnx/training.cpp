// Gradient, and the training algorithms of a model: graphs that stand beside it and update its initializers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_set>

#include "moka/formats/onnx/importer_internal.h"
#include "moka/formats/onnx/onnx.h"
#ifndef MOKA_PREDICTOR
#include "moka/differentiate/gradients.h"
#endif

namespace moka::onnx {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

#ifdef MOKA_PREDICTOR
void Importer::gradient(const NodeProto&, const Context&) {
  fail_kind(ErrorKind::NotImplemented,
            "the predictor computes no gradients; the whole library (package moka) does");
}
#else
namespace {

// The nodes between `points` and y again, with other values at these points; y as it is then.
Value* evaluated_at(spelling::Builder& build, Value* y, std::span<Value* const> points,
                    std::span<Value* const> values) {
  graph::ValueMap map;
  for (size_t i = 0; i < points.size(); i++) map[points[i]] = values[i];
  std::unordered_set<const Node*> needed;
  std::vector<Value*> open{y};
  while (!open.empty()) {
    Value* v = open.back();
    open.pop_back();
    Node* made = map.count(v) ? nullptr : v->producer();
    if (!made || !needed.insert(made).second) continue;
    MOKA_CHECK_KIND(NotImplemented, made->blocks().empty() && !made->has_effects(),
                    "the way to y goes through ", made->op_name(),
                    ", which cannot be repeated at another point");
    open.insert(open.end(), made->inputs().begin(), made->inputs().end());
  }
  Node* last = build.at.block->last();
  for (Node* n = build.at.block->first(); n && last; n = n == last ? nullptr : n->next()) {
    if (!needed.count(n)) continue;
    if (std::none_of(n->inputs().begin(), n->inputs().end(), [&](Value* v) { return map.count(v); }))
      continue;
    std::vector<Value*> inputs;
    for (Value* v : n->inputs()) inputs.push_back(map.count(v) ? map[v] : v);
    Node* copy = n->kind == NodeKind::Op ? build.graph.create_op(*n->op, build.at, inputs)
                                         : build.graph.create_named(n->kind, n->name, build.at, inputs,
                                                                    static_cast<int>(n->outputs().size()));
    copy->source = n->source;
    for (size_t i = 0; i < n->outputs().size(); i++) {
      copy->output(static_cast<int>(i))->type = n->output(static_cast<int>(i))->type;
      map[n->output(static_cast<int>(i))] = copy->output(static_cast<int>(i));
    }
  }
  return map.count(y) ? map[y] : y;
}

}  // namespace

// Inputs are the values of xs, then of zs, at which y is differentiated: mostly those of that name.
void Importer::gradient(const NodeProto& node, const Context& c) {
  auto names = [&](std::string_view attribute) {
    std::vector<Value*> out;
    const AttributeProto* a = node.attribute(attribute);
    if (a) a = resolve(*a, c.call);
    if (!a) return out;
    MOKA_CHECK_KIND(File, a->kind == AttributeKind::Strings, attribute, " must be a list of names");
    for (const Any& name : a->value.list()) out.push_back(value(name.string(), c));
    return out;
  };
  std::vector<Value*> points = names("xs");
  const size_t count = points.size();
  for (Value* z : names("zs")) points.push_back(z);
  const AttributeProto* wanted = node.attribute("y");
  MOKA_CHECK_KIND(File, wanted && wanted->kind == AttributeKind::String, "attribute y must name a tensor");
  Value* y = value(wanted->value.string(), c);
  MOKA_CHECK_KIND(File, count > 0 && node.inputs.size() == points.size() && node.outputs.size() <= count,
                  node.inputs.size(), " inputs and ", node.outputs.size(), " outputs for ", count, " xs and ",
                  points.size() - count, " zs");
  std::vector<Value*> values;
  for (std::string_view name : node.inputs) values.push_back(value(name, c));
  if (values != points) y = evaluated_at(build_, y, points, values);
  values.resize(count);
  bind(node, differentiate::gradients(graph_, build_.at, y, values), c);
}
#endif

const TrainingInfo& Importer::training_info(int algorithm) const {
  const int count = static_cast<int>(model_.training.size());
  MOKA_CHECK_KIND(Value, count > 0, budget_.file, ": the model brings no training algorithm (training_info)");
  MOKA_CHECK_KIND(Index, algorithm >= 0 && algorithm < count, budget_.file, ": has ", count,
                  " training algorithms, number ", algorithm, " was asked for");
  return model_.training[static_cast<size_t>(algorithm)];
}

// The model's graph and the algorithm's are one: names of both are seen by the second.
void Importer::run_training(int algorithm) {
  start();
  const TrainingInfo& training = training_info(algorithm);
  const GraphProto main = read_graph(budget_, model_.graph, 1),
                   step = read_graph(budget_, training.algorithm, 1);
  graph_.name = step.name.empty() ? "training" : std::string(step.name);
  std::set<std::string_view> initializers;
  for (const GraphProto* g : {&main, &step})
    for (const Initializer& i : g->initializers) initializers.insert(i.name);
  for (const Bindings* bindings : {&training.initial, &training.update})
    for (const auto& [name, output] : *bindings) {
      MOKA_CHECK_KIND(File, initializers.count(name), budget_.file, ": training binds '", name,
                      "', which is no initializer of the model or of its training algorithm");
      updated_.insert(name);
    }
  Scope scope;
  const Context c{&scope, &model_.opsets};
  graph_inputs(main, c);
  graph_inputs(step, c);
  graph_nodes(main, c);
  graph_nodes(step, c);
  std::vector<std::pair<std::string, Value*>> updates;
  for (const auto& [name, output] : training.update) updates.emplace_back(name, value(output, c));
  for (const GraphProto* g : {&main, &step})
    for (const ValueInfo& output : g->outputs)
      graph_.add_output(value(output.name, c), std::string(output.name));
  for (const auto& [name, v] : updates) {
    graph_.states.at(name).written = true;
    Value* given[] = {v};
    graph_.create_named(NodeKind::Set, name, build_.at, given, 0)->source = build_.source;
  }
  spelling::drop_unused(graph_);
}

bool Importer::run_initialization(int algorithm) {
  start();
  const TrainingInfo& training = training_info(algorithm);
  if (training.initialization.empty() || training.initial.empty()) return false;
  const GraphProto first = read_graph(budget_, training.initialization, 1);
  graph_.name = first.name.empty() ? "initialization" : std::string(first.name);
  Scope scope;
  const Context c{&scope, &model_.opsets};
  MOKA_CHECK_KIND(File, first.inputs.empty(), budget_.file, ": the graph '", first.name,
                  "' that initializes training must have no inputs");
  graph_nodes(first, c);
  for (const auto& [name, output] : training.initial) graph_.add_output(value(output, c), std::string(name));
  spelling::drop_unused(graph_);
  return true;
}

namespace {
Training load_parts(const std::string& file, const Bytes& bytes, const ExternalData& external, int algorithm,
                    const Limits& limits) {
  Training out;
  {
    proto::Budget budget(file, bytes.text(), limits);
    out.step = std::make_unique<Graph>();
    Importer(budget, bytes, external, *out.step).run_training(algorithm);
  }
  proto::Budget budget(file, bytes.text(), limits);
  auto first = std::make_unique<Graph>();
  if (Importer(budget, bytes, external, *first).run_initialization(algorithm))
    out.initialization = std::move(first);
  return out;
}
}  // namespace

Training load_training(const std::string& path, int algorithm, const Limits& limits) {
  return load_parts(path, Bytes::of_file(path, limits), ExternalData(path, limits), algorithm, limits);
}
Training load_training(const Bytes& bytes, std::string_view name, int algorithm, const Limits& limits) {
  return load_parts(std::string(name), bytes, ExternalData(), algorithm, limits);
}

}  // namespace moka::onnx
