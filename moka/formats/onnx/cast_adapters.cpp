// Adapters between element types: casts with their rounding and saturation, bits read as another type, shifts of bits.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;

// To a type of 8 bits or less: saturating, numbers that are too large become the largest; else NaN or infinity.
Value* saturated(NodeReader& n, Value* x, DType to, bool saturate) {
  double largest = 0;
  switch (to) {
    case DType::F8E4M3FN: largest = 448; break;
    case DType::F8E4M3FNUZ: largest = 240; break;
    case DType::F8E5M2:
    case DType::F8E5M2FNUZ: largest = 57344; break;
    default: return cast_to(n, x, to);
  }
  const DType from = dtype_of(x, "the input");
  if (!is_floating(from)) x = n.call("to", {x, DType::F64});
  if (saturate) {
    x = n.call("clamp", {x, -largest, largest});
  } else if (
      to ==
      DType::
          F8E4M3FN) {  // our own conversion saturates; halfway to what would come next is still the largest
    Value* over = n.call("gt", {n.call("abs", {x}), largest + 16});
    x = n.call("where", {over, constant_number(n, NAN, dtype_of(x, "the input")), x});
  }
  return n.call("to", {x, to});
}

namespace {

// A power of two, from the bits of float32.
Value* to_exponent(NodeReader& n, Value* x) {
  const std::string_view mode = n.text("round_mode", "up");
  MOKA_CHECK_KIND(File, mode == "up" || mode == "down" || mode == "nearest", "round_mode '", mode,
                  "' does not exist");
  if (mode == "nearest") return n.call("to", {x, DType::F8E8M0});
  Value* bits = n.call("view.dtype", {cast_to(n, x, DType::F32), DType::I32});
  Value* exponent = n.call("bitwise_and", {n.call("bitwise_right_shift", {bits, int64_t(23)}), int64_t(255)});
  if (mode == "up") {
    Value* rest = n.call("gt", {n.call("bitwise_and", {bits, int64_t(0x7fffff)}), int64_t(0)});
    const int64_t most = n.integer("saturate", 1) != 0 ? 254 : 255;
    Value* next = n.call("clamp_max", {n.call("add", {exponent, int64_t(1)}), most});
    exponent = n.call(
        "where", {n.call("logical_and", {rest, n.call("lt", {exponent, int64_t(255)})}), next, exponent});
  }
  return n.call("view.dtype", {n.call("to", {exponent, DType::U8}), DType::F8E8M0});
}

bool cast_as(NodeReader& n, DType dtype) {
  if (holds_strings(n[0])) {
    n.out(dtype == DType::String ? n[0] : n.call("string_parse", {n[0], dtype}));
    return true;
  }
  if (dtype == DType::String) {
    n.out(n.call("string_format", {n[0]}));
    return true;
  }
  n.out(dtype == DType::F8E8M0 ? to_exponent(n, n[0])
                               : saturated(n, n[0], dtype, n.integer("saturate", 1) != 0));
  return true;
}

bool cast(NodeReader& n) {
  const Any* to = n.attribute("to");
  MOKA_CHECK_KIND(File, to, "attribute 'to' is missing");
  DType dtype;
  if (to->tag() == Tag::String) {  // opset 1 named the type
    std::string name(to->string());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (name == "double") name = "float64";
    if (!find_dtype(name, dtype)) return n.declines("element type ", to->string(), " is not read");
  } else if (!spelling::find_dtype_code(n.dialect, n.integer("to", 0), dtype)) {
    return n.declines("element type ", n.integer("to", 0), " does not exist");
  }
  return cast_as(n, dtype);
}

bool cast_like(NodeReader& n) {
  if (spelling::has_dtype(n[0]) && spelling::has_dtype(n[1])) return cast_as(n, dtype_of(n[1], "input 1"));
  n.out(n.call("to", {n[0], n.builtin("dtype", {n[1]})}));
  return true;
}

bool bit_cast(NodeReader& n) {
  DType dtype;
  if (!spelling::find_dtype_code(n.dialect, n.integer("to", 0), dtype))
    return n.declines("element type ", n.integer("to", 0), " does not exist");
  const DType from = dtype_of(n[0], "the input");
  MOKA_CHECK_KIND(File, item_size(from) == item_size(dtype), "elements of ", info(from).name, " and ",
                  info(dtype).name, " differ in size");
  n.out(n.call("view.dtype", {n[0], dtype}));
  return true;
}

// Shifts by as many bits as there are, or by negative numbers, leave nothing but the sign.
bool bit_shift(NodeReader& n) {
  const std::string_view direction = n.text("direction", "");
  MOKA_CHECK_KIND(File, direction == "LEFT" || direction == "RIGHT", "direction '", direction,
                  "' does not exist");
  const DType dtype = dtype_of(n[0], "the input");
  MOKA_CHECK_KIND(File, is_integral(dtype), "the elements must be integers, not ", info(dtype).name);
  const int64_t bits = 8 * static_cast<int64_t>(item_size(dtype));
  const bool left = direction == "LEFT", wide = dtype == DType::U64;
  // In int64, where narrower types keep all their bits; uint64 goes by its bits.
  Value* a = wide ? n.call("view.dtype", {n[0], DType::I64}) : n.call("to", {n[0], DType::I64});
  Value* by = wide ? n.call("view.dtype", {n[1], DType::I64}) : n.call("to", {n[1], DType::I64});
  Value* fits = n.call("logical_and", {n.call("ge", {by, int64_t(0)}), n.call("lt", {by, bits})});
  Value* count = n.call("where", {fits, by, int64_t(0)});
  Value* y = n.call(left ? "bitwise_left_shift" : "bitwise_right_shift", {a, count});
  if (wide && !left) {  // the sign that came in from the left goes
    Value* ones = n.call("bitwise_left_shift",
                         {n.build.constant(Any(spelling::number_tensor(Any(int64_t(-1)), DType::I64))),
                          n.call("sub", {bits, count})});
    Value* kept = n.call("bitwise_and", {y, n.call("bitwise_not", {ones})});
    y = n.call("where", {n.call("gt", {count, int64_t(0)}), kept, y});
  }
  Value* zero = n.build.constant(Any(spelling::number_tensor(Any(int64_t(0)), DType::I64)));
  Value* empty = left || wide ? zero : n.call("where", {n.call("lt", {a, zero}), int64_t(-1), zero});
  y = n.call("where", {fits, y, empty});
  n.out(wide ? n.call("view.dtype", {n.call("contiguous", {y}), DType::U64}) : n.call("to", {y, dtype}));
  return true;
}

constexpr Adapter table[] = {
    {"Cast", 1, 0, cast},
    {"CastLike", 15, 0, cast_like},
    {"BitCast", 26, 0, bit_cast},
    {"BitShift", 11, 0, bit_shift},
};

}  // namespace

std::span<const Adapter> cast_adapters() { return table; }

}  // namespace moka::onnx
