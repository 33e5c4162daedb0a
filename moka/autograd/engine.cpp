// The backward engine: visits nodes in reverse order of their making, in the calling thread.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/engine.h"

#include <algorithm>
#include <mutex>

#include "moka/autograd/accumulate.h"
#include "moka/base/thread_local.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/wrapper.h"

namespace moka::autograd {

namespace {
class Task;
// Marks in nodes belong to one backward at a time; hooks and custom functions may start another inside it.
std::recursive_mutex engine_mutex;
Task* running = nullptr;  // the innermost; guarded by engine_mutex
uint64_t last_task = 0;
MOKA_THREAD_LOCAL uint64_t task_of_thread = 0;

bool later(const GradNode* a, const GradNode* b) { return a->sequence < b->sequence; }

class Task {
 public:
  Task(std::span<const Root> roots, std::span<const Edge> captures, BackwardOptions options)
      : lock_(engine_mutex, std::try_to_lock), roots_(roots), captures_(captures), options_(options) {
    if (!lock_.owns_lock()) {
      give_up_host();
      lock_.lock();
    }
    outer_ = std::exchange(running, this);
    id_ = ++last_task;
    thread_before_ = std::exchange(task_of_thread, id_);
    results_.resize(captures.size());
  }
  ~Task() {
    if (!finished_) forget_sums();
    for (auto& [node, visit] : kept_) node->visit = std::move(visit);
    running = outer_;
    task_of_thread = thread_before_;
  }

  // accumulate: captured leaves add to their .grad as well.
  std::vector<Tensor> run(bool accumulate_captured) {
    {
      GradModeScope mode(options_.create_graph);
      count_dependencies();
      if (!captures_.empty()) mark_needed(accumulate_captured);
      for (const Root& r : roots_) {
        deliver(r.edge, r.gradient);
        if (r.edge.node->visit.waiting == 0) make_ready(r.edge.node.get());
      }
      while (!ready_.empty()) {
        std::pop_heap(ready_.begin(), ready_.end(), later);
        GradNode* node = ready_.back();
        ready_.pop_back();
        step(*node);
        if (!options_.retain_graph && node->visit.runs) node->release_saved();
      }
      finished_ = true;
    }
    for (size_t i = 0; i < at_end.size(); i++) at_end[i]();
    return std::move(results_);
  }

  bool reaches_all_leaves() const { return captures_.empty(); }
  std::vector<std::function<void()>> at_end;

 private:
  static constexpr int64_t long_work = 1 << 16;

  void give_up_host() {
    if (HostLock* host = std::exchange(options_.host, nullptr)) host->give_up();
  }
  bool is_running(uint64_t task) const {
    for (const Task* t = this; t; t = t->outer_)
      if (t->id_ == task) return true;
    return false;
  }
  bool leads_on(const Edge& e) const { return e.node && e.node->sequence >= options_.since; }
  void enter(GradNode* n) {
    GradNode::Visit& v = n->visit;
    if (v.task == id_) return;
    if (outer_ && is_running(v.task)) kept_.emplace_back(n, std::exchange(v, {}));
    v.task = id_;
    v.waiting = 0;
    v.needed = v.runs = captures_.empty();
    stack_.push_back(n);
    if (!captures_.empty()) nodes_.push_back(n);
  }
  void count_dependencies() {
    for (const Root& r : roots_) enter(r.edge.node.get());
    while (!stack_.empty()) {
      GradNode* n = stack_.back();
      stack_.pop_back();
      for (Edge& e : n->edges) {
        if (!leads_on(e)) continue;
        enter(e.node.get());
        e.node->visit.waiting++;
      }
    }
  }
  // Only nodes on the way to a captured output run. Sequence numbers fall along edges, except to leaves.
  void mark_needed(bool accumulate_captured) {
    for (const Edge& e : captures_) {
      GradNode::Visit& v = e.node->visit;
      if (v.task != id_) continue;
      v.needed = true;
      if (accumulate_captured && e.node->edges.size() == 0) v.runs = true;
    }
    std::sort(nodes_.begin(), nodes_.end(), later);
    for (GradNode* n : nodes_)
      for (const Edge& e : n->edges)
        if (leads_on(e) && e.node->visit.needed) n->visit.needed = n->visit.runs = true;
  }
  void make_ready(GradNode* n) {
    if (std::find(ready_.begin(), ready_.end(), n) != ready_.end()) return;
    ready_.push_back(n);
    std::push_heap(ready_.begin(), ready_.end(), later);
  }

