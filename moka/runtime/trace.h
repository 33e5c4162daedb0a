// Trace: what ran when, on which kernel and with how much work, as Chrome's trace format and as tables.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace moka::runtime {

struct MachineLimits;

// Nanoseconds of a steady clock.
int64_t trace_clock();

class Trace {
 public:
  struct Event {
    std::string name;    // the operator, or what the program called a part of itself
    std::string kernel;  // the row that ran, "formula", "view" or "composite"; empty for parts
    std::string place;   // label, module and source line
    std::string shapes;  // of the tensors among the operands
    int64_t begin = 0, end = 0;
    int64_t flop = 0, bytes = 0;  // measure_work()
    int64_t made = 0;             // bytes of results
    int64_t in_use = -1;          // bytes of all tensors after it; -1: not asked
    int step = -1;                // its place in the plan of a graph
    int thread = 0;
    bool part = false;  // marked by the program
  };
  // Any thread may add; what nests in time nests in the picture.
  void add(Event event);
  std::vector<Event> events() const;
  void clear();

  std::string chrome_json() const;  // for chrome://tracing and ui.perfetto.dev

  enum class By : uint8_t { Operator, Step };
  struct Row {
    std::string name, kernel, place, shapes;
    int64_t calls = 0, flop = 0, bytes = 0, made = 0;
    int64_t total = 0;  // nanoseconds, what is nested in it too
    int64_t self = 0;   // without what is nested in it
    int64_t least = 0;  // of one call
  };
  // One row for each operator and kernel, or for each step; the longest self time first.
  std::vector<Row> rows(By by = By::Operator) const;
  // The rows with times, share and, given the machine's limits, how near to them each comes; at most `most` rows, 0: all.
  std::string table(By by = By::Operator, const MachineLimits* limits = nullptr, size_t most = 0) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace moka::runtime
