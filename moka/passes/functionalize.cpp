// Written states become inputs and outputs, so that the graph is pure: input "state.<name>" before, output "state.<name>"
// after. inline_calls first. Batch norm's running statistics in training are such states.
// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "moka/graph/effects.h"
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
using Current = std::map<std::string, Value*>;

class Functionalizer {
 public:
  Functionalizer(Graph& graph, std::set<std::string> names) : graph_(graph), names_(std::move(names)) {}
  int changed = 0;

  void block(Block& b, Current& now) {
    for (Node* n : b) {
      if (n->kind == NodeKind::Get && names_.count(n->name)) {
        n->output()->replace_all_uses_with(now.at(n->name));
        n->destroy();
        changed++;
      } else if (n->kind == NodeKind::Set && names_.count(n->name)) {
        now[n->name] = n->input(0);
        n->destroy();
        changed++;
      } else if (n->kind == NodeKind::If) {
        branch(n, now);
      } else if (n->kind == NodeKind::Loop) {
        loop(n, now);
      }
    }
  }

 private:
  std::vector<std::string> written_in(const Node& n) {
    std::vector<std::string> out;
    for (const auto& [resource, written] : effects_of(n))
      if (written && resource.rfind("state ", 0) == 0 && names_.count(resource.substr(6)))
        out.push_back(resource.substr(6));
    return out;
  }

  void branch(Node* n, Current& now) {
    std::vector<std::string> written = written_in(*n);
    for (const auto& b : n->blocks()) {
      Current inside = now;
      block(*b, inside);
      for (const std::string& name : written) b->add_result(inside.at(name));
    }
    for (const std::string& name : written) now[name] = n->add_output(graph_.states.at(name).type);
  }

  void loop(Node* n, Current& now) {
    std::vector<std::string> written = written_in(*n);
    Block& body = *n->block(0);
    Current inside = now;
    for (const std::string& name : written) {
      n->add_input(now.at(name));
      inside[name] = body.add_param(graph_.states.at(name).type);
    }
    block(body, inside);
    for (const std::string& name : written) {
      body.add_result(inside.at(name));
      now[name] = n->add_output(graph_.states.at(name).type);
    }
  }

  Graph& graph_;
  std::set<std::string> names_;
};

void find_obstacles(const Block& b, std::string& left) {
  for (const Node* n : b) {
    bool stays = n->kind == NodeKind::Call || n->kind == NodeKind::Python ||
                 (n->kind == NodeKind::Op && n->has_effects());
    if (stays) left += cat(left.empty() ? "" : "\n", print(*n));
    for (const auto& inner : n->blocks()) find_obstacles(*inner, left);
  }
}
bool calls_out(const Block& b) {
  for (const Node* n : b) {
    if (n->kind == NodeKind::Call || n->kind == NodeKind::Python) return true;
    for (const auto& inner : n->blocks())
      if (calls_out(*inner)) return true;
  }
  return false;
}
}  // namespace

int functionalize(Graph& graph, std::string* left) {
  if (left) find_obstacles(*graph.main(), *left);
  if (calls_out(*graph.main())) return 0;  // what is called may use the states too
  drop_tokens(graph);
  std::set<std::string> names;
  Current now;
  for (const auto& [name, s] : graph.states)
    if (s.written) names.insert(name);
  for (const std::string& name : names)
    now[name] = graph.add_input("state." + name, graph.states.at(name).type);
  Functionalizer f(graph, names);
  f.block(*graph.main(), now);
  for (const std::string& name : names) {
    graph.add_output(now.at(name), "state." + name);
    graph.states.erase(name);
  }
  return f.changed;
}

}  // namespace moka::passes
