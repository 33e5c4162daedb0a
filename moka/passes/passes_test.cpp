// Each pass by the text before and after it.
// SPDX-License-Identifier: Apache-2.0
#include "moka/passes/passes.h"

#include <gtest/gtest.h>

#include "moka/graph/effects.h"
#include "moka/ops/all.h"

namespace moka::passes {
namespace {

using graph::Graph;
using graph::parse;
using graph::print;

class Passes : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

// The pass turns `before` into `after` (both without the first line), then finds nothing more to do.
void expect_change(int (*pass)(Graph&), const std::string& before, const std::string& after) {
  std::unique_ptr<Graph> g = parse("moka-ir 1\n" + before);
  verify(*g);
  EXPECT_GT(pass(*g), 0);
  verify(*g);
  EXPECT_EQ(print(*g), "moka-ir 1\n" + after);
  EXPECT_EQ(pass(*g), 0) << print(*g);
}
void expect_nothing(int (*pass)(Graph&), const std::string& text) {
  std::unique_ptr<Graph> g = parse("moka-ir 1\n" + text);
  std::string before = print(*g);
  EXPECT_EQ(pass(*g), 0);
  EXPECT_EQ(print(*g), before);
}
int fold(Graph& g) { return fold_constants(g, 1000); }

TEST_F(Passes, fold_constants_computes_what_is_known) {
  expect_change(fold, R"(graph main(%x: float32[2, 3]) {
  %a = constant float32[3] {1.0, 2.0, 3.0}
  %b = mul(%a, 2.0)
  %n = @size(%x, 1)
  %m = @mul(%n, 4)
  %s = @sizes(%x)
  %f = reshape(%x, [6])
  %c = @lt(%m, 5)
  %i = if %c {
    %p = neg(%x)
    yield %p
  } else {
    %q = mul(%x, %b)
    yield %q
  }
  return %i, %m, %s, %f
}
)",
                R"(graph main(%x: float32[2, 3]) {
  %0: float32[3] = constant float32[3] {2.0, 4.0, 6.0}
  %f: float32[6] = reshape(%x, [6])
  %q: float32[2, 3] = mul(%x, %0)
  return %q, 12, [2, 3], %f
}
)");
}

TEST_F(Passes, fold_constants_leaves_effects_large_results_and_errors) {
  expect_nothing(fold, R"(graph main(%x: float32[n, 3]) {
  state buffer written "s": float32[1] = float32[1] {1.0}
  %n = @sizes(%x)
  %zeros = zeros([300, 300])
  %bad = @floordiv(1, 0)
  %w = get "s"
  set "s"(%w)
  %a = constant float32[3] {1.0, 2.0, 3.0}
  %r = bernoulli(%a)
  return %n, %zeros, %bad, %r
}
)");
}

TEST_F(Passes, share_common_makes_one_of_equal_nodes) {
  expect_change(share_common, R"(graph main(%x: float32[2], %c: bool) {
  %a = add(%x, 1.0, 1)
  %b = add(%x, 1.0, 1)
  %d = mul(%a, %b)
  %e = add(%x, 1.0, 2)
  %f = if %c {
    %g = add(%x, 1.0, 1)
    %h = neg(%g)
    yield %h
  } else {
    %i = neg(%x)
    yield %i
  }
  %j = neg(%x)
  return %d, %e, %f, %j
}
)",
                R"(graph main(%x: float32[2], %c: bool) {
  %a: float32[2] = add(%x, 1.0, 1)
  %d: float32[2] = mul(%a, %a)
  %e: float32[2] = add(%x, 1.0, 2)
  %f: float32[2] = if %c {
    %h: float32[2] = neg(%a)
    yield %h
  } else {
    %i: float32[2] = neg(%x)
    yield %i
  }
  %j: float32[2] = neg(%x)
  return %d, %e, %f, %j
}
)");
}

TEST_F(Passes, share_common_keeps_random_numbers_apart) {
  expect_nothing(share_common, R"(graph main(%x: float32[2]) {
  %a = bernoulli(%x)
  %b = bernoulli(%x)
  %z = add(0.0, %x, 1)
  %y = add(-0.0, %x, 1)
  return %a, %b, %z, %y
}
)");
}

