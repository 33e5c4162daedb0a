// What verify refuses in graphs that were built or rewritten by hand: the error names the node and its line.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "moka/graph/graph.h"

namespace moka::graph {
namespace {

void same_shape(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
constinit const Op step_op{.schema = "verified_step(Tensor input) -> Tensor", .shape = same_shape};

class Verify : public testing::Test {
 protected:
  void SetUp() override {
    static const Op* const table[] = {&step_op};
    register_ops(table, 1);
  }

  Value* step(Graph& g, Value* input, int line) {
    Node* n = g.create_op(step_op, {g.main()}, std::array{input});
    n->source = {"model.py", line, "net.layer"};
    infer_types(*n);
    return n->output();
  }
  Value* tensor_input(Graph& g) {
    return g.add_input("x", Type::tensor(DType::F32, std::array<int64_t, 1>{4}));
  }
};

// The error, which must name the node and its line where there is one.
std::string refused(const Graph& g, int line = 0) {
  try {
    verify(g);
  } catch (const Error& e) {
    const std::string text = e.message();
    if (line) {
      EXPECT_NE(text.find(cat("\"model.py\":", line)), std::string::npos) << text;
      EXPECT_NE(text.find("in node: "), std::string::npos) << text;
    }
    return text;
  }
  return "no error";
}
void expect_refused(const Graph& g, std::string_view part, int line = 0) {
  const std::string text = refused(g, line);
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST_F(Verify, circles) {
  Graph g;
  Value* a = step(g, tensor_input(g), 3);
  Value* b = step(g, a, 4);
  g.add_output(b);
  verify(g);
  a->producer()->set_input(0, b);  // a needs b, b needs a
  expect_refused(g, "before it is defined", 3);
  a->producer()->set_input(0, a);
  expect_refused(g, "before it is defined", 3);
  a->producer()->set_input(0, g.inputs()[0]);
  verify(g);
}

TEST_F(Verify, values_that_are_made_elsewhere) {
  Graph g;
  Value* x = tensor_input(g);
  Value* flag = g.add_input("flag", TypeKind::Bool);
  Node* branch = g.create(NodeKind::If, {g.main()}, std::array{flag}, 1);
  Value* inner[2];
  for (Value*& v : inner) {
    Block* block = branch->add_block();
    v = g.create_op(step_op, {block}, std::array{x})->output();
    infer_types(*v->producer());
    block->add_result(v);
  }
  branch->output()->type = x->type;
  Value* after = step(g, branch->output(), 9);
  g.add_output(after);
  verify(g);
  after->producer()->set_input(0, inner[0]);  // of the branch that may not have run
  expect_refused(g, "or outside its block", 9);
  after->producer()->set_input(0, x);
  inner[1]->producer()->set_input(0, inner[0]);  // of the branch beside it
  expect_refused(g, "or outside its block");
  inner[1]->producer()->set_input(0, x);

  Graph other;
  after->producer()->set_input(0, tensor_input(other));
  expect_refused(g, "uses value 'x' before it is defined", 9);
  after->producer()->set_input(0, x);
  Value* y = step(other, other.inputs()[0], 5);
  g.main()->set_result(0, y);
  expect_refused(g, "which is not defined there");
  g.main()->set_result(0, after);
  verify(g);
}

TEST_F(Verify, numbers_and_types_of_arguments) {
  Graph g;
  Value* x = tensor_input(g);
  Value* n = g.add_input("n", TypeKind::Int);
  Value* y = step(g, x, 6);
  g.add_output(y);
  y->producer()->set_input(0, n);
  expect_refused(g, "argument 'input' must be Tensor, got int", 6);
  y->producer()->set_input(0, x);
  y->producer()->add_input(x);
  expect_refused(g, "takes 1 inputs, got 2", 6);
  y->producer()->remove_input(1);
  y->producer()->remove_input(0);
  expect_refused(g, "takes 1 inputs, got 0", 6);
  y->producer()->add_input(x);
  y->type = TypeKind::Int;
  expect_refused(g, "result 0 must be Tensor, got int", 6);
  y->type = x->type;
  y->producer()->op = nullptr;
  EXPECT_NE(refused(g), "no error");
  y->producer()->op = &step_op;
  verify(g);
}

TEST_F(Verify, branches_loops_and_states) {
  Graph g;
  Value* x = tensor_input(g);
  Node* loop = g.create(NodeKind::Loop, {g.main()},
                        std::array{g.constant(Any(3), {g.main()}), g.constant(Any(true), {g.main()}), x}, 1);
  loop->source = {"model.py", 8, ""};
  Block* body = loop->add_block();
  body->add_param(TypeKind::Int);
  Value* v = body->add_param(x->type);
  body->add_result(g.constant(Any(true), {body, nullptr}));
  expect_refused(g, "the block yields 1 values instead of 2", 8);
  body->add_result(v);
  loop->output()->type = x->type;
  verify(g);
  body->set_result(1, body->params()[0]);
  expect_refused(g, "next value of carried value 0: int does not fit float32[4]", 8);
  body->set_result(1, v);
  loop->add_block();
  expect_refused(g, "has 2 blocks instead of one", 8);

  Graph s;
  Node* get = s.create_named(NodeKind::Get, "w", {s.main()}, {}, 1);
  get->source = {"model.py", 2, ""};
  expect_refused(s, "there is no state 'w'", 2);
  s.states["w"] = {"w", Any(2.5), TypeKind::Int, false, false};
  expect_refused(s, "state 'w' is declared int but holds float");
}

TEST_F(Verify, shapes_that_cannot_fit_are_found_when_types_are_inferred) {
  Graph g;
  Value* x = g.add_input("x", Type::tensor(DType::F32, std::array<int64_t, 1>{4}));
  x->type.dims[0].size = -1;
  x->type.dims[0].symbol = "n";
  Value* y = step(g, x, 2);
  EXPECT_EQ(y->type.text(), "float32[n]");
  g.states["w"] = {"w", {}, Type::tensor(DType::F32, std::array<int64_t, 1>{3}), true, true};
  Node* set = g.create_named(NodeKind::Set, "w", {g.main()}, std::array{y}, 0);
  set->source = {"model.py", 11, ""};
  verify(g);  // n may be 3
  y->type.dims[0] = {5, ""};
  expect_refused(g, "float32[5] does not fit float32[3]", 11);
}

}  // namespace
}  // namespace moka::graph
