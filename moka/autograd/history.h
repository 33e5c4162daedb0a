// What tensors keep of the tape: their node or gradient, and how writing in place changes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/autograd/node.h"
#include "moka/autograd/tangents.h"

namespace moka::autograd {

// The node of a leaf: adds what comes to .grad. It belongs to the leaf's GradMeta; while edges lead to it, it keeps the
// leaf alive.
class LeafNode final : public GradNode {
 public:
  explicit LeafNode(TensorImpl* leaf);
  std::string name() const override { return "AccumulateGrad"; }
  void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool create_graph) override;
  void dispose() override { release(leaf_); }
  Tensor leaf() const { return Tensor::share(leaf_); }
  static Ref<GradNode> of(const Tensor& leaf);  // a leaf that requires grad

  std::vector<Hook<void(const Tensor& leaf)>> after_accumulating;

 private:
  TensorImpl* leaf_;
};

// What the autograd layer keeps beside a tensor.
struct GradMeta final : TensorExtra {
  ~GradMeta() override;
  Ref<GradNode> grad_fn;  // null for leaves
  uint32_t slot = 0;
  bool retains_grad = false;  // not a leaf, but keeps its gradient
  Tensor grad;
  LeafNode* leaf = nullptr;  // owned; of a tensor that was ever a leaf that requires grad
  std::unique_ptr<Tangents> tangents;  // of forward mode

  static void* operator new(size_t bytes);
  static void operator delete(void* p, size_t bytes) noexcept;
};

// Inside vmap a tensor stands for a batch; the tape knows the tensor behind it.
inline bool is_batched(const Tensor& t) { return t.impl()->layers & layer::batch; }
const Tensor& behind_batches(const Tensor& t);

inline GradMeta* meta(const Tensor& t) {  // null if none
  return static_cast<GradMeta*>((__builtin_expect(is_batched(t), 0) ? behind_batches(t) : t).impl()->extra);
}
GradMeta& make_meta(const Tensor& t);

// A view whose memory was written since its history was right gets a new one, from its base.
void renew_view(const Tensor& view);
inline bool is_stale(const TensorImpl* t) {
  return t->base && __builtin_expect(t->view_version != Tensor::version_of(t), 0);
}

// A leaf that collects, or computed from one.
inline bool requires_grad(const Tensor& t) {
  const TensorImpl* i = t.impl();
  // What stands for a batch may have been written through a view.
  if (__builtin_expect(is_batched(t), 0)) return requires_grad(behind_batches(t));
  return i->layers & layer::autograd || (is_stale(i) && i->base->layers & layer::autograd);
}
void set_requires_grad(const Tensor& t, bool on);
bool is_leaf(const Tensor& t);
// The node that computes t's gradient; null for leaves.
Ref<GradNode> grad_fn(const Tensor& t);
// Where gradients of `t` go; an empty edge when nothing upstream wants them.
Edge gradient_edge(const Tensor& t);
// Makes `t` the output `slot` of `node`.
void set_history(const Tensor& t, Ref<GradNode> node, uint32_t slot);
// After a write in place into `t`: `write` computes the gradient as if t were its own tensor; edge `self` of it leads to
// what t was before (-1: to nowhere). Where t is a view, its base's history moves on.
void rebase_history(const Tensor& t, Ref<GradNode> write, int self);
// Makes t a leaf; an error for views.
void cut_history(const Tensor& t);
// Before a write in place that will be recorded: errors for leaves and for views whose base cannot be told of it.
void check_rebase(const Tensor& t, std::string_view op, bool wanted);
// Before any write in place: read-only memory and inference tensors are errors.
void check_writable(const Tensor& t, std::string_view op);

// A tensor on the same memory, outside the tape.
Tensor detach(const Tensor& t);
// The same, and writes through it are not counted as writes into t.
Tensor data_of(const Tensor& t);

// Hooks change the gradient of t on its way; they go when t's node goes.
Hook<TensorHook> add_hook(const Tensor& t, std::function<TensorHook> hook);
// Keeps .grad of a tensor that is no leaf too.
void retain_grad(const Tensor& t);

// ---- modes of this thread
bool grad_enabled();
void set_grad_enabled(bool on);
struct GradModeScope {
  bool before = grad_enabled();
  explicit GradModeScope(bool on) { set_grad_enabled(on); }
  ~GradModeScope() { set_grad_enabled(before); }
  GradModeScope(const GradModeScope&) = delete;
};

}  // namespace moka::autograd