TEST_F(Passes, simplify_control_writes_short_loops_out) {
  expect_change(simplify_control, R"(graph main(%x: float32[2], %n: int, %go: bool) {
  %a = loop(2, true, %x) (%i: int, %v: float32[2]) {
    %w = mul(%v, %i)
    yield true, %w
  }
  %b = loop(0, true, %a) (%j: int, %p: float32[2]) {
    %q = neg(%p)
    yield true, %q
  }
  %c = loop(none, true, %b) (%k: int, %r: float32[2]) {
    %s = exp(%r)
    yield false, %s
  }
  %d, %h = loop(%n, %go, %c, %x) (%l: int, %t: float32[2], %u: float32[2]) {
    %e = add(%t, %u, 1)
    yield true, %e, %u
  }
  %f = loop(1000, true, %d) (%m: int, %o: float32[2]) {
    %g = neg(%o)
    yield true, %g
  }
  %y = constant tensors[]
  %aa = @append(%y, %f)
  %ab = @append(%aa, %x)
  return %f, %h, %ab
}
)",
                R"(graph main(%x: float32[2], %n: int, %go: bool) {
  %w: float32[2] = mul(%x, 0)
  %w_1: float32[2] = mul(%w, 1)
  %s: float32[2] = exp(%w_1)
  %d: float32[2], %h: float32[2] = loop(%n, %go, %s, %x) (%l: int, %t: float32[2], %u: float32[2]) {
    %e: float32[2] = add(%t, %x, 1)
    yield true, %e, %x
  }
  %f: float32[2] = loop(1000, true, %d) (%m: int, %o: float32[2]) {
    %g: float32[2] = neg(%o)
    yield true, %g
  }
  %y: [tensor] = constant tensors[]
  %aa: [float32[2]] = list(%f)
  %ab: [float32[2]] = list(%f, %x)
  return %f, %x, %ab
}
)");
}

TEST_F(Passes, simplify_control_knows_conditions_inside_branches) {
  expect_change(simplify_control, R"(graph main(%x: float32[2], %c: bool, %k: int) {
  %a, %b = if %c {
    %p = if %c {
      %q = neg(%x)
      yield %q
    } else {
      yield %x
    }
    yield %p, %x
  } else {
    %r = loop(%k, %c, %x) (%i: int, %v: float32[2]) {
      %w = exp(%v)
      yield %c, %w
    }
    yield %r, %x
  }
  return %a, %b
}
)",
                R"(graph main(%x: float32[2], %c: bool, %k: int) {
  %a: float32[2], %b: float32[2] = if %c {
    %p: float32[2] = if true {
      %q: float32[2] = neg(%x)
      yield %q
    } else {
      yield %x
    }
    yield %p, %x
  } else {
    yield %x, %x
  }
  return %a, %x
}
)");
}

TEST_F(Passes, simplify_control_leaves_loops_that_may_end_sooner) {
  expect_nothing(simplify_control, R"(graph main(%x: float32[2], %go: bool) {
  %a: float32[2] = loop(3, %go, %x) (%i: int, %v: float32[2]) {
    %w: float32[2] = neg(%v)
    yield true, %w
  }
  %b: float32[2], %d: bool = loop(3, true, %a, true) (%i2: int, %v2: float32[2], %go2: bool) {
    %w2: float32[2] = neg(%v2)
    yield %go2, %w2, %go
  }
  return %b
}
)");
}

