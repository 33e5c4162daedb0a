// What is known of every value before a run: constants, and shapes of tensors. Loops are walked until the shapes that
// they carry stay as they are.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/runtime/plan_internal.h"
#include "moka/schema/reading.h"

namespace moka::runtime {

using namespace graph;

bool is_written(const Graph& graph, const std::string& state) {
  auto it = graph.states.find(state);
  return it == graph.states.end() || it->second.written;
}

const Any& constant_state(const Graph& graph, const std::string& name,
                          const std::map<std::string, Any>& states) {
  auto declared = graph.states.find(name);
  MOKA_CHECK(declared != graph.states.end(), "get: there is no state '", name, "'");
  auto given = states.find(name);
  const Any& value = given == states.end() ? declared->second.value : given->second;
  if (value.is_none() && declared->second.type.kind == TypeKind::Tensor)
    fail("state '", name, "' has no value yet; set it before the program runs");
  return value;
}

bool has_tensor(const Any& a) {
  if (a.is_tensor() || a.tag() == Tag::Tensors) return true;
  if (a.tag() == Tag::List)
    for (const Any& e : a.list())
      if (has_tensor(e)) return true;
  return false;
}

bool same_shape(const Any& a, const Any& b) {
  if (a.tag() != b.tag()) return false;
  if (a.is_tensor()) {
    const Tensor &x = a.tensor(), &y = b.tensor();
    return x.dtype() == y.dtype() && x.dim() == y.dim() &&
           std::equal(x.sizes().begin(), x.sizes().end(), y.sizes().begin());
  }
  if (a.tag() == Tag::Tensors || a.tag() == Tag::List) {
    if (list_length(a) != list_length(b)) return false;
    for (int64_t i = 0; i < list_length(a); i++)
      if (!same_shape(list_item(a, i), list_item(b, i))) return false;
    return true;
  }
  return a == b;
}

const Meta& Analysis::meta(const Value* v) const {
  static const Meta nothing{};
  auto it = metas.find(v);
  return it == metas.end() ? nothing : it->second;
}

namespace {
// Loops deeper than this, and rounds beyond this, are taken to change every shape: the walk stays linear.
constexpr int deepest_assumed_loop = 4;
constexpr int most_rounds = 3;

bool on_cpu(const Any& a) {
  if (a.is_tensor()) return a.tensor().device().type == 0;
  if (a.tag() == Tag::Tensors) {
    for (const Tensor& t : a.tensors())
      if (t && t.device().type != 0) return false;
  } else if (a.tag() == Tag::List) {
    for (const Any& e : a.list())
      if (!on_cpu(e)) return false;
  }
  return true;
}

// The same without elements; strides are kept, kernels are chosen by them.
Any without_data(const Any& a) {
  if (a.is_tensor()) {
    const Tensor& t = a.tensor();
    Tensor shape = shape_only(t.sizes(), t.dtype());
    std::copy(t.strides().begin(), t.strides().end(), shape.impl()->strides);
    return Any(shape);
  }
  if (a.tag() == Tag::Tensors) {
    std::vector<Tensor> list;
    for (const Tensor& t : a.tensors()) list.push_back(t ? without_data(Any(t)).tensor() : t);
    return Any(std::span<const Tensor>(list));
  }
  if (a.tag() == Tag::List) {
    std::vector<Any> list;
    for (const Any& e : a.list()) list.push_back(without_data(e));
    return Any(std::span<const Any>(list));
  }
  return a;
}

Meta shape_meta(const Any& a) { return {true, !has_tensor(a), without_data(a)}; }

// What is known when either may come.
Meta join_metas(const Meta& a, const Meta& b) {
  if (!a.known || !b.known || !same_shape(a.value, b.value)) return {};
  if (a.constant && b.constant && a.value == b.value) return a;
  if (!has_tensor(a.value)) return {};
  return {true, false, without_data(a.value)};
}

class Analyzer {
 public:
  Analyzer(const Graph& graph, const std::map<std::string, Any>& states) : graph_(graph), states_(states) {}

  Analysis run(std::span<const Any> inputs) {
    for (size_t i = 0; i < graph_.inputs().size(); i++) {
      const Any& a = inputs[i];
      // Numbers may differ from run to run, and so may elements; shapes, strings and types belong to the signature.
      bool fixed = has_tensor(a) || a.is_none() || a.tag() == Tag::String || a.tag() == Tag::DType;
      if (fixed && on_cpu(a) && a.tag() != Tag::List)
        found_.metas[graph_.inputs()[i]] = {true, !has_tensor(a), without_data(a)};
    }
    block(*graph_.main(), 0);
    return std::move(found_);
  }

 private:
  void block(const Block& b, int loops) {
    for (const Node* n : b) node(*n, loops);
  }

  void node(const Node& n, int loops) {
    switch (n.kind) {
      case NodeKind::Constant:
        found_.metas[n.output()] = {on_cpu(n.constant), on_cpu(n.constant), n.constant};
        break;
      case NodeKind::Op: op(n); break;
      case NodeKind::Builtin: builtin(n); break;
      case NodeKind::List:
      case NodeKind::Tuple: list(n); break;
      case NodeKind::Unpack: {
        const Meta m = found_.meta(n.input(0));
        int count = n.data_outputs();
        for (int i = 0; i < count; i++)
          found_.metas[n.output(i)] = m.known && list_length(m.value) == count
                                          ? Meta{true, m.constant, list_item(m.value, i)}
                                          : Meta{};
        break;
      }
      case NodeKind::Get:
        if (!is_written(graph_, n.name)) {
          const Any& value = constant_state(graph_, n.name, states_);
          found_.metas[n.output(0)] = {on_cpu(value), on_cpu(value), value};
        }
        break;
      case NodeKind::If: if_node(n, loops); break;
      case NodeKind::Loop: loop(n, loops); break;
      default: break;
    }
  }

