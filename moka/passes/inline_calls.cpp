// Calls of graphs become the nodes of those graphs. Runs before everything else: no other pass looks across calls.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
constexpr size_t deepest_call = 200;
constexpr int64_t most_nodes = 10'000'000;  // calls of calls grow without end in a hostile file

class Inliner {
 public:
  explicit Inliner(const Program& program) : program_(program) {}

  // The graph of that name without calls, made once.
  const Graph& without_calls(const std::string& name) {
    auto done = done_.find(name);
    if (done != done_.end()) return *done->second;
    auto it = program_.graphs.find(name);
    MOKA_CHECK(it != program_.graphs.end(), "call: the program has no graph '", name, "'");
    if (std::find(path_.begin(), path_.end(), name) != path_.end())
      fail("call: graph '", name, "' calls itself; recursion cannot be run as a graph");
    MOKA_CHECK(path_.size() < deepest_call, "call: calls are nested deeper than ", deepest_call);
    path_.push_back(name);
    std::unique_ptr<Graph> g = it->second->clone();
    block(*g, *g->main());
    path_.pop_back();
    return *(done_[name] = std::move(g));
  }

 private:
  void block(Graph& g, Block& b) {
    for (Node* n : b) {
      for (const auto& inner : n->blocks()) block(g, *inner);
      if (n->kind == NodeKind::Call) call(g, n);
    }
  }

  int64_t count(const Block& b) {
    int64_t n = 0;
    for (const Node* node : b) {
      n++;
      for (const auto& inner : node->blocks()) n += count(*inner);
    }
    return n;
  }

  void call(Graph& g, Node* n) {
    const Graph& callee = without_calls(n->name);
    size_t inputs = static_cast<size_t>(n->data_inputs()), outputs = static_cast<size_t>(n->data_outputs());
    MOKA_CHECK(inputs == callee.inputs().size() && outputs == callee.outputs().size(), "call: graph '",
               n->name, "' takes ", callee.inputs().size(), " inputs and gives ", callee.outputs().size(),
               " outputs, but the call has ", inputs, " and ", outputs);
    nodes_ += count(*callee.main());
    MOKA_CHECK(nodes_ < most_nodes, "call: the program has more than ", most_nodes,
               " nodes when its calls are written out");
    for (const auto& [name, s] : callee.states) {
      auto [at, fresh] = g.states.emplace(name, s);
      if (!fresh) at->second.written |= s.written;
    }
    ValueMap map;
    for (size_t i = 0; i < inputs; i++) map[callee.inputs()[i]] = n->input(static_cast<int>(i));
    copy_nodes(*callee.main(), {n->owner(), n}, map);
    for (size_t i = 0; i < outputs; i++)
      n->output(static_cast<int>(i))->replace_all_uses_with(map.at(callee.outputs()[i]));
    if (n->outputs().size() >
        outputs) {  // its token: after what the call came after; the callee's own effects keep their order
      Node* join = g.create(NodeKind::Join, {n->owner(), n}, n->inputs().subspan(inputs), 1);
      join->output()->type = TypeKind::Token;
      n->outputs().back()->replace_all_uses_with(join->output());
    }
    n->destroy();
  }

  const Program& program_;
  std::map<std::string, std::unique_ptr<Graph>> done_;
  std::vector<std::string> path_;
  int64_t nodes_ = 0;
};
}  // namespace

std::unique_ptr<Graph> inline_calls(const Program& program, const std::string& name) {
  auto it = program.graphs.find(name);
  MOKA_CHECK_KIND(Value, it != program.graphs.end(), "inline: the program has no graph '", name, "'");
  return Inliner(program).without_calls(name).clone();
}

}  // namespace moka::passes