TEST_F(Passes, remove_dead_takes_away_what_nothing_reads) {
  expect_change(remove_dead, R"(graph main(%x: float32[2], %c: bool) {
  state parameter "used": float32[1] = float32[1] {1.0}
  state parameter "unused": float32[1] = float32[1] {1.0}
  state buffer written "written": float32[1] = float32[1] {1.0}
  %dead = neg(%x)
  %u = get "unused"
  %w = get "used"
  set "written"(%w)
  %a, %b = if %c {
    %p = neg(%x)
    %q = exp(%x)
    yield %p, %q
  } else {
    yield %x, %x
  }
  %l, %m = loop(3, true, %a, %x) (%i: int, %v: float32[2], %k: float32[2]) {
    %n = neg(%v)
    %o = add(%k, %v, 1)
    yield true, %n, %o
  }
  %gone = loop(3, true, %a) (%i2: int, %v2: float32[2]) {
    yield true, %v2
  }
  return %l
}
)",
                R"(graph main(%x: float32[2], %c: bool) {
  state parameter "used": float32[1] = float32[1] {1.0}
  state buffer written "written": float32[1] = float32[1] {1.0}
  %w: float32[1] = get "used"
  set "written"(%w)
  %a: float32[2] = if %c {
    %p: float32[2] = neg(%x)
    yield %p
  } else {
    yield %x
  }
  %l: float32[2] = loop(3, true, %a) (%i: int, %v: float32[2]) {
    %n: float32[2] = neg(%v)
    yield true, %n
  }
  return %l
}
)");
}

#ifndef MOKA_PREDICTOR  // whose pages have no graph reading of composites
TEST_F(Passes, decompose_writes_composites_out) {
  // Every composite with a graph reading disappears and leaves a graph that verifies.
  for (const Op* op : all_ops()) {
    if (!op->body.graph || op->kernels.count) continue;
    const Schema& schema = info(*op).schema;
    Graph g;
    std::vector<graph::Value*> inputs;
    const int64_t sizes[] = {4, 6};
    for (const ArgDef& a : schema.args) {
      if (a.type.is_tensor_like() && !a.type.optional && !a.type.list)
        inputs.push_back(g.add_input(a.name, graph::Type::tensor(DType::F32, sizes)));
      else inputs.push_back(g.constant(a.default_value, {g.main()}));
    }
    graph::Node* n = g.create_op(*op, {g.main()}, inputs);
    for (graph::Value* v : n->outputs()) g.add_output(v);
    try {
      decompose(g);
    } catch (const Error&) {
      continue;  // these shapes are not for it
    }
    verify(g);
    EXPECT_EQ(print(g).find(cat(" ", schema.name, "(")), std::string::npos) << print(g);
  }
}
#endif

TEST_F(Passes, freeze_states_makes_weights_constant) {
  expect_change(freeze_states, R"(graph main(%x: float32[2]) {
  state parameter "w": float32[2] = float32[2] {1.0, 2.0}
  state buffer written "count": float32[1] = float32[1] {1.0}
  %w = get "w"
  %c = get "count"
  %y = mul(%x, %w)
  set "count"(%c)
  return %y
}
)",
                R"(graph main(%x: float32[2]) {
  state buffer written "count": float32[1] = float32[1] {1.0}
  state parameter "w": float32[2] = float32[2] {1.0, 2.0}
  %w: float32[2] = constant float32[2] {1.0, 2.0}
  %c: float32[1] = get "count"
  %y: float32[2] = mul(%x, %w)
  set "count"(%c)
  return %y
}
)");
}

constexpr const char* conv_norm = R"(graph main(%x: float32[n, 1, 4, 4]) {
  %w = constant float32[2, 1, 1, 1] {1.0, 2.0}
  %b = constant float32[2] {1.0, -1.0}
  %gamma = constant float32[2] {2.0, 3.0}
  %beta = constant float32[2] {0.5, 0.25}
  %mean = constant float32[2] {1.0, 2.0}
  %var = constant float32[2] {4.0, 9.0}
  %y = conv2d(%x, %w, %b)
  %z = batch_norm(%y, %gamma, %beta, %mean, %var, 0.0)
  %r = relu(%z)
  return %r
}
)";

TEST_F(Passes, fold_batch_norm_into_the_weights_before_it) {
  std::unique_ptr<Graph> g = parse(cat("moka-ir 1\n", conv_norm));
  EXPECT_EQ(fold_batch_norm(*g), 1);
  remove_dead(*g);
  verify(*g);
  EXPECT_EQ(print(*g), R"(moka-ir 1
graph main(%x: float32[n, 1, 4, 4]) {
  %w: float32[2, 1, 1, 1] = constant float32[2, 1, 1, 1] {1.0, 2.0}
  %b: float32[2] = constant float32[2] {0.5, -2.75}
  %z: float32[n, 2, 4, 4] = conv2d(%x, %w, %b, [1, 1], [0, 0], [1, 1], 1)
  %r: float32[n, 2, 4, 4] = relu(%z)
  return %r
}
)");
  // A convolution that somebody else reads stays, and so does one whose rank nobody knows.
  std::string shared = conv_norm;
  shared.replace(shared.find("return %r"), 9, "return %r, %y");
  expect_nothing(fold_batch_norm, shared);
  std::string vague = conv_norm;
  vague.replace(vague.find("float32[n, 1, 4, 4]"), 19, "float32[...]");
  expect_nothing(fold_batch_norm, vague);
}

