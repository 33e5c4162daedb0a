// Traces: self times, kernels and work of steps and eager calls, tables, the machine's limits; what a run allocates.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>

#include "moka/ops/all.h"
#include "moka/ops/define.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/runtime/executable.h"
#include "moka/runtime/machine.h"
#include "moka/runtime/watch.h"
#include "moka/runtime/work.h"

namespace {
std::atomic<int64_t> heap_calls{0};
}
// Counts what asks for memory on the heap.
void* operator new(size_t bytes) {
  heap_calls.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes ? bytes : 1)) return p;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  heap_calls.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes ? bytes : 1);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }

namespace moka::runtime {
namespace {

class Traces : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

Tensor filled(std::initializer_list<int64_t> sizes) {
  Tensor t = new_tensor(Dims(sizes), DType::F32);
  for (int64_t i = 0; i < t.numel(); i++) t.data<float>()[i] = static_cast<float>(i % 7) - 3;
  return t;
}

Trace::Event event(const char* name, int64_t begin, int64_t end) {
  Trace::Event e;
  e.name = name;
  e.begin = begin;
  e.end = end;
  return e;
}

TEST_F(Traces, what_lies_inside_counts_once) {
  Trace trace;
  trace.add(event("inner", 2000, 5000));
  trace.add(event("inner", 6000, 7000));
  trace.add(event("outer", 1000, 11000));
  const std::vector<Trace::Row> rows = trace.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].name, "outer");
  EXPECT_EQ(rows[0].self, 6000);
  EXPECT_EQ(rows[1].total, 4000);
  EXPECT_EQ(rows[1].least, 1000);
  EXPECT_EQ(rows[1].calls, 2);
}

TEST_F(Traces, steps_say_kernel_shapes_work_and_place) {
  Executable e(*graph::parse(R"(moka-ir 1
graph main(%x: float32[4, 8], %w: float32[8, 16]) {
  %y = matmul(%x, %w) at "model.py":7 in "net.0"
  %z = relu(%y)
  return %z
})"));
  Trace trace;
  RunOptions options;
  options.trace = &trace;
  const std::vector<Any> inputs = {Any(filled({4, 8})), Any(filled({8, 16}))};
  for (int i = 0; i < 2; i++) e.run(inputs, options);
  const std::vector<Trace::Event> events = trace.events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].name, "matmul");
  EXPECT_FALSE(events[0].kernel.empty());
  EXPECT_EQ(events[0].place, "in matmul of net.0 (model.py:7)");
  EXPECT_EQ(events[0].shapes, "float32[4, 8], float32[8, 16]");
  EXPECT_EQ(events[0].flop, 2 * 4 * 8 * 16);
  EXPECT_EQ(events[0].bytes, 4 * (4 * 8 + 8 * 16 + 4 * 16));
  EXPECT_EQ(events[0].made, 4 * 4 * 16);
  EXPECT_EQ(events[1].kernel, "formula");
  EXPECT_EQ(trace.rows(Trace::By::Step).size(), 2u);
  const MachineLimits limits{1, 1e9, 1e9};
  const std::string table = trace.table(Trace::By::Step, &limits);
  EXPECT_NE(table.find("in matmul of net.0 (model.py:7); float32[4, 8], float32[8, 16]"), std::string::npos)
      << table;
  EXPECT_NE(table.find("1.00GFLOP/s of float32"), std::string::npos) << table;
  EXPECT_NE(trace.table(Trace::By::Operator, nullptr, 1).find("... and 1 more"), std::string::npos);
}

TEST_F(Traces, eager_calls_of_this_thread_are_watched) {
  Trace trace;
  Tensor x = filled({30, 40});
  {
    Watch watch(trace);
    relu(x);
    transpose(x, 0, 1);
    EXPECT_THROW({ Watch second(trace); }, Error);
    Executable(*graph::parse("moka-ir 1\ngraph main(%x: float32[30, 40]) {\n  %y = neg(%x)\n  return %y\n}"))
        .run(std::array{Any(x)});
  }
  relu(x);
  const std::vector<Trace::Event> events = trace.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].kernel, "formula");
  EXPECT_EQ(events[0].made, 4800);
  EXPECT_GE(events[0].in_use, 4800);
  EXPECT_EQ(events[1].kernel, "view");
  EXPECT_EQ(events[1].bytes, 0);
  EXPECT_EQ(events[2].name, "neg");
  EXPECT_GE(events[2].step, 0);
}

