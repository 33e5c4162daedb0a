// Three programs of three worlds in the one graph: a script with a list and an early return, a NetDef While over
// workspace blobs, a traced module that updates its buffers. Printed, parsed back, verified, ordered by tokens and run.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "moka/graph/effects.h"
#include "moka/graph/expr.h"
#include "moka/ops/all.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/normalization/normalization.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/passes/passes.h"
#include "moka/runtime/executable.h"

namespace moka::runtime {
namespace {

using namespace graph;

class OneGraph : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

Tensor numbers(std::initializer_list<int64_t> sizes, double start, double step) {
  Tensor t = new_tensor(Dims(sizes), DType::F32);
  for (int64_t i = 0; i < t.numel(); i++)
    t.data<float>()[i] = static_cast<float>(start + step * static_cast<double>(i));
  return t;
}
void expect_close(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(Dims(a.sizes()), Dims(b.sizes()));
  for (int64_t i = 0; i < a.numel(); i++)
    ASSERT_NEAR(element_as_double(a, i), element_as_double(b, i), 1e-5) << "element " << i;
}

// The graph as it comes back from text, with its effects ordered by tokens, cleaned, and from text again.
std::vector<std::unique_ptr<Graph>> forms(const Graph& g) {
  std::vector<std::unique_ptr<Graph>> list;
  auto reread = [&](const Graph& from) {
    verify(from);
    TensorTable table;
    std::string text = print(from, &table);
    std::unique_ptr<Graph> back = parse(text, &table);
    verify(*back);
    TensorTable again;
    EXPECT_EQ(print(*back, &again), text);
    list.push_back(std::move(back));
  };
  reread(g);
  std::unique_ptr<Graph> ordered = g.clone();
  order_effects(*ordered);
  reread(*ordered);
  std::unique_ptr<Graph> cleaned = ordered->clone();
  passes::clean(*cleaned);
  reread(*cleaned);
  std::unique_ptr<Graph> pure = g.clone();
  std::string left;
  passes::functionalize(*pure, &left);
  EXPECT_EQ(left, "");
  reread(*pure);
  return list;
}

// def f(x, n: int, limit: float):
//     outs = []
//     for i in range(n):
//         x = x * 0.5
//         outs.append(x)
//         if x.sum() < limit:
//             return cat(outs), i
//     return cat(outs), n
TEST_F(OneGraph, scripted_loop_with_list_and_early_return) {
  Graph g("f");
  Value* x = g.add_input("x", Type::tensor(DType::F32, Dims{4}));
  Value* n = g.add_input("n", TypeKind::Int);
  Value* limit = g.add_input("limit", TypeKind::Float);
  Source source{"script.py", 4, "f"};
  Building at_top(g, {g.main()}, source);
  // An early return is a flag that ends the loop, and the value that it returns.
  Value* empty = Expr(std::vector<Expr>{}).value;
  empty->type = Type::list(Type::tensor());
  Value* inputs[] = {n, Expr(true).value, x, empty, n};
  Node* loop = g.create(NodeKind::Loop, {g.main()}, inputs, 3);
  Block* body = loop->add_block();
  Value* i = body->add_param(TypeKind::Int, "i");
  Value* carried = body->add_param(x->type, "x");
  Value* outs = body->add_param(Type::list(Type::tensor()), "outs");
  body->add_param(TypeKind::Int, "result");
  {
    Building inside(g, {body}, source);
    Expr half = mul(Expr(carried), 0.5);
    Expr args[] = {Expr(outs), half};
    Expr more = apply("append", args);
    Expr total = sum(half);
    Expr item[] = {total};
    Expr compare[] = {apply("item", item), Expr(limit)};
    Expr returns = apply("lt", compare);
    Expr negate[] = {returns};
    Expr goes_on = apply("not", negate);
    Node* choose = g.create(NodeKind::If, {body}, std::array{returns.value}, 1);
    choose->add_block()->add_result(i);
    choose->add_block()->add_result(n);
    choose->output()->type = TypeKind::Int;
    for (Value* v : {goes_on.value, half.value, more.value, choose->output()}) body->add_result(v);
  }
  loop->output(0)->type = x->type;
  loop->output(1)->type = Type::list(Type::tensor());
  loop->output(2)->type = TypeKind::Int;
  Building after(g, {g.main()}, source);
  g.add_output(concat(Expr(loop->output(1)), 0).value, "all");
  g.add_output(loop->output(2), "count");

  for (const auto& form : forms(g)) {
    Executable e(*form);
    for (double stop : {100.0, 5.0, 0.0}) {
      Tensor value = numbers({4}, 1, 1);
      std::vector<Any> results = e.run(std::array{Any(value), Any(6), Any(stop)});
      std::vector<Tensor> expected;
      int64_t count = 6;
      for (int64_t k = 0; k < 6; k++) {
        value = mul(value, 0.5);
        expected.push_back(value);
        if (element_as_double(sum(value), 0) < stop) {
          count = k;
          break;
        }
      }
      expect_close(results[0].tensor(), concat(std::span<const Tensor>(expected), 0));
      EXPECT_EQ(results[1].to_int(), count);
    }
  }
}

// NetDef: While(cond) over blobs of the workspace: x = x * 2 + bias, i = i + 1, cond = i < n.
constexpr const char* while_net = R"(moka-ir 1
graph predict(%n: float32[1]) {
  metadata "dialect" = "netdef"
  state buffer "bias": float32[3] = float32[3] {1.0, 2.0, 3.0}
  state buffer written "cond": bool[1] = bool[1] {true}
  state buffer written "i": float32[1] = float32[1] {0.0}
  state buffer written "x": float32[3] = float32[3] {1.0, 1.0, 1.0}
  %cond = get "cond"
  loop(none, %cond) (%step: int) {
    %x = get "x" at "predict_net.pb":3
    %double = mul(%x, 2.0) at "predict_net.pb":3
    %bias = get "bias" at "predict_net.pb":4
    %sum = add(%double, %bias, 1) at "predict_net.pb":4
    set "x"(%sum) at "predict_net.pb":4
    %i = get "i" at "predict_net.pb":5
    %next = add(%i, 1.0, 1) at "predict_net.pb":5
    set "i"(%next) at "predict_net.pb":5
    %less = lt(%next, %n) at "predict_net.pb":6
    set "cond"(%less) at "predict_net.pb":6
    yield %less
  }
  %result = get "x"
  return %result as "x"
}
)";

TEST_F(OneGraph, netdef_while_with_workspace_state) {
  std::unique_ptr<Graph> g = parse(while_net);
  std::vector<std::unique_ptr<Graph>> list = forms(*g);
  Tensor expected = numbers({3}, 1, 0), bias = numbers({3}, 1, 1);
  for (int k = 0; k < 5; k++) expected = add(mul(expected, 2.0), bias);
  Tensor n = numbers({1}, 5, 0);
  for (size_t f = 0; f + 1 < list.size(); f++) {
    Executable e(*list[f]);
    expect_close(e.run(std::array{Any(n)})[0].tensor(), expected);
    // The workspace keeps what the net left there.
    expect_close(e.state("i").tensor(), n);
    EXPECT_FALSE(element_as_int(e.state("cond").tensor(), 0));
    expect_close(e.run(std::array{Any(n)})[0].tensor(), expected);
  }
  // The pure form takes the blobs and gives them back.
  Graph& pure = *list.back();
  for (const Node* node : *pure.main())
    for (const auto& [resource, written] : effects_of(*node)) EXPECT_FALSE(written) << resource;
  Executable e(pure);
  Tensor flag = new_tensor(Dims{1}, DType::Bool);
  *flag.data<uint8_t>() = 1;
  std::map<std::string, Any> out = e.run(std::map<std::string, Any>{{"n", Any(n)},
                                                                    {"state.cond", Any(flag)},
                                                                    {"state.i", Any(numbers({1}, 0, 0))},
                                                                    {"state.x", Any(numbers({3}, 1, 0))}});
  expect_close(out.at("x").tensor(), expected);
  expect_close(out.at("state.i").tensor(), n);
}

// A traced module in training mode: y = batch_norm(x) * gain, running_mean = lerp(running_mean, mean, 0.1), calls += 1.
TEST_F(OneGraph, traced_module_with_buffers) {
  Graph g("forward");
  Value* x = g.add_input("x", Type::tensor(DType::F32, Dims{8, 3}));
  auto state = [&](const char* name, Tensor t, bool parameter, bool written) {
    g.states[name] = {name, Any(t), type_of(Any(t)), parameter, written};
  };
  state("bn.weight", numbers({3}, 1, 0.5), true, false);
  state("bn.running_mean", numbers({3}, 0, 0), false, true);
  state("bn.calls", numbers({}, 0, 0), false, true);
  auto get = [&](const char* name) {
    Node* n = g.create_named(NodeKind::Get, name, {g.main()}, {}, 1);
    n->source.scope = "bn";
    n->output()->type = g.states.at(name).type;
    return Expr(n->output());
  };
  auto set = [&](const char* name, Expr v) {
    g.create_named(NodeKind::Set, name, {g.main()}, std::array{v.value}, 0)->source.scope = "bn";
  };
  Building building(g, {g.main()}, Source{"model.py", 12, "bn"});
  auto parts = op_results(batch_norm_train, Expr(x), get("bn.weight"), Expr(), 1e-5);
  Expr old = get("bn.running_mean");
  set("bn.running_mean", add(mul(old, 0.9), mul(parts[1], 0.1)));
  set("bn.calls", add(get("bn.calls"), 1.0));
  g.add_output(parts[0].value, "y");

  std::vector<std::unique_ptr<Graph>> list = forms(g);
  Tensor input = numbers({8, 3}, -3, 0.37), running = numbers({3}, 0, 0);
  auto eager = op_results(batch_norm_train, input, numbers({3}, 1, 0.5), Tensor(), 1e-5);
  for (size_t f = 0; f + 1 < list.size(); f++) {
    Executable e(*list[f]);
    running = numbers({3}, 0, 0);
    for (int call = 1; call <= 3; call++) {
      expect_close(e.run(std::array{Any(input)})[0].tensor(), eager[0]);
      running = add(mul(running, 0.9), mul(eager[1], 0.1));
      expect_close(e.state("bn.running_mean").tensor(), running);
      EXPECT_EQ(element_as_double(e.state("bn.calls").tensor(), 0), call);
    }
  }
  Executable pure(*list.back());
  EXPECT_EQ(pure.graph().inputs().size(), 3u);
  std::map<std::string, Any> out =
      pure.run(std::map<std::string, Any>{{"x", Any(input)},
                                          {"state.bn.running_mean", Any(numbers({3}, 0, 0))},
                                          {"state.bn.calls", Any(numbers({}, 4, 0))}});
  expect_close(out.at("y").tensor(), eager[0]);
  expect_close(out.at("state.bn.running_mean").tensor(), mul(eager[1], 0.1));
  EXPECT_EQ(element_as_double(out.at("state.bn.calls").tensor(), 0), 5);
}

}  // namespace
}  // namespace moka::runtime
