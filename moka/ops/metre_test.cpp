// The example of docs/adding_a_tensor_type.md: lengths, a type from outside the tree that refuses to mix with plain numbers.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/testing.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::lengths {

// A float in memory. Its own compute type, so that no kernel for plain floats takes it by accident.
DType register_metre() {
  return register_dtype({.name = "metre",
                         .size = 4,
                         .family = DTypeClass::StorageOnly,
                         .compute = static_cast<DType>(dtype_count())});
}
DType metre() {
  static const DType type = register_metre();
  return type;
}

// Sums, differences and signs of lengths are lengths; comparisons are bool. The formulas for floats do the work.
void add_kernels() {
  auto like_float = [](const Op& op, DType result) {
    FormulaRow row{.compute = metre(), .result = result};
    for (int isa = 0; isa < isa_count; isa++) row.kernels[isa] = op.formula.kernels[isa][0];
    add_formula_kernels(op, row);
  };
  for (const Op* op : {&ops::add_op, &ops::sub_op, &ops::neg_op, &ops::abs_op, &ops::lt_op, &ops::eq_op})
    like_float(*op, metre());
  like_float(ops::div_op, DType::F32);  // the ratio of two lengths is a number
}

}  // namespace moka::lengths

namespace moka {
namespace {
using lengths::metre;

Tensor metres(std::initializer_list<float> values) {
  static const bool once = (register_all_ops(), lengths::add_kernels(), true);
  (void)once;
  Tensor t = new_tensor(Dims{static_cast<int64_t>(values.size())}, metre());
  std::copy(values.begin(), values.end(), t.data<float>());
  return t;
}
float at(const Tensor& t, int64_t i) { return t.data<float>()[i * t.stride(0)]; }
template <class F>
std::string message_of(F call) {
  try {
    call();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}
}  // namespace

TEST(AddingATensorType, HasANameAndASize) {
  DType found;
  metre();
  ASSERT_TRUE(find_dtype("metre", found));
  EXPECT_EQ(found, metre());
  EXPECT_EQ(item_size(metre()), 4u);
}

TEST(AddingATensorType, AddsAndComparesThroughTheOrdinaryOperators) {
  Tensor a = metres({1, 2, 3}), b = metres({0.5, 2, 4});
  Tensor sum = add(a, b), less = lt(a, b), ratio = div(a, b);
  EXPECT_EQ(sum.dtype(), metre());
  EXPECT_EQ(at(sum, 2), 7);
  EXPECT_EQ(less.dtype(), DType::Bool);
  EXPECT_EQ(less.data<uint8_t>()[2], 1);
  EXPECT_EQ(ratio.dtype(), DType::F32);
  EXPECT_EQ(ratio.data<float>()[0], 2);
}

TEST(AddingATensorType, ViewsJoinsAndCopiesNeedNothing) {
  Tensor a = metres({1, 2, 3, 4});
  Tensor back = flip(a, Dims{0}), both = concat(std::vector<Tensor>{a, back}, 0);
  EXPECT_EQ(both.dtype(), metre());
  EXPECT_EQ(at(both, 4), 4);
  EXPECT_EQ(at(add(slice(a, 0, 0, 4, 2), slice(a, 0, 1, 4, 2)), 1), 7);
}

TEST(AddingATensorType, RefusesWhatHasNoMeaning) {
  Tensor a = metres({1, 2});
  EXPECT_EQ(message_of([&] { mul(a, a); }), "mul: not defined for metre");
  EXPECT_NE(message_of([&] { add(a, 1); }).find("metre"), std::string::npos);
  EXPECT_NE(message_of([&] { to_dtype(a, DType::F32); }).find("no conversion from metre"), std::string::npos);
  EXPECT_NE(message_of([&] { sum(a); }).find("metre"), std::string::npos);
}

}  // namespace moka
