// Elementwise terms of losses, one pass over memory each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/loss/terms.h"

#include "moka/ops/define.h"
#include "moka/ops/elementary/elementary.h"

namespace moka::ops {

struct SmoothL1 {
  constexpr auto operator()(auto x, auto t, auto beta) const {
    auto d = abs(x - t);
    return where(d < beta, d * d * 0.5 / beta, d - beta * 0.5);
  }
};
constinit const Op smooth_l1_terms_op{
    .schema = "smooth_l1_terms(Tensor input, Tensor target, Number beta=1.0) -> Tensor",
    .doc = "|d| - beta / 2 of the difference d, rounded off by d^2 / (2 beta) where |d| < beta.",
    .method = "function",
    .formula = pointwise<SmoothL1, 2>(DTypeRule::Floating, 4),
    .derivative = {fused("input",
                         [](auto dy, auto x, auto t, auto beta) {
                           auto d = x - t;
                           return where(abs(d) >= beta, where(d > 0, dy, where(d < 0, -dy, 0)),
                                        dy * d / beta);
                         }),
                   fused("target",
                         [](auto dy, auto x, auto t, auto beta) {
                           auto d = t - x;
                           return where(abs(d) >= beta, where(d > 0, dy, where(d < 0, -dy, 0)),
                                        dy * d / beta);
                         })},
    .onnx = none("written as its parts"),
    .netdef = none("Caffe2's SmoothL1Loss sums with weights"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}), shapes({0}, {0}).with("beta", 0.5)},
};

struct Huber {
  constexpr auto operator()(auto x, auto t, auto delta) const {
    auto d = abs(x - t);
    return where(d <= delta, d * d * 0.5, (d - delta * 0.5) * delta);
  }
};
constinit const Op huber_terms_op{
    .schema = "huber_terms(Tensor input, Tensor target, Number delta=1.0) -> Tensor",
    .doc = "d^2 / 2 of the difference d where |d| <= delta, delta (|d| - delta / 2) beyond.",
    .method = "function",
    .formula = pointwise<Huber, 2>(DTypeRule::Floating, 4),
    .derivative = {fused("input",
                         [](auto dy, auto x, auto t, auto delta) {
                           auto d = x - t;
                           return where(abs(d) > delta, where(d > 0, dy * delta, -dy * delta), dy * d);
                         }),
                   fused("target",
                         [](auto dy, auto x, auto t, auto delta) {
                           auto d = t - x;
                           return where(abs(d) > delta, where(d > 0, dy * delta, -dy * delta), dy * d);
                         })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}), shapes({0}, {0}).with("delta", 0.5)},
};

// Logarithms are cut at -100, as in PyTorch, so that certain predictions cost a finite amount.
struct BinaryCrossEntropy {
  constexpr auto operator()(auto x, auto t) const {
    return (t - 1) * maximum(log1p(-x), -100) - t * maximum(log(x), -100);
  }
};
constinit const Op binary_cross_entropy_terms_op{
    .schema = "binary_cross_entropy_terms(Tensor input, Tensor target) -> Tensor",
    .doc = "-(t log x + (1 - t) log(1 - x)) for probabilities, logarithms at least -100.",
    .method = "function",
    .formula = pointwise<BinaryCrossEntropy>(DTypeRule::Floating, 24),
    .derivative = {fused("input",
                         [](auto dy, auto x, auto t) { return dy * (x - t) / maximum((1 - x) * x, 1e-12); }),
                   fused("target", [](auto dy, auto x) { return dy * (log1p(-x) - log(x)); })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Probability, 0).in(Domain::Probability, 1),
                shapes({0}, {0})},
};

struct SoftMargin {
  constexpr auto operator()(auto x, auto t) const {
    auto z = -t * x;
    return maximum(z, 0) + log1p(exp(-abs(z)));
  }
};
constinit const Op soft_margin_terms_op{
    .schema = "soft_margin_terms(Tensor input, Tensor target) -> Tensor",
    .doc = "log(1 + exp(-target * input)) without overflow.",
    .method = "function",
    .formula = pointwise<SoftMargin>(DTypeRule::Floating, 22),
    .derivative = {fused("input", [](auto dy, auto x, auto t) { return -dy * t * sigmoid(-t * x); }),
                   fused("target", [](auto dy, auto x, auto t) { return -dy * x * sigmoid(-t * x); })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}), shapes({0}, {0})},
};

// t (log t - x), 0 where t is 0.
struct KlDiv {
  constexpr auto operator()(auto x, auto t) const { return where(t == 0, 0, t * log(t)) - t * x; }
};
constinit const Op kl_div_terms_op{
    .schema = "kl_div_terms(Tensor input, Tensor target) -> Tensor",
    .doc = "target * (log(target) - input) for log-probabilities as input.",
    .method = "function",
    .formula = pointwise<KlDiv>(DTypeRule::Floating, 14),
    .derivative = {wrt("input", [](auto dy, auto, auto t) { return neg(dy * t); }),
                   wrt("target", [](auto dy, auto x,
                                    auto t) { return where(eq(t, 0), 0, dy * (log(t) + 1)) - dy * x; })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Positive, 1), shapes({0}, {0})},
};
struct KlDivLog {
  constexpr auto operator()(auto x, auto t) const { return exp(t) * (t - x); }
};
constinit const Op kl_div_log_terms_op{
    .schema = "kl_div_log_terms(Tensor input, Tensor target) -> Tensor",
    .doc = "exp(target) * (target - input): both are log-probabilities.",
    .method = "function",
    .formula = pointwise<KlDivLog>(DTypeRule::Floating, 10),
    .derivative = {wrt("input", [](auto dy, auto, auto t) { return neg(dy * exp(t)); }),
                   wrt("target", [](auto dy, auto x, auto t) { return dy * exp(t) * (t - x + 1); })},
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}), shapes({0}, {0})},
};

}  // namespace moka::ops

MOKA_OP_TABLE(loss_terms, MOKA_LOSS_TERMS)
