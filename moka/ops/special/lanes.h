// Formula functions that call scalar.h lane by lane.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/define.h"
#include "moka/ops/special/scalar.h"
#include "moka/ops/special/special.h"

namespace moka {

// number_NAME of one operand, or of two, by a function of doubles; and the same as source text.
#define MOKA_LANES(name, function)                                                              \
  template <class T, int N>                                                                     \
  MOKA_INLINE Num<T, N> number_##name(Num<T, N> a) {                                            \
    for (int i = 0; i < N; i++) a.v[i] = static_cast<T>(function(static_cast<double>(a.v[i]))); \
    return a;                                                                                   \
  }                                                                                             \
  inline Text number_##name(const Text& a) { return text_operation(#name, a); }
#define MOKA_LANES2(name, function)                                                                \
  template <class T, int N>                                                                        \
  MOKA_INLINE Num<T, N> number_##name(Num<T, N> a, Num<T, N> b) {                                  \
    for (int i = 0; i < N; i++)                                                                    \
      a.v[i] = static_cast<T>(function(static_cast<double>(a.v[i]), static_cast<double>(b.v[i]))); \
    return a;                                                                                      \
  }                                                                                                \
  inline Text number_##name(const Text& a, const Text& b) { return text_operation(#name, a, b); }

}  // namespace moka

// An Op of one variable around such a function; `slope` is the derivative from dy, x and y.
#define MOKA_SPECIAL(name, Name, cost, where_, text, slope, domain, ...)                                  \
  struct Name {                                                                                           \
    constexpr auto operator()(auto x) const { return name(x); }                                           \
  };                                                                                                      \
  constinit const Op name##_op {                                                                          \
    .schema = #name "(Tensor input) -> Tensor", .doc = text, .method = where_,                            \
    .formula = pointwise<Name>(DTypeRule::Floating, cost),                                                \
    .derivative = {wrt("input",                                                                           \
                       [](auto dy, [[maybe_unused]] auto x, [[maybe_unused]] auto y) { return slope; })}, \
    .onnx = none("ONNX has no such operator"), .netdef = none("Caffe2 has no such operator"),             \
    .samples = {shape(3, 4).in(domain) __VA_ARGS__, shape(0) __VA_ARGS__},                                \
  }
