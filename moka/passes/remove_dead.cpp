// What nothing reads goes away: pure nodes, reads of states, results of branches, carried values, undrawn states.
// Last of every group of passes: they leave nodes without uses behind.
// SPDX-License-Identifier: Apache-2.0
#include <unordered_set>

#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
bool unused(const Node& n) {
  for (const Value* v : n.outputs())
    if (!v->uses().empty()) return false;
  return true;
}
bool may_go(const Node& n) {
  if (n.kind == NodeKind::Get) return true;  // reading changes nothing
  if (n.kind != NodeKind::If && n.kind != NodeKind::Loop) return !n.has_effects();
  for (const auto& b : n.blocks())
    for (const Node* inner : *b)
      if (!may_go(*inner)) return false;
  return true;
}

class Remover {
 public:
  int removed = 0;

  void block(Block& b) {
    Node* n = b.last();
    while (n) {
      Node* previous = n->previous();
      if (unused(*n) && may_go(*n)) {
        removed += n->kind != NodeKind::Constant;
        n->destroy();
      } else {
        if (n->kind == NodeKind::If) trim_if(n);
        if (n->kind == NodeKind::Loop) trim_loop(n);
        for (const auto& inner : n->blocks()) block(*inner);
      }
      n = previous;
    }
  }

 private:
  void trim_if(Node* n) {
    for (int i = static_cast<int>(n->outputs().size()); i-- > 0;) {
      if (!n->output(i)->uses().empty()) continue;
      n->remove_output(i);
      for (const auto& b : n->blocks()) b->remove_result(i);
      removed++;
    }
  }

  // All that is computed from the parameter ends in its own next value.
  static bool feeds_only_itself(const Block& body, int index) {
    std::vector<const Value*> open = {body.params()[static_cast<size_t>(index)]};
    std::unordered_set<const Node*> seen;
    while (!open.empty()) {
      const Value* v = open.back();
      open.pop_back();
      for (const Value::Use& u : v->uses()) {
        if (u.results_of == &body) {
          if (u.index != index) return false;
          continue;
        }
        const Node* user = u.node ? u.node : u.results_of->owner();
        while (user->owner() != &body) user = user->owner()->owner();
        if (!may_go(*user)) return false;
        if (!seen.insert(user).second) continue;
        for (const Value* out : user->outputs()) open.push_back(out);
      }
    }
    return true;
  }

  // A carried value that only feeds itself.
  void trim_loop(Node* n) {
    Block& body = *n->block(0);
    for (int i = static_cast<int>(n->outputs().size()); i-- > 0;) {
      if (!n->output(i)->uses().empty()) continue;
      if (!feeds_only_itself(body, i + 1)) continue;
      // What computed it has no use now but each other.
      Value* param = body.params()[static_cast<size_t>(i) + 1];
      body.remove_result(i + 1);
      block(body);
      param->replace_all_uses_with(n->input(i + 2));
      body.remove_param(i + 1);
      n->remove_input(i + 2);
      n->remove_output(i);
      removed++;
    }
  }
};

void collect_states(const Block& b, std::unordered_set<std::string>& read,
                    std::unordered_set<std::string>& written) {
  for (const Node* n : b) {
    if (n->kind == NodeKind::Get) read.insert(n->name);
    if (n->kind == NodeKind::Set) written.insert(n->name);
    // Who is called may use any state.
    for (const auto& inner : n->blocks()) collect_states(*inner, read, written);
  }
}
bool has_calls(const Block& b) {
  for (const Node* n : b) {
    if (n->kind == NodeKind::Call || n->kind == NodeKind::Python) return true;
    for (const auto& inner : n->blocks())
      if (has_calls(*inner)) return true;
  }
  return false;
}
}  // namespace

int remove_dead(Graph& graph) {
  Remover r;
  for (;;) {  // a trimmed loop may make more unused
    int before = r.removed;
    r.block(*graph.main());
    if (r.removed == before) break;
  }
  if (has_calls(*graph.main())) return r.removed;
  std::unordered_set<std::string> read, written;
  collect_states(*graph.main(), read, written);
  for (auto it = graph.states.begin(); it != graph.states.end();) {
    if (!read.count(it->first) && !written.count(it->first)) {
      it = graph.states.erase(it);
      r.removed++;
    } else {
      it->second.written = written.count(it->first) != 0;
      ++it;
    }
  }
  return r.removed;
}

}  // namespace moka::passes
