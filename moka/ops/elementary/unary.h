// Functions of one variable that differ in name, derivative and spellings.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/conj.h"
#include "moka/ops/define.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/functions.h"

// `slope` is the derivative from dy, x and y; `domain` that of the samples.
#define MOKA_UNARY(name, Name, cost, text, slope, onnx_since, netdef_map, domain)                         \
  struct Name {                                                                                           \
    constexpr auto operator()(auto x) const { return name(x); }                                           \
  };                                                                                                      \
  constinit const Op name##_op {                                                                          \
    .schema = #name "(Tensor input) -> Tensor", .doc = text,                                              \
    .formula = pointwise<Name>(DTypeRule::Floating, cost),                                                \
    .derivative = {wrt("input",                                                                           \
                       [](auto dy, [[maybe_unused]] auto x, [[maybe_unused]] auto y) { return slope; })}, \
    .onnx = Format{{.map = #Name "(input)", .since = onnx_since}}, .netdef = netdef_map,                  \
    .samples = {shape(3, 4).in(domain), shape(0), shape().in(domain)},                                    \
  }
