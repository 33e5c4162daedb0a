// Computes what can be known now: pure nodes with constant inputs, sizes that types know, branches on known conditions.
// decompose first, so that composites fold part by part; specialize_shapes and freeze_states make more to fold.
// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "moka/graph/builtins.h"
#include "moka/passes/constants.h"
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
// Results of nodes that read no tensor (zeros, arange) are cheap to make and dear to store.
constexpr int64_t creation_limit = 1024;

int64_t bytes_of(const Any& a) {
  if (a.is_tensor()) return static_cast<int64_t>(a.tensor().bytes());
  int64_t n = 0;
  if (a.tag() == Tag::Tensors)
    for (const Tensor& t : a.tensors()) n += t ? static_cast<int64_t>(t.bytes()) : 0;
  return n;
}

// What the tensors among these hold, one that comes twice once.
int64_t distinct_bytes(const std::vector<Any>& args) {
  std::set<const void*> seen;
  int64_t bytes = 0;
  auto add = [&](const Tensor& t) {
    if (t && t.has_storage() && seen.insert(t.raw_data()).second) bytes += static_cast<int64_t>(t.bytes());
  };
  for (const Any& a : args) {
    if (a.is_tensor()) add(a.tensor());
    else if (a.tag() == Tag::Tensors)
      for (const Tensor& t : a.tensors()) add(t);
  }
  return bytes;
}

int64_t constant_bytes(const Block& block) {
  int64_t bytes = 0;
  for (const Node* n : block) {
    if (n->kind == NodeKind::Constant) bytes += bytes_of(n->constant);
    for (const auto& b : n->blocks()) bytes += constant_bytes(*b);
  }
  return bytes;
}

class Folder {
 public:
  Folder(Graph& graph, int64_t limit, int64_t& growth) : graph_(graph), limit_(limit), growth_(growth) {}
  int folded = 0;

  void block(Block& b) {
    for (Node* n : b) {
      for (const auto& inner : n->blocks()) block(*inner);
      node(n);
    }
  }

 private:
  void node(Node* n) {
    if (n->kind == NodeKind::If) return take_branch(n);
    if (n->outputs().size() != static_cast<size_t>(n->data_outputs()) ||
        n->inputs().size() != static_cast<size_t>(n->data_inputs()))
      return;
    if (n->kind == NodeKind::Builtin && fold_sizes(n)) return;
    std::vector<Any> args;
    for (Value* v : n->inputs()) {
      const Any* c = v->constant();
      if (!c) return;
      args.push_back(*c);
    }
    try {
      switch (n->kind) {
        case NodeKind::Op: return fold_op(n, args);
        case NodeKind::Builtin: return replace(n, {get_builtin(n->name).run(args)});
        case NodeKind::List: {
          const Type& type = n->output()->type;
          return replace(n, {make_list(args, type.kind == TypeKind::List ? type.elements[0] : Type())});
        }
        case NodeKind::Tuple: return replace(n, {Any(std::span<const Any>(args))});
        case NodeKind::Unpack: {
          if (list_length(args[0]) != static_cast<int64_t>(n->outputs().size())) return;
          std::vector<Any> items;
          for (size_t i = 0; i < n->outputs().size(); i++)
            items.push_back(list_item(args[0], static_cast<int64_t>(i)));
          return replace(n, std::move(items));
        }
        default: return;
      }
    } catch (const Error&) {
      // The program may never come here; if it does, the error is raised there with the node's place.
    }
  }

