// Executables: results equal to eager calls, memory shared and bounded, control flow, states, errors, stops, threads.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "moka/ops/all.h"
#include "moka/ops/define.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/runtime/executable.h"
#include "moka/runtime/plan_internal.h"
#include "moka/runtime/trace.h"
#include "moka/tensor/allocator.h"

namespace moka::runtime {
namespace {

using graph::parse;

Tensor numbers(std::initializer_list<int64_t> sizes, double start = 0, double step = 1,
               DType dtype = DType::F32) {
  Tensor t = new_tensor(Dims(sizes), dtype);
  for (int64_t i = 0; i < t.numel(); i++) {
    double v = start + step * static_cast<double>(i);
    convert_elements(&v, DType::F64,
                     static_cast<char*>(t.raw_data()) + i * static_cast<int64_t>(item_size(dtype)), dtype, 1);
  }
  return t;
}

void expect_equal(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(Dims(a.sizes()), Dims(b.sizes()));
  ASSERT_EQ(a.dtype(), b.dtype());
  for (int64_t i = 0; i < a.numel(); i++)
    ASSERT_EQ(element_as_double(a, i), element_as_double(b, i)) << "element " << i;
}

std::vector<Any> run(const Executable& e, std::initializer_list<Any> inputs, const RunOptions& options = {}) {
  std::vector<Any> list(inputs);
  return e.run(std::span<const Any>(list), options);
}

std::string error_of(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}
void expect_error(auto&& call, std::string_view part) {
  EXPECT_NE(error_of(call).find(part), std::string::npos) << error_of(call);
}

class Runtime : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

constexpr const char* pointwise_chain = R"(moka-ir 1
graph main(%x: float32[n, 100], %y: float32[n, 100]) {
  %a = add(%x, %y, 2.0)
  %b = relu(%a)
  %c = mul(%b, %x)
  %d = sub(%c, %b, 1)
  %f = mul(%d, 0.5)
  %g = transpose(%f, 0, 1)
  %h = add(%g, 1.0, 1)
  return %h as "h", %f
})";

std::vector<Tensor> eager_chain(const Tensor& x, const Tensor& y) {
  Tensor b = relu(add(x, y, 2.0));
  Tensor f = mul(sub(mul(b, x), b), 0.5);
  return {add(transpose(f, 0, 1), 1.0), f};
}

TEST_F(Runtime, results_are_those_of_eager_calls_for_any_shape) {
  Executable e(*parse(pointwise_chain));
  for (int64_t n : {1, 3, 64, 0, 3}) {
    Tensor x = numbers({n, 100}, -50, 0.25), y = numbers({n, 100}, 3, -0.125);
    std::vector<Any> out = run(e, {Any(x), Any(y)});
    std::vector<Tensor> expected = eager_chain(x, y);
    expect_equal(out[0].tensor(), expected[0]);
    expect_equal(out[1].tensor(), expected[1]);
  }
  EXPECT_EQ(e.plan_count(), 4u);
  // Strided inputs are another signature.
  Tensor x = transpose(numbers({100, 5}, -50, 0.25), 0, 1), y = numbers({5, 100}, 3, -0.125);
  std::vector<Any> out = run(e, {Any(x), Any(y)});
  expect_equal(out[0].tensor(), eager_chain(x, y)[0]);
  EXPECT_EQ(e.plan_count(), 5u);
}

TEST_F(Runtime, a_run_allocates_its_outputs_and_nothing_else) {
  Executable e(*parse(pointwise_chain));
  Tensor x = numbers({64, 100}), y = numbers({64, 100});
  std::vector<Any> inputs = {Any(x), Any(y)};
  e.run(inputs);
  AllocatorStats before = cpu_allocator().stats();
  for (int i = 0; i < 10; i++) e.run(inputs);
  AllocatorStats after = cpu_allocator().stats();
  EXPECT_EQ(after.allocations - before.allocations, 20u);  // two outputs a run
  EXPECT_EQ(after.bytes_in_use, before.bytes_in_use);
}

TEST_F(Runtime, intermediates_share_memory_and_views_cost_nothing) {
  std::string text = "moka-ir 1\ngraph main(%x: float32[256]) {\n  %v0 = neg(%x)\n";
  for (int i = 1; i <= 50; i++)
    text +=
        cat("  %w", i, " = reshape(%v", i - 1, ", [16, 16])\n  %u", i, " = transpose(%w", i, ", 0, 1)\n  %s",
            i, " = add(%u", i, ", %w", i, ")\n  %v", i, " = reshape(%s", i, ", [256])\n");
  text += "  return %v50\n}";
  Executable e(*parse(text));
  std::vector<Any> inputs = {Any(numbers({256}, 0, 1e-20))};
  PlanSummary plan = e.plan_summary(inputs);
  EXPECT_EQ(plan.tensor_bytes, 50 * 1024);  // all but the output
  EXPECT_EQ(plan.arena_bytes, 2 * 1024);
  EXPECT_EQ(plan.views, 150);
  Tensor v = neg(inputs[0].tensor());
  for (int i = 1; i <= 50; i++) {
    Tensor w = reshape(v, Dims{16, 16});
    v = reshape(add(transpose(w, 0, 1), w), Dims{256});
  }
  expect_equal(e.run(inputs)[0].tensor(), v);
  expect_equal(e.run(inputs)[0].tensor(), v);
}

TEST_F(Runtime, a_formula_writes_over_what_nothing_reads_again) {
  Executable e(*parse(R"(moka-ir 1
graph main(%x: float32[1000]) {
  %a = neg(%x)
  %b = relu(%a)
  %c = neg(%b)
  %d = mul(%c, %b)
  return %d
})"));
  std::vector<Any> inputs = {Any(numbers({1000}, -500))};
  EXPECT_EQ(e.plan_summary(inputs).arena_bytes, 2 * 4032);  // %a and %b in one place, %c in another
  Tensor b = relu(neg(inputs[0].tensor()));
  expect_equal(e.run(inputs)[0].tensor(), mul(neg(b), b));
}

TEST_F(Runtime, memory_of_overlapping_lives_never_overlaps) {
  std::vector<Root> roots;
  uint32_t seed = 1;
  auto random = [&](int n) { return static_cast<int>((seed = seed * 1664525 + 1013904223) >> 8) % n; };
  for (int i = 0; i < 300; i++) {
    Root r;
    r.bytes = random(10000);
    r.first = i;
    r.last = i + random(20);
    r.planned = true;
    roots.push_back(r);
  }
  int64_t total = plan_memory(roots), sum = 0;
  for (size_t i = 0; i < roots.size(); i++) {
    sum += roots[i].bytes;
    EXPECT_EQ(roots[i].offset % 64, 0);
    EXPECT_LE(roots[i].offset + roots[i].bytes, total);
    for (size_t j = 0; j < i; j++) {
      bool lives_meet = roots[i].first <= roots[j].last && roots[j].first <= roots[i].last;
      bool places_meet = roots[i].offset < roots[j].offset + roots[j].bytes &&
                         roots[j].offset < roots[i].offset + roots[i].bytes;
      EXPECT_FALSE(lives_meet && places_meet) << i << " and " << j;
    }
  }
  EXPECT_LT(total, sum / 5);
}

TEST_F(Runtime, branches_and_loops) {
  Executable e(*parse(R"(moka-ir 1
graph main(%x: float32[4], %n: int, %double: bool) {
  %y, %k = loop(%n, true, %x, 0) (%i: int, %v: float32[4], %count: int) {
    %w = if %double {
      %a = add(%v, %v, 1)
      yield %a
    } else {
      %b = add(%v, %x, 1)
      yield %b
    }
    %c = @add(%count, %i)
    %go = @lt(%c, 10)
    yield %go, %w, %c
  }
  %z = neg(%y)
  return %y, %z, %k
})"));
  Tensor x = numbers({4}, 1);
  std::vector<Any> out = run(e, {Any(x), Any(3), Any(true)});
  expect_equal(out[0].tensor(), mul(x, 8.0));
  expect_equal(out[1].tensor(), mul(x, -8.0));
  EXPECT_EQ(out[2].to_int(), 3);
  out = run(e, {Any(x), Any(100), Any(false)});  // stops by its condition after 0+1+2+3+4
  expect_equal(out[0].tensor(), mul(x, 6.0));
  EXPECT_EQ(out[2].to_int(), 10);
  out = run(e, {Any(x), Any(0), Any(false)});
  expect_equal(out[0].tensor(), x);
  EXPECT_EQ(e.plan_count(), 1u);  // numbers do not choose the plan
}

TEST_F(Runtime, loops_may_change_shapes_and_build_lists) {
  Executable e(*parse(R"(moka-ir 1
graph main(%x: float32[2, n], %times: int) {
  %empty = constant tensors[]
  %all: [tensor], %last: tensor = loop(%times, none, %empty, %x) (%i: int, %list: [tensor], %v: tensor) {
    %twice = list(%v, %v)
    %next = cat(%twice, 0)
    %more = @append(%list, %next)
    yield true, %more, %next
  }
  %joined = cat(%all, 0)
  %count = @len(%all)
  %first = @index(%all, 0)
  return %joined, %count, %first
})"));
  Tensor x = numbers({2, 3});
  std::vector<Any> out = run(e, {Any(x), Any(3)});
  EXPECT_EQ(Dims(out[0].tensor().sizes()), (Dims{4 + 8 + 16, 3}));
  EXPECT_EQ(out[1].to_int(), 3);
  EXPECT_EQ(Dims(out[2].tensor().sizes()), (Dims{4, 3}));
  EXPECT_EQ(element_as_double(out[0].tensor(), 7), 1);
}

TEST_F(Runtime, carried_values_are_not_overwritten_while_they_are_read) {
  // Fibonacci: both values of the last iteration are read while the next ones are made.
  Executable e(*parse(R"(moka-ir 1
graph main(%x: float32[1000], %n: int) {
  %a, %b = loop(%n, true, %x, %x) (%i: int, %p: float32[1000], %q: float32[1000]) {
    %s = add(%p, %q, 1)
    %t = mul(%s, 1.0)
    yield true, %q, %t
  }
  return %b
})"));
  Tensor x = numbers({1000}, 1, 0);
  expect_equal(run(e, {Any(x), Any(20)})[0].tensor(), numbers({1000}, 17711, 0));
}

TEST_F(Runtime, states_live_from_run_to_run) {
  Executable e(*parse(R"(moka-ir 1
graph main(%x: float32[2]) {
  state buffer written "sum": float32[2] = float32[2] {0.0, 0.0}
  state parameter "scale": float32[] = float32[] {2.0}
  %s = get "scale"
  %y = mul(%x, %s)
  %old = get "sum"
  %new = add(%old, %y, 1)
  set "sum"(%new)
  return %new
})"));
  Tensor x = numbers({2}, 1);
  run(e, {Any(x)});
  Tensor second = run(e, {Any(x)})[0].tensor();
  expect_equal(second, numbers({2}, 4, 4));
  expect_equal(e.state("sum").tensor(), second);
  e.set_state("scale", Any(numbers({}, 10)));
  expect_equal(run(e, {Any(x)})[0].tensor(), numbers({2}, 14, 14));
  expect_error([&] { e.set_state("scale", Any(numbers({3}))); },
               "state 'scale' is float32[], got float32[3]");
  expect_error([&] { e.state("nowhere"); }, "has no state 'nowhere'");
}

TEST_F(Runtime, calls_between_graphs_are_inlined) {
  graph::Program program = graph::parse_program(R"(moka-ir 1
graph main(%x: float32[2]) {
  %y: float32[2] = call "twice"(%x)
  return %y
}
graph twice(%x: float32[2]) {
  %a: float32[2] = call "once"(%x)
  %b: float32[2] = call "once"(%a)
  return %b
}
graph once(%x: float32[2]) {
  %a = add(%x, 1.0, 1)
  return %a
}
graph endless(%x: float32[2]) {
  %a: float32[2] = call "endless"(%x)
  return %a
})");
  Executable e(program, "main");
  expect_equal(run(e, {Any(numbers({2}))})[0].tensor(), numbers({2}, 2));
  expect_error([&] { Executable(program, "endless"); }, "graph 'endless' calls itself");
}

TEST_F(Runtime, names_and_numbers_of_inputs_are_checked) {
  Executable e(*parse(pointwise_chain));
  Tensor x = numbers({2, 100}), small = numbers({3, 100});
  expect_error([&] { run(e, {Any(x)}); }, "takes 2 inputs, got 1");
  expect_error([&] { run(e, {Any(x), Any(1)}); },
               "input 'y' of graph 'main' must be float32[n, 100], got int");
  expect_error([&] { run(e, {Any(x), Any(numbers({2, 99}))}); },
               "must be float32[n, 100], got float32[2, 99]");
  expect_error([&] { run(e, {Any(x), Any(numbers({2, 100}, 0, 1, DType::F64))}); }, "got float64[2, 100]");
  expect_error([&] { run(e, {Any(x), Any(small)}); }, "size 'n' is 2 in input 'x' but 3 in input 'y'");
  std::map<std::string, Any> named = {{"x", Any(x)}, {"y", Any(x)}};
  EXPECT_EQ(e.run(named).count("h"), 1u);
  EXPECT_EQ(e.run(named).count("output 1"), 1u);
  named["z"] = Any(x);
  expect_error([&] { e.run(named); }, "has no input 'z'; its inputs are 'x', 'y'");
  expect_error([&] { e.run(std::map<std::string, Any>{{"x", Any(x)}}); },
               "input 'y' of graph 'main' is missing");
}

TEST_F(Runtime, errors_name_the_node_and_its_source) {
  Executable e(*parse(R"(moka-ir 1
graph main(%x: tensor, %y: tensor) {
  %a = add(%x, %y, 1) label "residual" at "model.py":17 in "layer1.0"
  return %a
})"));
  std::string error = error_of([&] { run(e, {Any(numbers({2})), Any(numbers({3}))}); });
  EXPECT_NE(error.find("shapes [2] and [3] do not broadcast"), std::string::npos) << error;
  EXPECT_NE(error.find("in add 'residual' of layer1.0 (model.py:17)"), std::string::npos) << error;
  // The executable still works.
  expect_equal(run(e, {Any(numbers({2})), Any(numbers({2}))})[0].tensor(), numbers({2}, 0, 2));
}

constexpr const char* endless = R"(moka-ir 1
graph main(%x: float32[2]) {
  %y = loop(none, true, %x) (%i: int, %v: float32[2]) {
    %w = neg(%v)
    yield true, %w
  }
  return %y
})";

TEST_F(Runtime, deadlines_cancellation_and_limits_stop_runs) {
  Executable e(*parse(endless));
  RunOptions options;
  options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  expect_error([&] { run(e, {Any(numbers({2}))}, options); }, "the deadline has passed");
  std::atomic<bool> cancel{false};
  options = {};
  options.cancel = &cancel;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    cancel = true;
  });
  expect_error([&] { run(e, {Any(numbers({2}))}, options); }, "cancelled");
  other.join();
  Options limits;
  limits.max_iterations = 100;
  Executable limited(*parse(endless), limits);
  expect_error([&] { run(limited, {Any(numbers({2}))}); }, "more than 100 iterations");
  limits = {};
  limits.max_bytes = 10000;
  Executable small(*parse(pointwise_chain), limits);
  expect_error([&] { run(small, {Any(numbers({64, 100})), Any(numbers({64, 100}))}); },
               "more than the limit of 10000");
}

TEST_F(Runtime, plans_are_bounded) {
  Options options;
  options.plans = 3;
  Executable e(*parse(pointwise_chain), options);
  for (int64_t n = 1; n < 20; n++) run(e, {Any(numbers({n, 100})), Any(numbers({n, 100}))});
  EXPECT_EQ(e.plan_count(), 3u);
}

TEST_F(Runtime, traces_name_every_step) {
  Executable e(*parse(pointwise_chain));
  Trace trace;
  RunOptions options;
  options.trace = &trace;
  run(e, {Any(numbers({2, 100})), Any(numbers({2, 100}))}, options);
  EXPECT_EQ(trace.events().size(), 7u);
  EXPECT_NE(trace.chrome_json().find("\"name\": \"relu\""), std::string::npos) << trace.chrome_json();
  EXPECT_NE(trace.table().find("relu"), std::string::npos);
}

TEST_F(Runtime, failing_allocations_leave_the_executable_usable) {
  Executable e(*parse(pointwise_chain));
  std::vector<Any> inputs = {Any(numbers({64, 100})), Any(numbers({64, 100}))};
  int failures = 0;
  for (int64_t n = 1; n <= 6; n++) {
    fail_allocation_after(n, false);
    try {
      e.run(inputs);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
      failures++;
    }
    fail_allocation_after(0, false);
  }
  EXPECT_GT(failures, 0);
  expect_equal(e.run(inputs)[1].tensor(), eager_chain(inputs[0].tensor(), inputs[1].tensor())[1]);
}

TEST_F(Runtime, eight_threads_share_one_executable) {
  Executable e(*parse(R"(moka-ir 1
graph main(%x: float32[n], %k: int) {
  state parameter "w": float32[] = float32[] {3.0}
  state buffer written "last": float32[...] = float32[1] {0.0}
  %w = get "w"
  %y = loop(%k, true, %x) (%i: int, %v: float32[n]) {
    %a = mul(%v, %w)
    %b = add(%a, 1.0, 1)
    yield true, %b
  }
  %r = relu(%y)
  set "last"(%r)
  return %r
})"));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; i++) {
        int64_t n = 1 + (t + i) % 5;
        int k = i % 4;
        double expected = t;
        for (int j = 0; j < k; j++) expected = expected * 3 + 1;
        Tensor y = run(e, {Any(numbers({n}, t, 0)), Any(k)})[0].tensor();
        if (y.numel() != n || element_as_double(y, n - 1) != expected) wrong++;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace moka::runtime
