// Regions between permutations, by the text before and after.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "moka/ops/all.h"
#include "moka/passes/passes.h"

namespace moka::passes {
namespace {

class MovePermutes : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

// `before` becomes `after`, where constants that nothing reads are gone, and stays so.
void expect_moved(const std::string& before, const std::string& after) {
  std::unique_ptr<graph::Graph> g = graph::parse("moka-ir 1\n" + before);
  EXPECT_GT(move_permutes(*g), 0);
  verify(*g);
  remove_dead(*g);
  EXPECT_EQ(print(*g), "moka-ir 1\n" + after);
  EXPECT_EQ(move_permutes(*g), 0) << print(*g);
}
void expect_unmoved(const std::string& text) {
  std::unique_ptr<graph::Graph> g = graph::parse("moka-ir 1\n" + text);
  EXPECT_EQ(move_permutes(*g), 0) << print(*g);
}

TEST_F(MovePermutes, pointwise_operators_between_permutations_that_undo_each_other) {
  expect_moved(R"(graph main(%x: float32[n, 4, 5, 6], %y: float32[n, 4, 5, 6]) {
  %c = constant float32[4] {1.0, 2.0, 3.0, 4.0}
  %a: float32[n, 5, 6, 4] = permute(%x, [0, 2, 3, 1])
  %b: float32[n, 5, 6, 4] = permute(%y, [0, -2, -1, 1])
  %s: float32[n, 5, 6, 4] = add(%a, %b, 1)
  %t: float32[n, 5, 6, 4] = mul(%s, %c)
  %u: float32[n, 5, 6, 4] = relu(%t)
  %v: float32[n, 4, 5, 6] = permute(%u, [0, 3, 1, 2])
  return %v
}
)",
               R"(graph main(%x: float32[n, 4, 5, 6], %y: float32[n, 4, 5, 6]) {
  %0: float32[n, 4, 5, 6] = add(%x, %y, 1)
  %1: float32[1, 4, 1, 1] = constant float32[1, 4, 1, 1] {1.0, 2.0, 3.0, 4.0}
  %2: float32[n, 4, 5, 6] = mul(%0, %1)
  %v: float32[n, 4, 5, 6] = relu(%2)
  return %v
}
)");
}

TEST_F(MovePermutes, dimensions_of_reductions_pads_slices_and_joins_follow) {
  expect_moved(R"(graph main(%x: float32[2, 4, 5, 6]) {
  %a: float32[2, 5, 6, 4] = permute(%x, [0, 2, 3, 1])
  %m: float32[2, 1, 1, 4] = mean(%a, [1, -2], true, none)
  %p: float32[2, 6, 6, 7] = pad_constant(%a, [1, 2, 0, 0, 0, 1], 0.0)
  %s: float32[2, 6, 6, 4] = slice(%p, -1, 3, none, 1)
  %f: float32[2, 4] = mean(%s, [1, 2], false, none)
  %l = list(%s, %s)
  %j: float32[2, 6, 6, 8] = cat(%l, 3)
  %o: float32[2, 8, 6, 6] = permute(%j, [0, 3, 1, 2])
  %q: float32[2, 4, 1, 1] = permute(%m, [0, 3, 1, 2])
  return %o, %q, %f
}
)",
               R"(graph main(%x: float32[2, 4, 5, 6]) {
  %q: float32[2, 4, 1, 1] = mean(%x, [2, 3], true, none)
  %0: float32[2, 7, 6, 6] = pad_constant(%x, [0, 0, 0, 1, 1, 2, 0, 0], 0.0)
  %1: float32[2, 4, 6, 6] = slice(%0, 1, 3, none, 1)
  %f: float32[2, 4] = mean(%1, [2, 3], false, none)
  %2: [float32[2, 4, 6, 6]] = list(%1, %1)
  %o: float32[2, 8, 6, 6] = cat(%2, 1)
  return %o, %q, %f
}
)");
}

