// Products with logarithms and powers that are computed in float64.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

// 0 where input is 0, except beside NaN. Numbers stand for either operand, so gradients are built of signs that take them.
struct XLogY {
  constexpr auto operator()(auto x, auto y) const { return where(y == y, where(x == 0, 0, x * log(y)), y); }
};
constinit const Op xlogy_op{
    .schema = "xlogy(Operand input, Operand other) -> Tensor",
    .doc = "input * log(other), 0 where input is 0 and other is not NaN.",
    .formula = pointwise<XLogY>(DTypeRule::Floating, 12),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto y) {
                         auto at = zeros_like(x) + y;
                         return where(logical_and(eq(x, 0), le(at, 0)), 0, xlogy(dy, y));
                       }),
                   wrt("other", [](auto dy, auto x, auto y) { return dy * x / y; })},
    .onnx = none("written as Log, Mul and Where"),
    .netdef = none("written as Log and Mul"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1), shapes({2, 1}, {3}).in(Domain::Positive, 1),
                shapes({0}, {1})},
};
struct XLog1PY {
  constexpr auto operator()(auto x, auto y) const { return where(y == y, where(x == 0, 0, x * log1p(y)), y); }
};
constinit const Op xlog1py_op{
    .schema = "xlog1py(Operand input, Operand other) -> Tensor",
    .doc = "input * log(1 + other), 0 where input is 0 and other is not NaN.",
    .method = "function",
    .formula = pointwise<XLog1PY>(DTypeRule::Floating, 14),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto y) {
                         auto at = zeros_like(x) + y;
                         return where(logical_and(eq(x, 0), le(at, -1)), 0, xlog1py(dy, y));
                       }),
                   wrt("other", [](auto dy, auto x, auto y) { return dy * x / (y + 1); })},
    .onnx = none("written as Add, Log, Mul and Where"),
    .netdef = none("written as Log1p and Mul"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1), shapes({2, 1}, {3}).in(Domain::Positive, 1),
                shapes({0}, {1})},
};

constinit const Op float_power_op{
    .schema = "float_power(Tensor input, Tensor exponent) -> Tensor",
    .doc = "input raised to exponent, both as float64.",
    .body = body([](auto x, auto y) { return pow(to(x, DType::F64), to(y, DType::F64)); }),
    .onnx = none("written as Cast and Pow"),
    .netdef = none("written as Cast and Pow"),
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive), shapes({0}, {1})},
};
constinit const Op float_power_exponent_op{
    .schema = "float_power.exponent(Tensor input, Number exponent) -> Tensor",
    .doc = "input raised to a number, as float64.",
    .body = body([](auto x, auto y) { return pow(to(x, DType::F64), y); }),
    .onnx = none("written as Cast and Pow"),
    .netdef = none("written as Cast and Pow"),
    .samples = {shape(3, 4).in(Domain::Positive).with("exponent", 2.5), shape(0).with("exponent", 2)},
};
constinit const Op float_power_base_op{
    .schema = "float_power.base(Number input, Tensor exponent) -> Tensor",
    .doc = "A number raised to exponent, as float64.",
    .method = "function",
    .body = body([](auto x, auto y) { return pow(x, to(y, DType::F64)); }),
    .onnx = none("written as Cast and Pow"),
    .netdef = none("written as Cast and Pow"),
    .samples = {shape(3, 4).with("input", 2.5), shape(0).with("input", 2)},
};
constinit const Op ldexp_op{
    .schema = "ldexp(Tensor input, Tensor other) -> Tensor",
    .doc = "input * 2^other.",
    .body = body([](auto x, auto y) { return mul(x, exp2(y)); }),
    .onnx = none("written as Pow and Mul"),
    .netdef = none("written as Pow and Mul"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({0}, {1})},
};

}  // namespace moka::ops
