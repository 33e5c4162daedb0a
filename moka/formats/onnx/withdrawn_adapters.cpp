// Operators that ONNX had on trial until 2019 and took back; files of CoreML's and PyTorch's converters of those years use
// them, below opset 9.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/ml_internal.h"
#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

// Sizes that an input says, or that it has, with some behind them; without an input those of the attribute.
Wholes asked_sizes(NodeReader& n) {
  Wholes sizes;
  if (!n.has(0)) {
    const std::optional<Dims> shape = n.ints("shape");
    MOKA_CHECK_KIND(File, shape, "neither an input nor the attribute shape says the sizes");
    for (int64_t d : *shape) sizes.push_back(d);
  } else if (n.integer("input_as_shape", 0) != 0) {
    Dims length;
    MOKA_CHECK_KIND(NotImplemented, spelling::fixed_sizes(n[0], length) && length.size() == 1,
                    "how many sizes the input holds is known only when running");
    for (int64_t i = 0; i < length[0]; i++) sizes.push_back(whole_element(n, 0, i));
  } else {
    sizes = sizes_of(n, n[0]);
  }
  for (int64_t d : n.ints("extra_shape").value_or(Dims())) sizes.push_back(d);
  return sizes;
}
bool constant_fill(NodeReader& n) {
  DType dtype = DType::F32;
  if (!spelling::find_dtype_code(n.dialect, n.integer("dtype", 1), dtype)) return n.declines("dtype");
  const Wholes sizes = asked_sizes(n);
  Value* y = n.call("full", {list_of(n, sizes), n.number("value", 0), named("dtype", dtype)});
  n.out(promise(y, dtype, sizes));
  return true;
}
bool given_tensor_fill(NodeReader& n) {
  const Tensor values = vector_of(n, "values", DType::F32);
  n.out(reshaped(n, n.build.constant(Any(values)), asked_sizes(n)));
  return true;
}

bool scaled(NodeReader& n) {
  n.out(n.call("mul", {n[0], n.number("scale", 1)}));
  return true;
}
// One scale for all, one bias for each channel of [batch, channels, height, width].
bool scaled_image(NodeReader& n) {
  const Tensor bias = vector_of(n, "bias", DType::F32);
  Value* y = n.call("mul", {n[0], n.number("scale", 1)});
  if (bias.numel())
    y = n.call("add", {y, n.call("reshape", {n.build.constant(Any(bias)), Dims{bias.numel(), 1, 1}})});
  n.out(y);
  return true;
}
bool parametric_softplus(NodeReader& n) {
  const double beta = n.number("beta", 1);
  n.out(n.call("mul", {n.call("softplus", {n[0], beta}), n.number("alpha", 1) * beta}));
  return true;
}
// Of [batch, channels, height, width]; border: left, top, right, bottom; scale: the height and width that stay.
bool crop(NodeReader& n) {
  const Dims border = n.ints("border").value_or(Dims(4, int64_t(0))),
             scale = n.ints("scale").value_or(Dims());
  MOKA_CHECK_KIND(File, border.size() == 4 && (scale.empty() || scale.size() == 2),
                  "border must have 4 integers and scale 2, got ", border.size(), " and ", scale.size());
  Value* x = n[0];
  MOKA_CHECK_KIND(File, rank_of(x, "the input") == 4, "the input must have 4 dimensions");
  for (size_t i = 0; i < 2; i++) {
    const int64_t dim = 2 + static_cast<int64_t>(i), first = border[1 - i], last = border[3 - i];
    const Whole rest = arithmetic(n, "sub", arithmetic(n, "sub", size_of(n, x, dim), first), last);
    const Whole length = scale.empty() ? rest : Whole(scale[i]);
    x = part_of(n, x, dim, first, length);
  }
  n.out(x);
  return true;
}

constexpr Adapter table[] = {
    {"ConstantFill", 1, 0, constant_fill},
    {"GivenTensorFill", 1, 0, given_tensor_fill},
    {"Scale", 1, 0, scaled},
    {"ImageScaler", 1, 0, scaled_image},
    {"Crop", 1, 0, crop},
    {"ParametricSoftplus", 1, 0, parametric_softplus},
};

}  // namespace

std::span<const Adapter> withdrawn_adapters() { return table; }

}  // namespace moka::onnx
