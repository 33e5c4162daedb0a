// Effects of nodes, and tokens that order them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/effects.h"

#include <algorithm>
#include <set>

namespace moka::graph {

namespace {
constexpr const char* everything = "everything";

void merge(Effects& into, const Effects& more) {
  for (const auto& [name, written] : more) into[name] |= written;
}
}  // namespace

Effects effects_of(const Node& n) {
  Effects e;
  switch (n.kind) {
    case NodeKind::Get: e[cat("state ", n.name)] = false; break;
    case NodeKind::Set: e[cat("state ", n.name)] = true; break;
    case NodeKind::Op:
      if (n.op->effect == Effect::Random) e["random"] = true;
      if (n.op->effect == Effect::Io) e["io"] = true;
      break;
    case NodeKind::Builtin:
      if (n.has_effects()) e["checks"] = false;  // bound to nothing
      break;
    case NodeKind::Call:
    case NodeKind::Python: e[everything] = true; break;
    default: break;
  }
  for (const auto& b : n.blocks())
    for (const Node* inner : *b) merge(e, effects_of(*inner));
  return e;
}

bool conflict(const Effects& a, const Effects& b) {
  if (a.empty() || b.empty()) return false;
  if (a.count(everything) || b.count(everything)) return true;
  for (const auto& [name, written] : a) {
    auto it = b.find(name);
    if (it != b.end() && (written || it->second)) return true;
  }
  return false;
}

namespace {
class Orderer {
 public:
  explicit Orderer(Graph& graph) : graph_(graph) {}
  int ordered = 0;

  void block(Block& b, Value* start) {
    std::vector<Done> done;
    if (start) done.push_back({{{everything, true}}, start});
    for (Node* n : b) {
      Effects e = effects_of(*n);
      if (e.empty()) continue;
      ordered++;
      std::vector<Value*> after = tokens_before(done, e);
      Value* token = nullptr;
      if (n->kind == NodeKind::If) token = branch(*n, after);
      else if (n->kind == NodeKind::Loop) token = loop(*n, after);
      else token = plain(*n, after);
      done.push_back({std::move(e), token});
    }
    outstanding_ = tokens_before(done, {{everything, true}});
  }

 private:
  struct Done {
    Effects effects;
    Value* token;
  };

  // The tokens of the nearest earlier effects that conflict; what those came after themselves need not be named.
  std::vector<Value*> tokens_before(std::vector<Done>& done, const Effects& e) {
    std::vector<Value*> after;
    std::set<const Value*> implied;
    for (size_t i = done.size(); i-- > 0;) {
      if (!conflict(done[i].effects, e)) continue;
      if (!implied.count(done[i].token)) after.push_back(done[i].token);
      auto before = before_.find(done[i].token);
      if (before != before_.end()) implied.insert(before->second.begin(), before->second.end());
    }
    std::reverse(after.begin(), after.end());
    return after;
  }

  void remember(const Value* token, const std::vector<Value*>& after) {
    auto& all = before_[token];
    for (const Value* v : after) {
      all.insert(v);
      auto it = before_.find(v);
      if (it != before_.end()) all.insert(it->second.begin(), it->second.end());
    }
  }

  Value* plain(Node& n, const std::vector<Value*>& after) {
    for (Value* t : after) n.add_input(t);
    Value* token = n.add_output(TypeKind::Token);
    remember(token, after);
    return token;
  }

  Value* join(Graph::Point at, const std::vector<Value*>& tokens) {
    if (tokens.size() == 1) return tokens[0];
    Node* n = graph_.create(NodeKind::Join, at, tokens, 1);
    n->output()->type = TypeKind::Token;
    remember(n->output(), tokens);
    return n->output();
  }

  // The branches begin when the node does; its token is theirs.
  Value* branch(Node& n, const std::vector<Value*>& after) {
    for (Value* t : after) n.add_input(t);
    for (const auto& b : n.blocks()) {
      block(*b, nullptr);
      std::vector<Value*> last = std::move(outstanding_);
      b->add_result(join({b.get()}, last));
    }
    Value* token = n.add_output(TypeKind::Token);
    remember(token, after);
    return token;
  }

  // Iterations hand one token on.
  Value* loop(Node& n, const std::vector<Value*>& after) {
    n.add_input(join({n.owner(), &n}, after));
    Block& body = *n.block(0);
    Value* start = body.add_param(TypeKind::Token);
    block(body, start);
    std::vector<Value*> last = std::move(outstanding_);
    body.add_result(join({&body}, last));
    Value* token = n.add_output(TypeKind::Token);
    remember(token, after);
    return token;
  }

  Graph& graph_;
  std::vector<Value*> outstanding_;
  std::map<const Value*, std::set<const Value*>> before_;
};

void drop_in(Block& b, std::vector<Node*>& joins) {
  for (Node* n : b) {
    for (const auto& inner : n->blocks()) drop_in(*inner, joins);
    for (size_t i = n->inputs().size(); i-- > 0;)
      if (n->input(static_cast<int>(i))->type.kind == TypeKind::Token) n->remove_input(static_cast<int>(i));
    if (n->kind == NodeKind::Join) joins.push_back(n);
  }
  for (size_t i = b.results().size(); i-- > 0;)
    if (b.results()[i]->type.kind == TypeKind::Token) b.remove_result(static_cast<int>(i));
}

void drop_made(Block& b) {
  for (Node* n : b) {
    for (const auto& inner : n->blocks()) drop_made(*inner);
    if (n->kind == NodeKind::Join) continue;
    for (size_t i = n->outputs().size(); i-- > 0;)
      if (n->output(static_cast<int>(i))->type.kind == TypeKind::Token) n->remove_output(static_cast<int>(i));
  }
  for (size_t i = b.params().size(); i-- > 0;)
    if (b.owner() && b.params()[i]->type.kind == TypeKind::Token) b.remove_param(static_cast<int>(i));
}
}  // namespace

void drop_tokens(Graph& graph) {
  for (size_t i = graph.outputs().size(); i-- > 0;)
    if (graph.outputs()[i]->type.kind == TypeKind::Token) graph.remove_output(static_cast<int>(i));
  std::vector<Node*> joins;
  drop_in(*graph.main(), joins);
  drop_made(*graph.main());
  for (Node* n : joins) n->destroy();
}

int order_effects(Graph& graph) {
  drop_tokens(graph);
  Orderer orderer(graph);
  orderer.block(*graph.main(), nullptr);
  return orderer.ordered;
}

}  // namespace moka::graph