TEST_F(Passes, fold_batch_norm_after_linear) {
  expect_change(fold_batch_norm, R"(graph main(%x: float32[5, 2]) {
  %var = constant float32[1] {4.0}
  %mean = constant float32[1] {3.0}
  %w = constant float32[1, 2] {1.0, 2.0}
  %y = linear(%x, %w)
  %z = batch_norm(%y, none, none, %mean, %var, 0.0)
  return %z
}
)",
                R"(graph main(%x: float32[5, 2]) {
  %var: float32[1] = constant float32[1] {4.0}
  %mean: float32[1] = constant float32[1] {3.0}
  %w: float32[1, 2] = constant float32[1, 2] {1.0, 2.0}
  %w_1: float32[1, 2] = constant float32[1, 2] {0.5, 1.0}
  %0: float32[1] = constant float32[1] {-1.5}
  %z: float32[5, 1] = linear(%x, %w_1, %0)
  return %z
}
)");
}

TEST_F(Passes, recognize_layers_in_parts) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[n, 4]) {
  %a = constant float32[] {1.4142135}
  %b = div(%x, %a)
  %c = erf(%b)
  %d = add(%c, 1.0)
  %e = mul(%x, %d)
  %f = mul(%e, 0.5)
  %g = sigmoid(%f)
  %h = mul(%g, %f)
  %i = add(%h, 3.0)
  %j = clamp(%i, 0, 6)
  %k = mul(%h, %j)
  %l = div(%k, 6.0)
  %m = add(%l, 3.0)
  %o = clamp(%m, 0, 5)
  %p = mul(%l, %o)
  return %p
}
)");
  verify(*g);
  EXPECT_EQ(recognize_layers(*g), 3);
  remove_dead(*g);
  verify(*g);
  EXPECT_EQ(print(*g), R"(moka-ir 1
graph main(%x: float32[n, 4]) {
  %f: float32[n, 4] = gelu(%x)
  %h: float32[n, 4] = silu(%f)
  %l: float32[n, 4] = hardswish(%h)
  %m: float32[n, 4] = add(%l, 3.0, 1)
  %o: float32[n, 4] = clamp(%m, 0, 5)
  %p: float32[n, 4] = mul(%l, %o)
  return %p
}
)");
}

TEST_F(Passes, fuse_activation_takes_sum_and_activation) {
  expect_change(fuse_activation,
                R"(graph main(%x: float32[n, 2, 4, 4], %w: float32[2, 2, 1, 1], %v: float32[3, 2]) {
  %a = conv2d(%x, %w) label "first"
  %b = relu(%a)
  %c = conv2d(%b, %w)
  %d = add(%x, %c)
  %e = silu(%d)
  %f = conv2d(%e, %w)
  %g = add(%f, %e)
  %h = mean(%g, [2, 3])
  %i = linear(%h, %v)
  %j = tanh(%i)
  return %j
}
)",
                R"(graph main(%x: float32[n, 2, 4, 4], %w: float32[2, 2, 1, 1], %v: float32[3, 2]) {
  %b: float32[n, 2, 4, 4] = conv2d_fused(%x, %w, none, [1, 1], [0, 0], [1, 1], 1, none, "relu") label "first"
  %e: float32[n, 2, 4, 4] = conv2d_fused(%b, %w, none, [1, 1], [0, 0], [1, 1], 1, %x, "silu")
  %g: float32[n, 2, 4, 4] = conv2d_fused(%e, %w, none, [1, 1], [0, 0], [1, 1], 1, %e, "none")
  %h: float32[n, 2] = mean(%g, [2, 3], false, none)
  %j: float32[n, 3] = linear_fused(%h, %v, none, none, "tanh")
  return %j
}
)");
  expect_nothing(fuse_activation,
                 R"(graph main(%x: float32[?, 2, 4, 4], %w: float32[2, 2, 1, 1], %s: float32[2, 1, 1]) {
  %a = conv2d(%x, %w)
  %b = relu(%a)
  %c = conv2d(%x, %w)
  %d = add(%c, %s)
  return %a, %b, %d
}
)");
}

