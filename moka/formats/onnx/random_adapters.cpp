// Adapters of random numbers and of dropout. A node that names a seed draws that seed's numbers in every run, those that
// ONNX's reference evaluator draws; others draw from the one generator that the user seeds.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

// Of the attribute, else that of the input, else float32. False: it declines.
bool result_type(NodeReader& n, DType& dtype) {
  dtype = DType::F32;
  if (n.attribute("dtype"))
    return spelling::find_dtype_code(n.dialect, n.integer("dtype", 1), dtype) ||
           n.declines("dtype ", n.integer("dtype", 1));
  if (n.inputs() > 0) dtype = dtype_of(n[0], "the input");
  return true;
}

Value* drawn(NodeReader& n, const char* op, const spelling::Argument& sizes, DType dtype) {
  const DType inner = is_floating(dtype) ? dtype : DType::F32;
  const Any* seed = n.attribute("seed");
  if (!seed) return n.call(op, {sizes, named("dtype", inner)});
  const int64_t number = seed->tag() == Tag::Int ? seed->to_int() : static_cast<int64_t>(n.number("seed", 0));
  const bool normal = std::string_view(op) == "randn";
  return n.call("to", {n.call("_seeded_numbers", {sizes, number & 0xffffffff, normal}), inner});
}

template <bool uniform, bool like>
bool random(NodeReader& n) {
  DType dtype;
  if (!result_type(n, dtype)) return false;
  spelling::Argument sizes =
      like ? list_of(n, sizes_of(n, n[0])) : spelling::Argument(n.ints("shape").value_or(Dims{}));
  Value* v = drawn(n, uniform ? "rand" : "randn", sizes, dtype);
  const double scale = uniform ? n.number("high", 1) - n.number("low", 0) : n.number("scale", 1);
  const double shift = uniform ? n.number("low", 0) : n.number("mean", 0);
  if (scale != 1) v = n.call("mul", {v, scale});
  if (shift != 0) v = n.call("add", {v, shift});
  n.out(cast_to(n, v, dtype));
  return true;
}

bool bernoulli(NodeReader& n) {
  DType dtype;
  if (!result_type(n, dtype)) return false;
  Value* y = n.attribute("seed")
                 ? n.call("lt", {drawn(n, "rand", list_of(n, sizes_of(n, n[0])), DType::F64), n[0]})
                 : n.call("bernoulli", {n[0]});
  n.out(cast_to(n, y, dtype));
  return true;
}

// Kept elements are divided by the share of those that are kept. Whether it trains and how many it drops may be known
// only when it runs.
bool dropout(NodeReader& n) {
  if (n.version < 12) return false;
  auto known = n.known_number(2);
  if (!n.has(2) || (known && known->arg().as_double() == 0)) return false;  // inference
  const DType dtype = dtype_of(n[0], "the input");
  if (!is_floating(dtype)) return n.declines("elements of type ", info(dtype).name);
  Value* ratio = n.has(1) ? cast_to(n, n[1], DType::F32) : constant_number(n, 0.5, DType::F32);
  if (!known)
    ratio = n.call("where", {n.call("to", {n[2], DType::Bool}), ratio, constant_number(n, 0, DType::F32)});
  Value* draw =
      drawn(n, "rand", list_of(n, sizes_of(n, n[0])), n.attribute("seed") ? DType::F64 : DType::F32);
  Value* kept = n.call("ge", {draw, ratio});
  Value* share = cast_to(n, n.call("sub", {constant_number(n, 1, DType::F32), ratio}), dtype);
  n.out(n.call("where", {kept, n.call("div", {n[0], share}), constant_number(n, 0, dtype)}));
  n.out(kept, 1);
  return true;
}

// Rows of logarithms of weights: places are drawn by where a uniform number falls in the sums of the weights.
bool multinomial(NodeReader& n) {
  DType dtype = DType::I32;
  if (n.attribute("dtype") && !spelling::find_dtype_code(n.dialect, n.integer("dtype", 6), dtype))
    return n.declines("dtype ", n.integer("dtype", 6));
  const int64_t count = n.integer("sample_size", 1);
  MOKA_CHECK_KIND(File, count > 0, "sample_size ", count, " must be positive");
  Value* sums = n.call("cumsum", {n.call("softmax", {cast_to(n, n[0], DType::F32), int64_t(1)}), int64_t(1)});
  const Whole rows = size_of(n, n[0], 0);
  Value* draw = promise(drawn(n, "rand", list_of(n, {rows, count}), DType::F32), DType::F32, {rows, count});
  Value* last = n.call("sub", {number_of(n, size_of(n, n[0], 1), DType::I64), int64_t(1)});
  Value* place = n.call("searchsorted", {n.call("contiguous", {sums}), draw, named("right", true)});
  n.out(n.call("to", {n.call("minimum", {place, last}), dtype}));
  return true;
}

constexpr Adapter table[] = {
    {"RandomUniform", 1, 0, random<true, false>},
    {"RandomNormal", 1, 0, random<false, false>},
    {"RandomUniformLike", 1, 0, random<true, true>},
    {"RandomNormalLike", 1, 0, random<false, true>},
    {"Bernoulli", 15, 0, bernoulli},
    {"Dropout", 12, 0, dropout},
    {"Multinomial", 7, 0, multinomial},
};

}  // namespace

std::span<const Adapter> random_adapters() { return table; }

}  // namespace moka::onnx
