// A small convolutional network: its optimized graph computes what the plain one does, with fewer steps and less memory.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "moka/ops/all.h"
#include "moka/passes/passes.h"
#include "moka/runtime/executable.h"
#include "moka/tensor/allocator.h"

namespace moka::runtime {
namespace {

using namespace graph;

Tensor random_tensor(std::initializer_list<int64_t> sizes, uint32_t seed, float low, float high) {
  Tensor t = new_tensor(Dims(sizes), DType::F32);
  for (int64_t i = 0; i < t.numel(); i++) {
    seed = seed * 1664525 + 1013904223;
    t.data<float>()[i] = low + (high - low) * static_cast<float>(seed >> 8) / static_cast<float>(1 << 24);
  }
  return t;
}

std::unique_ptr<Graph> network() {
  register_all_ops();
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[batch, 1, 14, 14]) {
  state parameter "c1.weight": float32[8, 1, 3, 3]
  state parameter "c1.bias": float32[8]
  state parameter "n1.weight": float32[8]
  state parameter "n1.bias": float32[8]
  state buffer "n1.mean": float32[8]
  state buffer "n1.var": float32[8]
  state parameter "c2.weight": float32[8, 8, 3, 3]
  state parameter "fc.weight": float32[10, 392]
  state parameter "fc.bias": float32[10]
  %w1 = get "c1.weight"
  %b1 = get "c1.bias"
  %g1 = get "n1.weight"
  %h1 = get "n1.bias"
  %m1 = get "n1.mean"
  %v1 = get "n1.var"
  %y = conv2d(%x, %w1, %b1, padding = [1, 1])
  %n = batch_norm(%y, %g1, %h1, %m1, %v1)
  %r = relu(%n)
  %p = max_pool2d(%r, [2, 2])
  %w2 = get "c2.weight"
  %z = conv2d(%p, %w2, padding = [1, 1])
  %s = add(%z, %p)
  %t = relu(%s)
  %batch = @size(%t, 0)
  %shape = list(%batch, -1)
  %f = reshape(%t, %shape)
  %w3 = get "fc.weight"
  %b3 = get "fc.bias"
  %o = linear(%f, %w3, %b3)
  return %o as "logits"
})");
  uint32_t seed = 1;
  for (auto& [name, s] : g->states) {
    Dims sizes;
    for (const Dim& d : s.type.dims) sizes.push_back(d.size);
    bool variance = name == "n1.var";
    Tensor t = new_tensor(sizes, DType::F32);
    Tensor from = random_tensor({t.numel()}, seed++, variance ? 0.5f : -0.5f, variance ? 2.0f : 0.5f);
    std::copy(from.data<float>(), from.data<float>() + t.numel(), t.data<float>());
    s.value = Any(t);
  }
  return g;
}

TEST(Model, the_optimized_graph_computes_the_same) {
  std::unique_ptr<Graph> plain = network();
  std::unique_ptr<Graph> optimized = plain->clone();
  EXPECT_GT(passes::optimize(*optimized), 0);
  std::string text = print(*optimized);
  EXPECT_EQ(text.find("batch_norm"), std::string::npos) << text;
  EXPECT_EQ(text.find(" relu("), std::string::npos) << text;
  Executable a(*plain), b(*optimized);
  for (int64_t batch : {1, 5, 32}) {
    std::vector<Any> inputs = {Any(random_tensor({batch, 1, 14, 14}, 9, -1, 1))};
    Tensor x = a.run(inputs)[0].tensor(), y = b.run(inputs)[0].tensor();
    ASSERT_EQ(Dims(x.sizes()), (Dims{batch, 10}));
    for (int64_t i = 0; i < x.numel(); i++)
      ASSERT_NEAR(element_as_double(x, i), element_as_double(y, i), 1e-4);
    PlanSummary before = a.plan_summary(inputs), after = b.plan_summary(inputs);
    EXPECT_EQ(after.planned_steps, 4);  // two convolutions, pooling, linear
    EXPECT_LT(after.steps, before.steps);
    EXPECT_LE(after.arena_bytes, before.arena_bytes);
    EXPECT_LT(after.arena_bytes, after.tensor_bytes);
  }
}

TEST(Model, the_result_does_not_depend_on_what_memory_held) {
  std::unique_ptr<Graph> g = network();
  passes::optimize(*g);
  std::vector<Any> inputs = {Any(random_tensor({3, 1, 14, 14}, 5, -1, 1))};
  Tensor first = Executable(*g).run(inputs)[0].tensor();
  fill_allocations(0xff);  // NaN in every new block
  Executable again(*g);
  for (int i = 0; i < 3; i++) {
    Tensor y = again.run(inputs)[0].tensor();
    for (int64_t k = 0; k < y.numel(); k++) ASSERT_EQ(element_as_double(y, k), element_as_double(first, k));
  }
  fill_allocations(-1);
}

}  // namespace
}  // namespace moka::runtime
