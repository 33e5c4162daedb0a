// Tangents: where tensors keep them, and how views and writes in place share them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/tangents.h"

#include <mutex>

#include "moka/autograd/accumulate.h"
#include "moka/autograd/batch.h"
#include "moka/autograd/forward.h"
#include "moka/autograd/views.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/operators.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::autograd {

// All tangents of one level, so that they go when it is closed: they may keep their own tensors alive.
struct ForwardLevel {
  Tangent* first = nullptr;
};

namespace {
std::mutex list_mutex;  // tensors may die in other threads
struct State {
  std::vector<ForwardLevel*> levels;
  uint64_t visible = 0;  // bit n: level n
  bool enabled = true;
};
thread_local State state;

uint64_t bit(int level) { return uint64_t(1) << level; }
ForwardLevel* level_at(int level) { return state.levels[static_cast<size_t>(level - 1)]; }

void show(uint64_t visible) {
  state.visible = visible;
  if (visible && state.enabled) thread_layers.forced |= layer::forward;
  else thread_layers.forced &= ~layer::forward;
}

// Shows the levels of a mask for a scope.
struct Levels {
  explicit Levels(uint64_t visible) { show(visible); }
  ~Levels() {
    state.visible = before;
    thread_layers.forced = (thread_layers.forced & ~layer::forward) | forced;
  }
  uint64_t before = state.visible;
  uint32_t forced = thread_layers.forced & layer::forward;
};

Tangents* tangents_of(const Tensor& t) {
  GradMeta* m = meta(t);
  return m ? m->tangents.get() : nullptr;
}
Tangent* find(const Tensor& t, int level) {
  if (Tangents* all = tangents_of(t))
    for (auto& one : all->each)
      if (one->home == level_at(level)) return one.get();
  return nullptr;
}
Tangent& make(const Tensor& t, int level) {
  if (Tangent* known = find(t, level)) return *known;
  GradMeta& m = make_meta(t);
  if (!m.tangents) m.tangents = std::make_unique<Tangents>();
  std::erase_if(m.tangents->each, [](const auto& one) { return !one->home; });
  m.tangents->each.push_back(std::make_unique<Tangent>(level_at(level)));
  return *m.tangents->each.back();
}
Tensor base_of(const Tensor& t) { return t.impl()->base ? Tensor::share(t.impl()->base) : Tensor(); }

// The tensor whose tangent that of `t` is a part of: itself where it is no view.
Tensor root_of(const Tensor& t, int level) {
  if (Tangent* own = find(t, level)) return own->root ? own->root : t;
  Tensor base = base_of(t);
  return base ? root_of(base, level) : t;
}

// The tangent of a tensor that is not batched. It may be batched itself.
Tensor read(const Tensor& t, int level) {
  Tensor root = root_of(t, level);
  Tangent* whole = find(root, level);
  if (!whole) return {};
  if (root == t) return whole->value;
  Tangent* own = find(t, level);
  if (own && own->stamp == whole->stamp) return own->value;
  Tensor part = whole->value ? ViewGeometry(root, t).part_of(whole->value) : Tensor();
  Tangent& seen = make(t, level);
  seen.root = root;
  seen.stamp = find(root, level)->stamp;
  return seen.value = part;
}

// A tangent shown with the batches of `t`, and back.
Tensor labelled(Tensor tangent, const Tensor& t) {
  if (!is_batched(t)) return tangent;
  return label_batch(labelled(std::move(tangent), physical(t)), batch_level(t));
}
Tensor unlabelled(Tensor tangent, const Tensor& t) {
  if (!is_batched(t)) return tangent;
  return unlabelled(unlabel_batch(tangent, batch_level(t)), physical(t));
}

void check_depth(int level) {
  MOKA_CHECK(level >= 1 && level <= forward_levels(), "forward mode: there is no level ", level);
}
}  // namespace

Tangent::Tangent(ForwardLevel* level) : home(level) {
  std::lock_guard lock(list_mutex);
  next = level->first;
  if (next) next->before = this;
  level->first = this;
}
Tangent::~Tangent() {
  std::lock_guard lock(list_mutex);
  if (!home) return;
  (before ? before->next : home->first) = next;
  if (next) next->before = before;
}