  void op(const Node& n) {
    for (Value* v : n.outputs()) found_.metas[v] = {};
    found_.results.erase(&n);
    const Op& op = *n.op;
    if (op.effect != Effect::Pure || (!op.formula && !op.shape && !op.view)) return;
    const Schema& schema = info(op).schema;
    ArgRoom args;
    size_t count = schema.args.size();
    for (size_t i = 0; i < count; i++) {
      const Meta& m = found_.meta(n.input(static_cast<int>(i)));
      if (!m.known) return;
      args[i] = m.value.arg();
      if (args[i].tag == Tag::Device && args[i].device.type != 0) return;
    }
    std::vector<Tensor> results;
    try {
      results = infer_shapes(op, {&args[0], count});
    } catch (const Error&) {
      return;  // said again, with the node's place, if the node ever runs
    }
    for (const Tensor& t : results)
      if (!t || t.dtype() == DType::String) return;
    if (schema.outs.size() == 1 && schema.outs[0].type.list) {
      found_.metas[n.output(0)] = {true, false, Any(std::span<const Tensor>(results))};
    } else {
      if (results.size() != schema.outs.size()) return;
      for (size_t i = 0; i < results.size(); i++)
        found_.metas[n.output(static_cast<int>(i))] = {true, false, Any(results[i])};
    }
    found_.results[&n] = std::move(results);
  }

  void builtin(const Node& n) {
    Meta& out = found_.metas[n.output(0)];
    out = {};
    const Builtin& b = get_builtin(n.name);
    std::vector<Any> args;
    bool constant = true;
    for (int i = 0; i < n.data_inputs(); i++) {
      const Meta& m = found_.meta(n.input(i));
      if (!m.known) return;
      constant &= m.constant;
      args.push_back(m.value);
    }
    if (!constant && b.reads == Reads::Data) return;
    try {
      Any result = b.run(args);
      out = {true, constant || b.reads == Reads::Shape || !has_tensor(result), result};
    } catch (const Error&) {
      out = {};
    }
  }

  void list(const Node& n) {
    Meta& out = found_.metas[n.output(0)];
    out = {};
    std::vector<Any> items;
    bool constant = true;
    for (int i = 0; i < n.data_inputs(); i++) {
      const Meta& m = found_.meta(n.input(i));
      if (!m.known) return;
      constant &= m.constant;
      items.push_back(m.value);
    }
    const Type& type = n.output(0)->type;
    out = {true, constant,
           n.kind == NodeKind::Tuple
               ? Any(std::span<const Any>(items))
               : make_list(items, type.kind == TypeKind::List ? type.elements[0] : Type())};
  }

  void if_node(const Node& n, int loops) {
    const Meta condition = found_.meta(n.input(0));
    bool decided = condition.known && condition.constant && condition.value.arg().is_number();
    for (int b = 0; b < 2; b++)
      if (!decided || condition.value.to_bool() == (b == 0)) block(*n.block(b), loops);
    for (size_t i = 0; i < n.outputs().size(); i++) {
      const Meta a = found_.meta(n.block(0)->results()[i]), b = found_.meta(n.block(1)->results()[i]);
      found_.metas[n.outputs()[i]] = !decided ? join_metas(a, b) : condition.value.to_bool() ? a : b;
    }
  }

  void loop(const Node& n, int loops) {
    const Block& body = *n.block(0);
    size_t carried = n.outputs().size();
    std::vector<Meta> assumed(carried);
    for (size_t i = 0; i < carried && loops < deepest_assumed_loop; i++) {
      const Meta& start = found_.meta(n.inputs()[i + 2]);
      // Of numbers nothing is assumed: loops are there to change them.
      if (start.known && (has_tensor(start.value) || start.value.is_none()))
        assumed[i] = {true, start.value.is_none(), without_data(start.value)};
    }
    for (int round = 0;; round++) {
      found_.metas[body.params()[0]] = {};
      for (size_t i = 0; i < carried; i++) found_.metas[body.params()[i + 1]] = assumed[i];
      block(body, loops + 1);
      bool stable = true;
      for (size_t i = 0; i < carried; i++) {
        if (!assumed[i].known) continue;
        const Meta next = found_.meta(body.results()[i + 1]);
        if (next.known && same_shape(next.value, assumed[i].value)) continue;
        assumed[i] = {};
        stable = false;
      }
      if (stable) break;
      if (round + 1 >= most_rounds) std::fill(assumed.begin(), assumed.end(), Meta{});
    }
    for (size_t i = 0; i < carried; i++) {
      Meta& out = found_.metas[n.outputs()[i]];
      out = assumed[i];
      // Strides may differ between the first value and later ones.
      if (out.known && has_tensor(out.value)) out = shape_meta(out.value);
    }
  }

  const Graph& graph_;
  const std::map<std::string, Any>& states_;
  Analysis found_;
};
}  // namespace

Analysis analyze(const Graph& graph, std::span<const Any> inputs, const std::map<std::string, Any>& states) {
  return Analyzer(graph, states).run(inputs);
}

}  // namespace moka::runtime