TEST_F(Passes, fuse_pointwise_joins_what_hands_tensors_on) {
  // A chain with numbers, a broadcast operand, a mask and a uniform; the product on its own is no region.
  expect_change(fuse_pointwise,
                R"(graph main(%x: float32[n, 8], %y: float32[8], %w: float32[8, 8]) {
  %a = mul(%x, %y)
  %b = gt(%a, 0.5)
  %c = where(%b, %a, -inf)
  %d = add(%c, %x, 2.0) label "sum"
  %e = matmul(%d, %w)
  %f = tanh(%e)
  return %f
}
)",
                R"(graph main(%x: float32[n, 8], %y: float32[8], %w: float32[8, 8]) {
  %0: [tensor] = list(%x, %y)
  %d: float32[n, 8] = fused_region(%0, "(%0, %1) { %2 = mul(%0, %1) %3 = gt(%2, 0.5) %4 = where(%3, %2, -inf) %5 = add(%4, %0, 2.0) return %5 }") label "sum"
  %e: float32[n, 8] = matmul(%d, %w)
  %f: float32[n, 8] = tanh(%e)
  return %f
}
)");
}

TEST_F(Passes, fuse_pointwise_gives_several_results) {
  // What is used elsewhere is a result; a user that stands between two nodes keeps them apart.
  expect_change(fuse_pointwise,
                R"(graph main(%x: float32[3], %y: int64[3]) {
  %a = exp(%x)
  %b = mul(%a, %y)
  %s = sum(%b)
  %c = neg(%a)
  %d = abs(%c)
  return %b, %s, %d
}
)",
                R"(graph main(%x: float32[3], %y: int64[3]) {
  %0: [tensor] = list(%x, %y)
  %1: [tensor] = fused_region_all(%0, "(%0, %1) { %2 = exp(%0) %3 = mul(%2, %1) return %2, %3 }")
  %a: float32[3], %b: float32[3] = unpack(%1)
  %s: float32[] = sum(%b, none, false, none)
  %2: [tensor] = list(%a)
  %d: float32[3] = fused_region(%2, "(%0) { %1 = neg(%0) %2 = abs(%1) return %2 }")
  return %b, %s, %d
}
)");
  // Another shape, an unknown size, complex numbers.
  expect_nothing(fuse_pointwise,
                 R"(graph main(%x: float32[2, 3], %y: float32[3], %u: float32[?], %c: complex64[3]) {
  %a = exp(%y)
  %b = mul(%x, %a)
  %d = exp(%u)
  %e = neg(%d)
  %f = neg(%c)
  %g = mul(%f, %c)
  return %b, %e, %g
}
)");
}

TEST_F(Passes, pack_weights_makes_panels_of_large_constants) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[n, 100], %w: float32[100, 100], %u: float32[100, 100]) {
  %a = linear(%x, %w)
  %b = linear_fused(%a, %w, addend = %x, activation = "relu")
  %c = linear(%b, %u)
  return %c
}
)");
  const Tensor weight = new_tensor(Dims{100, 100}, DType::F32);
  graph::Value* w = g->inputs()[1];
  w->replace_all_uses_with(g->constant(Any(weight), {g->main(), g->main()->first()}));
  EXPECT_EQ(pack_weights(*g), 2);
  remove_dead(*g);
  verify(*g);
  const std::string text = print(*g);
  EXPECT_NE(text.find("linear_packed(%x, "), std::string::npos) << text;
  EXPECT_NE(text.find(", none, 100, %x, \"relu\")"), std::string::npos) << text;
  EXPECT_NE(text.find("linear(%b, %u"), std::string::npos) << text;  // weights that are an input stay
  EXPECT_EQ(pack_weights(*g), 0);
}