// ---- levels
int open_forward_level() {
  install_forward();
  MOKA_CHECK(state.levels.size() < 62, "forward mode: more than 62 levels are open");
  state.levels.push_back(new ForwardLevel);
  show(state.visible | bit(forward_levels()));
  return forward_levels();
}
void close_forward_level() {
  MOKA_CHECK(!state.levels.empty(), "Trying to exit a forward AD level but no level exists");
  ForwardLevel* level = state.levels.back();
  show(state.visible & ~bit(forward_levels()));
  std::vector<Tensor> gone;  // outside the lock: they may be the last to hold others
  {
    std::lock_guard lock(list_mutex);
    for (Tangent* t = level->first; t; t = t->next) {
      gone.push_back(std::move(t->value));
      gone.push_back(std::move(t->root));
      t->home = nullptr;
    }
  }
  state.levels.pop_back();
  delete level;
}
int forward_levels() { return static_cast<int>(state.levels.size()); }
bool forward_enabled() { return state.enabled; }
bool set_forward_enabled(bool on) {
  bool before = std::exchange(state.enabled, on);
  show(state.visible);
  return before;
}
uint64_t hide_level(int level) {
  uint64_t before = state.visible;
  show(before & (bit(level) - 1));
  return before;
}
void show_levels(uint64_t visible) { show(visible); }

// ---- tangents
uint64_t tangent_levels(const Tensor& handle) {
  const Tensor& t = is_batched(handle) ? behind_batches(handle) : handle;
  uint64_t found = 0;
  auto look = [&](Tangents* all) {
    if (!all) return;
    for (auto& one : all->each)
      for (uint64_t rest = state.visible; rest; rest &= rest - 1)
        if (int n = __builtin_ctzll(rest); one->home == level_at(n) && (one->value || one->root))
          found |= bit(n);
  };
  look(tangents_of(t));
  if (Tensor base = base_of(t)) look(tangents_of(base));
  return found;
}

Tensor tangent_of(const Tensor& t, int level) {
  check_depth(level);
  BelowLevel below(level);
  Tensor found = read(is_batched(t) ? behind_batches(t) : t, level);
  return found ? labelled(std::move(found), t) : found;
}

void set_tangent(const Tensor& t, int level, Tensor tangent) {
  Tangent& own = make(t, level);
  own.value = tangent ? unlabelled(std::move(tangent), t) : Tensor();
  own.root = Tensor();
  own.stamp++;
}

void set_view_tangent(const Tensor& handle, const Tensor& from, int level, Tensor tangent) {
  const Tensor& view = is_batched(handle) ? behind_batches(handle) : handle;
  Tensor root = root_of(is_batched(from) ? behind_batches(from) : from, level);
  Tangent* whole = find(root, level);
  if (view.impl()->storage != root.impl()->storage || view == root || !whole)
    return set_tangent(handle, level, std::move(tangent));
  Tangent& own = make(view, level);
  own.value = unlabelled(std::move(tangent), handle);
  own.root = root;
  own.stamp = find(root, level)->stamp;
}

void write_tangent(const Tensor& handle, int level, Tensor tangent) {
  const Tensor& t = is_batched(handle) ? behind_batches(handle) : handle;
  Tensor root = root_of(t, level);
  Tensor part = tangent ? unlabelled(std::move(tangent), handle) : Tensor();
  Tangent* known = find(root, level);
  if (!part && (!known || !known->value)) return;
  if (root == t) return set_tangent(t, level, part ? part : zeros_like(t));
  Tangent& whole = make(root, level);
  Tensor before = std::exchange(whole.value, Tensor());
  if (Tangent* own = find(t, level)) own->value = Tensor();
  if (!before) before = zeros_like(root);
  bool as_graph = grad_enabled() || forward_active() || is_batched(before) || (part && is_batched(part));
  whole.value = ViewGeometry(root, t).put(std::move(before), part, as_graph);
  whole.stamp++;
}

// Of hidden levels too: the handle is for later.
void copy_tangents(const Tensor& from, const Tensor& to) {
  const Tensor& source = is_batched(from) ? behind_batches(from) : from;
  for (int level = 1; level <= forward_levels(); level++) {
    Levels below(bit(level) - 2);
    if (Tensor t = read(source, level))
      set_tangent(is_batched(to) ? behind_batches(to) : to, level, std::move(t));
  }
}

Tensor detach_from_tape(const Tensor& t) {
  Tensor out = detach(t);
  if (__builtin_expect(!state.levels.empty(), 0)) copy_tangents(t, out);
  return out;
}

// ---- duals
Tensor make_dual(const Tensor& primal, const Tensor& tangent, int level) {
  check_depth(level);
  BelowLevel below(level);
  Tensor dual = alias(primal);
  set_tangent(dual, level, tangent);
  return dual;
}
Tensor without_tangent(const Tensor& t, int level) {
  check_depth(level);
  BelowLevel below(level);
  Tensor primal = alias(t);
  set_tangent(primal, level, Tensor());
  return primal;
}

}  // namespace moka::autograd
