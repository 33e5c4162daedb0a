// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "moka/nn/arguments.h"
#include "moka/nn/layers.h"
#include "moka/nn/optim.h"
#include "moka/ops/operators.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"

namespace moka {
namespace {
using functional::call_in_place;
using functional::call_one;
using functional::operator_named;

Tensor numbers(std::initializer_list<float> values, const Dims& sizes) {
  Tensor t = new_tensor(sizes, DType::F32);
  std::copy(values.begin(), values.end(), t.data<float>());
  return t;
}
float value(const Tensor& t, int64_t i = 0) { return static_cast<float>(element_as_double(t, i)); }

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Calls, FillDefaultsAndCheckArguments) {
  const Op& add = operator_named("add");
  Tensor x = numbers({1, 2}, {2});
  EXPECT_EQ(value(call_one(add, {Arg(x), Arg(2.0)}), 1), 4);
  EXPECT_NE(error_of([&] { call_one(add, {Arg("one"), Arg(2.0)}); }).find("argument 'input'"),
            std::string::npos);
  EXPECT_NE(error_of([&] { call_one(operator_named("relu"), {Arg(Tensor())}); }).find("missing"),
            std::string::npos);
}

TEST(Calls, InPlaceWritesIntoTheFirstArgument) {
  Tensor x = numbers({-1, 2}, {2});
  const Tensor& y = call_in_place(operator_named("relu"), x, {Arg(x)});
  EXPECT_EQ(y.impl(), x.impl());
  EXPECT_EQ(value(x, 0), 0);
}

TEST(Module, NamesItsStateAsPythonDoes) {
  nn::Sequential net(nn::Linear(3, 4), nn::ReLU(), nn::Linear(4, 2, false));
  std::string names;
  for (auto& [name, tensor] : net->named_parameters()) names += name + " ";
  EXPECT_EQ(names, "0.weight 0.bias 2.weight ");
}

TEST(Module, StateThatDoesNotFitChangesNothing) {
  nn::Linear layer(2, 2);
  const float before = value(layer->weight);
  auto state = layer->state_dict();
  state["weight"] = numbers({9, 9, 9, 9}, {2, 2});
  state["bias"] = numbers({1}, {1});
  EXPECT_NE(error_of([&] { layer->load_state_dict(state); }).find("bias has shape [1]"), std::string::npos);
  EXPECT_EQ(value(layer->weight), before);
}

TEST(Module, SavesAndLoads) {
  nn::Linear a(3, 2), b(3, 2);
  const std::string path = testing::TempDir() + "layer.safetensors";
  nn::save(*a, path);
  nn::load(*b, path);
  for (int64_t i = 0; i < 6; i++) EXPECT_EQ(value(a->weight, i), value(b->weight, i));
  std::remove(path.c_str());
}

TEST(Module, EvaluationUsesRunningAverages) {
  nn::BatchNorm1d norm(1);
  Tensor x = numbers({1, 3}, {2, 1});
  EXPECT_NEAR(value(norm(x)), -1, 1e-4);
  EXPECT_NEAR(value(norm->running_mean), 0.2, 1e-6);
  norm->eval();
  EXPECT_NEAR(value(norm(x)), (1 - 0.2) / std::sqrt(0.9 + 0.1 * 2), 1e-4);
}

TEST(Module, AnUndefinedInputIsAnError) {
  nn::Linear layer(2, 2);
  EXPECT_NE(error_of([&] { layer(Tensor()); }).find("linear: argument 'input' is missing"),
            std::string::npos);
}

TEST(Backward, GivesGradientsOfGradients) {
  Tensor x = numbers({3}, {});
  nn::LinearModule starts_everything(1, 1);
  autograd::set_requires_grad(x, true);
  Tensor y = mul(mul(x, x), x);
  Tensor first = nn::gradients(y, {x}, true)[0];
  EXPECT_EQ(value(first), 27);
  nn::backward(first);
  EXPECT_EQ(value(nn::grad_of(x)), 18);
}

// Fits y = 2x - 1 by one layer.
template <class O>
float fitted(O make) {
  nn::manual_seed(1);
  nn::Linear layer(1, 1);
  Tensor x = numbers({-1, 0, 1, 2}, {4, 1}), wanted = numbers({-3, -1, 1, 3}, {4, 1});
  auto optimizer = make(layer->parameters());
  for (int i = 0; i < 400; i++) {
    optimizer->zero_grad();
    nn::backward(mean(square(layer(x) - wanted)));
    optimizer->step();
  }
  return std::max(std::abs(value(layer->weight) - 2), std::abs(value(layer->bias) + 1));
}
TEST(Optimizers, FindALine) {
  using Parameters = std::vector<Tensor>;
  EXPECT_LT(fitted([](Parameters p) {
              return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.05, .momentum = 0.9});
            }),
            1e-3);
  EXPECT_LT(
      fitted([](Parameters p) { return std::make_unique<optim::Adam>(p, optim::AdamOptions{.lr = 0.05}); }),
      1e-2);
}

TEST(Optimizers, GoOnFromTheirState) {
  auto train = [](bool restart) {
    nn::manual_seed(2);
    nn::Linear layer(1, 1);
    Tensor x = numbers({1, 2}, {2, 1});
    auto fresh = [&] {
      return std::make_unique<optim::Adam>(layer->parameters(), optim::AdamOptions{.lr = 0.1});
    };
    auto optimizer = fresh();
    for (int i = 0; i < 6; i++) {
      if (restart && i == 3) {
        auto state = optimizer->state_dict();
        optimizer = fresh();
        optimizer->load_state_dict(state);
      }
      optimizer->zero_grad();
      nn::backward(mean(square(layer(x))));
      optimizer->step();
    }
    return value(layer->weight);
  };
  EXPECT_EQ(train(false), train(true));
}

TEST(Schedules, OneCycleRisesAndFalls) {
  nn::Linear layer(1, 1);
  optim::SGD optimizer(layer->parameters(), {.lr = 1});
  optim::Schedule schedule = optim::OneCycleLR(optimizer, {.max_lr = 1, .total_steps = 10});
  EXPECT_NEAR(optimizer.learning_rate(), 1 / 25., 1e-12);
  for (int i = 0; i < 2; i++) schedule.step();
  EXPECT_NEAR(optimizer.learning_rate(), 1, 1e-12);
  for (int i = 0; i < 7; i++) schedule.step();
  EXPECT_NEAR(optimizer.learning_rate(), 1 / 25e4, 1e-12);
}

}  // namespace
}  // namespace moka