TEST_F(Passes, block_channels_goes_through_chains) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[n, 1, 4, 4], %y: float32[n, 2, 4, 4]) {
  %w = constant float32[2, 1, 1, 1] {1.0, 2.0}
  %v = constant float32[2, 2, 1, 1] {1.0, 2.0, 3.0, 4.0}
  %a = conv2d_fused(%x, %w, activation = "relu")
  %b = conv2d(%y, %v)
  %c = mul(%a, %b)
  %d = conv2d_fused(%c, %w, groups = 2, addend = %y)
  %e = neg(%d)
  %f = mean(%c, [2, 3])
  return %e, %f
}
)");
  verify(*g);
  EXPECT_EQ(block_channels(*g, 4), 3);
  remove_dead(*g);
  verify(*g);
  EXPECT_EQ(print(*g), R"(moka-ir 1
graph main(%x: float32[n, 1, 4, 4], %y: float32[n, 2, 4, 4]) {
  %w: float32[2, 1, 1, 1] = constant float32[2, 1, 1, 1] {1.0, 2.0}
  %v: float32[2, 2, 1, 1] = constant float32[2, 2, 1, 1] {1.0, 2.0, 3.0, 4.0}
  %0: float32[1, 1, 1, 1, 4] = pack_filters(%w, 4, "plain")
  %1: float32[n, 1, 4, 4, 4] = conv2d_blocked(%x, %0, none, [1, 1], [0, 0], [1, 1], 1, 2, none, "relu")
  %2: float32[1, 1, 1, 1, 4, 4] = pack_filters(%v, 4, "dense")
  %3: float32[n, 1, 4, 4, 4] = block_channels(%y, 4)
  %4: float32[n, 1, 4, 4, 4] = conv2d_blocked(%3, %2, none, [1, 1], [0, 0], [1, 1], 2, 2, none, "none")
  %5: float32[n, 1, 4, 4, 4] = mul(%1, %4)
  %6: float32[1, 1, 1, 4] = pack_filters(%w, 4, "depthwise")
  %7: float32[n, 1, 4, 4, 4] = conv2d_blocked(%5, %6, none, [1, 1], [0, 0], [1, 1], 2, 2, %3, "none")
  %d: float32[n, 2, 4, 4] = unblock_channels(%7, 2)
  %e: float32[n, 2, 4, 4] = neg(%d)
  %8: float32[n, 1, 1, 1, 4] = mean(%5, [2, 3], true, none)
  %9: float32[n, 2, 1, 1] = unblock_channels(%8, 2)
  %10: float32[n, 2] = flatten(%9, 1, -1)
  return %e, %10
}
)");
}

TEST_F(Passes, block_channels_repeats_channels_and_shapes_constants) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[n, 2, 4, 4]) {
  %w = constant float32[4, 1, 1, 1] {1.0, 2.0, 3.0, 4.0}
  %s = constant float32[4, 1, 1] {1.0, 2.0, 3.0, 4.0}
  %o = constant float32[1] {0.5}
  %a = conv2d(%x, %w, groups = 2)
  %b = mul(%s, %a)
  %c = add(%b, %o)
  return %c
}
)");
  verify(*g);
  EXPECT_EQ(block_channels(*g, 4), 1);
  remove_dead(*g);
  verify(*g);
  EXPECT_EQ(print(*g), R"(moka-ir 1
graph main(%x: float32[n, 2, 4, 4]) {
  %w: float32[4, 1, 1, 1] = constant float32[4, 1, 1, 1] {1.0, 2.0, 3.0, 4.0}
  %0: float32[n, 2, 1, 4, 4] = unsqueeze(%x, 2)
  %1: float32[n, 2, 2, 4, 4] = expand(%0, [-1, -1, 2, -1, -1])
  %2: float32[n, 4, 4, 4] = flatten(%1, 1, 2)
  %3: float32[1, 1, 1, 4] = pack_filters(%w, 4, "depthwise")
  %4: float32[n, 1, 4, 4, 4] = block_channels(%2, 4)
  %5: float32[n, 1, 4, 4, 4] = conv2d_blocked(%4, %3, none, [1, 1], [0, 0], [1, 1], 4, 4, none, "none")
  %6: float32[1, 4, 1, 1] = constant float32[1, 4, 1, 1] {1.0, 2.0, 3.0, 4.0}
  %7: float32[1, 1, 1, 1, 4] = block_channels(%6, 4)
  %8: float32[n, 1, 4, 4, 4] = mul(%7, %5)
  %9: float32[] = constant float32[] {0.5}
  %10: float32[n, 1, 4, 4, 4] = add(%8, %9, 1)
  %c: float32[n, 4, 4, 4] = unblock_channels(%10, 4)
  return %c
}
)");
}

