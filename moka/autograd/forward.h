// Forward mode: tensors that carry a tangent, and the layer that computes the tangents of results beside them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/autograd/history.h"
#include "moka/schema/forward_layer.h"
#include "moka/schema/reading.h"

namespace moka::autograd {

// Levels nest; each has its own tangents, and the tangent of one level may have tangents of outer ones. A level is
// closed with all its tangents.
int open_forward_level();
void close_forward_level();
int forward_levels();
// Whether calls of this thread look for tangents; set returns what was before.
bool forward_enabled();
bool set_forward_enabled(bool on);
inline bool forward_active() { return thread_layers.forced & layer::forward; }

// Another handle of `primal` with this tangent; nested levels may have been opened since.
Tensor make_dual(const Tensor& primal, const Tensor& tangent, int level);
// The tangent of t at a level; undefined where there is none.
Tensor tangent_of(const Tensor& t, int level);
// Another handle of t without its tangent at that level.
Tensor without_tangent(const Tensor& t, int level);

// detach() that keeps tangents: for handles that stand for t at another place of the tape.
Tensor detach_from_tape(const Tensor& t);

// ---- for the layer
// Hides a level and those inside it: its tangents are computed with the tensors below it. Returns what was visible.
uint64_t hide_level(int level);
void show_levels(uint64_t visible);
struct BelowLevel {
  uint32_t forced = thread_layers.forced;
  uint64_t visible;
  explicit BelowLevel(int level) : visible(hide_level(level)) {}
  ~BelowLevel() {
    show_levels(visible);
    thread_layers.forced = (thread_layers.forced & ~layer::forward) | (forced & layer::forward);
  }
  BelowLevel(const BelowLevel&) = delete;
};
// Bit n: t may have a tangent at the visible level n.
uint64_t tangent_levels(const Tensor& t);
// A new tensor's tangent.
void set_tangent(const Tensor& t, int level, Tensor tangent);
// The tangent of a view of `from`; follows from's wherever it changes.
void set_view_tangent(const Tensor& view, const Tensor& from, int level, Tensor tangent);
// t was written in place: its tangent, and that of whatever shares its memory. Undefined: zeros.
void write_tangent(const Tensor& t, int level, Tensor tangent);
// Gives `to`, another handle of the same elements, the tangents of `from` at all levels.
void copy_tangents(const Tensor& from, const Tensor& to);

// Derivatives of a call that has run, along tangents of its arguments: one for every output, undefined where none.
struct ForwardCall {
  const Frame& frame;
  Tensor of[max_args];  // by argument
  std::vector<Tensor> lists[max_args];  // of arguments that are lists: one for every element, or empty
};
std::vector<Tensor> output_tangents(const ForwardCall& call);

}  // namespace moka::autograd