TEST_F(MovePermutes, what_else_reads_a_region_gets_it_permuted_where_that_pays) {
  expect_moved(R"(graph main(%x: float32[2, 4, 5, 6]) {
  %a: float32[2, 5, 6, 4] = permute(%x, [0, 2, 3, 1])
  %r: float32[2, 5, 6, 4] = relu(%a)
  %s: float32[2, 5, 6, 4] = softmax(%r, 3, none)
  %b: float32[2, 4, 5, 6] = permute(%r, [0, 3, 1, 2])
  %t: float32[4, 5, 6, 2] = permute(%r, [3, 1, 2, 0])
  return %s, %b, %t
}
)",
               R"(graph main(%x: float32[2, 4, 5, 6]) {
  %b: float32[2, 4, 5, 6] = relu(%x)
  %r: float32[2, 5, 6, 4] = permute(%b, [0, 2, 3, 1])
  %s: float32[2, 5, 6, 4] = softmax(%r, 3, none)
  %t: float32[4, 5, 6, 2] = permute(%b, [1, 2, 3, 0])
  return %s, %b, %t
}
)");
  // As many permutations either way.
  expect_unmoved(R"(graph main(%x: float32[2, 4, 5, 6]) {
  %a: float32[2, 5, 6, 4] = permute(%x, [0, 2, 3, 1])
  %r: float32[2, 5, 6, 4] = relu(%a)
  return %r
}
)");
  // The reduction would leave its dimensions in another order.
  expect_unmoved(R"(graph main(%x: float32[2, 4, 5, 6]) {
  %a: float32[2, 5, 6, 4] = permute(%x, [0, 2, 3, 1])
  %m: float32[2, 5, 4] = mean(%a, [2], false, none)
  return %m
}
)");
  // A tensor of another order, whose rank broadcasts, is not known to fit.
  expect_unmoved(R"(graph main(%x: float32[2, 4, 5, 6], %y: float32[2, 5, 6, 4]) {
  %a: float32[2, 5, 6, 4] = permute(%x, [0, 2, 3, 1])
  %s: float32[2, 5, 6, 4] = add(%a, %y, 1)
  %b: float32[2, 4, 5, 6] = permute(%s, [0, 3, 1, 2])
  return %b
}
)");
}

TEST_F(MovePermutes, dimensions_that_there_are_not_are_left_alone) {
  for (const char* order : {"7000000, 0, 1", "1, 1, 0", "-4, 0, 1", "0, 1, 2, 3"})
    expect_unmoved(cat("graph main(%x: tensor) {\n  %a: float32[a, b, c] = permute(%x, [", order, R"(])
  %r: float32[a, b, c] = relu(%a)
  %y: float32[a, b, c] = permute(%r, [1, 2, 0])
  return %y
}
)"));
  for (const char* call :
       {"mean(%a, [99], true, none)", "mean(%a, [-99], true, none)", "slice(%a, 99, 0, 1, 1)", "cat(%l, -99)",
        "pad_constant(%a, [0, 0, 0, 0, 0, 0, 1, 1], 0.0)"})
    expect_unmoved(cat(R"(graph main(%x: tensor) {
  %a: float32[a, b, c] = permute(%x, [1, 2, 0])
  %l = list(%a, %a)
  %r: float32[a, b, c] = )",
                       call, R"(
  %y: float32[a, b, c] = permute(%r, [2, 0, 1])
  return %y
}
)"));
}

TEST_F(MovePermutes, permutations_that_undo_each_other_go) {
  expect_moved(R"(graph main(%x: float32[a, b, c]) {
  %p: float32[b, c, a] = permute(%x, [1, 2, 0])
  %q: float32[a, b, c] = permute(%p, [2, 0, 1])
  %y: float32[a, b, c] = relu(%q)
  return %y
}
)",
               R"(graph main(%x: float32[a, b, c]) {
  %y: float32[a, b, c] = relu(%x)
  return %y
}
)");
}

}  // namespace
}  // namespace moka::passes
