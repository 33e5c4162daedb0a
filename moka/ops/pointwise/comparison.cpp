// Comparisons, logic and choices.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/graph/expr.h"
#include "moka/ops/complex/scalar.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/parts.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

// Comparison operators differ in one sign and their names.
#define MOKA_COMPARISON(name, Name, sign, text, reading, onnx_map, netdef_map)                            \
  struct Name {                                                                                           \
    constexpr auto operator()(auto x, auto y) const { return x sign y; }                                  \
  };                                                                                                      \
  constinit const Op name##_op {                                                                          \
    .schema = #name "(Operand input, Operand other) -> Tensor",                                           \
    .doc = "Whether input is " text " other, element by element.",                                        \
    .formula = pointwise_all<Name>(DTypeRule::Comparing).with_unsigned(Unsigned::reading),                \
    .derivative = none("the result is bool"), .onnx = onnx_map, .netdef = netdef_map,                     \
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Integer), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})}, \
  }
MOKA_COMPARISON(eq, Eq, ==, "equal to", Bits, "Equal(input, other)", "EQ(input, other)");
MOKA_COMPARISON(ne, Ne, !=, "different from", Bits, none("written as Equal and Not"), "NE(input, other)");
MOKA_COMPARISON(lt, Lt, <, "less than", Ordered, "Less(input, other)", "LT(input, other)");
MOKA_COMPARISON(le, Le, <=, "at most", Ordered, (Format{{.map = "LessOrEqual(input, other)", .since = 12}}),
                "LE(input, other)");
MOKA_COMPARISON(gt, Gt, >, "greater than", Ordered, "Greater(input, other)", "GT(input, other)");
MOKA_COMPARISON(ge, Ge, >=, "at least", Ordered,
                (Format{{.map = "GreaterOrEqual(input, other)", .since = 12}}), "GE(input, other)");
#undef MOKA_COMPARISON

struct IsNan {
  constexpr auto operator()(auto x) const { return x != x; }
};
constinit const Op isnan_op{
    .schema = "isnan(Tensor input) -> Tensor",
    .doc = "Whether each element is not a number.",
    .formula = pointwise_all<IsNan>(DTypeRule::Comparing).with_unsigned(Unsigned::Bits),
    .derivative = none("the result is bool"),
    .onnx = Format{{.map = "IsNaN(input)", .since = 9}},
    .netdef = "IsNaN(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct IsFinite {
  constexpr auto operator()(auto x) const { return x - x == 0; }
};
constinit const Op isfinite_op{
    .schema = "isfinite(Tensor input) -> Tensor",
    .doc = "Whether each element is neither infinite nor NaN.",
    .formula = pointwise_all<IsFinite>(DTypeRule::Comparing).with_unsigned(Unsigned::Bits),
    .derivative = none("the result is bool"),
    .onnx = none("written as IsInf, IsNaN and Not"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(0)},
};

struct LogicalNot {
  constexpr auto operator()(auto x) const { return x == 0; }
};
constinit const Op logical_not_op{
    .schema = "logical_not(Tensor input) -> Tensor",
    .doc = "True where the element is zero.",
    .formula = pointwise_all<LogicalNot>(DTypeRule::Comparing).with_unsigned(Unsigned::Bits),
    .derivative = none("the result is bool"),
    .onnx = "Not(input)",
    .netdef = "Not(input)",
    .samples = {shape(3, 4).in(Domain::Boolean), shape(0)},
};

#define MOKA_LOGICAL(name, Name, sign, text, word)                                                   \
  struct Name {                                                                                      \
    constexpr auto operator()(auto x, auto y) const { return (x != 0) sign(y != 0); }                \
  };                                                                                                 \
  constinit const Op name##_op {                                                                     \
    .schema = #name "(Tensor input, Tensor other) -> Tensor",                                        \
    .doc = text " of the truth values of both elements.",                                            \
    .formula = pointwise_all<Name>(DTypeRule::Comparing).with_unsigned(Unsigned::Bits),              \
    .derivative = none("the result is bool"), .onnx = word "(input, other)",                         \
    .netdef = word "(input, other)",                                                                 \
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Boolean), shapes({2, 1}, {3}).in(Domain::Boolean), \
                shapes({0}, {1})},                                                                   \
  }
