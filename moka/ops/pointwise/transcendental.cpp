// Exponentials, logarithms, sines and the error function.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/define.h"
#include "moka/ops/functions.h"

namespace moka::ops {

struct Exp {
  constexpr auto operator()(auto x) const { return exp(x); }
};
constinit const Op exp_op{
    .schema = "exp(Tensor input) -> Tensor",
    .doc = "e to the power of input.",
    .formula = pointwise<Exp>(DTypeRule::Floating, 8),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return dy * conj(y); })},
    .onnx = "Exp(input)",
    .netdef = "Exp(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Expm1 {
  constexpr auto operator()(auto x) const { return expm1(x); }
};
constinit const Op expm1_op{
    .schema = "expm1(Tensor input) -> Tensor",
    .doc = "exp(input) - 1, exact near 0.",
    .formula = pointwise<Expm1>(DTypeRule::Floating, 8),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return dy * (conj(y) + 1); })},
    .onnx = none("written as Exp and Sub"),
    .netdef = none("written as Exp and Sub"),
    .samples = {shape(3, 4), shape(0)},
};

struct Log {
  constexpr auto operator()(auto x) const { return log(x); }
};
constinit const Op log_op{
    .schema = "log(Tensor input) -> Tensor",
    .doc = "The natural logarithm; -inf at 0, NaN below.",
    .formula = pointwise<Log>(DTypeRule::Floating, 10),
    .derivative = {wrt("input", [](auto dy, auto input) { return dy / conj(input); })},
    .onnx = "Log(input)",
    .netdef = "Log(input)",
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

struct Log1p {
  constexpr auto operator()(auto x) const { return log1p(x); }
};
constinit const Op log1p_op{
    .schema = "log1p(Tensor input) -> Tensor",
    .doc = "log(1 + input), exact near 0.",
    .formula = pointwise<Log1p>(DTypeRule::Floating, 12),
    .derivative = {wrt("input", [](auto dy, auto input) { return dy / (conj(input) + 1); })},
    .onnx = none("written as Add and Log"),
    .netdef = "Log1p(input)",
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

struct Sin {
  constexpr auto operator()(auto x) const { return sin(x); }
};
constinit const Op sin_op{
    .schema = "sin(Tensor input) -> Tensor",
    .doc = "The sine of an angle in radians.",
    .formula = pointwise<Sin>(DTypeRule::Floating, 40),
    .derivative = {wrt("input", [](auto dy, auto input) { return dy * conj(cos(input)); })},
    .onnx = "Sin(input)",
    .netdef = "Sin(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Cos {
  constexpr auto operator()(auto x) const { return cos(x); }
};
constinit const Op cos_op{
    .schema = "cos(Tensor input) -> Tensor",
    .doc = "The cosine of an angle in radians.",
    .formula = pointwise<Cos>(DTypeRule::Floating, 40),
    .derivative = {wrt("input", [](auto dy, auto input) { return neg(dy * conj(sin(input))); })},
    .onnx = "Cos(input)",
    .netdef = "Cos(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Erf {
  constexpr auto operator()(auto x) const { return erf(x); }
};
constinit const Op erf_op{
    .schema = "erf(Tensor input) -> Tensor",
    .doc = "The error function.",
    .formula = pointwise<Erf>(DTypeRule::Floating, 20),
    .derivative = {fused("input", [](auto dy, auto x) { return dy * exp(-(x * x)) * 1.1283791670955126; })},
    .onnx = Format{{.map = "Erf(input)", .since = 9}},
    .netdef = "Erf(input)",
    .samples = {shape(3, 4), shape(0)},
};

}  // namespace moka::ops
