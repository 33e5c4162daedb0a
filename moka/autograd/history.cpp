// What tensors keep of the tape: leaves, requires_grad, hooks, detaching.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/history.h"

#include "moka/autograd/accumulate.h"
#include "moka/autograd/batch.h"
#include "moka/base/thread_local.h"

namespace moka::autograd {

namespace {
MOKA_THREAD_LOCAL BlockPool<GradMeta, sizeof(GradMeta), alignof(std::max_align_t), 2048> pool;

// The output of `node` that keeps its gradient moves with the tensor to another node.
void forget_retained(GradMeta& m) {
  if (m.grad_fn && m.grad_fn->extras)
    std::erase_if(m.grad_fn->extras->retained, [&m](const auto& r) { return r.second == &m; });
}
}  // namespace

// ---- leaves
LeafNode::LeafNode(TensorImpl* leaf) : leaf_(leaf) {
  sequence = UINT64_MAX;  // runs as soon as it can
}

Ref<GradNode> LeafNode::of(const Tensor& leaf) {
  GradMeta& m = *meta(leaf);
  // The first reference keeps the tensor, dispose() lets go of it.
  if (m.leaf->references.fetch_add(1, std::memory_order_acq_rel) == 0) add_ref(leaf.impl());
  return Ref<GradNode>::adopt(m.leaf);
}

void LeafNode::backward(std::span<Tensor> dys, std::span<Tensor>, bool create_graph) {
  Tensor leaf = Tensor::share(leaf_);
  accumulate_grad(leaf, std::move(dys[0]), create_graph);
  for (size_t i = 0; i < after_accumulating.size(); i++)
    if (auto hook = after_accumulating[i]; *hook) (*hook)(leaf);
}

// ---- notes
GradMeta::~GradMeta() {
  if (retains_grad) forget_retained(*this);
  delete leaf;
}
void* GradMeta::operator new(size_t bytes) { return pool.take_or_throw(bytes); }
void GradMeta::operator delete(void* p, size_t bytes) noexcept { pool.give(p, bytes); }

GradMeta& make_meta(const Tensor& t) {
  if (is_batched(t)) return make_meta(behind_batches(t));
  if (!t.impl()->extra) t.impl()->extra = new GradMeta;
  return *meta(t);
}

bool is_leaf(const Tensor& t) {
  if (is_stale(t.impl())) renew_view(t);
  GradMeta* m = meta(t);
  return !m || !m->grad_fn;
}

Ref<GradNode> grad_fn(const Tensor& t) {
  if (is_stale(t.impl())) renew_view(t);
  GradMeta* m = meta(t);
  return m ? m->grad_fn : nullptr;
}

void set_requires_grad(const Tensor& t, bool on) {
  if (!is_leaf(t)) {
    MOKA_CHECK(on, "requires_grad: only leaf tensors can be changed; this one was computed by ",
               meta(t)->grad_fn->name(), ": detach() it first");
    return;
  }
  if (is_batched(t)) set_requires_grad(behind_batches(t), on);
  MOKA_CHECK(
      !on || is_differentiable(t.dtype()),
      "requires_grad: Only Tensors of floating point and complex dtype can require gradients, this one is ",
      t.dtype());
  MOKA_CHECK(!on || !t.impl()->inference || inference_mode,
             "requires_grad: the tensor was made under inference_mode; clone() it outside");
  if (!on) {
    t.impl()->layers &= ~layer::autograd;
    return;
  }
  // The node is made here, before threads share the leaf.
  GradMeta& m = make_meta(t);
  if (!m.leaf) m.leaf = new LeafNode(t.impl());
  t.impl()->layers |= layer::autograd;
}

Edge gradient_edge(const Tensor& t) {
  if (is_batched(t)) return gradient_edge(behind_batches(t));
  TensorImpl* i = t.impl();
  if (is_stale(i)) renew_view(t);
  if (!(i->layers & layer::autograd)) return {};
  GradMeta* m = meta(t);
  if (m && m->grad_fn) return {m->grad_fn, m->slot};
  return {LeafNode::of(t), 0};
}

void set_history(const Tensor& t, Ref<GradNode> node, uint32_t slot) {
  GradMeta& m = make_meta(t);
  if (__builtin_expect(m.retains_grad, 0)) {
    forget_retained(m);
    node->make_extras().retained.emplace_back(slot, &m);
  }
  m.grad_fn = std::move(node);
  m.slot = slot;
  t.impl()->layers |= layer::autograd;
  if (t.impl()->base) t.impl()->view_version = t.version();
}

void cut_history(const Tensor& t) {
  MOKA_CHECK(!t.impl()->base, "detach_: a view cannot be detached in place; use detach()");
  t.impl()->layers &= ~layer::autograd;
  GradMeta* m = meta(t);
  if (!m) return;
  m->tangents.reset();
  if (m->retains_grad) forget_retained(*m);
  m->retains_grad = false;
  m->grad_fn = nullptr;
  m->slot = 0;
}

Tensor detach(const Tensor& t) { return is_batched(t) ? detach_batched(t) : alias_of(t); }

Tensor data_of(const Tensor& t) {
  Tensor out = detach(t);
  if (VersionCounter* before = std::exchange(out.impl()->counter, new VersionCounter)) release(before);
  return out;
}

// ---- hooks
Hook<TensorHook> add_hook(const Tensor& t, std::function<TensorHook> hook) {
  MOKA_CHECK(requires_grad(t), "register_hook: the tensor does not require grad");
  Edge e = gradient_edge(t);
  auto kept = std::make_shared<std::function<TensorHook>>(std::move(hook));
  e.node->make_extras().tensor_hooks.push_back({e.slot, kept});
  return kept;
}

void retain_grad(const Tensor& t) {
  MOKA_CHECK(requires_grad(t), "retain_grad: the tensor does not require grad");
  if (is_leaf(t)) return;
  GradMeta& m = *meta(t);
  if (m.retains_grad) return;
  m.retains_grad = true;
  m.grad_fn->make_extras().retained.emplace_back(m.slot, &m);
}

// ---- modes
bool grad_enabled() { return thread_layers.enabled & layer::autograd; }
void set_grad_enabled(bool on) {
  if (on) thread_layers.enabled |= layer::autograd;
  else thread_layers.enabled &= ~layer::autograd;
}

void check_writable(const Tensor& t, std::string_view op) {
  if (is_batched(t)) return check_writable(behind_batches(t), op);
  const TensorImpl* i = t.impl();
  MOKA_CHECK(i->storage != nullptr, op, ": the target has no memory (a shape-only tensor)");
  MOKA_CHECK(!i->storage->read_only, op,
             ": the target's memory is read-only (mapped from a file or borrowed); clone() it first");
  MOKA_CHECK(
      !i->inference || inference_mode, op,
      ": Inplace update to inference tensor outside InferenceMode is not allowed: the target was made under "
      "inference_mode. clone() it first");
}

}  // namespace moka::autograd