  // Sizes of a tensor whose type knows them all, or the one that is asked for.
  bool fold_sizes(Node* n) {
    const Type& t = n->input(0)->type;
    if (t.kind != TypeKind::Tensor) return false;
    if (n->name == "dtype" && t.has_dtype) return replace(n, {Any(t.dtype)}), true;
    if (!t.has_dims) return false;
    if (n->name == "dim") return replace(n, {Any(static_cast<int64_t>(t.dims.size()))}), true;
    if (n->name == "size") {
      const Any* d = n->input(1)->constant();
      if (!d || d->tag() != Tag::Int) return false;
      int64_t rank = static_cast<int64_t>(t.dims.size()),
              i = d->to_int() < 0 ? d->to_int() + rank : d->to_int();
      if (i < 0 || i >= rank || !t.dims[static_cast<size_t>(i)].fixed()) return false;
      return replace(n, {Any(t.dims[static_cast<size_t>(i)].size)}), true;
    }
    Dims sizes;
    int64_t count = 1;
    for (const Dim& d : t.dims) {
      if (!d.fixed()) return false;
      sizes.push_back(d.size);
      if (__builtin_mul_overflow(count, d.size, &count)) return false;
    }
    if (n->name == "sizes") return replace(n, {Any(sizes)}), true;
    if (n->name == "numel") return replace(n, {Any(count)}), true;
    return false;
  }

  void fold_op(Node* n, const std::vector<Any>& args) {
    if (n->op->effect != Effect::Pure) return;
    bool reads_tensor = false;
    for (const Any& a : args) reads_tensor |= a.is_tensor() || a.tag() == Tag::Tensors;
    std::vector<Arg> borrowed(args.begin(), args.end());
    int64_t limit = reads_tensor ? limit_ : std::min(limit_, creation_limit);
    if (n->op->formula || n->op->shape || n->op->view) {
      int64_t bytes = 0;
      for (const Tensor& t : infer_shapes(*n->op, borrowed)) bytes += static_cast<int64_t>(t.bytes());
      if (bytes > limit) return;
      // Views hold nothing of their own.
      if (const int64_t more = bytes - distinct_bytes(args); more > 0 && !n->op->view) {
        if (more > growth_) return;
        growth_ -= more;
      }
    }
    LayersOff off(~0u);
    std::vector<Tensor> results = call_boxed(*n->op, borrowed);
    std::vector<Any> values;
    const Schema& schema = info(*n->op).schema;
    if (schema.outs.size() == 1 && schema.outs[0].type.list)
      values.push_back(Any(std::span<const Tensor>(results)));
    else
      for (const Tensor& t : results) values.push_back(Any(t));
    int64_t bytes = 0;
    for (const Any& v : values) bytes += bytes_of(v);
    if (bytes > limit || values.size() != n->outputs().size()) return;
    replace(n, std::move(values));
  }

  void replace(Node* n, std::vector<Any> values) {
    for (size_t i = 0; i < values.size(); i++) {
      Value* old = n->outputs()[i];
      if (old->uses().empty()) continue;
      Value* made = graph_.constant(std::move(values[i]), {n->owner(), n});
      old->replace_all_uses_with(made);
    }
    const std::set<Value*> read(n->inputs().begin(), n->inputs().end());
    n->destroy();
    for (Value* v : read) drop_unread(v);
    folded++;
  }

  void take_branch(Node* n) {
    const Any* condition = n->input(0)->constant();
    if (!condition || !condition->arg().is_number() || n->inputs().size() != 1) return;
    Block& chosen = *n->block(condition->to_bool() ? 0 : 1);
    while (Node* first = chosen.first()) first->move_before(n);
    for (size_t i = 0; i < n->outputs().size(); i++)
      n->outputs()[i]->replace_all_uses_with(chosen.results()[i]);
    n->destroy();
    folded++;
  }

  Graph& graph_;
  int64_t limit_;
  int64_t& growth_;
};
}  // namespace

int64_t growth_limit(const Graph& graph) {
  int64_t bytes = constant_bytes(*graph.main());
  for (const auto& [name, state] : graph.states) bytes += bytes_of(state.value);
  return (int64_t(16) << 20) + 8 * bytes;
}

int fold_constants(Graph& graph, int64_t byte_limit) {
  int64_t growth = growth_limit(graph);
  return fold_constants(graph, byte_limit, growth);
}

int fold_constants(Graph& graph, int64_t byte_limit, int64_t& growth) {
  Folder f(graph, byte_limit, growth);
  f.block(*graph.main());
  return f.folded;
}

}  // namespace moka::passes
