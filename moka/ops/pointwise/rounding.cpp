// Rounding and bounds.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/define.h"
#include "moka/ops/functions.h"
#include "moka/ops/kernels/given_output.h"

namespace moka::ops {

struct Floor {
  constexpr auto operator()(auto x) const { return floor(x); }
};
constinit const Op floor_op{
    .schema = "floor(Tensor input) -> Tensor",
    .doc = "The largest integer not above input.",
    .formula = pointwise_all<Floor>(DTypeRule::Same).with_unsigned(Unsigned::Bits).with_bools(Bools::Refused),
    .shape = keep_type,
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = "Floor(input)",
    .netdef = "Floor(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Ceil {
  constexpr auto operator()(auto x) const { return ceil(x); }
};
constinit const Op ceil_op{
    .schema = "ceil(Tensor input) -> Tensor",
    .doc = "The smallest integer not below input.",
    .formula = pointwise_all<Ceil>(DTypeRule::Same).with_unsigned(Unsigned::Bits).with_bools(Bools::Refused),
    .shape = keep_type,
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = "Ceil(input)",
    .netdef = "Ceil(input)",
    .samples = {shape(3, 4), shape(0)},
};

struct Round {
  constexpr auto operator()(auto x) const { return round(x); }
};
constinit const Op round_op{
    .schema = "round(Tensor input) -> Tensor",
    .doc = "The nearest integer, halves to even.",
    .formula = pointwise_all<Round>(DTypeRule::Same).with_unsigned(Unsigned::Bits).with_bools(Bools::Refused),
    .shape = keep_type,
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = Format{{.map = "Round(input)", .since = 11}},
    .netdef = none("Caffe2 has no rounding to nearest"),
    .samples = {shape(3, 4), shape(0)},
};

struct Trunc {
  constexpr auto operator()(auto x) const { return trunc(x); }
};
constinit const Op trunc_op{
    .schema = "trunc(Tensor input) -> Tensor",
    .doc = "The integer part.",
    .formula = pointwise_all<Trunc>(DTypeRule::Same).with_unsigned(Unsigned::Bits).with_bools(Bools::Refused),
    .shape = keep_type,
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("written as Sign, Abs and Floor"),
    .netdef = none("written as Sign, Abs and Floor"),
    .samples = {shape(3, 4), shape(0)},
};

struct Clamp {
  constexpr auto operator()(auto x, auto low, auto high) const { return minimum(maximum(x, low), high); }
};
constinit const Op clamp_op{
    .schema = "clamp(Tensor input, Operand min, Operand max) -> Tensor",
    .doc =
        "min where input is below it, max where above; the gradient is 0 at the bounds. With one bound see "
        "clamp_min and clamp_max.",
    .formula = pointwise_all<Clamp>(DTypeRule::Same, 2)
                   .with_unsigned(Unsigned::Ordered)
                   .with_wide_numbers()
                   .with_bools(Bools::Refused),
    .derivative = {wrt("input", [](auto dy, auto x, auto low,
                                   auto high) { return where(logical_and(gt(x, low), lt(x, high)), dy, 0); }),
                   wrt("min",
                       [](auto dy, auto x, auto low, auto high) {
                         return where(ge(low, high), where(logical_and(lt(x, low), eq(low, high)), dy, 0),
                                      where(lt(x, low), dy, where(eq(x, low), dy * 0.5, 0)));
                       }),
                   wrt("max",
                       [](auto dy, auto x, auto low, auto high) {
                         return where(gt(low, high), dy,
                                      where(gt(x, high), dy,
                                            where(logical_and(eq(x, high), lt(low, high)), dy * 0.5, 0)));
                       })},
    .onnx = Format{{.map = "Clip(input, min=min, max=max)", .until = 11},
                   {.map = "Clip(input, min, max)", .since = 11}},
    .netdef = "Clip(input, min=min, max=max)",
    .samples = {shape(3, 4).with("min", -0.3).with("max", 0.4), shape(0).with("min", 0).with("max", 1)},
};

constinit const Op clamp_min_op{
    .schema = "clamp_min(Tensor input, Operand min) -> Tensor",
    .doc = "min where input is below it.",
    .body = body([](auto input, auto low) { return maximum(input, low); }),
    .derivative = {wrt("input", [](auto dy, auto x, auto low) { return where(gt(x, low), dy, 0); }),
                   wrt("min",
                       [](auto dy, auto x, auto low) {
                         return where(lt(x, low), dy, where(eq(x, low), dy * 0.5, 0));
                       })},
    .onnx = none("written as Max"),
    .netdef = none("written as Max"),
    .samples = {shape(3, 4).with("min", -0.3), shape(0).with("min", 0)},
};

constinit const Op clamp_max_op{
    .schema = "clamp_max(Tensor input, Operand max) -> Tensor",
    .doc = "max where input is above it.",
    .body = body([](auto input, auto high) { return minimum(input, high); }),
    .derivative = {wrt("input", [](auto dy, auto x, auto high) { return where(lt(x, high), dy, 0); }),
                   wrt("max",
                       [](auto dy, auto x, auto high) {
                         return where(gt(x, high), dy, where(eq(x, high), dy * 0.5, 0));
                       })},
    .onnx = none("written as Min"),
    .netdef = none("written as Min"),
    .samples = {shape(3, 4).with("max", 0.3), shape(0).with("max", 0)},
};

}  // namespace moka::ops
