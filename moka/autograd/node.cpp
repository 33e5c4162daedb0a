// Tape nodes, what tensors keep of them, and the thread's modes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/node.h"

#include <atomic>
#include <cstdlib>

namespace moka::autograd {

namespace {
std::atomic<uint64_t> next_sequence{1};
thread_local bool anomaly = false;

// Nodes of the common size come from a thread-local list.
constexpr size_t pooled_bytes = 640;
struct NodePool {
  static constexpr int limit = 512;
  void** items =
      static_cast<void**>(std::malloc(limit * sizeof(void*)));  // on the heap: thread-local room is small
  int count = 0;
  bool gone = items == nullptr;
  ~NodePool() {
    gone = true;
    while (count) std::free(items[--count]);
    std::free(items);
  }
};
thread_local NodePool pool;

// Nodes whose last reference went while another is being destroyed wait here.
thread_local std::vector<GradNode*>* dying = nullptr;
}  // namespace

GradNode::GradNode() : sequence(next_sequence.fetch_add(1, std::memory_order_relaxed)) {}

void* GradNode::operator new(size_t bytes) {
  if (bytes <= pooled_bytes && pool.count) return pool.items[--pool.count];
  void* p = std::malloc(bytes <= pooled_bytes ? pooled_bytes : bytes);
  if (!p) throw std::bad_alloc();
  return p;
}
void GradNode::operator delete(void* p, size_t bytes) noexcept {
  if (bytes <= pooled_bytes && !pool.gone && pool.count < NodePool::limit) pool.items[pool.count++] = p;
  else std::free(p);
}

void destroy_chain(GradNode* n) {
  if (dying) {
    dying->push_back(n);
    return;
  }
  std::vector<GradNode*> waiting;
  dying = &waiting;
  delete n;
  while (!waiting.empty()) {
    GradNode* next = waiting.back();
    waiting.pop_back();
    delete next;
  }
  dying = nullptr;
}

GradMeta* meta(const Tensor& t) { return static_cast<GradMeta*>(t.impl()->extra); }
GradMeta& make_meta(const Tensor& t) {
  if (!t.impl()->extra) t.impl()->extra = new GradMeta;
  return *meta(t);
}

bool requires_grad(const Tensor& t) { return t.impl()->layers & layer::autograd; }

bool is_leaf(const Tensor& t) {
  GradMeta* m = meta(t);
  return !m || !m->grad_fn;
}

void set_requires_grad(const Tensor& t, bool on) {
  MOKA_CHECK(is_leaf(t), "requires_grad: only leaf tensors can be changed; this one was computed by ",
             meta(t)->grad_fn->name(), ": detach() it first");
  MOKA_CHECK(!on || is_differentiable(t.dtype()),
             "requires_grad: only floating and complex tensors have gradients, this one is ", t.dtype());
  MOKA_CHECK(!on || !t.impl()->inference,
             "requires_grad: the tensor was made under inference_mode; clone() it outside");
  if (on || meta(t)) make_meta(t).requires_grad = on;
  if (on) t.impl()->layers |= layer::autograd;
  else t.impl()->layers &= ~layer::autograd;
}

Edge gradient_edge(const Tensor& t) {
  GradMeta* m = meta(t);
  if (!m || !requires_grad(t)) return {};
  if (m->grad_fn) return {m->grad_fn, m->slot, {}};
  return {nullptr, 0, t};
}

void set_history(const Tensor& t, Ref<GradNode> node, uint32_t slot) {
  GradMeta& m = make_meta(t);
  m.grad_fn = std::move(node);
  m.slot = slot;
  m.requires_grad = false;
  t.impl()->layers |= layer::autograd;
}

Tensor detach(const Tensor& t) {
  Tensor out = strided_view(t, t.sizes(), t.strides(), t.impl()->offset);
  out.impl()->inference = t.impl()->inference;
  return out;
}

namespace {
uint64_t next_hook_id() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}
}  // namespace

GradMeta::~GradMeta() {
  // The node may outlive this tensor; its hook must not write here then.
  if (retain_hook && grad_fn)
    std::erase_if(grad_fn->pre_hooks, [this](const auto& h) { return h.first == retain_hook; });
}

uint64_t add_hook(const Tensor& t, TensorHook hook) {
  MOKA_CHECK(requires_grad(t), "register_hook: the tensor does not require grad, so no gradient will come");
  uint64_t id = next_hook_id();
  GradMeta& m = make_meta(t);
  if (!m.grad_fn) {
    m.hooks.emplace_back(id, std::move(hook));
    return id;
  }
  m.grad_fn->pre_hooks.emplace_back(id, [slot = m.slot, hook = std::move(hook)](std::vector<Tensor>& dys) {
    if (!dys[slot]) return;
    if (Tensor changed = hook(dys[slot])) dys[slot] = changed;
  });
  return id;
}

void remove_hook(const Tensor& t, uint64_t id) {
  GradMeta* m = meta(t);
  if (!m) return;
  std::erase_if(m->hooks, [id](const auto& h) { return h.first == id; });
  if (m->grad_fn) std::erase_if(m->grad_fn->pre_hooks, [id](const auto& h) { return h.first == id; });
}

void retain_grad(const Tensor& t) {
  MOKA_CHECK(requires_grad(t), "retain_grad: the tensor does not require grad");
  GradMeta& m = make_meta(t);
  if (!m.grad_fn || m.retain_hook) return;
  m.retain_hook = next_hook_id();
  m.grad_fn->pre_hooks.emplace_back(m.retain_hook, [&m](std::vector<Tensor>& dys) {
    if (dys[m.slot]) m.grad = dys[m.slot];
  });
}

bool grad_enabled() { return thread_layers.enabled & layer::autograd; }
void set_grad_enabled(bool on) {
  if (on) thread_layers.enabled |= layer::autograd;
  else thread_layers.enabled &= ~layer::autograd;
}
bool anomaly_enabled() { return anomaly; }
void set_anomaly_enabled(bool on) { anomaly = on; }

void check_in_place(const Tensor& target, std::string_view op) {
  TensorImpl* t = target.impl();
  MOKA_CHECK(t->storage != nullptr, op, ": the target has no memory (a shape-only tensor)");
  MOKA_CHECK(!t->storage->read_only, op,
             ": the target's memory is read-only (mapped from a file or borrowed); clone() it first");
  if (!(t->layers & layer::autograd) || !grad_enabled()) return;
  MOKA_CHECK(!is_leaf(target), op,
             ": a leaf that requires grad cannot be changed in place; use no_grad() or work on a copy");
}

void bump_version(const Tensor& target) {
  target.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace moka::autograd
