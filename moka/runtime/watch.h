// Watch: operators and steps of graphs that a thread runs, added to a trace as they run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "moka/runtime/trace.h"
#include "moka/schema/frame.h"

namespace moka::runtime {

// What serves a call whose results are there: the kernel row, "formula", "view" or "composite".
std::string kernel_name(const Frame& frame);
// "float32[2, 3], int64[4]": the tensors among arguments.
std::string shapes_text(std::span<const Arg> args);

// While it lives, what the thread that made it calls is added to `trace`; composites hold their parts. One at a time in
// a thread: a second one is an error. It ends in the thread that began it.
class Watch {
 public:
  // `place` says where the program is when an operator is called; empty: not asked.
  explicit Watch(Trace& trace, bool shapes = true, bool memory = true, std::string (*place)() = nullptr);
  ~Watch();
  Watch(const Watch&) = delete;

  static Watch* current();  // of this thread
  Trace& trace;
  const bool shapes, memory;
  std::string (*const place)();
};

}  // namespace moka::runtime
