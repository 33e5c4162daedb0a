// The tape: nodes that know how to turn gradients of outputs into gradients of inputs, and what tensors keep of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "moka/schema/frame.h"

namespace moka::autograd {

class GradNode;
void add_ref(GradNode* n);
void release(GradNode* n);

// Where a gradient goes: into slot `slot` of a node, or into a leaf's .grad.
struct Edge {
  Ref<GradNode> node;
  uint32_t slot = 0;
  Tensor leaf;
  explicit operator bool() const { return node || leaf; }
};

class GradNode {
 public:
  virtual ~GradNode() = default;
  virtual std::string name() const = 0;  // "AddBackward"
  // dys: one for every output, undefined where none came. Fills dxs, one for every edge; undefined where none flows.
  virtual void backward(std::vector<Tensor>& dys, std::vector<Tensor>& dxs, bool create_graph) = 0;
  // Drops saved tensors after a backward that does not keep the graph; a second backward is then an error.
  virtual void release_saved() {}

  std::atomic<uint32_t> references{0};
  uint64_t sequence = 0;  // order of creation: larger runs earlier
  uint32_t outputs = 1;
  std::vector<Edge> edges;  // one for every differentiable input
  std::vector<std::pair<uint64_t, std::function<void(std::vector<Tensor>& dys)>>> pre_hooks;  // by id
  std::string source;  // forward line, under anomaly mode

  // The engine's marks for the backward that is running.
  struct Visit {
    uint64_t task = 0;
    int waiting = 0;
    bool needed = false;
    std::vector<Tensor> buffer;
  } visit;

  GradNode();
  static void* operator new(size_t bytes);
  static void operator delete(void* p, size_t bytes) noexcept;
};
inline void add_ref(GradNode* n) { n->references.fetch_add(1, std::memory_order_relaxed); }
void destroy_chain(GradNode* n);  // without recursion: a chain of a million nodes is dropped in a loop
inline void release(GradNode* n) {
  if (n->references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy_chain(n);
}

using TensorHook = std::function<Tensor(const Tensor&)>;

// What the autograd layer keeps beside a tensor.
struct GradMeta final : TensorExtra {
  ~GradMeta() override;
  Ref<GradNode> grad_fn;  // null for leaves
  uint32_t slot = 0;
  bool requires_grad = false;  // a leaf that collects .grad
  uint64_t retain_hook = 0;  // id of the hook that keeps the gradient of a tensor that is no leaf
  Tensor grad;
  std::vector<std::pair<uint64_t, TensorHook>> hooks;
};

GradMeta* meta(const Tensor& t);  // null when there is none
GradMeta& make_meta(const Tensor& t);
bool requires_grad(const Tensor& t);  // a leaf that collects, or computed from one
void set_requires_grad(const Tensor& t, bool on);
bool is_leaf(const Tensor& t);
// Where gradients of `t` go; an empty edge when nothing upstream wants them.
Edge gradient_edge(const Tensor& t);
// Makes `t` the output `slot` of `node`.
void set_history(const Tensor& t, Ref<GradNode> node, uint32_t slot);
// A tensor on the same memory, outside the tape.
Tensor detach(const Tensor& t);
uint64_t add_hook(const Tensor& t, TensorHook hook);
void remove_hook(const Tensor& t, uint64_t id);
// Keeps .grad of a tensor that is no leaf too.
void retain_grad(const Tensor& t);

// ---- modes of this thread
bool grad_enabled();
void set_grad_enabled(bool on);
bool anomaly_enabled();
void set_anomaly_enabled(bool on);

// Called once before anything records: installs the layer.
void install();

// Called by whoever writes into a tensor in place (op_ and out=) before and after the write: read-only memory and leaves
// that require grad are errors; the version rises.
void check_in_place(const Tensor& target, std::string_view op);
void bump_version(const Tensor& target);

// ---- engine
struct BackwardOptions {
  bool retain_graph = false;
  bool create_graph = false;
};
// Accumulates into the .grad of all leaves. grads: one for every root, undefined for a scalar root's 1.
void backward(std::span<const Tensor> roots, std::span<const Tensor> grads, BackwardOptions options);
// Gradients of the roots with respect to `inputs`; undefined where none flows (an error unless allow_unused).
std::vector<Tensor> grad(std::span<const Tensor> roots, std::span<const Tensor> grads,
                         std::span<const Tensor> inputs, BackwardOptions options, bool allow_unused);

// Sums a gradient down to the shape it was broadcast from.
Tensor sum_to_shape(const Tensor& gradient, std::span<const int64_t> sizes);

}  // namespace moka::autograd
