// clamp and its relatives with tensors as bounds: elements equal to one share the gradient with it, as in maximum.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/elementary/bounds.h"

#include "moka/ops/define.h"

namespace moka::ops {

constinit const Op clamp_tensors_op{
    .schema = "clamp.tensors(Tensor input, Tensor min, Tensor max) -> Tensor",
    .doc = "min where input is below it, max where above; the gradient is shared where input equals a bound.",
    .body = body([](auto input, auto low, auto high) { return clamp(input, low, high); }),
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto low, auto high) {
                         auto shared = logical_and(logical_or(eq(x, low), eq(x, high)), lt(low, high));
                         return where(logical_or(lt(x, low), gt(x, high)), 0, where(shared, dy * 0.5, dy));
                       }),
                   wrt("min",
                       [](auto dy, auto x, auto low, auto high) {
                         auto shared = logical_and(eq(x, low), lt(low, high));
                         return where(logical_and(lt(x, low), le(low, high)), dy, where(shared, dy * 0.5, 0));
                       }),
                   wrt("max",
                       [](auto dy, auto x, auto low, auto high) {
                         auto shared = logical_and(eq(x, high), lt(low, high));
                         return where(logical_or(gt(low, high), gt(x, high)), dy, where(shared, dy * 0.5, 0));
                       })},
    .onnx = none("written as Max and Min"),
    .netdef = none("written as Max and Min"),
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}), shapes({2, 1}, {3}, {1}), shapes({0}, {1}, {1})},
};

#define MOKA_BOUND(name, schema_, doc_, bounded, onnx_map, ...)                                       \
  constinit const Op name##_op {                                                                      \
    .schema = schema_, .doc = doc_ "; the gradient is shared where both are equal.", .body = bounded, \
    .onnx = none(onnx_map), .netdef = none(onnx_map), .samples = {__VA_ARGS__},                       \
  }
constexpr Sample without_min(Size input, Size max) {
  Sample s = shapes(input, max, max);
  s.tensors.items[1] = missing_tensor;
  return s;
}
MOKA_BOUND(clamp_min_tensor, "clamp_min.tensor(Tensor input, Tensor min) -> Tensor",
           "min where input is below it", body([](auto x, auto low) { return maximum(x, low); }),
           "written as Max", shapes({3, 4}, {3, 4}), shapes({0}, {1}));
MOKA_BOUND(clamp_max_tensor, "clamp_max.tensor(Tensor input, Tensor max) -> Tensor",
           "max where input is above it", body([](auto x, auto high) { return minimum(x, high); }),
           "written as Min", shapes({3, 4}, {3, 4}), shapes({0}, {1}));
// The other bound is None.
MOKA_BOUND(clamp_lower_tensor, "clamp.lower_tensor(Tensor input, Tensor min, Operand? max=None) -> Tensor",
           "min where input is below it", body([](auto x, auto low, auto) { return maximum(x, low); }),
           "written as Max", shapes({3, 4}, {3, 4}), shapes({0}, {1}));
MOKA_BOUND(clamp_upper_tensor, "clamp.upper_tensor(Tensor input, Operand? min, Tensor max) -> Tensor",
           "max where input is above it", body([](auto x, auto, auto high) { return minimum(x, high); }),
           "written as Min", without_min({3, 4}, {3, 4}), without_min({0}, {1}));
#undef MOKA_BOUND

}  // namespace moka::ops

MOKA_OP_TABLE(bounds, MOKA_BOUNDS_OPS)
