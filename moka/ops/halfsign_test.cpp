// The example of docs/adding_an_operator.md: an operator from outside the tree's tables works in every reading.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "moka/ops/all.h"
#include "moka/ops/define.h"

MOKA_DECLARE_OP(halfsign)

namespace moka::ops {

struct Halfsign {
  constexpr auto operator()(auto x) const { return x / (2 + abs(x)); }
};
constinit const Op halfsign_op{
    .schema = "halfsign(Tensor input) -> Tensor",
    .doc = "input / (2 + |input|).",
    .formula = pointwise<Halfsign>(DTypeRule::Floating, 3),
    .derivative = {fused("input", [](auto dy, auto x) { return dy * 2 / ((2 + abs(x)) * (2 + abs(x))); })},
    .onnx = none("written as Abs, Add and Div"),
    .netdef = none("written as Abs, Add and Div"),
    .samples = {shape(3, 4), shape(0)},
};

}  // namespace moka::ops

namespace moka {

TEST(AddingAnOperator, ComputesForEveryType) {
  register_all_ops();
  for (DType dtype : {DType::F32, DType::F64, DType::F16, DType::BF16}) {
    const int64_t sizes[] = {37};
    Tensor x = new_tensor(sizes, dtype);
    for (int64_t i = 0; i < 37; i++) {
      double v = static_cast<double>(i - 18) / 4;
      convert_elements(&v, DType::F64,
                       static_cast<char*>(x.raw_data()) + i * static_cast<int64_t>(item_size(dtype)), dtype,
                       1);
    }
    Tensor y = halfsign(x);
    EXPECT_EQ(y.dtype(), dtype);
    for (int64_t i = 0; i < 37; i++) {
      double v = static_cast<double>(i - 18) / 4;
      EXPECT_NEAR(element_as_double(y, i), v / (2 + std::abs(v)),
                  dtype == DType::BF16  ? 4e-3
                  : dtype == DType::F16 ? 1e-3
                                        : 1e-6);
    }
  }
}

TEST(AddingAnOperator, ReadsAsTextAndAsUses) {
  register_all_ops();
  EXPECT_EQ(ops::halfsign_op.formula.text(), "t0 = abs x0\nt1 = add 2.0 t0\nt2 = div x0 t1\nreturn t2");
#ifndef MOKA_PREDICTOR  // whose pages have no derivatives
  Usage usage = ops::halfsign_op.derivative.rows[0].usage();
  EXPECT_EQ(usage.values, 3u);  // dy and x
#endif
}

TEST(AddingAnOperator, BuildsAGraphNode) {
  register_all_ops();
  graph::Graph g;
  const int64_t sizes[] = {2, 3};
  graph::Value* x = g.add_input("x", graph::Type::tensor(DType::F32, sizes));
  {
    graph::Building building(g, {g.main(), nullptr});
    g.add_output(halfsign(graph::Expr(x)).value);
  }
  EXPECT_EQ(g.outputs()[0]->producer()->op, &ops::halfsign_op);
  EXPECT_EQ(g.outputs()[0]->type, graph::Type::tensor(DType::F32, sizes));
}

}  // namespace moka