TEST_F(Passes, block_channels_can_put_channels_last) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[n, 2, 4, 4]) {
  %w = constant float32[3, 2, 1, 1] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
  %v = constant float32[3, 1, 1, 1] {1.0, 2.0, 3.0}
  %a = conv2d_fused(%x, %w, activation = "relu")
  %b = conv2d_fused(%a, %v, groups = 3, addend = %a)
  %l = list(%a, %b)
  %c = cat(%l, 1)
  return %c
}
)");
  verify(*g);
  EXPECT_EQ(block_channels(*g, 0), 2);
  remove_dead(*g);
  verify(*g);
  EXPECT_EQ(print(*g), R"(moka-ir 1
graph main(%x: float32[n, 2, 4, 4]) {
  %w: float32[3, 2, 1, 1] = constant float32[3, 2, 1, 1] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
  %v: float32[3, 1, 1, 1] = constant float32[3, 1, 1, 1] {1.0, 2.0, 3.0}
  %0: float32[1, 1, 1, 2, 16] = pack_filters(%w, 16, "plain")
  %1: float32[n, 1, 4, 4, 2] = block_channels(%x, 2)
  %2: float32[n, 1, 4, 4, 3] = conv2d_blocked(%1, %0, none, [1, 1], [0, 0], [1, 1], 2, 3, none, "relu")
  %3: float32[1, 1, 16] = pack_filters(%v, 16, "last depthwise")
  %4: float32[n, 1, 4, 4, 3] = conv2d_blocked(%2, %3, none, [1, 1], [0, 0], [1, 1], 3, 3, %2, "none")
  %5: [float32[n, 1, 4, 4, 3]] = list(%2, %4)
  %6: float32[n, 1, 4, 4, 6] = cat(%5, 4)
  %c: float32[n, 6, 4, 4] = unblock_channels(%6, 6)
  return %c
}
)");
}

TEST_F(Passes, specialize_shapes_makes_sizes_known) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[n, 3], %y: float32[n]) {
  %a = transpose(%x, 0, 1)
  %n = @size(%a, 1)
  %l = loop(2, true, %a) (%i: int, %v: float32[...]) {
    %w = neg(%v)
    yield true, %w
  }
  return %l, %n
})");
  EXPECT_GT(specialize_shapes(*g, {{"x", graph::Type::tensor(DType::F32, Dims{7, 3})}}), 0);
  fold_constants(*g);
  remove_dead(*g);
  verify(*g);
  EXPECT_EQ(print(*g), R"(moka-ir 1
graph main(%x: float32[7, 3], %y: float32[7]) {
  %a: float32[3, 7] = transpose(%x, 0, 1)
  %l: float32[3, 7] = loop(2, true, %a) (%i: int, %v: float32[3, 7]) {
    %w: float32[3, 7] = neg(%v)
    yield true, %w
  }
  return %l, 7
}
)");
}