  void deliver(const Edge& e, Tensor g) {
    auto& sums = e.node->visit.sums;
    if (sums.size() == 0) sums.resize(e.node->outputs);
    accumulate(sums[e.slot], std::move(g), options_.create_graph);
  }

  void step(GradNode& n) {
    // A backward inside this one may visit the node again: what has come is taken out of it.
    SmallVectorOf<Tensor, 1> sums = std::exchange(n.visit.sums, {});
    std::span<Tensor> dys(sums.begin(), sums.size());
    SmallVectorOf<Tensor, 4> found;
    if (std::any_of(dys.begin(), dys.end(), [](const Tensor& dy) { return dy.defined(); })) {
      GradNode* outer_node = std::exchange(running_node, &n);
      try {
        if (n.extras) run_tensor_hooks(*n.extras, dys);
        for (size_t i = 0; i < captures_.size(); i++)
          if (captures_[i].node.get() == &n && captures_[i].slot < dys.size())
            results_[i] = dys[captures_[i].slot];
        if (n.visit.runs) {
          for (const Tensor& dy : dys) work_ += 100 + (dy ? dy.numel() : 0);
          if (work_ > long_work) give_up_host();
          run_node(n, dys, found);
        }
      } catch (...) {
        running_node = outer_node;
        note_failure(n);
        throw;
      }
      running_node = outer_node;
    }
    for (size_t i = 0; i < n.edges.size(); i++) {
      if (!leads_on(n.edges[i])) continue;
      GradNode* to = n.edges[i].node.get();
      if (found.size() && found[i] && to->visit.needed) deliver(n.edges[i], std::move(found[i]));
      if (--to->visit.waiting != 0) continue;
      ready_.push_back(to);
      std::push_heap(ready_.begin(), ready_.end(), later);
    }
  }

  void run_tensor_hooks(NodeExtras& extras, std::span<Tensor> dys) {
    for (size_t i = 0; i < extras.tensor_hooks.size(); i++) {
      auto [slot, hook] = extras.tensor_hooks[i];
      if (slot >= dys.size() || !dys[slot] || !*hook) continue;
      if (Tensor changed = (*hook)(dys[slot])) dys[slot] = changed;
    }
    for (auto& [slot, meta] : extras.retained)
      if (slot < dys.size() && dys[slot])
        meta->grad = meta->grad ? add(meta->grad, dys[slot]) : clone(dys[slot]);
  }

  void run_node(GradNode& n, std::span<Tensor> dys, SmallVectorOf<Tensor, 4>& found) {
    found.resize(n.edges.size());
    std::span<Tensor> dxs(found.begin(), found.size());
    if (!n.extras) {
      n.backward(dys, dxs, options_.create_graph);
    } else {
      for (size_t i = 0; i < n.extras->before.size(); i++)
        if (auto hook = n.extras->before[i]; *hook) (*hook)(dys);
      std::vector<Tensor> came;
      if (!n.extras->after.empty()) came.assign(dys.begin(), dys.end());
      n.backward(dys, dxs, options_.create_graph);
      for (size_t i = 0; i < n.extras->after.size(); i++)
        if (auto hook = n.extras->after[i]; *hook) (*hook)(dxs, came);
    }
    if (anomaly_checks_nan()) check_no_nan(n, dxs);
    for (Tensor& dy : dys) dy = Tensor();
  }

  void check_no_nan(const GradNode& n, std::span<const Tensor> dxs) const {
    for (size_t k = 0; k < dxs.size(); k++) {
      if (!dxs[k] || !is_floating(dxs[k].dtype())) continue;
      for (int64_t i = 0; i < dxs[k].numel(); i++)
        if (double v = element_as_double(dxs[k], i); v != v)
          fail("anomaly mode: Function '", n.name(), "' returned nan values in its ", k,
               "th output. The first is "
               "element ",
               i, " of ", dxs[k]);
    }
  }

