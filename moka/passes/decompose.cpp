// Composite operators become their parts. Runs on any graph; later passes need not know composites then.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/expr.h"
#include "moka/passes/passes.h"
#include "moka/schema/reading.h"

namespace moka::passes {

using namespace graph;

namespace {
// Bodies that use each other without end are a defect in an operator page; this names it instead of hanging.
constexpr int deepest_body = 64;

bool is_composite(const Node& n) {
  return n.kind == NodeKind::Op && n.op->body && n.op->body.graph && !n.op->formula && !n.op->view &&
         !n.op->kernels.count && info(*n.op).rows.empty() && n.op->effect == Effect::Pure;
}

int decompose_node(Graph& g, Node* node, int depth) {
  MOKA_CHECK_KIND(Internal, depth < deepest_body, node->op_name(), ": its body is defined by itself");
  const Schema& schema = info(*node->op).schema;
  Expr in[max_args], out[16];
  MOKA_ASSERT(schema.outs.size() <= std::size(out));
  for (size_t i = 0; i < schema.args.size(); i++) {
    const Any* c = node->input(static_cast<int>(i))->constant();
    if (!c || !c->is_none()) in[i] = Expr(node->input(static_cast<int>(i)));
  }
  Node* before = node->previous();
  {
    Building building(g, {node->owner(), node}, node->source);
    node->op->body.graph(in, out);
    for (size_t i = 0; i < node->outputs().size(); i++) {
      Value* result = out[i].value ? out[i].value : g.constant(Any(), building.at);
      if (result->name.empty()) result->name = node->output(static_cast<int>(i))->name;
      node->output(static_cast<int>(i))->replace_all_uses_with(result);
    }
  }
  // Parts keep the label and the notes that people and later passes look at; they may be composites themselves.
  Node* part = before ? before->next() : node->owner()->first();
  int count = 1;
  while (part != node) {
    Node* next = part->next();
    if (part->kind != NodeKind::Constant && part->name.empty()) part->name = node->name;
    if (is_composite(*part)) count += decompose_node(g, part, depth + 1);
    part = next;
  }
  node->destroy();
  return count;
}

int decompose_block(Graph& g, Block& block) {
  int count = 0;
  for (Node* n : block) {
    for (const auto& b : n->blocks()) count += decompose_block(g, *b);
    if (is_composite(*n)) count += decompose_node(g, n, 0);
  }
  return count;
}
}  // namespace

int decompose(Graph& graph) { return decompose_block(graph, *graph.main()); }

}  // namespace moka::passes