TEST_F(Passes, functionalize_turns_states_into_inputs_and_outputs) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[2, 3], %train: bool) {
  state buffer written "mean": float32[3] = float32[3] {0.0, 0.0, 0.0}
  state parameter "w": float32[3] = float32[3] {1.0, 1.0, 1.0}
  %w = get "w"
  %y = if %train {
    %m = mean(%x, [0])
    %old = get "mean"
    %new = lerp(%old, %m, 0.1)
    set "mean"(%new)
    %c = sub(%x, %m)
    yield %c
  } else {
    %r = get "mean"
    %c2 = sub(%x, %r)
    yield %c2
  }
  %z = mul(%y, %w)
  return %z
})");
  std::string left;
  EXPECT_EQ(functionalize(*g, &left), 3);
  EXPECT_EQ(left, "");
  verify(*g);
  std::string text = print(*g);
  EXPECT_NE(text.find("graph main(%x: float32[2, 3], %train: bool, %state.mean: float32[3])"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("    yield %c, %new\n"), std::string::npos) << text;
  EXPECT_NE(text.find("    yield %c2, %state.mean\n"), std::string::npos) << text;
  EXPECT_NE(text.find("return %z, %0 as \"state.mean\""), std::string::npos) << text;
  EXPECT_EQ(g->states.size(), 1u);

  g = parse("moka-ir 1 graph main(%x: float32[2]) { %y = bernoulli(%x) return %y }");
  functionalize(*g, &left);
  EXPECT_NE(left.find("bernoulli("), std::string::npos) << left;
}

TEST_F(Passes, the_pipeline_makes_one_operator_of_conv_norm_relu) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[n, 1, 4, 4]) {
  state parameter "w": float32[1, 1, 1, 1] = float32[1, 1, 1, 1] {2.0}
  state parameter "gamma": float32[1] = float32[1] {3.0}
  state buffer "mean": float32[1] = float32[1] {1.0}
  state buffer "var": float32[1] = float32[1] {9.0}
  %w = get "w"
  %g = get "gamma"
  %m = get "mean"
  %v = get "var"
  %y = conv2d(%x, %w)
  %z = batch_norm(%y, %g, none, %m, %v, 0.0)
  %r = relu(%z)
  return %r
})");
  EXPECT_GT(optimize(*g), 0);
  EXPECT_EQ(print(*g), R"(moka-ir 1
graph main(%x: float32[n, 1, 4, 4]) {
  %w: float32[1, 1, 1, 1] = constant float32[1, 1, 1, 1] {2.0}
  %0: float32[1] = constant float32[1] {-1.0}
  %r: float32[n, 1, 4, 4] = conv2d_fused(%x, %w, %0, [1, 1], [0, 0], [1, 1], 1, none, "relu")
  return %r
}
)");
}

TEST_F(Passes, tokens_order_conflicting_effects_and_nothing_else) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
graph main(%x: float32[2], %c: bool) {
  state buffer written "a": float32[2]
  state buffer written "b": float32[2]
  set "a"(%x)
  set "b"(%x)
  %r1 = get "a"
  %r2 = get "a"
  %d = bernoulli(%x)
  set "a"(%r1)
  %y = loop(3, true, %x) (%i: int, %v: float32[2]) {
    %q = get "a"
    %w = if %c {
      set "a"(%v)
      yield %q
    } else {
      yield %v
    }
    yield true, %w
  }
  set "b"(%y)
  return %y, %r2, %d
})");
  std::string plain = print(*g);
  EXPECT_GT(graph::order_effects(*g), 0);
  verify(*g);
  std::string text = print(*g);
  EXPECT_EQ(text, R"(moka-ir 1
graph main(%x: float32[2], %c: bool) {
  state buffer written "a": float32[2]
  state buffer written "b": float32[2]
  %0: token = set "a"(%x)
  %1: token = set "b"(%x)
  %r1: float32[2], %2: token = get "a" after %0
  %r2: float32[2], %3: token = get "a" after %0
  %d: float32[2], %4: token = bernoulli(%x, none)
  %5: token = set "a"(%r1) after %2, %3
  %y: float32[2], %6: token = loop(3, true, %x, %5) (%i: int, %v: float32[2], %7: token) {
    %q: float32[2], %8: token = get "a" after %7
    %w: float32[2], %9: token = if %c after %8 {
      %10: token = set "a"(%v)
      yield %q, %10
    } else {
      %11: token = join()
      yield %v, %11
    }
    yield true, %w, %9
  }
  %12: token = set "b"(%y) after %1
  return %y, %r2, %d
}
)");
  EXPECT_EQ(print(*graph::parse(text)), text);
  graph::drop_tokens(*g);
  verify(*g);
  EXPECT_EQ(print(*g), plain);
}

}  // namespace
}  // namespace moka::passes
