// The backward engine: visits nodes in reverse order of their making, in the calling thread.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>

#include "moka/autograd/node.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"

namespace moka::autograd {

namespace {
// Node marks belong to one backward at a time; hooks and custom functions may start another inside it.
std::recursive_mutex engine_mutex;
uint64_t next_task = 1;

struct GradModeScope {
  bool before = grad_enabled();
  explicit GradModeScope(bool on) { set_grad_enabled(on); }
  ~GradModeScope() { set_grad_enabled(before); }
};

bool later(GradNode* a, GradNode* b) { return a->sequence < b->sequence; }

void add_in_place(Tensor& into, const Tensor& g) {
  Arg args[3] = {into, g, Arg(1)};
  Frame f(ops::add_op, args, 3);
  f.outs.resize(1);
  f.outs[0] = into;
  f.given = 1;
  run_op(f);
}

// Adds `g` to what has come so far. A buffer that nobody else holds is added to in place.
void accumulate(Tensor& sum, const Tensor& g, bool create_graph) {
  if (!sum) {
    sum = g;
  } else if (!create_graph && sum.impl()->references.load() == 1 && sum.dtype() == g.dtype() &&
             !sum.impl()->storage->read_only && sum.impl()->storage->references.load() == 1 &&
             is_non_overlapping(sum.sizes(), sum.strides())) {
    add_in_place(sum, g);
  } else {
    sum = add(sum, g);
  }
}

Tensor run_hooks(const Tensor& of, Tensor g) {
  GradMeta* m = meta(of);
  for (size_t i = 0; m && i < m->hooks.size(); i++)
    if (Tensor changed = m->hooks[i].second(g)) g = changed;
  return g;
}

void accumulate_leaf(const Tensor& leaf, Tensor g, bool create_graph) {
  g = run_hooks(leaf, std::move(g));
  GradMeta& m = make_meta(leaf);
  if (!m.grad) {
    bool own = g.impl()->references.load() == 1 && g.impl()->storage->references.load() == 1 &&
               !g.impl()->storage->read_only;
    if (create_graph || own) {
      m.grad = g;
    } else {
      m.grad = new_tensor(g.sizes(), g.dtype(), g.device());
      copy_elements(g, m.grad);
    }
    if (!create_graph) m.grad.impl()->layers &= ~layer::autograd;
  } else if (create_graph) {
    m.grad = add(m.grad, g);
  } else {
    // Whoever holds .grad sees it grow, as in PyTorch.
    add_in_place(m.grad, g);
    bump_version(m.grad);
  }
}

class Task {
 public:
  Task(std::span<const Tensor> roots, std::span<const Tensor> grads, BackwardOptions options)
      : options_(options), id_(next_task++) {
    MOKA_CHECK(grads.empty() || grads.size() == roots.size(), "backward: ", roots.size(), " roots but ",
               grads.size(), " gradients");
    for (size_t i = 0; i < roots.size(); i++) {
      const Tensor& root = roots[i];
      MOKA_CHECK(requires_grad(root), "backward: the tensor ", root,
                 " does not require grad: nothing it was computed from does (was it made under no_grad() or "
                 "detached?)");
      Tensor g = i < grads.size() ? grads[i] : Tensor();
      if (!g) {
        MOKA_CHECK(root.numel() == 1,
                   "backward: a gradient must be given unless the root has one element; it has shape ",
                   root.sizes());
        g = new_tensor(root.sizes(), root.dtype(), root.device());
        double one = 1;
        convert_elements(&one, DType::F64, g.raw_data(), g.dtype(), 1);
      }
      MOKA_CHECK(g.sizes().size() == root.sizes().size() &&
                     std::equal(g.sizes().begin(), g.sizes().end(), root.sizes().begin()),
                 "backward: the gradient given has shape ", g.sizes(), " but the root has shape ",
                 root.sizes());
      root_edges_.push_back(gradient_edge(root));
      root_grads_.push_back(g);
    }
  }

  // Only paths to these matter when set.
  void want(std::span<const Tensor> inputs) {
    wanted_ = inputs;
    for (const Tensor& t : inputs) {
      MOKA_CHECK(requires_grad(t), "grad: the input ", t, " does not require grad");
      wanted_edges_.push_back(gradient_edge(t));
    }
    results_.resize(inputs.size());
  }

  std::vector<Tensor> run() {
    std::lock_guard lock(engine_mutex);
    GradModeScope mode(options_.create_graph);
    count_dependencies();
    if (!wanted_.empty()) mark_needed();
    std::vector<GradNode*> ready;
    for (size_t i = 0; i < root_edges_.size(); i++) deliver(root_edges_[i], root_grads_[i]);
    root_grads_.clear();
    for (const Edge& e : root_edges_)
      if (e.node && e.node->visit.waiting == 0 &&
          std::find(ready.begin(), ready.end(), e.node.get()) == ready.end())
        ready.push_back(e.node.get());
    std::make_heap(ready.begin(), ready.end(), later);
    std::vector<Tensor> dxs;
    while (!ready.empty()) {
      std::pop_heap(ready.begin(), ready.end(), later);
      Ref<GradNode> node = Ref<GradNode>::share(ready.back());
      ready.pop_back();
      step(*node, dxs);
      for (const Edge& e : node->edges) {
        if (!e.node || --e.node->visit.waiting != 0) continue;
        ready.push_back(e.node.get());
        std::push_heap(ready.begin(), ready.end(), later);
      }
      if (!options_.retain_graph) node->release_saved();
    }
    return std::move(results_);
  }

