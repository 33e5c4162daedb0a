// Adapters of quantized arithmetic: scales, zero points, products of integers.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/onnx/window_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

// What a type of small integers can hold.
bool range_of(DType dtype, double& low, double& high) {
  switch (dtype) {
    case DType::U8: low = 0, high = 255; return true;
    case DType::I8: low = -128, high = 127; return true;
    case DType::U16: low = 0, high = 65535; return true;
    case DType::I16: low = -32768, high = 32767; return true;
    case DType::U4: low = 0, high = 15; return true;
    case DType::I4: low = -8, high = 7; return true;
    case DType::U2: low = 0, high = 3; return true;
    case DType::I2: low = -2, high = 1; return true;
    default: return false;
  }
}

namespace {

// A scale or zero point as it broadcasts over the input: one number, a vector along `axis`, or blocks along it.
Value* aligned(NodeReader& n, Value* v, Value* x, int64_t axis, int64_t block) {
  const int own = rank_of(v, "the scale or zero point");
  if (own == 0) return v;
  const Whole first = size_of(n, v, 0);
  if (own == 1 && first.fixed() && first.number == 1 && block == 0) return n.call("reshape", {v, Dims{}});
  const int rank = rank_of(x, "the input");
  if (axis < 0) axis += rank;
  MOKA_CHECK_KIND(File, axis >= 0 && axis < rank, "axis is out of range");
  if (block == 0) {
    MOKA_CHECK_KIND(File, own == 1, "a scale with ", own, " dimensions needs block_size");
    return spread(n, v, {static_cast<int>(axis)}, rank);
  }
  MOKA_CHECK_KIND(File, block > 0 && own == rank, "blocks need a scale with as many dimensions as the input");
  Value* wide = n.call("repeat_interleave", {v, block, axis});
  const DType dtype = dtype_of(v, "the scale");
  Wholes sizes = sizes_of(n, x);
  return part_of(n, promise(wide, dtype, rank), axis, 0, sizes[static_cast<size_t>(axis)]);
}

bool quantize(NodeReader& n) {
  DType to = DType::U8;
  if (n.has(2)) to = dtype_of(n[2], "the zero point");
  else if (n.integer("output_dtype", 0) != 0 &&
           !spelling::find_dtype_code(n.dialect, n.integer("output_dtype", 0), to))
    return n.declines("output_dtype ", n.integer("output_dtype", 0));
  DType precision = DType::F32;
  if (n.integer("precision", 0) != 0 &&
      !spelling::find_dtype_code(n.dialect, n.integer("precision", 0), precision))
    return n.declines("precision ", n.integer("precision", 0));
  if (precision == DType::F16 || precision == DType::BF16) precision = DType::F32;
  const int64_t axis = n.integer("axis", 1), block = n.integer("block_size", 0);
  auto wide = [&](Value* v) { return cast_to(n, v, precision); };
  Value* y = n.call("div", {wide(n[0]), aligned(n, wide(n[1]), n[0], axis, block)});
  double low, high;
  if (range_of(to, low, high)) {
    y = n.call("round", {y});
    if (n.has(2)) y = n.call("add", {y, aligned(n, wide(n[2]), n[0], axis, block)});
    n.out(n.call("to", {n.call("clamp", {y, low, high}), to}));
    return true;
  }
  n.out(saturated(n, y, to, n.integer("saturate", 1) != 0));
  return true;
}

bool dequantize(NodeReader& n) {
  DType to = dtype_of(n[1], "the scale");
  if (n.integer("output_dtype", 0) != 0 &&
      !spelling::find_dtype_code(n.dialect, n.integer("output_dtype", 0), to))
    return n.declines("output_dtype ", n.integer("output_dtype", 0));
  const DType wide = to == DType::F64 ? DType::F64 : DType::F32;
  const int64_t axis = n.integer("axis", 1), block = n.integer("block_size", 0);
  Value* x = cast_to(n, n[0], wide);
  if (n.has(2)) x = n.call("sub", {x, aligned(n, cast_to(n, n[2], wide), n[0], axis, block)});
  n.out(cast_to(n, n.call("mul", {x, aligned(n, cast_to(n, n[1], wide), n[0], axis, block)}), to));
  return true;
}

bool dynamic_quantize(NodeReader& n) {
  Value* zero = constant_number(n, 0, DType::F32);
  Value *high = n.call("maximum", {n.call("amax", {n[0]}), zero}),
        *low = n.call("minimum", {n.call("amin", {n[0]}), zero});
  Value* range = n.call("sub", {high, low});
  Value* scale =
      n.call("div", {n.call("where", {n.call("eq", {range, zero}), constant_number(n, 1, DType::F32), range}),
                     constant_number(n, 255, DType::F32)});
  Value* point =
      n.call("round", {n.call("clamp", {n.call("neg", {n.call("div", {low, scale})}), 0.0, 255.0})});
  Value* y = n.call("add", {n.call("round", {n.call("div", {n[0], scale})}), point});
  n.out(n.call("to", {n.call("clamp", {y, 0.0, 255.0}), DType::U8}));
  n.out(scale, 1);
  n.out(n.call("to", {point, DType::U8}), 2);
  return true;
}

// The numbers that stand for a quantized matrix, exact in float64. `column` says along which side a vector of zero points
// runs: of the rows of the first factor or the columns of the second.
Value* centred(NodeReader& n, int x, int zero, bool column) {
  Value* v = n.call("to", {n[x], DType::F64});
  if (!n.has(zero)) return v;
  Value* z = n.call("to", {n[zero], DType::F64});
  if (spelling::rank(z) == 1 && !column && rank_of(n[x], "the input") > 1)
    z = n.call("unsqueeze", {z, int64_t(1)});
  return n.call("sub", {v, z});
}

// Rounded and cut to what the zero point's type holds.
bool requantized(NodeReader& n, Value* y, Value* scale, int scale_at, int zero_at) {
  DType to = dtype_of(n[0], "the input");
  if (n.has(zero_at)) to = dtype_of(n[zero_at], "the zero point");
  double low, high;
  if (!range_of(to, low, high)) return n.declines("quantizing to ", info(to).name);
  y = n.call("mul", {y, n.call("div", {scale, n.call("to", {n[scale_at], DType::F64})})});
  if (n.has(zero_at)) y = n.call("add", {y, n.call("to", {n[zero_at], DType::F64})});
  n.out(n.call("to", {n.call("clamp", {n.call("round", {y}), low, high}), to}));
  return true;
}

// A vector of scales of the first factor stands for its rows, one of the second for its columns.
Value* matrix_scale(NodeReader& n, int at, bool column) {
  Value* s = n.call("to", {n[at], DType::F64});
  return spelling::rank(s) == 1 && !column ? n.call("unsqueeze", {s, int64_t(1)}) : s;
}

bool matmul_integer(NodeReader& n) {
  n.out(n.call("to", {product(n, centred(n, 0, 2, false), centred(n, 1, 3, true)), DType::I32}));
  return true;
}

bool quantized_matmul(NodeReader& n) {
  Value* y = product(n, centred(n, 0, 2, false), centred(n, 3, 5, true));
  Value* scale = n.call("mul", {matrix_scale(n, 1, false), matrix_scale(n, 4, true)});
  return requantized(n, y, scale, 6, 7);
}

// A vector over output channels, as it broadcasts over what.
Value* over_channels(NodeReader& n, Value* v, int place, int rank) {
  if (spelling::rank(v) != 1) return v;
  const Whole size = size_of(n, v, 0);
  if (size.fixed() && size.number == 1) return n.call("reshape", {v, Dims{}});
  return spread(n, v, {place}, rank);
}

// The sums of products of a convolution of integers, exact in float64.
Value* integer_convolution(NodeReader& n, int w, int x_zero, int w_zero) {
  const int rank = rank_of(n[0], "the input");
  Value *x = n.call("to", {n[0], DType::F64}), *weight = n.call("to", {n[w], DType::F64});
  if (n.has(x_zero)) x = n.call("sub", {x, over_channels(n, n.call("to", {n[x_zero], DType::F64}), 1, rank)});
  if (n.has(w_zero))
    weight = n.call("sub", {weight, over_channels(n, n.call("to", {n[w_zero], DType::F64}), 0, rank)});
  return convolved(n, x, weight, nullptr);
}

bool convolution_integer(NodeReader& n) {
  Value* y = integer_convolution(n, 1, 2, 3);
  if (!y) return false;
  n.out(n.call("to", {y, DType::I32}));
  return true;
}

bool quantized_convolution(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  Value* y = integer_convolution(n, 3, 2, 5);
  if (!y) return false;
  if (n.has(8)) y = n.call("add", {y, spread(n, n.call("to", {n[8], DType::F64}), {1}, rank)});
  Value* scale = n.call(
      "mul", {n.call("to", {n[1], DType::F64}), over_channels(n, n.call("to", {n[4], DType::F64}), 1, rank)});
  return requantized(n, y, scale, 6, 7);
}

constexpr Adapter table[] = {
    {"QuantizeLinear", 10, 0, quantize},
    {"DequantizeLinear", 10, 0, dequantize},
    {"DynamicQuantizeLinear", 11, 0, dynamic_quantize},
    {"MatMulInteger", 10, 0, matmul_integer},
    {"QLinearMatMul", 10, 0, quantized_matmul},
    {"ConvInteger", 10, 0, convolution_integer},
    {"QLinearConv", 10, 0, quantized_convolution},
};

}  // namespace

std::span<const Adapter> quantization_adapters() { return table; }

}  // namespace moka::onnx
