// Collecting and writing traces.
// SPDX-License-Identifier: Apache-2.0
#include "moka/runtime/trace.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>

#include "moka/base/text.h"

namespace moka::runtime {

namespace {
int thread_number() {
  static std::atomic<int> next{1};
  thread_local int number = next++;
  return number;
}

void append_json(std::string& out, std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    unsigned char u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (u < 0x20) ((out += "\\u00") += hex[u >> 4]) += hex[u & 15];
    else out += c;
  }
  out += '"';
}

void append_microseconds(std::string& out, int64_t nanoseconds) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(nanoseconds) / 1000);
  out += text;
}
}  // namespace

int64_t trace_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Trace::add(std::string_view name, std::string_view detail, int64_t begin, int64_t end) {
  Event e{std::string(name), std::string(detail), begin, end, thread_number()};
  std::lock_guard lock(mutex_);
  events_.push_back(std::move(e));
}

std::vector<Trace::Event> Trace::events() const {
  std::lock_guard lock(mutex_);
  return events_;
}

void Trace::clear() {
  std::lock_guard lock(mutex_);
  events_.clear();
}

std::string Trace::chrome_json() const {
  std::vector<Event> list = events();
  int64_t start = list.empty() ? 0 : list[0].begin;
  for (const Event& e : list) start = std::min(start, e.begin);
  std::string out = "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [";
  bool first = true;
  for (const Event& e : list) {
    out += first ? "\n" : ",\n";
    first = false;
    out += "{\"ph\": \"X\", \"pid\": 1, \"tid\": ";
    append_part(out, e.thread);
    out += ", \"ts\": ";
    append_microseconds(out, e.begin - start);
    out += ", \"dur\": ";
    append_microseconds(out, e.end - e.begin);
    out += ", \"name\": ";
    append_json(out, e.name);
    out += ", \"args\": {\"detail\": ";
    append_json(out, e.detail);
    out += "}}";
  }
  return out + "\n]}\n";
}

std::string Trace::table() const {
  struct Row {
    std::string name;
    int64_t calls = 0, time = 0;
  };
  std::map<std::string, Row> by_name;
  int64_t total = 0;
  for (const Event& e : events()) {
    Row& row = by_name[e.name];
    row.name = e.name;
    row.calls++;
    row.time += e.end - e.begin;
    total += e.end - e.begin;
  }
  std::vector<Row> rows;
  for (auto& [name, row] : by_name) rows.push_back(row);
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.time > b.time; });
  std::string out = "operator                          calls     total us      mean us   share\n";
  for (const Row& r : rows) {
    char line[200];
    std::snprintf(line, sizeof line, "%-30.30s %8lld %12.1f %12.2f %6.1f%%\n", r.name.c_str(),
                  static_cast<long long>(r.calls), static_cast<double>(r.time) / 1e3,
                  static_cast<double>(r.time) / 1e3 / static_cast<double>(r.calls),
                  total ? 100.0 * static_cast<double>(r.time) / static_cast<double>(total) : 0.0);
    out += line;
  }
  return out;
}

}  // namespace moka::runtime