int64_t flop(const char* op, std::vector<Dims> args, Dims out) {
  std::vector<Extent> in(info(get_op(op)).schema.args.size());
  for (size_t i = 0; i < args.size(); i++) in[i] = {true, false, args[i]};
  const Extent result[] = {{true, false, out}};
  return arithmetic(get_op(op), in, result);
}

TEST_F(Traces, arithmetic_follows_the_sizes) {
  EXPECT_EQ(flop("conv2d", {{1, 4, 8, 8}, {6, 2, 3, 3}}, {1, 6, 6, 6}), 2 * 18 * 216);
  EXPECT_EQ(flop("conv2d_backward_weight", {{1, 6, 6, 6}, {1, 4, 8, 8}}, {6, 2, 3, 3}), 2 * 18 * 216);
  EXPECT_EQ(flop("conv_transpose2d", {{1, 6, 6, 6}, {6, 4, 3, 3}}, {1, 4, 8, 8}), 2 * 36 * 216);
  EXPECT_EQ(flop("linear", {{5, 8}, {3, 8}}, {5, 3}), 2 * 8 * 15);
  EXPECT_EQ(flop("attention", {{2, 4, 8}, {2, 5, 8}, {2, 5, 6}}, {2, 4, 6}), 2 * 2 * 4 * 5 * (8 + 6));
  EXPECT_EQ(flop("transpose", {{5, 8}}, {8, 5}), 0);
  EXPECT_EQ(flop("sum", {{5, 8}}, {}), 40);
  EXPECT_EQ(flop("linear", {{5, 8}}, {5, 3}), -1);  // the weight's sizes are not known
  EXPECT_EQ(flop("matmul", {{1, INT64_MAX}}, {4}), INT64_MAX);
}

TEST_F(Traces, limits_are_remembered_and_damaged_files_measured_again) {
  char folder[] = "/tmp/moka-machine-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  ::setenv("MOKA_CACHE", folder, 1);
  const MachineLimits first = machine_limits();
  EXPECT_GT(first.flop_per_second, 1e7);
  EXPECT_GT(first.bytes_per_second, 1e7);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files++;
    std::string word;
    std::ifstream(entry.path()) >> word;
    EXPECT_EQ(word, "moka-machine");
  }
  EXPECT_EQ(files, 1);
  EXPECT_EQ(machine_limits().flop_per_second, first.flop_per_second);
  ::unsetenv("MOKA_CACHE");
  std::filesystem::remove_all(folder);
}

std::string chain(int length) {
  std::string text = "moka-ir 1\ngraph main(%x: float32[64]) {\n  %v0 = neg(%x)\n";
  for (int i = 1; i <= length; i++) {
    text += cat("  %w", i, " = reshape(%v", i - 1, ", [8, 8])\n  %m", i, " = matmul(%w", i, ", %w", i, ")\n");
    text += cat("  %s", i, " = softmax(%m", i, ", 1)\n  %v", i, " = reshape(%s", i, ", [64])\n");
  }
  return text + cat("  return %v", length, "\n}");
}

TEST_F(Traces, a_run_asks_for_no_memory_but_its_results) {
  auto calls = [](int length) {
    const Executable e(*graph::parse(chain(length)));
    const std::vector<Any> inputs = {Any(filled({64}))};
    for (int i = 0; i < 3; i++) e.run(inputs);
    const int64_t before = heap_calls;
    for (int i = 0; i < 10; i++) e.run(inputs);
    return heap_calls - before;
  };
  const int64_t few = calls(1);
  EXPECT_EQ(calls(40), few);  // whatever the graph does
  EXPECT_LE(few, 10 * 6);  // the list of results, and the handle and storage of each
}

}  // namespace
}  // namespace moka::runtime
