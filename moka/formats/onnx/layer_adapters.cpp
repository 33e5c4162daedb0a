// Adapters of layers that ONNX spells otherwise: resizing, recurrent networks, normalization over neighbours.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

bool local_response(NodeReader& n) {
  Dims input;
  if (!spelling::fixed_sizes(n[0], input) || input.size() < 3) return n.declines("the sizes are not known");
  const int64_t size = n.integer("size", 0);
  MOKA_CHECK_KIND(File, size >= 1, "size ", size, " must be positive");
  Value* planes = n.call("reshape", {n.call("mul", {n[0], n[0]}), Dims{input[0], 1, input[1], -1}});
  // Of an even number the smaller half comes before.
  planes = n.call("pad_constant", {planes, Dims{0, 0, (size - 1) / 2, size / 2}, 0.0});
  Value* mean = n.call("reshape", {n.call("avg_pool2d", {planes, Dims{size, 1}, Dims{1, 1}}), input});
  Value* base = n.call("add", {n.call("mul", {mean, n.number("alpha", 1e-4)}), n.number("bias", 1)});
  n.out(n.call("div", {n[0], n.call("pow", {base, n.number("beta", 0.75)})}));
  return true;
}

// Scales and biases are those of groups before opset 21, of channels since.
bool group_normalization(NodeReader& n) {
  const int64_t groups = n.integer("num_groups", 0);
  MOKA_CHECK_KIND(File, groups > 0, "num_groups ", groups, " must be positive");
  auto of_channels = [&](Value* v) {
    if (n.version >= 21) return v;
    const Whole times = arithmetic(n, "floordiv", size_of(n, n[0], 1), groups);
    const DType dtype = dtype_of(v, "the scale");
    return promise(n.call("repeat_interleave", {v, times.argument(), int64_t(0)}), dtype, 1);
  };
  n.out(n.call("group_norm", {n[0], groups, of_channels(n[1]), of_channels(n[2]),
                              named("eps", n.number("epsilon", 1e-5))}));
  return true;
}

constexpr Adapter table[] = {
    {"GroupNormalization", 18, 0, group_normalization},
    {"LRN", 1, 0, local_response},
};

}  // namespace

std::span<const Adapter> layer_adapters() { return table; }

}  // namespace moka::onnx
