// Quantized operators of onnxruntime's domain: numbers are made floats, computed with, and quantized again.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/microsoft_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::Attribute;
using spelling::named;

Value* dequantized(NodeReader& n, int x, int scale, int zero, int64_t axis) {
  return onnx_node(n, "DequantizeLinear", {n[x], n[scale], n.maybe(zero)}, {{"axis", Any(axis)}});
}

Value* quantized(NodeReader& n, Value* y, int scale, int zero, DType otherwise) {
  Value* point = n.has(zero) ? n[zero] : constant_number(n, 0, otherwise);
  return onnx_node(n, "QuantizeLinear", {y, n[scale], point});
}

namespace {

DType type_in(NodeReader& n, int input) { return dtype_of(n[input], "the input"); }

template <int inputs>
bool pointwise(NodeReader& n) {
  static_assert(inputs == 1 || inputs == 2);
  Value* x = dequantized(n, 0, 1, 2);
  Value* y;
  if (inputs == 2) y = n.call(n.node.op == "QLinearAdd" ? "add" : "mul", {x, dequantized(n, 3, 4, 5)});
  else if (n.node.op == "QLinearSigmoid") y = n.call("sigmoid", {x});
  else y = n.call("leaky_relu", {x, n.number("alpha", 0.01)});
  n.out(quantized(n, y, inputs * 3, inputs * 3 + 1, type_in(n, 0)));
  return true;
}

// Channels behind the spatial dimensions go before them and back.
template <class F>
Value* channels_first(NodeReader& n, Value* x, F compute) {
  if (n.integer("channels_last", 0) == 0) return compute(x);
  const int rank = rank_of(x, "the input");
  return channels_moved(n, compute(channels_moved(n, x, rank, 1)), rank, rank - 1);
}

bool average_pool(NodeReader& n) {
  const bool global = n.node.op == "QLinearGlobalAveragePool";
  Value* y = channels_first(n, dequantized(n, 0, 1, 2), [&](Value* x) {
    return global ? onnx_node(n, "GlobalAveragePool", {x})
                  : onnx_node(n, "AveragePool", {x}, attributes_without(n, {"channels_last"}));
  });
  n.out(quantized(n, y, 3, 4, type_in(n, 0)));
  return true;
}
bool maximum_pool(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  Value* y = onnx_node(n, "MaxPool", {channels_moved(n, n[0], rank, 1)}, n.node.attributes);
  n.out(channels_moved(n, y, rank, rank - 1));
  return true;
}

bool concatenation(NodeReader& n) {
  MOKA_CHECK_KIND(File, n.inputs() > 2 && (n.inputs() - 2) % 3 == 0, n.inputs(),
                  " inputs, 2 and 3 for each part were expected");
  std::vector<Value*> parts;
  for (int i = 2; i < n.inputs(); i += 3) parts.push_back(dequantized(n, i, i + 1, i + 2));
  n.out(quantized(n, n.call("cat", {parts, n.integer("axis", 0)}), 0, 1, type_in(n, 2)));
  return true;
}

// `opset` says what the axis meant: before 13 all dimensions from it on.
bool softmax(NodeReader& n) {
  Value* x = dequantized(n, 0, 1, 2);
  const int rank = rank_of(x, "the input");
  const int64_t axis = wrapped(n.integer("axis", -1), rank);
  Value* y;
  if (n.integer("opset", 13) >= 13 || axis == rank - 1) y = n.call("softmax", {x, axis});
  else
    y = reshaped(n, n.call("softmax", {n.call("flatten", {x, axis, int64_t(-1)}), int64_t(-1)}),
                 sizes_of(n, x));
  n.out(quantized(n, y, 3, 4, type_in(n, 0)));
  return true;
}
bool mean(NodeReader& n) {
  Value* y = n.call("mean", {dequantized(n, 0, 1, 2), named("dim", n.ints("axes").value_or(Dims{})),
                             named("keepdim", n.integer("keepdims", 1) != 0)});
  n.out(quantized(n, y, 3, 4, type_in(n, 0)));
  return true;
}
bool choice(NodeReader& n) {
  n.out(quantized(n, n.call("where", {n[0], dequantized(n, 1, 2, 3), dequantized(n, 4, 5, 6)}), 7, 8,
                  type_in(n, 1)));
  return true;
}

// A vector of scales or points belongs to the columns of the second factor.
Value* centred(NodeReader& n, Value* x, int zero) {
  Value* v = n.call("to", {x, DType::F64});
  return n.has(zero) ? n.call("sub", {v, n.call("to", {n[zero], DType::F64})}) : v;
}
Value* wide(NodeReader& n, int input) { return n.call("to", {n[input], DType::F64}); }

bool gemm(NodeReader& n) {
  auto turned = [&](Value* x, const char* attribute) {
    return n.integer(attribute, 0) != 0 ? n.call("transpose", {x, int64_t(0), int64_t(1)}) : x;
  };
  Value* y = product(n, centred(n, turned(n[0], "transA"), 2), centred(n, turned(n[3], "transB"), 5));
  const double alpha = n.number("alpha", 1);
  if (n.has(6)) y = n.call("add", {y, wide(n, 6)});
  Value* scale = n.call("mul", {n.call("mul", {wide(n, 1), wide(n, 4)}), alpha});
  y = n.call("to", {n.call("mul", {y, scale}), DType::F32});
  n.out(n.has(7) ? quantized(n, y, 7, 8, type_in(n, 0)) : y);
  return true;
}

// Integers times integers, as floats.
bool matmul_to_float(NodeReader& n) {
  Value* y = product(n, centred(n, n[0], 4), centred(n, n[1], 5));
  y = n.call("mul", {y, n.call("mul", {wide(n, 2), wide(n, 3)})});
  y = n.call("to", {y, dtype_of(n[2], "the scale")});
  n.out(n.has(6) ? n.call("add", {y, n[6]}) : y);
  return true;
}
bool dynamic_matmul(NodeReader& n) {
  const std::vector<Value*> a = onnx_nodes(n, "DynamicQuantizeLinear", {n[0]}, {}, 3);
  Value* x = n.call("sub", {n.call("to", {a[0], DType::F64}), n.call("to", {a[2], DType::F64})});
  Value* y = product(n, x, centred(n, n[1], 3));
  y = n.call("mul", {y, n.call("mul", {n.call("to", {a[1], DType::F64}), wide(n, 2)})});
  y = n.call("to", {y, DType::F32});
  n.out(n.has(4) ? n.call("add", {y, n[4]}) : y);
  return true;
}
bool matmul_integers(NodeReader& n) {
  n.out(n.call("to", {product(n, wide(n, 0), wide(n, 1)), DType::I32}));
  return true;
}

bool convolution(NodeReader& n) {
  Value* y = channels_first(n, n[0], [&](Value* x) {
    std::vector<Value*> inputs{x};
    for (int i = 1; i < 9; i++) inputs.push_back(n.maybe(i));
    return onnx_node(n, "QLinearConv", inputs, attributes_without(n, {"channels_last"}));
  });
  n.out(y);
  return true;
}

// Weights [directions, inputs, gates] of integers; the network itself computes in floats.
bool lstm(NodeReader& n) {
  auto weight = [&](int at, int scale, int zero) {
    auto part = [&](Value* v) {  // of each direction, or of each direction's gates
      v = n.call("to", {v, DType::F32});
      return spelling::rank(v) == 2 ? n.call("unsqueeze", {v, int64_t(1)})
             : spelling::rank(v) == 1
                 ? n.call("unsqueeze", {n.call("unsqueeze", {v, int64_t(1)}), int64_t(2)})
                 : v;
    };
    Value* v = n.call("sub", {n.call("to", {n[at], DType::F32}), part(n[zero])});
    return n.call("transpose", {n.call("mul", {v, part(n[scale])}), int64_t(1), int64_t(2)});
  };
  const std::vector<Value*> y = onnx_nodes(
      n, "LSTM",
      {n[0], weight(1, 8, 9), weight(2, 10, 11), n.maybe(3), n.maybe(4), n.maybe(5), n.maybe(6), n.maybe(7)},
      n.node.attributes, n.node.outputs);
  for (size_t i = 0; i < y.size(); i++) n.out(y[i], static_cast<int>(i));
  return true;
}

// Several numbers in a byte, the first in the lowest bits; along the last dimension.
Value* unpacked(NodeReader& n, Value* bytes, int64_t bits) {
  MOKA_CHECK_KIND(NotImplemented, bits == 2 || bits == 4 || bits == 8, "numbers of ", bits, " bits");
  Value* v = n.call("to", {bytes, DType::I32});
  if (bits == 8) return v;
  std::vector<Value*> parts;
  for (int64_t at = 0; at < 8; at += bits) {
    Value* shifted = at == 0 ? v : n.call("floor_divide", {v, int64_t(1) << at});
    parts.push_back(n.call("remainder", {shifted, int64_t(1) << bits}));
  }
  return n.call("flatten", {n.call("stack", {parts, int64_t(-1)}), int64_t(-2), int64_t(-1)});
}

// B is [columns, blocks, bytes]: each row of a block has one scale and one zero point.
bool matmul_of_bits(NodeReader& n) {
  const int64_t k = n.integer("K", 0), columns = n.integer("N", 0), bits = n.integer("bits", 4),
                block = n.integer("block_size", 0);
  MOKA_CHECK_KIND(File, k > 0 && columns > 0 && block > 0, "K, N and block_size must be positive");
  if (n.has(4)) return n.declines("rows in another order (g_idx)");
  const int64_t blocks = (k + block - 1) / block;
  const DType dtype = dtype_of(n[0], "A");
  Value* b = n.call("reshape", {n[1], Dims{columns, blocks, -1}});
  Value* w = n.call("to", {unpacked(n, b, bits), dtype});
  Value* scale = n.call("reshape", {n[2], Dims{columns, blocks, 1}});
  if (n.has(3)) {
    Value* zero = n[3];
    if (dtype_of(zero, "the zero points") == DType::U8) {
      zero = unpacked(n, n.call("reshape", {zero, Dims{columns, -1}}), bits);
      zero = n.call("narrow", {zero, int64_t(1), int64_t(0), blocks});
    }
    zero = n.call("to", {n.call("reshape", {zero, Dims{columns, blocks, 1}}), dtype});
    w = n.call("sub", {w, zero});
  } else {
    w = n.call("sub", {w, double(int64_t(1) << (bits - 1))});
  }
  w = n.call("reshape", {n.call("mul", {w, cast_to(n, scale, dtype)}), Dims{columns, blocks * block}});
  if (blocks * block != k) w = n.call("narrow", {w, int64_t(1), int64_t(0), k});
  Value* y = product(n, n[0], n.call("transpose", {w, int64_t(0), int64_t(1)}));
  n.out(n.has(5) ? n.call("add", {y, n[5]}) : y);
  return true;
}

// Rows of a table whose numbers share scales in blocks along the last dimension.
bool gather_blocks(NodeReader& n) {
  const int rank = rank_of(n[0], "the data");
  const int64_t from = wrapped(n.integer("gather_axis", 0), rank),
                along = wrapped(n.integer("quantize_axis", 1), rank);
  if (from != 0 || along != rank - 1) return n.declines("axes other than the first and the last");
  const int64_t bits = n.integer("bits", 4), block = n.integer("block_size", 128);
  const bool bytes = dtype_of(n[0], "the data") == DType::U8;
  auto rows = [&](int i) { return onnx_node(n, "Gather", {n[i], n[1]}, {{"axis", Any(int64_t(0))}}); };
  Value* scale = rows(2);
  const DType dtype = dtype_of(scale, "the scales");
  Value* x = bytes ? unpacked(n, rows(0), bits) : rows(0);
  x = n.call("to", {x, dtype});
  auto wide_blocks = [&](Value* v) {
    Value* y = n.call("repeat_interleave", {v, block, int64_t(-1)});
    return part_of(n, promise(y, dtype, rank_of(v, "the scales")), -1, 0, size_of(n, x, -1));
  };
  if (n.has(3)) {
    Value* zero = bytes ? unpacked(n, rows(3), bits) : rows(3);
    if (bytes) zero = part_of(n, zero, -1, 0, size_of(n, scale, -1));
    x = n.call("sub", {x, wide_blocks(n.call("to", {zero, dtype}))});
  } else if (bytes) {
    x = n.call("sub", {x, double(int64_t(1) << (bits - 1))});
  }
  n.out(n.call("mul", {x, wide_blocks(scale)}));
  return true;
}

bool attention(NodeReader& n) {
  Value* y = product(n, centred(n, n[0], 6), centred(n, n[1], 7));
  y = n.call("mul", {y, n.call("mul", {wide(n, 3), wide(n, 4)})});
  y = n.call("add", {n.call("to", {y, DType::F32}), n[2]});
  return attend_packed(n, y, 5, 8, -1);
}

bool to_or_from_float(NodeReader& n) {
  n.out(onnx_node(n, n.node.op, {n[0], n[1], n.maybe(2)}, n.node.attributes));
  return true;
}

constexpr Adapter table[] = {
    {"QuantizeLinear", 1, 0, to_or_from_float, microsoft},
    {"DequantizeLinear", 1, 0, to_or_from_float, microsoft},
    {"QLinearAdd", 1, 0, pointwise<2>, microsoft},
    {"QLinearMul", 1, 0, pointwise<2>, microsoft},
    {"QLinearSigmoid", 1, 0, pointwise<1>, microsoft},
    {"QLinearLeakyRelu", 1, 0, pointwise<1>, microsoft},
    {"QLinearAveragePool", 1, 0, average_pool, microsoft},
    {"QLinearGlobalAveragePool", 1, 0, average_pool, microsoft},
    {"NhwcMaxPool", 1, 0, maximum_pool, microsoft},
    {"QLinearConcat", 1, 0, concatenation, microsoft},
    {"QLinearSoftmax", 1, 0, softmax, microsoft},
    {"QLinearReduceMean", 1, 0, mean, microsoft},
    {"QLinearWhere", 1, 0, choice, microsoft},
    {"QLinearConv", 1, 0, convolution, microsoft},
    {"QGemm", 1, 0, gemm, microsoft},
    {"MatMulIntegerToFloat", 1, 0, matmul_to_float, microsoft},
    {"DynamicQuantizeMatMul", 1, 0, dynamic_matmul, microsoft},
    {"MatMulInteger16", 1, 0, matmul_integers, microsoft},
    {"DynamicQuantizeLSTM", 1, 0, lstm, microsoft},
    {"MatMulNBits", 1, 0, matmul_of_bits, microsoft},
    {"GatherBlockQuantized", 1, 0, gather_blocks, microsoft},
    {"QAttention", 1, 0, attention, microsoft},
};

}  // namespace

std::span<const Adapter> microsoft_quantized_adapters() { return table; }

}  // namespace moka::onnx
