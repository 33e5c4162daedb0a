// Collecting and writing traces.
// SPDX-License-Identifier: Apache-2.0
#include "moka/runtime/trace.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <tuple>
#include <utility>

#include "moka/base/text.h"
#include "moka/runtime/machine.h"

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

// Self times: an event's time without that of the events of its thread that lie directly in it.
std::vector<int64_t> self_times(const std::vector<Trace::Event>& events) {
  std::vector<size_t> order(events.size());
  std::vector<int64_t> self(events.size());
  for (size_t i = 0; i < events.size(); i++) {
    order[i] = i;
    self[i] = events[i].end - events[i].begin;
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const Trace::Event &x = events[a], &y = events[b];
    if (x.thread != y.thread) return x.thread < y.thread;
    return x.begin != y.begin ? x.begin < y.begin : x.end > y.end;
  });
  std::vector<size_t> open;
  for (size_t i : order) {
    const Trace::Event& e = events[i];
    while (!open.empty() && (events[open.back()].thread != e.thread || events[open.back()].end < e.end))
      open.pop_back();
    if (!open.empty()) self[open.back()] -= e.end - e.begin;
    open.push_back(i);
  }
  return self;
}

// 1234567 -> "1.23M": at most five characters.
std::string short_number(double x) {
  static constexpr const char* units[] = {"", "k", "M", "G", "T", "P", "E"};
  int unit = 0;
  for (; x >= 999.5 && unit < 6; unit++) x /= 1000;
  char text[32];
  std::snprintf(text, sizeof text,
                x >= 100 || unit == 0 ? "%.0f%s"
                : x >= 10             ? "%.1f%s"
                                      : "%.2f%s",
                x, units[unit]);
  return text;
}

// A rate and its share of what the machine can do.
std::string rate(int64_t amount, int64_t nanoseconds, double limit) {
  if (amount <= 0 || nanoseconds <= 0) return "";
  const double each = static_cast<double>(amount) * 1e9 / static_cast<double>(nanoseconds);
  std::string out = short_number(each);
  if (limit > 0) {
    char share[16];
    std::snprintf(share, sizeof share, " %3.0f%%", std::min(999.0, 100 * each / limit));
    out += share;
  }
  return out;
}
}  // namespace

int64_t trace_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Trace::add(Event event) {
  event.thread = thread_number();
  std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
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
  auto open = [&](std::string_view kind, int64_t time) {
    out += cat(first ? "\n" : ",\n", "{\"ph\": \"", kind, "\", \"pid\": 1, \"ts\": ");
    append_microseconds(out, time - start);
    first = false;
  };
  for (const Event& e : list) {
    open("X", e.begin);
    out += cat(", \"tid\": ", e.thread, ", \"dur\": ");
    append_microseconds(out, e.end - e.begin);
    out += ", \"name\": ";
    append_json(out, e.name);
    out += cat(", \"cat\": \"",
               e.part        ? "user_annotation"
               : e.step >= 0 ? "step"
                             : "cpu_op",
               "\", \"args\": {");
    bool none = true;
    auto add = [&](std::string_view key, std::string_view text) {
      if (text.empty()) return;
      out += cat(std::exchange(none, false) ? "\"" : ", \"", key, "\": ");
      append_json(out, text);
    };
    auto count = [&](std::string_view key, int64_t n) {
      if (n > 0) out += cat(std::exchange(none, false) ? "\"" : ", \"", key, "\": ", n);
    };
    add("place", e.place);
    add("kernel", e.kernel);
    add("shapes", e.shapes);
    count("flop", e.flop);
    count("bytes", e.bytes);
    out += "}}";
    if (e.in_use < 0) continue;
    open("C", e.end);
    out += cat(", \"name\": \"tensor memory\", \"args\": {\"bytes\": ", e.in_use, "}}");
  }
  return out + "\n]}\n";
}

std::vector<Trace::Row> Trace::rows(By by) const {
  const std::vector<Event> list = events();
  const std::vector<int64_t> self = self_times(list);
  std::map<std::tuple<int, std::string, std::string, std::string>, Row> found;
  for (size_t i = 0; i < list.size(); i++) {
    const Event& e = list[i];
    const bool steps = by == By::Step;
    Row& row = found[{steps ? e.step : 0, steps ? e.place : std::string(), e.name, e.kernel}];
    const int64_t time = e.end - e.begin;
    if (row.calls++ == 0) {
      row.name = e.name;
      row.kernel = e.kernel;
      row.place = e.place;
      row.shapes = e.shapes;
      row.least = time;
    }
    row.least = std::min(row.least, time);
    row.total += time;
    row.self += self[i];
    row.flop += e.flop;
    row.bytes += e.bytes;
    row.made += e.made;
  }
  std::vector<Row> out;
  for (auto& [key, row] : found) out.push_back(std::move(row));
  std::stable_sort(out.begin(), out.end(), [](const Row& a, const Row& b) { return a.self > b.self; });
  return out;
}

std::string Trace::table(By by, const MachineLimits* limits, size_t most) const {
  const std::vector<Row> all = rows(by);
  int64_t time = 0;
  for (const Row& r : all) time += r.self;
  char line[400];
  std::string out;
  std::snprintf(line, sizeof line, "%-26s %-14s %7s %11s %10s %6s %11s %11s %7s%s\n", "operator", "kernel",
                "calls", "self us", "mean us", "share", "FLOP/s", "B/s", "makes",
                by == By::Step ? "  where" : "");
  out += line;
  size_t shown = 0;
  for (const Row& r : all) {
    if (most && shown++ == most) {
      out += cat("... and ", all.size() - most, " more\n");
      break;
    }
    const auto calls = static_cast<double>(r.calls);
    std::snprintf(line, sizeof line, "%-26.26s %-14.14s %7lld %11.1f %10.2f %5.1f%% %11s %11s %7s",
                  r.name.c_str(), r.kernel.c_str(), static_cast<long long>(r.calls),
                  static_cast<double>(r.self) / 1e3, static_cast<double>(r.total) / 1e3 / calls,
                  time ? 100.0 * static_cast<double>(r.self) / static_cast<double>(time) : 0.0,
                  rate(r.flop, r.self, limits ? limits->flop_per_second : 0).c_str(),
                  rate(r.bytes, r.self, limits ? limits->bytes_per_second : 0).c_str(),
                  r.made ? short_number(static_cast<double>(r.made) / calls).c_str() : "");
    out += line;
    if (by == By::Step) out += cat("  ", r.place, r.shapes.empty() ? "" : "; ", r.shapes);
    out += '\n';
  }
  if (limits)
    out += cat("This machine, measured with ", limits->threads,
               limits->threads == 1 ? " thread: " : " threads: ", short_number(limits->flop_per_second),
               "FLOP/s of float32, ", short_number(limits->bytes_per_second),
               "B/s from memory (caches give more); % are of these.\n");
  return out;
}

}  // namespace moka::runtime
