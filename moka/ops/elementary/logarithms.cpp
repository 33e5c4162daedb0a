// Powers and logarithms of other bases, and sums and products through logarithms.
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "moka/ops/conj.h"
#include "moka/ops/define.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"

namespace moka::ops {

struct Exp2 {
  constexpr auto operator()(auto x) const { return exp2(x); }
};
constinit const Op exp2_op{
    .schema = "exp2(Tensor input) -> Tensor",
    .doc = "2 to the power of input.",
    .formula = pointwise<Exp2>(DTypeRule::Floating, 8),
    .derivative = {wrt("input", [](auto dy, auto, auto y) { return dy * conj(y) * 0.69314718055994531; })},
    .onnx = none("written as Pow"),
    .netdef = none("written as Mul and Exp"),
    .samples = {shape(3, 4), shape(0), shape()},
};
struct Log2 {
  constexpr auto operator()(auto x) const { return log2(x); }
};
constinit const Op log2_op{
    .schema = "log2(Tensor input) -> Tensor",
    .doc = "The logarithm to base 2, exact for powers of two; -inf at 0, NaN below.",
    .formula = pointwise<Log2>(DTypeRule::Floating, 12),
    .derivative = {wrt("input", [](auto dy, auto x) { return dy / (conj(x) * 0.69314718055994531); })},
    .onnx = none("written as Log and Mul"),
    .netdef = none("written as Log and Mul"),
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};
struct Log10 {
  constexpr auto operator()(auto x) const { return log10(x); }
};
constinit const Op log10_op{
    .schema = "log10(Tensor input) -> Tensor",
    .doc = "The logarithm to base 10; -inf at 0, NaN below.",
    .formula = pointwise<Log10>(DTypeRule::Floating, 12),
    .derivative = {wrt("input", [](auto dy, auto x) { return dy / (conj(x) * 2.3025850929940457); })},
    .onnx = none("written as Log and Mul"),
    .netdef = none("written as Log and Mul"),
    .samples = {shape(3, 4).in(Domain::Positive), shape(0)},
};

// Equal infinities: their difference would be NaN.
struct LogAddExp {
  constexpr auto operator()(auto x, auto y) const {
    auto high = maximum(x, y), low = minimum(x, y);
    return where(high == low, high + 0.69314718055994531, high + log1p(exp(low - high)));
  }
};
constinit const Op logaddexp_op{
    .schema = "logaddexp(Tensor input, Tensor other) -> Tensor",
    .doc = "log(exp(input) + exp(other)) without overflow.",
    .formula = pointwise<LogAddExp>(DTypeRule::Same, 20),
    .derivative = {wrt("input", [](auto dy, auto x, auto other) { return dy / (1 + conj(exp(other - x))); }),
                   wrt("other", [](auto dy, auto input, auto x) { return dy / (1 + conj(exp(input - x))); })},
    .onnx = none("written as Exp, Add and Log"),
    .netdef = none("written as Exp, Add and Log"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};
struct LogAddExp2 {
  constexpr auto operator()(auto x, auto y) const {
    auto high = maximum(x, y), low = minimum(x, y);
    return where(high == low, high + 1, high + log1p(exp2(low - high)) * 1.4426950408889634);
  }
};
constinit const Op logaddexp2_op{
    .schema = "logaddexp2(Tensor input, Tensor other) -> Tensor",
    .doc = "log2(2^input + 2^other) without overflow.",
    .formula = pointwise<LogAddExp2>(DTypeRule::Same, 20),
    .derivative = {wrt("input", [](auto dy, auto x, auto other) { return dy / (1 + exp2(other - x)); }),
                   wrt("other", [](auto dy, auto input, auto x) { return dy / (1 + exp2(input - x)); })},
    .onnx = none("written as Pow, Add and Log"),
    .netdef = none("written as Exp, Add and Log"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 1, 5}, {4, 1}), shapes({0}, {1})},
};

struct LogitEps {
  constexpr auto operator()(auto x, auto eps) const {
    auto z = where(x < eps, eps, where(x + eps > 1, 1 - eps, x));  // eps above 0.5: the lower bound first
    return log(z / (1 - z));
  }
};
constinit const Op logit_eps_op{
    .schema = "logit.eps(Tensor input, Number eps) -> Tensor",
    .doc = "log(x / (1 - x)) of input clamped to [eps, 1 - eps].",
    .formula = pointwise<LogitEps, 1>(DTypeRule::Floating, 16),
    .derivative = {fused("input",
                         [](auto dy, auto x, auto eps) {
                           return where(logical_or(x < eps, x + eps > 1), 0, dy / (x * (1 - x)));
                         })},
    .onnx = none("written as Clip, Sub, Div and Log"),
    .netdef = "Logit(input, eps=eps)",
    .samples = {shape(3, 4).in(Domain::Probability).with("eps", 1e-6), shape(0).with("eps", 0.1)},
};
struct Logit {
  constexpr auto operator()(auto x, auto) const { return log(x / (1 - x)); }
};
constinit const Op logit_op{
    .schema = "logit(Tensor input, Number? eps=None) -> Tensor",
    .doc = "log(x / (1 - x)), the inverse of sigmoid; NaN outside [0, 1]. With eps see logit.eps.",
    .formula = pointwise<Logit, 1>(DTypeRule::Floating, 14),
    .derivative = {fused("input",
                         [](auto dy, auto x) {
                           return where(logical_or(x < 0, x > 1), std::numeric_limits<double>::quiet_NaN(),
                                        dy / (x * (1 - x)));
                         })},
    .onnx = none("written as Sub, Div and Log"),
    .netdef = none("Caffe2's Logit always has eps"),
    .samples = {shape(3, 4).in(Domain::Probability), shape(0)},
};

}  // namespace moka::ops
