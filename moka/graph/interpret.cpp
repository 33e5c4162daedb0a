// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/interpret.h"

#include "moka/graph/builtins.h"

namespace moka::graph {

namespace {

class Interpreter {
 public:
  explicit Interpreter(const StateAccess& states) : states_(states) {}

  std::vector<Any> block(const Block& b, std::span<const Any> params) {
    MOKA_CHECK_KIND(Value, params.size() == b.params().size(), "the graph takes ", b.params().size(),
                    " inputs, got ", params.size());
    for (size_t i = 0; i < params.size(); i++) values_.insert_or_assign(b.params()[i], params[i]);
    for (const Node* n : b) {
      try {
        node(*n);
      } catch (Error& e) {
        std::string place = n->source.scope;
        if (!n->source.file.empty())
          place += cat(place.empty() ? "" : ", ", n->source.file, ":", n->source.line);
        if (!place.empty()) e.add_context(cat("In ", n->op_name(), " of ", place));
        throw;
      }
    }
    std::vector<Any> out;
    for (const Value* v : b.results()) out.push_back(at(v));
    return out;
  }

 private:
  const Any& at(const Value* v) const {
    auto i = values_.find(v);
    MOKA_ASSERT(i != values_.end());
    return i->second;
  }
  std::vector<Any> inputs(const Node& n) const {
    std::vector<Any> out;
    for (int i = 0; i < n.data_inputs(); i++) out.push_back(at(n.input(i)));
    return out;
  }
  void put(const Node& n, std::vector<Any> results) {
    MOKA_ASSERT(static_cast<int>(results.size()) >= n.data_outputs());
    for (int i = 0; i < n.data_outputs(); i++)
      values_.insert_or_assign(n.output(i), std::move(results[static_cast<size_t>(i)]));
  }
  static bool truth(const Any& a) { return get_builtin("bool").run(std::span(&a, 1)).to_bool(); }

  void node(const Node& n) {
    switch (n.kind) {
      case NodeKind::Op: return call(n);
      case NodeKind::Constant: return put(n, {n.constant});
      case NodeKind::Builtin: return put(n, {get_builtin(n.name).run(inputs(n))});
      case NodeKind::List:
        return put(n, {make_list(inputs(n),
                                 n.output()->type.elements.empty() ? Type() : n.output()->type.elements[0])});
      case NodeKind::Tuple: return put(n, {make_list(inputs(n))});
      case NodeKind::Unpack: {
        const Any& list = at(n.input(0));
        std::vector<Any> items;
        MOKA_CHECK_KIND(Value, list_length(list) >= n.data_outputs(), "a list of ", list_length(list),
                        " is unpacked into ", n.data_outputs());
        for (int64_t i = 0; i < n.data_outputs(); i++) items.push_back(list_item(list, i));
        return put(n, std::move(items));
      }
      case NodeKind::Get: return put(n, {states_.get(n.name)});
      case NodeKind::Set:
        MOKA_CHECK_KIND(NotImplemented, states_.set, "state '", n.name, "' cannot be written here");
        return states_.set(n.name, at(n.input(0)));
      case NodeKind::If: return put(n, block(*n.block(truth(at(n.input(0))) ? 0 : 1), {}));
      case NodeKind::Loop: return loop(n);
      case NodeKind::Join: return;
      case NodeKind::Python: {
        MOKA_CHECK_KIND(NotImplemented, states_.python, "segment '", n.name, "' needs Python");
        std::vector<Any> results = states_.python(n.name, inputs(n));
        MOKA_CHECK(static_cast<int>(results.size()) == n.data_outputs(), "segment '", n.name, "' gave ",
                   results.size(), " values, expected ", n.data_outputs());
        return put(n, std::move(results));
      }
      default: fail_kind(ErrorKind::NotImplemented, n.op_name(), " cannot be run node by node");
    }
  }

  void call(const Node& n) {
    const std::vector<Any> given = inputs(n);
    const std::vector<Arg> args(given.begin(), given.end());
    std::vector<Tensor> made = call_boxed(*n.op, args);
    const Schema& schema = info(*n.op).schema;
    if (schema.outs.size() == 1 && schema.outs[0].type.list)
      return put(n, {Any(std::span<const Tensor>(made))});
    std::vector<Any> results(made.begin(), made.end());
    results.resize(std::max(results.size(), static_cast<size_t>(n.data_outputs())));
    put(n, std::move(results));
  }

  void loop(const Node& n) {
    const std::vector<Any> given = inputs(n);
    std::vector<Any> carried(given.begin() + 2, given.end());
    const bool counted = !given[0].is_none();
    const int64_t count = counted ? given[0].to_int() : 0;
    bool go = given[1].is_none() || truth(given[1]);
    for (int64_t i = 0; go && (!counted || i < count); i++) {
      std::vector<Any> params{Any(i)};
      params.insert(params.end(), carried.begin(), carried.end());
      std::vector<Any> results = block(*n.block(0), params);
      go = truth(results[0]);
      carried.assign(std::make_move_iterator(results.begin() + 1), std::make_move_iterator(results.end()));
    }
    put(n, std::move(carried));
  }

  const StateAccess& states_;
  std::unordered_map<const Value*, Any> values_;
};

}  // namespace

std::vector<Any> interpret(const Graph& graph, std::span<const Any> inputs, const StateAccess& states) {
  return Interpreter(states).block(*graph.main(), inputs);
}

}  // namespace moka::graph