  // After an error: sums wait in nodes that may live on.
  void forget_sums() {
    stack_.clear();
    for (const Root& r : roots_) stack_.push_back(r.edge.node.get());
    while (!stack_.empty()) {
      GradNode* n = stack_.back();
      stack_.pop_back();
      if (n->visit.task != id_) continue;
      n->visit.task = 0;
      for (Tensor& t : n->visit.sums) t = Tensor();
      for (Edge& e : n->edges)
        if (e.node) stack_.push_back(e.node.get());
    }
  }

  std::unique_lock<std::recursive_mutex> lock_;
  std::span<const Root> roots_;
  std::span<const Edge> captures_;
  BackwardOptions options_;
  Task* outer_ = nullptr;
  uint64_t id_ = 0, thread_before_ = 0;
  int64_t work_ = 0;  // elements of gradients, and something for each node
  bool finished_ = false;
  std::vector<Tensor> results_;
  SmallVector<GradNode*, 32> stack_, ready_;
  std::vector<GradNode*> nodes_;  // all of them, where something is captured
  std::vector<std::pair<GradNode*, GradNode::Visit>> kept_;  // marks of outer tasks
};
}  // namespace

Root root_of(const Tensor& t, Tensor g) {
  MOKA_CHECK(!is_batched(t),
             "backward: inside vmap the elements of a batch have gradients of their own; use moka.func.grad");
  MOKA_CHECK(requires_grad(t), "backward: the tensor ", t,
             " does not require grad and does not have a grad_fn: nothing it was computed from requires grad "
             "(was it "
             "made under no_grad() or detached?)");
  if (!g) {
    MOKA_CHECK(t.numel() == 1,
               "backward: a gradient must be given unless the root has one element; it has shape ",
               t.sizes());
    if (is_wrapper(t)) {
      GradModeScope off(false);
      g = ones_like(t);
    } else {
      g = new_tensor(t.sizes(), t.dtype(), t.device());
      double one = 1;
      if (!is_meta(g)) convert_elements(&one, DType::F64, g.raw_data(), g.dtype(), 1);
    }
  }
  MOKA_CHECK(std::equal(g.sizes().begin(), g.sizes().end(), t.sizes().begin(), t.sizes().end()),
             "backward: Mismatch in shape: grad_output has a shape of ", g.sizes(),
             " and output has a shape of ", t.sizes());
  if (g.dtype() != t.dtype()) {
    MOKA_CHECK(is_complex(t.dtype()) == is_complex(g.dtype()), "backward: the gradient given has type ",
               g.dtype(), " but the root has type ", t.dtype());
    g = to(g, t.dtype());
  }
  return {gradient_edge(t), std::move(g)};
}

void backward(std::span<const Root> roots, std::span<const Tensor> inputs, BackwardOptions options) {
  std::vector<Edge> captures(inputs.size());
  for (size_t i = 0; i < inputs.size(); i++) {
    MOKA_CHECK(requires_grad(inputs[i]), "backward: input ", i, " (", inputs[i], ") does not require grad");
    captures[i] = gradient_edge(inputs[i]);
  }
  std::vector<Tensor> found = Task(roots, captures, options).run(true);
  for (size_t i = 0; i < inputs.size(); i++)
    if (found[i] && !is_leaf(inputs[i]) && !meta(inputs[i])->retains_grad)
      accumulate_grad(inputs[i], std::move(found[i]), options.create_graph);
}

std::vector<Tensor> gradients(std::span<const Root> roots, std::span<const Edge> inputs,
                              BackwardOptions options) {
  if (inputs.empty()) return {};
  return Task(roots, inputs, options).run(false);
}

uint64_t running_task() { return task_of_thread; }
bool reaches_all_leaves() { return task_of_thread != 0 && running->reaches_all_leaves(); }
void at_end_of_backward(std::function<void()> then) {
  MOKA_CHECK(task_of_thread != 0, "at_end_of_backward: no backward is running in this thread");
  running->at_end.push_back(std::move(then));
}

}  // namespace moka::autograd
