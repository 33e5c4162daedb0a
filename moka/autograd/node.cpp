// Tape nodes: memory, destruction without recursion, hooks' place and anomaly mode.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/node.h"

#include <cctype>

#include "moka/base/thread_local.h"

namespace moka::autograd {

thread_local GradNode* running_node = nullptr;

namespace {
std::atomic<uint64_t> next_sequence{1};
std::string (*trace_source)() = nullptr;

struct Anomaly {
  bool on = false;
  bool check_nan = true;
  bool destroying = false;      // a chain of nodes is being dropped
  GradNode* dying = nullptr;    // nodes whose last reference went meanwhile
};
MOKA_THREAD_LOCAL Anomaly state;
std::string& failure_trace() {
  static thread_local std::string text;
  return text;
}

MOKA_THREAD_LOCAL BlockPool<GradNode, 512, alignof(std::max_align_t), 2048> pool;
}  // namespace

uint64_t next_sequence_number() { return next_sequence.load(std::memory_order_relaxed); }
GradNode::GradNode() : sequence(next_sequence.fetch_add(1, std::memory_order_relaxed)) {
  if (__builtin_expect(!state.on, 1)) return;
  NodeExtras& x = make_extras();
  if (trace_source) x.trace = trace_source();
  if (running_node) x.made_by = Ref<GradNode>::share(running_node);
}
GradNode::~GradNode() { delete extras; }

NodeExtras& GradNode::make_extras() {
  if (!extras) extras = new NodeExtras;
  return *extras;
}

void* GradNode::operator new(size_t bytes) { return pool.take_or_throw(bytes); }
void GradNode::operator delete(void* p, size_t bytes) noexcept { pool.give(p, bytes); }

void destroy_chain(GradNode* n) {
  if (state.destroying) {
    n->next_dying = state.dying;
    state.dying = n;
    return;
  }
  state.destroying = true;
  n->dispose();
  while (GradNode* next = state.dying) {
    state.dying = next->next_dying;
    next->dispose();
  }
  state.destroying = false;
}

std::string node_name(std::string_view op) {
  std::string n;
  bool upper = true;
  for (char c : op) {
    if (c == '_') {
      upper = true;
      continue;
    }
    n += upper ? static_cast<char>(std::toupper(c)) : c;
    upper = false;
  }
  return n + "Backward";
}

bool anomaly_enabled() { return state.on; }
bool anomaly_checks_nan() { return state.on && state.check_nan; }
void set_anomaly(bool on, bool check_nan) {
  state.on = on;
  state.check_nan = check_nan;
}
void set_trace_source(std::string (*source)()) { trace_source = source; }

void note_failure(const GradNode& n) {
  std::string& text = failure_trace();
  if (!text.empty() || !n.extras || n.extras->trace.empty()) return;
  text = cat("The forward of ", n.name(), " ran here (most recent call last):\n", n.extras->trace);
  for (const GradNode* by = n.extras->made_by.get(); by;
       by = by->extras ? by->extras->made_by.get() : nullptr)
    if (by->extras && !by->extras->trace.empty())
      text += cat("in the backward of ", by->name(), ", whose forward ran here:\n", by->extras->trace);
}
std::string take_failure_trace() { return std::exchange(failure_trace(), {}); }

}  // namespace moka::autograd
