// Fused regions compute what their operators compute, over the whole table of formulas, types and layouts.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "moka/graph/interpret.h"
#include "moka/ops/all.h"
#include "moka/passes/passes.h"
#include "moka/runtime/executable.h"
#include "moka/runtime/random_region.h"

namespace moka::runtime {
namespace {

using namespace graph;
using testing_regions::RandomRegion;

int regions_of(const Graph& g) {
  int count = 0;
  for (const Node* n : *g.main())
    count +=
        n->kind == NodeKind::Op && (n->op_name() == "fused_region" || n->op_name() == "fused_region_all");
  return count;
}

void expect_same(const Tensor& a, const Tensor& b, const std::string& text) {
  ASSERT_EQ(a.dtype(), b.dtype()) << text;
  ASSERT_EQ(Dims(a.sizes()), Dims(b.sizes())) << text;
  for (int64_t i = 0; i < a.numel(); i++) {
    if (is_integral(a.dtype()) || a.dtype() == DType::Bool) {
      ASSERT_EQ(element_as_int(a, i), element_as_int(b, i)) << "element " << i << "\n" << text;
      continue;
    }
    const double x = element_as_double(a, i), y = element_as_double(b, i);
    if (std::isnan(x) && std::isnan(y)) continue;
    ASSERT_EQ(x, y) << "element " << i << "\n" << text;
  }
}

TEST(Fused, random_regions_compute_what_their_operators_compute) {
  register_all_ops();
  int regions = 0, with_rows = 0, runs = 0;
  for (unsigned seed = 0; seed < 500; seed++) {
    RandomRegion made(seed);
    std::unique_ptr<Graph> fused = made.graph().clone();
    passes::fuse_pointwise(*fused);
    verify(*fused);
    regions += regions_of(*fused);
    with_rows += print(*fused).find("[-1]") != std::string::npos;
    Executable e(*fused);
    for (int64_t n : {3, 1, 300, 0}) {
      const std::vector<Any> inputs = made.inputs(n);
      std::vector<Any> expected;
      try {
        expected = interpret(made.graph(), inputs, {});
      } catch (const Error&) {
        continue;  // a division of integers by zero, or a function that integers do not have
      }
      const std::vector<Any> found = e.run(inputs);
      runs++;
      for (size_t i = 0; i < found.size(); i++)
        expect_same(found[i].tensor(), expected[i].tensor(),
                    cat("seed ", seed, ", size ", n, "\n", print(*fused)));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  EXPECT_GT(with_rows, 100);
  EXPECT_GT(regions, 500);
  EXPECT_GT(runs, 400);
}

TEST(Fused, programs_that_are_none_are_errors) {
  register_all_ops();
  const auto error_of = [](std::string_view program, std::initializer_list<Dims> shapes) {
    std::vector<Tensor> inputs;
    for (const Dims& s : shapes) inputs.push_back(new_tensor(s, DType::F32));
    try {
      const Arg args[] = {Arg(std::span<const Tensor>(inputs)), Arg(program)};
      call_boxed(get_op("fused_region"), args);
    } catch (const Error& e) {
      return std::string(e.message());
    }
    return std::string("no error");
  };
  const auto expect = [&](std::string_view program, std::initializer_list<Dims> shapes,
                          std::string_view part) {
    const std::string error = error_of(program, shapes);
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  expect("(%0) { %1 = exp(%0) return %1 }", {{2}}, "no error");
  expect("(%0) { %1 = exp(%0) return %1, %1 }", {{2}}, "fused_region_all");
  expect("(%0) { %1 = exp(%0) return %1 }", {{2}, {2}}, "takes 1 tensors, got 2");
  expect("(%0) { %1 = cumsum(%0, 1) return %1 }", {{2}}, "no pointwise operator");
  expect("(%0) { %1 = sum(%0, [0]) return %1 }", {{2, 2}}, "dimension -1, got 0");
  expect("(%0) { %1 = sum(%0, [-1]) return %1 }", {{2}}, "2 dimensions or more");
  expect("(%0, %1) { %2 = sum(%1, [-1], true) %3 = mul(%0, %2) return %3 }", {{2, 3}, {3}},
         "sum of shape [3] where the inputs broadcast to [2, 3]");
  expect("(%0) { %1 = sum(%0, [-1]) %2 = mul(%0, %1) return %2 }", {{2, 2}}, "reduction without keepdim");
  expect("(%0, %1) { %2 = layer_norm(%0, [3], %1) return %2 }", {{2, 3}, {2, 3}},
         "weight and bias of shape [3]");
  expect("(%0) { %1 = layer_norm(%0, [4]) return %1 }", {{2, 3}}, "rows have 3 elements");
  expect("(%0) { %1 = amax(%0, [-1]) return %1 }", {{2, 0}}, "non-zero size");
  expect("(%0) { %1 = sum(%0, [-1]) return %1 }", {{2, 0}}, "no error");
  expect("(%0) { %1 = exp(%2) return %1 }", {{2}}, "%2");
  expect("(%0, %1) { %2 = exp(%0) return %2 }", {{1}, {2}}, "broadcast to [2]");
  expect("(%0) { return %0 } graph other() { }", {{2}}, "graph");
  expect("(%0) { %1 = loop(3, true, %0) (%i, %v) { yield true, %v } return %1 }", {{2}},
         "no pointwise operator");
}

}  // namespace
}  // namespace moka::runtime
