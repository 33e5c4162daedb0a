// Trace: the time of every step of one or more runs, as Chrome's trace format and as a table.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace moka::runtime {

// Nanoseconds of a steady clock.
int64_t trace_clock();

class Trace {
 public:
  struct Event {
    std::string name;    // the operator
    std::string detail;  // label, source, shapes
    int64_t begin = 0, end = 0;
    int thread = 0;
  };
  // Any thread may add; what nests in time nests in the picture.
  void add(std::string_view name, std::string_view detail, int64_t begin, int64_t end);
  std::vector<Event> events() const;
  void clear();

  std::string chrome_json() const;  // for chrome://tracing and ui.perfetto.dev
  // Calls, total and mean microseconds and share of each operator, the longest first. Time inside nested steps (loops)
  // counts for both.
  std::string table() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace moka::runtime
