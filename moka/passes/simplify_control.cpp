// Branches and loops that need not be: what both branches yield, what a loop carries unchanged, loops that never run, run
// once, or run a few known times and are written out, with the lists that they make. After fold_constants, which leaves it constant counts and conditions;
// folding again finds the iterations' numbers known.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/passes/passes.h"
#include "moka/passes/replace.h"

namespace moka::passes {

using namespace graph;

namespace {
// A loop is written out where this adds few nodes, and a file full of loops cannot ask for many.
constexpr int64_t most_per_loop = 256, most_per_graph = 8192;
constexpr size_t most_items = 256;

const Any* known(const Value* v) { return v ? v->constant() : nullptr; }
bool is_known(const Value* v, bool what) {
  const Any* c = known(v);
  return c && c->tag() == Tag::Bool && c->to_bool() == what;
}
int64_t count_nodes(const Block& b) {
  int64_t n = 0;
  for (const Node* node : b) {
    n += node->kind != NodeKind::Constant;
    for (const auto& inner : node->blocks()) n += count_nodes(*inner);
  }
  return n;
}
bool is_inside(const Block* b, const Block* outer) {
  while (b && b != outer) b = b->owner() ? b->owner()->owner() : nullptr;
  return b == outer;
}

// One turn may know more than all turns together.
void sharpen_types(Node* first, const Node* end) {
  for (Node* n = first; n != end; n = n->next()) {
    std::vector<Type> before;
    for (const Value* v : n->outputs()) before.push_back(v->type);
    try {
      infer_types(*n);
    } catch (const Error&) {  // raised where the program comes here
    }
    for (size_t i = 0; i < before.size(); i++)
      if (!fits(n->outputs()[i]->type, before[i])) n->outputs()[i]->type = before[i];
  }
}

class Simplifier {
 public:
  explicit Simplifier(Graph& graph) : graph_(graph) {}
  int changed = 0;

  void block(Block& b) {
    for (Node* n : b) {
      if (n->kind == NodeKind::If) know_condition(n);
      for (const auto& inner : n->blocks()) block(*inner);
      if (n->kind == NodeKind::If) share_results(n);
      if (n->kind == NodeKind::Loop) loop(n);
    }
  }

  // Lists that grow by known items are made at once; loops that are written out leave such.
  void lists(Block& b) {
    for (Node* n : b) {
      for (const auto& inner : n->blocks()) lists(*inner);
      if (n->kind == NodeKind::Builtin && n->name == "append") append(n);
    }
  }

 private:
  void append(Node* n) {
    const Value* list = n->input(0);
    const Node* maker = list->producer();
    const Any* start = list->constant();
    std::vector<Value*> items;
    if (maker && maker->kind == NodeKind::List) items.assign(maker->inputs().begin(), maker->inputs().end());
    else if (!start || start->tag() != Tag::Tensors || !start->tensors().empty()) return;
    if (items.size() >= most_items) return;
    items.push_back(n->input(1));
    Node* made = graph_.create(NodeKind::List, {n->owner(), n}, items, 1);
    stand_for(*n->output(), *n, *made);
    made->name.clear();
    n->destroy();
    changed++;
  }

  void replace(Value* old, Value* made) {
    if (old->uses().empty()) return;
    old->replace_all_uses_with(made);
    changed++;
  }

  // Inside a branch the condition is known.
  void know_condition(Node* n) {
    Value* condition = n->input(0);
    if (condition->type.kind != TypeKind::Bool || condition->constant()) return;
    for (int branch = 0; branch < 2; branch++) {
      Block& b = *n->block(branch);
      Value* known = nullptr;
      const std::vector<Value::Use> uses = condition->uses();
      for (const Value::Use& u : uses) {
        if (!is_inside(u.node ? u.node->owner() : u.results_of, &b)) continue;
        if (!known) known = graph_.constant(Any(branch == 0), {&b, b.first()});
        if (u.node) u.node->set_input(u.index, known);
        else u.results_of->set_result(u.index, known);
        changed++;
      }
    }
  }

  void share_results(Node* n) {
    for (int i = 0; i < n->data_outputs(); i++) {
      Value* then = n->block(0)->results()[static_cast<size_t>(i)];
      if (then == n->block(1)->results()[static_cast<size_t>(i)]) replace(n->output(i), then);
    }
  }

  void loop(Node* n) {
    if (n->inputs().size() != static_cast<size_t>(n->data_inputs())) return;  // ordered by tokens
    Block& body = *n->block(0);
    const int carried = n->data_outputs();
    for (int i = 0; i < carried; i++) {
      Value *param = body.params()[static_cast<size_t>(i) + 1], *start = n->input(i + 2);
      Value* next = body.results()[static_cast<size_t>(i) + 1];
      if (next != param && next != start) continue;
      replace(param, start);
      replace(n->output(i), start);
    }
    if (is_known(n->input(1), false)) return write_out(n, 0);
    const Any* count = known(n->input(0));
    if (!count) return;
    const bool endless = count->is_none(), goes_on = is_known(body.results()[0], true);
    if (!endless && count->tag() != Tag::Int) return;
    int64_t times = endless ? -1 : std::max<int64_t>(count->to_int(), 0);
    if (times != 0 && !is_known(n->input(1), true)) return;
    if (times != 0 && is_known(body.results()[0], false)) times = 1;
    else if (times < 0 || (times > 1 && !goes_on)) return;
    if (times > 1) {
      const int64_t nodes = std::max<int64_t>(count_nodes(body), 1);
      if (times > most_per_loop / nodes || written_ + nodes * times > most_per_graph) return;
      written_ += nodes * times;
    }
    write_out(n, times);
  }

  void write_out(Node* n, int64_t times) {
    Block& body = *n->block(0);
    const size_t carried = static_cast<size_t>(n->data_outputs());
    std::vector<Value*> values(n->inputs().begin() + 2, n->inputs().end());
    for (int64_t t = 0; t < times; t++) {
      ValueMap map;
      map[body.params()[0]] = graph_.constant(Any(t), {n->owner(), n});
      Node* const turn = n->previous();
      for (size_t i = 0; i < carried; i++) map[body.params()[i + 1]] = values[i];
      copy_nodes(body, {n->owner(), n}, map);
      sharpen_types(turn, n);
      for (size_t i = 0; i < carried; i++) {
        Value* next = body.results()[i + 1];
        const auto made = map.find(next);
        values[i] = made == map.end() ? next : made->second;
      }
    }
    for (size_t i = 0; i < carried; i++) n->output(static_cast<int>(i))->replace_all_uses_with(values[i]);
    n->destroy();
    changed++;
  }

  Graph& graph_;
  int64_t written_ = 0;
};
}  // namespace

int simplify_control(Graph& graph) {
  Simplifier s(graph);
  s.block(*graph.main());
  s.lists(*graph.main());
  return s.changed;
}

}  // namespace moka::passes