MOKA_LOGICAL(logical_and, LogicalAnd, &, "The conjunction", "And");
MOKA_LOGICAL(logical_or, LogicalOr, |, "The disjunction", "Or");
MOKA_LOGICAL(logical_xor, LogicalXor, ^, "The exclusive disjunction", "Xor");
#undef MOKA_LOGICAL

struct Where {
  constexpr auto operator()(auto c, auto x, auto y) const { return where(c, x, y); }
};
constinit const Op where_op{
    .schema = "where(Tensor condition, Operand input, Operand other) -> Tensor",
    .doc = "input where condition holds, other elsewhere.",
    .method = "function",
    .formula = pointwise_all<Where>(DTypeRule::Condition).with_unsigned(Unsigned::Bits),
    .derivative = {wrt("input", [](auto dy, auto condition) { return where(condition, dy, 0); }),
                   wrt("other", [](auto dy, auto condition) { return where(condition, 0, dy); })},
    .onnx = Format{{.map = "Where(condition, input, other)", .since = 9}},
    .netdef = "Where(condition, input, other)",
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}).in(Domain::Boolean, 0),
                shapes({2, 1}, {3}, {1}).in(Domain::Boolean, 0),
                shapes({0}, {1}, {1}).in(Domain::Boolean, 0)},
};

namespace {
// The value takes the type of input.
Tensor fill_masked(const Tensor& input, const Tensor& mask, const Any& value) {
  MOKA_CHECK(mask.dtype() == DType::Bool, "masked_fill only supports boolean masks, but got mask with dtype ",
             mask.dtype());
  const bool complex_value =
      is_complex_number(value.arg()) || (value.is_tensor() && is_complex(value.tensor().dtype()));
  MOKA_CHECK(!complex_value || is_complex(input.dtype()), "masked_fill: value ", value,
             " cannot be converted to type ", input.dtype(), " without overflow");
  if (!value.is_tensor()) {
    // What the type holds in any case needs no check.
    const DType dtype = input.dtype();
    const bool fits = dtype == DType::I64 ? value.tag() == Tag::Int
                      : dtype == DType::F32
                          ? std::isinf(value.to_double()) || std::abs(value.to_double()) < 3e38
                          : dtype == DType::F64;
    if (fits) return where(mask, value, input).tensor();
    return where(mask, full(Dims{}, value, input.dtype()).tensor(), input);
  }
  const Tensor& t = value.tensor();
  MOKA_CHECK(t.dim() == 0, "masked_fill only supports a 0-dimensional value tensor, but got tensor with ",
             t.dim(), " dimension(s).");
  return where(mask, to(t, input.dtype()), input);
}
// Graphs know the types and read one formula; a number of a wider kind becomes one of the input's.
constexpr Body fill_masked_body = [] {
  Body b = body([](auto input, auto mask, auto value) {
    auto filled = where(mask, value, input);
    if constexpr (std::is_same_v<decltype(input), graph::Expr>) {
      const graph::Type &wanted = input.value->type, &found = filled.value->type;
      if (wanted.has_dtype && found.has_dtype && wanted.dtype != found.dtype) return to(filled, wanted.dtype);
    }
    return filled;
  });
  b.eager = parts<fill_masked>().eager;
  return b;
}();
}  // namespace

constinit const Op masked_fill_op{
    .schema = "masked_fill(Tensor input, Tensor mask, Operand value) -> Tensor",
    .doc = "value where mask holds, input elsewhere.",
    .body = fill_masked_body,
    .onnx = none("written as Where"),
    .netdef = none("written as Where"),
    .writes_one_value = true,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Boolean, 1).with("value", 2.0),
                shapes({0}, {1}).in(Domain::Boolean, 1).with("value", 1)},
};

}  // namespace moka::ops
