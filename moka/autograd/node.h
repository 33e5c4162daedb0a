// The tape: nodes that turn gradients of outputs into gradients of inputs, and what few of them carry beside.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "moka/base/small_vector_of.h"
#include "moka/schema/frame.h"

namespace moka::autograd {

class GradNode;
struct GradMeta;
void add_ref(GradNode* n);
void release(GradNode* n);

// Where a gradient goes: into slot `slot` of a node. A leaf has a node too: it adds to .grad.
struct Edge {
  Ref<GradNode> node;
  uint32_t slot = 0;
  explicit operator bool() const { return static_cast<bool>(node); }
  friend bool operator==(const Edge& a, const Edge& b) { return a.node == b.node && a.slot == b.slot; }
};

// Whoever adds a hook keeps the pointer; emptying the function takes the hook away.
template <class Signature>
using Hook = std::shared_ptr<std::function<Signature>>;
using TensorHook = Tensor(const Tensor& gradient);  // an undefined result leaves the gradient as it is
using BeforeHook = void(std::span<Tensor> dys);  // may replace them
using AfterHook = void(std::span<Tensor> dxs, std::span<const Tensor> dys);

// What most nodes do not have.
struct NodeExtras {
  struct OfOutput {
    uint32_t slot;
    Hook<TensorHook> hook;
  };
  std::vector<OfOutput> tensor_hooks;  // of Tensor.register_hook, before all others
  std::vector<std::pair<uint32_t, GradMeta*>> retained;  // outputs that keep their .grad
  std::vector<Hook<BeforeHook>> before;
  std::vector<Hook<AfterHook>> after;
  std::string trace;  // under anomaly mode: the lines of the program that ran the forward
  Ref<GradNode> made_by;  // under anomaly mode: the node whose backward recorded this one
  void* python = nullptr;  // the Python object that wraps the node, borrowed
};

class GradNode {
 public:
  GradNode();
  virtual ~GradNode();
  GradNode(const GradNode&) = delete;
  virtual std::string name() const = 0;  // "AddBackward"
  // dys: one for every output, undefined where none came; they may be taken. Fills dxs, one for every edge that is
  // wanted; undefined where none flows.
  virtual void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool create_graph) = 0;
  // Drops saved tensors after a backward that does not keep the graph; a second backward is then an error.
  virtual void release_saved() {}
  // The last reference went.
  virtual void dispose() { delete this; }

  // Whether the running backward asks for the gradient of this input.
  bool wants(size_t edge) const {
    const GradNode* to = edges[edge].node.get();
    return to && to->visit.needed;
  }
  NodeExtras& make_extras();

  std::atomic<uint32_t> references{0};
  uint32_t outputs = 1;
  uint64_t sequence;  // order of creation: larger runs earlier
  SmallVectorOf<Edge, 2> edges;  // one for every differentiable input
  NodeExtras* extras = nullptr;  // owned

  // The engine's marks for the backward that is running.
  struct Visit {
    uint64_t task = 0;
    int waiting = 0;
    bool needed = false;  // a gradient is wanted here
    bool runs = false;  // and of what lies upstream
    SmallVectorOf<Tensor, 1> sums;  // by output: what has come so far
  } visit;
  GradNode* next_dying = nullptr;

  static void* operator new(size_t bytes);
  static void operator delete(void* p, size_t bytes) noexcept;
};
uint64_t next_sequence_number();  // nodes made from now on have this one or a larger
inline void add_ref(GradNode* n) { n->references.fetch_add(1, std::memory_order_relaxed); }
void destroy_chain(GradNode* n);  // without recursion: a chain of a million nodes is dropped in a loop
inline void release(GradNode* n) {
  if (n->references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy_chain(n);
}
// The name of an operator's node: "AddBackward" for "add".
std::string node_name(std::string_view op);

// ---- anomaly mode of this thread
bool anomaly_enabled();
bool anomaly_checks_nan();
void set_anomaly(bool on, bool check_nan);
// The bindings install what tells the program's lines; called only under anomaly mode.
void set_trace_source(std::string (*source)());
// The lines that ran the forward of the node whose backward failed last in this thread, and of the nodes whose backward
// made it; empty when unknown. Asking forgets them.
std::string take_failure_trace();
void note_failure(const GradNode& n);
// The node whose backward runs in this thread; null outside.
extern thread_local GradNode* running_node __attribute__((tls_model("initial-exec")));

}  // namespace moka::autograd
