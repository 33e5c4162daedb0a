// Integers as bits and as numbers with divisors.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/elementary/by_formula.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"
#include "moka/ops/kernels/given_output.h"

namespace moka::ops {

#define MOKA_BITWISE(name, Name, text, onnx_map, netdef_map)                                        \
  struct Name {                                                                                     \
    constexpr auto operator()(auto x, auto y) const { return name(x, y); }                          \
  };                                                                                                \
  constinit const Op name##_op {                                                                    \
    .schema = #name "(Operand input, Operand other) -> Tensor", .doc = text,                        \
    .formula = pointwise_integral<Name>().with_unsigned(Unsigned::Bits),                            \
    .derivative = none("takes integers only"), .onnx = onnx_map, .netdef = netdef_map,              \
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Boolean).no_gradient(),                           \
                shapes({2, 1}, {3}).in(Domain::Index, 0, 50).in(Domain::Index, 1, 5).no_gradient(), \
                shapes({0}, {1}).in(Domain::Boolean).no_gradient()},                                \
  }
MOKA_BITWISE(bitwise_and, BitwiseAnd, "The bits that both have.",
             (Format{{.map = "BitwiseAnd(input, other)", .since = 18}}), "BitwiseAnd(input, other)");
MOKA_BITWISE(bitwise_or, BitwiseOr, "The bits that either has.",
             (Format{{.map = "BitwiseOr(input, other)", .since = 18}}), "BitwiseOr(input, other)");
MOKA_BITWISE(bitwise_xor, BitwiseXor, "The bits that one of both has.",
             (Format{{.map = "BitwiseXor(input, other)", .since = 18}}), "BitwiseXor(input, other)");
#undef MOKA_BITWISE

#define MOKA_SHIFT(name, Name, reading, text)                                                           \
  struct Name {                                                                                         \
    constexpr auto operator()(auto x, auto y) const { return name(x, y); }                              \
  };                                                                                                    \
  constinit const Op name##_op {                                                                        \
    .schema = #name "(Operand input, Operand other) -> Tensor", .doc = text,                            \
    .formula = pointwise_integral<Name>().with_unsigned(Unsigned::reading).with_bools(Bools::Refused),  \
    .derivative = none("takes integers only"), .onnx = none("ONNX's BitShift takes unsigned integers"), \
    .netdef = none("Caffe2 has no shifts"),                                                             \
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Index, 0, 50).in(Domain::Index, 1, 5).no_gradient(),  \
                shapes({0}, {1}).in(Domain::Index, 0, 50).in(Domain::Index, 1, 5).no_gradient()},       \
  }
MOKA_SHIFT(bitwise_left_shift, LeftShift, Bits,
           "input * 2^other; 0 where other is negative or moves all bits out.");
MOKA_SHIFT(bitwise_right_shift, RightShift, Refused,
           "input / 2^other rounded down; 0 or -1 where other moves all bits out.");
#undef MOKA_SHIFT

struct BitwiseNot {
  constexpr auto operator()(auto x) const { return bitwise_xor(x, -1); }
};
constinit const Op bitwise_not_op{
    .schema = "bitwise_not(Tensor input) -> Tensor",
    .doc = "Every bit turned; of bool the negation.",
    .shape =
        [](Frame& f) {
          keep_type(f);
          formula_output(f, 1, DTypeRule::Integral);
        },
    .kernels = {KernelRow{.name = "formula",
                          .run =
                              [](Frame& f) {
                                static constexpr Formula formula = pointwise_integral<BitwiseNot>();
                                if (f.tensor(0).dtype() == DType::Bool) f.outs[0] = logical_not(f.tensor(0));
                                else formula_result(f, formula, {f.args[0]});
                              }}},
    .derivative = none("takes integers only"),
    .onnx = Format{{.map = "BitwiseNot(input)", .since = 18}},
    .netdef = none("Caffe2's Not is for bool"),
    .samples = {shape(3, 4).in(Domain::Boolean).no_gradient(),
                shape(3).in(Domain::Index, 0, 50).no_gradient(), shape(0).in(Domain::Boolean).no_gradient()},
};

struct Gcd {
  constexpr auto operator()(auto x, auto y) const { return gcd(x, y); }
};
constinit const Op gcd_op{
    .schema = "gcd(Tensor input, Tensor other) -> Tensor",
    .doc = "The greatest common divisor, not negative.",
    .formula = pointwise_integral<Gcd>(100).with_bools(Bools::Refused),
    .derivative = none("takes integers only"),
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Index, 0, 50).in(Domain::Index, 1, 50).no_gradient(),
                shapes({0}, {1}).in(Domain::Index, 0, 50).in(Domain::Index, 1, 5).no_gradient()},
};
struct Lcm {
  constexpr auto operator()(auto x, auto y) const {
    auto d = gcd(x, y);
    return abs(number_truncate_divide(x, d) * y);  // 0 / 0 of two zeros is 0
  }
};
constinit const Op lcm_op{
    .schema = "lcm(Tensor input, Tensor other) -> Tensor",
    .doc = "The least common multiple, not negative.",
    .formula = pointwise_integral<Lcm>(100).with_bools(Bools::Refused),
    .derivative = none("takes integers only"),
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Index, 0, 50).in(Domain::Index, 1, 50).no_gradient(),
                shapes({0}, {1}).in(Domain::Index, 0, 50).in(Domain::Index, 1, 5).no_gradient()},
};

}  // namespace moka::ops
