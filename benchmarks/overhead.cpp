// What a step of a plan costs besides its kernel, against eager calls; and how fast the text form is read and written.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <thread>

#include "moka/graph/graph.h"
#include "moka/ops/all.h"
#include "moka/ops/define.h"
#include "moka/passes/passes.h"
#include "moka/runtime/executable.h"

using namespace moka;

namespace {
// Time that this thread computes: the machine may be busy with other things.
double clock_now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Best of several rounds, in seconds for one call.
template <class F>
double seconds(F f, double at_least = 0.05) {
  double best = 1e9;
  for (int round = 0; round < 3; round++) {
    int calls = 0;
    double start = clock_now(), passed = 0;
    do {
      f();
      calls++;
      passed = clock_now() - start;
    } while (passed < at_least / 3);
    best = std::min(best, passed / calls);
  }
  return best;
}

std::string chain(int steps, const char* step) {
  std::string text = "moka-ir 1\ngraph main(%v0: float32[n], %y: float32[n]) {\n";
  for (int i = 1; i <= steps; i++) {
    std::string line = step;
    for (size_t at; (at = line.find("$o")) != std::string::npos;) line.replace(at, 2, cat("%v", i));
    for (size_t at; (at = line.find("$i")) != std::string::npos;) line.replace(at, 2, cat("%v", i - 1));
    text += "  " + line + "\n";
  }
  return text + cat("  return %v", steps, "\n}\n");
}

Tensor ones(int64_t n) {
  Tensor t = new_tensor(Dims{n}, DType::F32);
  for (int64_t i = 0; i < n; i++) t.data<float>()[i] = 1;
  return t;
}

void row(const char* name, double value, const char* unit) {
  std::printf("%-58s %10.1f %s\n", name, value, unit);
}

void steps() {
  constexpr int count = 1000;
  std::vector<Any> inputs = {Any(ones(4)), Any(ones(4))};
  struct Case {
    const char* name;
    const char* step;
  };
  for (const Case& c : {Case{"planned step, add of 4 elements", "$o = add($i, %y, 1)"},
                        Case{"planned step, relu of 4 elements", "$o = relu($i)"},
                        Case{"planned step through the driver, add of a number", "$o = add($i, 1.0, 1)"}}) {
    runtime::Executable e(*graph::parse(chain(count, c.step)));
    row(c.name, seconds([&] { e.run(inputs); }) / count * 1e9, "ns");
  }
  runtime::Executable empty(*graph::parse(chain(1, "$o = add($i, %y, 1)")));
  row("a whole run of one step", seconds([&] { empty.run(inputs); }) * 1e9, "ns");
  Tensor x = ones(4), y = ones(4);
  row("eager add of 4 elements",
      seconds([&] {
        for (int i = 0; i < 1000; i++) y = add(x, x);
      }) / 1000 *
          1e9,
      "ns");
  std::string loop = R"(moka-ir 1
graph main(%x: float32[n], %k: int) {
  %r = loop(%k, true, %x) (%i: int, %v: float32[n]) {
    %w = add(%v, 1.0, 1)
    yield true, %w
  }
  return %r
})";
  runtime::Executable looping(*graph::parse(loop));
  std::vector<Any> loop_inputs = {Any(ones(4)), Any(1000)};
  row("iteration of a loop with one add", seconds([&] { looping.run(loop_inputs); }) / 1000 * 1e9, "ns");
  std::string append = R"(moka-ir 1
graph main(%x: float32[n], %k: int) {
  %empty = constant tensors[]
  %r: [tensor] = loop(%k, true, %empty) (%i: int, %l: [tensor]) {
    %m: [tensor] = @append(%l, %x)
    yield true, %m
  }
  %n = @len(%r)
  return %n
})";
  runtime::Executable appending(*graph::parse(append));
  for (int n : {100, 1000}) {
    std::vector<Any> in = {Any(ones(4)), Any(n)};
    row(cat("append to a list by value, ", n, " times, each").c_str(),
        seconds([&] { appending.run(in); }) / n * 1e9, "ns");
  }
}

void text() {
  std::string source =
      chain(100000, "$o: float32[n] = add($i, %y, 1) at \"model.py\":12 in \"layer1.0.conv1\"");
  std::unique_ptr<graph::Graph> g = graph::parse(source);
  double megabytes = static_cast<double>(source.size()) / 1e6;
  row("parse, 100,000 nodes", seconds([&] { graph::parse(source); }) * 1e3, "ms");
  row("  that is", megabytes / seconds([&] { graph::parse(source); }), "MB/s");
  row("print, 100,000 nodes", seconds([&] { graph::print(*g); }) * 1e3, "ms");
  row("verify, 100,000 nodes", seconds([&] { graph::verify(*g); }) * 1e3, "ms");
  row("clone, 100,000 nodes", seconds([&] { g->clone(); }) * 1e3, "ms");
  row("clean (fold, share, remove dead), 100,000 nodes", seconds([&] {
                                                           auto c = g->clone();
                                                           passes::clean(*c);
                                                         }) * 1e3,
      "ms");
  std::vector<Any> inputs = {Any(ones(4)), Any(ones(4))};
  row("plan and first run, 100,000 nodes", seconds([&] {
                                             runtime::Executable e(*g);
                                             e.run(inputs);
                                           }) * 1e3,
      "ms");
}

void threads() {
  runtime::Executable e(*graph::parse(chain(100, "$o = add($i, %y, 1)")));
  for (int count : {1, 2}) {
    auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> list;
    for (int t = 0; t < count; t++)
      list.emplace_back([&] {
        std::vector<Any> inputs = {Any(ones(4)), Any(ones(4))};
        for (int i = 0; i < 20000; i++) e.run(inputs);
      });
    for (std::thread& t : list) t.join();
    double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    row(cat("runs of 100 steps a second, ", count, " threads").c_str(), count * 20000 / passed, "");
  }
}
}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  register_all_ops();
  steps();
  text();
  threads();
}
