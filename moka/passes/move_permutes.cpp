// Regions between permutations that undo each other work in the order before them: files of tools that keep channels last
// say "permute, pointwise operators, permute back" around every convolution. Where that leaves fewer elements to be
// permuted, the region is rewritten and the permutations go. After fold_constants.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "moka/passes/constants.h"
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {

const Any* constant_of(const Node& n, const char* argument) {
  const Value* v = n.argument(argument);
  return v ? v->constant() : nullptr;
}
int rank_of(const Value* v) {
  return v->type.kind == TypeKind::Tensor && v->type.has_dims ? static_cast<int>(v->type.dims.size()) : -1;
}
int64_t wrapped(int64_t d, int rank) { return d < 0 ? d + rank : d; }
bool is_inside(int64_t d, int rank) { return d >= -rank && d < rank; }
// Its dimensions when n is a permutation whose order is known. What a file says of a node need not be possible.
Dims order_of(const Node& n) {
  if (n.kind != NodeKind::Op || n.op_name() != "permute") return {};
  const Any* dims = constant_of(n, "dims");
  const int rank = rank_of(n.output()), before = rank_of(n.input(0));
  if (!dims || dims->tag() != Tag::Ints || rank < 1 || static_cast<int>(dims->ints().size()) != rank ||
      (before >= 0 && before != rank))
    return {};
  Dims order;
  std::vector<bool> seen(static_cast<size_t>(rank));
  for (int64_t d : dims->ints()) {
    if (!is_inside(d, rank) || seen[static_cast<size_t>(wrapped(d, rank))]) return {};
    order.push_back(wrapped(d, rank));
    seen[static_cast<size_t>(order.back())] = true;
  }
  return order;
}
bool is_straight(const Dims& order) {
  for (size_t i = 0; i < order.size(); i++)
    if (order[i] != static_cast<int64_t>(i)) return false;
  return true;
}
// How many elements a permutation moves, sizes that are open taken as 1.
double elements_of(const Value* v) {
  double count = 1;
  for (const Dim& d : v->type.dims) count *= d.fixed() ? static_cast<double>(d.size) : 1;
  return count;
}
// One element, whatever its rank: the same in every order.
bool is_single(const Value* v) {
  const Type& t = v->type;
  if (const Any* c = v->constant())
    return c->arg().is_number() || (c->is_tensor() && c->tensor().numel() == 1);
  if (t.kind == TypeKind::Int || t.kind == TypeKind::Float || t.kind == TypeKind::Bool) return true;
  return t.kind == TypeKind::Tensor && t.has_dims && t.dims.empty();
}

// What an operator that works in any order does with its dimensions.
enum class Way : uint8_t { None, Pointwise, Conversion, Reduction, Pad, Join, Slice };
Way way_of(const Node& n) {
  if (n.kind != NodeKind::Op || n.outputs().size() != 1 || n.op->effect != Effect::Pure ||
      rank_of(n.output()) < 0)
    return Way::None;
  const std::string_view name = n.op_name();
  if (n.op->formula) return Way::Pointwise;
  if (name == "to") return Way::Conversion;
  if (name == "mean" || name == "sum" || name == "amax" || name == "amin")
    return constant_of(n, "dim") && constant_of(n, "dim")->tag() == Tag::Ints && constant_of(n, "keepdim")
               ? Way::Reduction
               : Way::None;
  if (name == "pad_constant")
    return constant_of(n, "pad") && constant_of(n, "pad")->tag() == Tag::Ints ? Way::Pad : Way::None;
  if (name == "cat") {
    const Node* list = n.argument("tensors")->producer();
    return constant_of(n, "dim") && list && list->kind == NodeKind::List ? Way::Join : Way::None;
  }
  if (name == "slice") return constant_of(n, "dim") ? Way::Slice : Way::None;
  return Way::None;
}
// Whether the dimensions that it names are among so many.
bool dimensions_fit(const Node& n, Way way, int rank) {
  const auto fits = [&](int64_t d) { return is_inside(d, rank); };
  if (way == Way::Reduction) {
    const auto dims = constant_of(n, "dim")->ints();
    return std::all_of(dims.begin(), dims.end(), fits);
  }
  if (way == Way::Pad) return constant_of(n, "pad")->ints().size() <= 2 * static_cast<size_t>(rank);
  if (way == Way::Join || way == Way::Slice) return fits(constant_of(n, "dim")->to_int());
  return true;
}

class Mover {
 public:
  Mover(Graph& graph, Block& block) : graph_(graph), block_(block) {}

  int run() {
    find();
    if (regions_.empty()) return 0;
    weigh();
    for (Node* n : block_)
      if (const Form* f = form_of(n); f && regions_[root(f->region)] > 0) rewrite(*n, *f);
    for (Node* n = block_.last(); n;) {
      Node* previous = n->previous();
      if (replaced_.count(n) && n->output()->uses().empty()) n->destroy();
      n = previous;
    }
    return changed_;
  }

 private:
  // v is what `order` makes of another tensor: that before a permutation, or one that a node would make of such.
  struct Form {
    Dims order;
    size_t region;
  };

  size_t root(size_t region) {
    while (joined_[region] != region) region = joined_[region];
    return region;
  }
  const Form* form_of(const Value* v) const {
    const auto at = forms_.find(v);
    return at == forms_.end() ? nullptr : &at->second;
  }
  const Form* form_of(const Node* n) const {
    return n->outputs().size() == 1 ? form_of(n->output()) : nullptr;
  }
  static std::vector<Value*> operands(const Node& n, Way way) {
    if (way == Way::Join) {
      const auto parts = n.argument("tensors")->producer()->inputs();
      return {parts.begin(), parts.end()};
    }
    const size_t count = way == Way::Pointwise ? n.op->formula.streams : 1;
    return {n.inputs().begin(), n.inputs().begin() + static_cast<int64_t>(count)};
  }

  void find() {
    for (Node* n : block_) {
      if (Dims order = order_of(*n); !order.empty() && !is_straight(order)) {
        if (form_of(n->input(0))) continue;  // the other end of a region
        joined_.push_back(joined_.size());
        forms_[n->output()] = {std::move(order), joined_.back()};
        continue;
      }
      const Way way = way_of(*n);
      if (way == Way::None) continue;
      const Form* form = nullptr;
      bool fits = true;
      for (const Value* v : operands(*n, way)) {
        const Form* f = form_of(v);
        if (f && !form) form = f;
        if (f) fits &= f->order == form->order;
        else fits &= way == Way::Pointwise && (is_single(v) || constant_tensor(v));
      }
      if (!form || !fits) continue;
      const Dims order = form->order;
      const int rank = static_cast<int>(order.size());
      fits = dimensions_fit(*n, way, rank);
      for (const Value* v : operands(*n, way))
        if (const Tensor* t = constant_tensor(v); t && t->dim() > rank) fits = false;
      if (way == Way::Reduction && !n->argument("keepdim")->constant()->to_bool())
        fits = fits && keeps_order(*n, order);
      else fits &= rank_of(n->output()) == rank;
      if (!fits) continue;
      const size_t region = root(form->region);
      for (const Value* v : operands(*n, way))
        if (const Form* f = form_of(v)) joined_[root(f->region)] = region;
      if (rank_of(n->output()) == rank) forms_[n->output()] = {order, region};
      else leaving_[n] = {order, region};
    }
    regions_.assign(joined_.size(), 0);
  }
  // Whether the dimensions that a reduction leaves come in the same order either way.
  static bool keeps_order(const Node& n, const Dims& order) {
    std::vector<bool> gone(order.size());
    for (int64_t d : n.argument("dim")->constant()->ints())
      gone[static_cast<size_t>(wrapped(d, static_cast<int>(order.size())))] = true;
    int64_t last = -1;
    for (size_t i = 0; i < order.size(); i++) {
      if (gone[i]) continue;
      if (order[i] < last) return false;
      last = order[i];
    }
    return n.argument("dim")->constant()->ints().size() > 0;
  }

  bool stays_inside(const Value::Use& use, size_t region) {
    if (!use.node) return false;
    const Node* n = use.node;
    if (n->kind == NodeKind::List) {  // of a cat
      for (const Value::Use& further : n->output()->uses())
        if (!stays_inside(further, region)) return false;
      return true;
    }
    if (const Form* f = form_of(n); f && n->op_name() != "permute") return root(f->region) == region;
    const auto at = leaving_.find(n);
    return at != leaving_.end() && root(at->second.region) == region;
  }
  static bool is_permutation(const Value::Use& use) { return use.node && !order_of(*use.node).empty(); }

  // The elements that need not be permuted any more, less those that now must.
  void weigh() {
    for (const auto& [v, form] : forms_) {
      const size_t region = root(form.region);
      const bool begins = v->producer()->op_name() == "permute";
      bool needed = false, inside = false;
      for (const Value::Use& use : v->uses()) {
        if (is_permutation(use)) {
          if (is_straight(after(form.order, order_of(*use.node)))) regions_[region] += elements_of(v);
        } else if (stays_inside(use, region)) {
          inside = true;
        } else {
          needed = true;
        }
      }
      if (begins && inside && !needed) regions_[region] += elements_of(v);
      if (!begins && needed) regions_[region] -= elements_of(v);
    }
  }
  // One permutation that is `first`, then `second`.
  static Dims after(const Dims& first, const Dims& second) {
    Dims out;
    for (int64_t d : second) out.push_back(first[static_cast<size_t>(d)]);
    return out;
  }

  Value* constant(Any v, Node& before) { return graph_.constant(std::move(v), {before.owner(), &before}); }
  Value* call(const Op& op, std::vector<Value*> inputs, Node& like, Node* before) {
    Node* node = graph_.create_op(op, {&block_, before}, inputs);
    node->source = like.source;
    node->name = like.name;
    return node->output();
  }

  // A constant that broadcasts over the permuted dimensions, for those before.
  Value* turned(Value* v, const Dims& order, Node& user) {
    const Tensor* t = constant_tensor(v);
    if (!t || t->numel() == 1) return v;
    Dims sizes(order.size(), 1), back(order.size(), 0);
    for (int d = 0; d < t->dim(); d++) sizes[order.size() - static_cast<size_t>(t->dim() - d)] = t->size(d);
    for (size_t i = 0; i < order.size(); i++) back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
    const LayersOff off(~0u);
    const Arg shape[] = {*t, std::span<const int64_t>(sizes)};
    const Tensor whole = call_boxed(get_op("reshape"), shape)[0];
    const Arg dims[] = {whole, std::span<const int64_t>(back)};
    return constant(Any(as_contiguous(call_boxed(get_op("permute"), dims)[0])), user);
  }
  Value* before(Value* v, const Dims& order, Node& user) {
    const auto at = before_.find(v);
    return at == before_.end() ? turned(v, order, user) : at->second;
  }

  void rewrite(Node& n, const Form& form) {
    const Dims order = form.order;
    Value* v = n.output();
    if (n.op_name() == "permute") {
      before_[v] = n.input(0);
    } else {
      before_[v] = moved(n, order);
      Type& type = before_[v]->type = v->type;
      for (size_t i = 0; i < order.size(); i++) type.dims[static_cast<size_t>(order[i])] = v->type.dims[i];
    }
    leave(*v, order, n);
    replaced_.insert(&n);
    changed_++;
  }

  // The node over what its operands were before.
  Value* moved(Node& n, const Dims& order) {
    const Way way = way_of(n);
    std::vector<Value*> inputs(n.inputs().begin(), n.inputs().end());
    const auto set = [&](const char* name, Any v) {
      inputs[static_cast<size_t>(info(*n.op).schema.find_arg(name))] = constant(std::move(v), n);
    };
    const auto moved_dim = [&](int64_t d) {
      return order[static_cast<size_t>(wrapped(d, static_cast<int>(order.size())))];
    };
    if (way == Way::Join) {
      std::vector<Value*> parts;
      replaced_.insert(n.argument("tensors")->producer());
      for (Value* part : operands(n, way)) parts.push_back(before(part, order, n));
      Node* list = graph_.create(NodeKind::List, {&block_, &n}, parts, 1);
      infer_types(*list);
      inputs[0] = list->output();
    } else {
      for (size_t i = 0; i < operands(n, way).size(); i++) inputs[i] = before(inputs[i], order, n);
    }
    if (way == Way::Reduction) {
      Dims dims;
      for (int64_t d : n.argument("dim")->constant()->ints()) dims.push_back(moved_dim(d));
      set("dim", Any(dims));
    } else if (way == Way::Pad) {
      const Dims given(n.argument("pad")->constant()->ints());
      Dims pad(order.size() * 2, 0);  // from the last dimension
      for (size_t i = 0; 2 * i + 1 < given.size(); i++) {
        const size_t at = order.size() - 1 - static_cast<size_t>(order[order.size() - 1 - i]);
        pad[2 * at] = given[2 * i];
        pad[2 * at + 1] = given[2 * i + 1];
      }
      set("pad", Any(pad));
    } else if (way == Way::Join || way == Way::Slice) {
      set("dim", Any(moved_dim(n.argument("dim")->constant()->to_int())));
    }
    return call(*n.op, inputs, n, &n);
  }

  // Whoever reads v outside of the region gets it permuted, once; permutations of v start from what was before.
  void leave(Value& v, const Dims& order, Node& n) {
    const size_t region = root(form_of(&v)->region);
    Value* whole = n.op_name() == "permute" ? &v : nullptr;
    const std::vector<Value::Use> uses = v.uses();
    for (const Value::Use& use : uses) {
      if (is_permutation(use)) {
        const Dims both = after(order, order_of(*use.node));
        Value* out = use.node->output();
        if (is_straight(both)) {
          if (before_[&v]->name.empty()) before_[&v]->name = out->name;
          out->replace_all_uses_with(before_[&v]);
          replaced_.insert(use.node);
        } else if (use.node->input(0) == &v && n.op_name() != "permute") {
          use.node->set_input(0, before_[&v]);
          use.node->set_input(1, constant(Any(both), *use.node));
        }
      } else if (!stays_inside(use, region)) {
        if (!whole) {
          whole = call(get_op("permute"), {before_[&v], constant(Any(order), n)}, n, n.next());
          whole->type = v.type;
          whole->name = v.name;
        }
        if (whole == &v) continue;
        if (use.node) use.node->set_input(use.index, whole);
        else use.results_of->set_result(use.index, whole);
      } else if (const auto at = leaving_.find(use.node);
                 at != leaving_.end() && use.node->outputs().size() == 1) {
        leave_smaller(*use.node, order);
      }
    }
  }
  // A reduction whose result is the same either way.
  void leave_smaller(Node& n, const Dims& order) {
    Value* now = moved(n, order);
    now->type = n.output()->type;
    now->name = n.output()->name;
    n.output()->replace_all_uses_with(now);
    replaced_.insert(&n);
  }

  Graph& graph_;
  Block& block_;
  std::unordered_map<const Value*, Form> forms_;
  std::unordered_map<const Node*, Form> leaving_;
  std::vector<size_t> joined_;  // by region: another one that it is part of, or itself
  std::vector<double> regions_;  // by region: what rewriting it saves
  std::unordered_map<const Value*, Value*> before_;
  std::unordered_set<const Node*> replaced_;
  int changed_ = 0;
};

int move_in(Graph& graph, Block& block) {
  int changed = Mover(graph, block).run();
  for (Node* n : block)
    for (const auto& inner : n->blocks()) changed += move_in(graph, *inner);
  return changed;
}
}  // namespace

int move_permutes(Graph& graph) { return move_in(graph, *graph.main()); }

}  // namespace moka::passes