 private:
  void enter(GradNode* n, std::vector<GradNode*>& stack) {
    if (n->visit.task == id_) return;
    n->visit.task = id_;
    n->visit.waiting = 0;
    n->visit.needed = wanted_.empty();
    n->visit.buffer.clear();
    stack.push_back(n);
    nodes_.push_back(n);
  }
  void count_dependencies() {
    std::vector<GradNode*> stack;
    for (const Edge& e : root_edges_)
      if (e.node) enter(e.node.get(), stack);
    while (!stack.empty()) {
      GradNode* n = stack.back();
      stack.pop_back();
      for (const Edge& e : n->edges) {
        if (!e.node) continue;
        enter(e.node.get(), stack);
        e.node->visit.waiting++;
      }
    }
  }
  bool is_wanted(const Edge& e) const {
    for (const Edge& w : wanted_edges_)
      if (w.node == e.node && w.slot == e.slot && w.leaf == e.leaf) return true;
    return false;
  }
  // A node is needed when a wanted input lies upstream of it. Sequence numbers fall along edges.
  void mark_needed() {
    std::sort(nodes_.begin(), nodes_.end(),
              [](GradNode* a, GradNode* b) { return a->sequence < b->sequence; });
    for (GradNode* n : nodes_)
      for (const Edge& e : n->edges)
        if (e && (is_wanted(e) || (e.node && e.node->visit.needed))) n->visit.needed = true;
  }

  void deliver(const Edge& e, const Tensor& g) {
    if (!g) return;
    if (!wanted_edges_.empty())
      for (size_t i = 0; i < wanted_edges_.size(); i++) {
        const Edge& w = wanted_edges_[i];
        if (w.leaf && w.leaf == e.leaf) accumulate(results_[i], run_hooks(w.leaf, g), options_.create_graph);
      }
    if (e.leaf) {
      if (wanted_edges_.empty()) accumulate_leaf(e.leaf, g, options_.create_graph);
      return;
    }
    if (!e.node) return;
    auto& buffer = e.node->visit.buffer;
    if (buffer.size() < e.node->outputs) buffer.resize(e.node->outputs);
    accumulate(buffer[e.slot], g, options_.create_graph);
  }

  void step(GradNode& n, std::vector<Tensor>& dxs) {
    std::vector<Tensor> dys = std::move(n.visit.buffer);
    n.visit.buffer.clear();
    if (dys.size() < n.outputs) dys.resize(n.outputs);
    bool any = false;
    for (const Tensor& dy : dys) any |= dy.defined();
    if (!any) return;
    for (size_t i = 0; i < wanted_edges_.size(); i++)
      if (wanted_edges_[i].node.get() == &n && dys[wanted_edges_[i].slot])
        results_[i] = dys[wanted_edges_[i].slot];
    if (!n.visit.needed) return;
    for (auto& hook : n.pre_hooks) hook.second(dys);
    dxs.clear();
    dxs.resize(n.edges.size());
    try {
      n.backward(dys, dxs, options_.create_graph);
    } catch (Error& error) {
      if (!n.source.empty())
        error.add_context(cat("in the backward of ", n.name(), ", whose forward ran at ", n.source));
      throw;
    }
    if (anomaly_enabled()) check_finite(n, dxs);
    dys.clear();
    for (size_t i = 0; i < n.edges.size(); i++) {
      Tensor g = std::move(dxs[i]);
      deliver(n.edges[i], g);
    }
  }

  void check_finite(const GradNode& n, const std::vector<Tensor>& dxs) const {
    for (const Tensor& g : dxs) {
      if (!g || !is_floating(g.dtype())) continue;
      for (int64_t i = 0; i < g.numel(); i++)
        if (double v = element_as_double(g, i); v != v)
          fail("anomaly mode: the backward of ", n.name(), " returned NaN",
               n.source.empty() ? "" : "; its forward ran at ", n.source);
    }
  }

  BackwardOptions options_;
  uint64_t id_;
  std::vector<Edge> root_edges_;
  std::vector<Tensor> root_grads_;
  std::vector<GradNode*> nodes_;
  std::span<const Tensor> wanted_;
  std::vector<Edge> wanted_edges_;
  std::vector<Tensor> results_;
};
}  // namespace

void backward(std::span<const Tensor> roots, std::span<const Tensor> grads, BackwardOptions options) {
  Task task(roots, grads, options);
  task.run();
}

std::vector<Tensor> grad(std::span<const Tensor> roots, std::span<const Tensor> grads,
                         std::span<const Tensor> inputs, BackwardOptions options, bool allow_unused) {
  if (inputs.empty()) return {};
  Task task(roots, grads, options);
  task.want(inputs);
  std::vector<Tensor> out = task.run();
  for (size_t i = 0; i < out.size(); i++)
    MOKA_CHECK(out[i] || allow_unused, "grad: input ", i, " (", inputs[i],
               ") was not used to compute the outputs; pass allow_unused=True to get None for it");
  return out;
}

Tensor sum_to_shape(const Tensor& gradient, std::span<const int64_t> sizes) {
  Dims dims;
  int lead = gradient.dim() - static_cast<int>(sizes.size());
  MOKA_ASSERT(lead >= 0);
  for (int d = 0; d < gradient.dim(); d++)
    if (d < lead || (sizes[d - lead] == 1 && gradient.size(d) != 1)) dims.push_back(d);
  if (dims.empty()) return gradient;
  Tensor out = sum(gradient, dims, true);
  if (lead == 0) return out;
  static const Op& reshape = get_op("reshape");
  return EagerReading::call(reshape, out, sizes);
}

}  // namespace moka::autograd
