// Arithmetic and logic where ONNX's operators take fewer types, and random numbers.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

// A tensor argument, or a number as a tensor of that type.
std::string operand(NodeWriter& n, std::string_view arg, DType dtype) {
  const Any* constant = n.constant(arg);
  if (constant && constant->arg().is_number()) return n.tensor(spelling::number_tensor(*constant, dtype));
  DType have;
  const std::string name = n.name(arg);
  return spelling::has_dtype(n.value(arg), &have) && have != dtype ? cast(n, name, dtype) : name;
}

template <int kind>  // 0 and, 1 or, 2 xor
bool logical(NodeWriter& n) {
  constexpr const char* names[] = {"And", "Or", "Xor"};
  if (!spelling::has_dtype(n.value("input")) || !spelling::has_dtype(n.value("other")))
    return n.declines("the element type is not known");
  return n.finish(names[kind], {operand(n, "input", DType::Bool), operand(n, "other", DType::Bool)});
}
bool logical_not(NodeWriter& n) {
  if (!spelling::has_dtype(n.value("input"))) return n.declines("the element type is not known");
  return n.finish("Not", {operand(n, "input", DType::Bool)});
}
template <int kind>  // on bool they are the logical ones
bool bitwise(NodeWriter& n) {
  constexpr const char* names[] = {"And", "Or", "Xor", "Not"};
  constexpr const char* bits[] = {"BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"};
  DType type;
  if (!spelling::has_dtype(n.node.output(), &type)) return n.declines("the element type is not known");
  const bool whole = type != DType::Bool;
  if (whole && n.model.version() < 18) return n.declines("bits of integers before opset 18");
  std::vector<std::string> inputs{operand(n, "input", type)};
  if (kind < 3) inputs.push_back(operand(n, "other", type));
  return n.finish(whole ? bits[kind] : names[kind], inputs);
}
// Div of integers drops what is behind the point; x less its remainder is a multiple.
bool floor_divide(NodeWriter& n) {
  DType type;
  if (!spelling::has_dtype(n.node.output(), &type) || is_floating(type)) return false;
  const std::string x = operand(n, "input", type), y = operand(n, "other", type);
  return n.finish("Div", {n.add("Sub", {x, n.add("Mod", {x, y})}), y});
}
bool rounded_quotient(NodeWriter& n) {
  DType type;
  const Any* mode = n.constant("rounding_mode");
  if (!mode || mode->is_none() || mode->string() != "trunc" || !spelling::has_dtype(n.node.output(), &type) ||
      is_floating(type))
    return false;
  return n.finish("Div", {operand(n, "input", type), operand(n, "other", type)});
}
// fmod of C has the dividend's sign.
bool fmod(NodeWriter& n) {
  DType type;
  if (!spelling::has_dtype(n.node.output(), &type)) return n.declines("the element type is not known");
  return n.finish("Mod", {operand(n, "input", type), operand(n, "other", type)}, {{"fmod", Any(int64_t(1))}});
}
bool remainder(NodeWriter& n) {
  DType type;
  if (!spelling::has_dtype(n.node.output(), &type) || is_floating(type)) return n.left_to_rules();
  return n.finish("Mod", {operand(n, "input", type), operand(n, "other", type)});
}
// Clip takes bounds without dimensions.
bool clamp(NodeWriter& n) {
  for (std::string_view bound : {"min", "max"})
    if (!n.constant(bound) && n.rank(bound) != 0) return n.left_to_rules();
  return false;
}
// The result has the base's type: ours promotes.
bool power(NodeWriter& n) {
  DType result;
  if (!spelling::has_dtype(n.node.output(), &result)) return false;
  return n.finish("Pow", {operand(n, "input", result), operand(n, "exponent", result)});
}
bool is_inf(NodeWriter& n) {
  DType type;
  if (!spelling::has_dtype(n.value("input"), &type)) return n.declines("the element type is not known");
  if (type == DType::F32 || type == DType::F64 || n.model.version() >= 20) return false;
  return n.finish("IsInf", {cast(n, n.name("input"), DType::F32)});
}

// ---- random numbers

DType random_type(NodeWriter& n) {
  DType type = DType::F32;
  spelling::has_dtype(n.node.output(), &type);
  return type;
}
bool random_like(NodeWriter& n, std::string_view op, std::string_view like,
                 std::vector<spelling::Attribute> attributes) {
  Dims size;
  attributes.push_back(dtype_attribute("dtype", random_type(n)));
  if (!n.ints("size", size)) {
    const std::string shape = n.ints_name("size");
    const std::string zeros = n.add("ConstantOfShape", {shape});
    return n.finish(like, {zeros}, attributes);
  }
  attributes.push_back({"shape", Any(size)});
  return n.finish(op, {}, attributes);
}
bool rand(NodeWriter& n) { return random_like(n, "RandomUniform", "RandomUniformLike", {}); }
bool randn(NodeWriter& n) { return random_like(n, "RandomNormal", "RandomNormalLike", {}); }
bool randint(NodeWriter& n) {
  Dims size;
  const int64_t low = n.integer("low"), high = n.integer("high");
  if (!n.ints("size", size)) return n.declines("the size is known only when running");
  const std::string u = n.add("RandomUniform", {},
                              {{"shape", Any(size)},
                               {"low", Any(static_cast<double>(low))},
                               {"high", Any(static_cast<double>(high))},
                               {"dtype", Any(int64_t(1))}});
  return n.finish("Cast", {n.add("Floor", {u})}, {dtype_attribute("to", random_type(n))});
}
bool multinomial(NodeWriter& n) {
  const Any* replacement = n.constant("replacement");
  const int64_t count = n.integer("num_samples");
  if (!replacement || (!replacement->to_bool() && count > 1))
    return n.declines("drawing without replacement");
  if (n.rank("input") != 2) return n.declines("an input that is no matrix");
  const std::vector<spelling::Attribute> attributes{{"sample_size", Any(count)},
                                                    dtype_attribute("dtype", DType::I64)};
  return n.finish("Multinomial", {n.add("Log", {n.name("input")})}, attributes);
}
bool native_dropout(NodeWriter& n) {
  DType type;
  const Any* p = n.constant("p");
  if (!p || !spelling::has_dtype(n.value("input"), &type))
    return n.declines("p or the type is known only when running");
  std::vector<std::string> outputs{n.model.name_of(n.node.output())};
  DType mask = DType::Bool;
  spelling::has_dtype(n.node.output(1), &mask);
  const bool used = !n.node.output(1)->uses().empty();
  std::string kept;
  if (used)
    outputs.push_back(kept = mask == DType::Bool ? n.model.name_of(n.node.output(1))
                                                 : n.model.unique(n.model.scoped(n.node, "Dropout_mask")));
  n.model.add_node(n.node, "Dropout", "",
                   {n.name("input"), n.tensor(spelling::number_tensor(*p, DType::F32)),
                    n.tensor(spelling::number_tensor(Any(int64_t(1)), DType::Bool))},
                   outputs, {});
  if (used && mask != DType::Bool) {
    const std::string numbers = cast(n, kept, mask);
    const double scale = p->to_double() < 1 ? 1 / (1 - p->to_double()) : 0;
    return n.finish("Mul", {numbers, n.tensor(spelling::number_tensor(Any(scale), mask))}, {}, 1);
  }
  return true;
}

constexpr WritingAdapter table[] = {
    {"logical_and", 1, 0, logical<0>},
    {"logical_or", 1, 0, logical<1>},
    {"logical_xor", 1, 0, logical<2>},
    {"logical_not", 1, 0, logical_not},
    {"bitwise_and", 1, 0, bitwise<0>},
    {"bitwise_or", 1, 0, bitwise<1>},
    {"bitwise_xor", 1, 0, bitwise<2>},
    {"bitwise_not", 1, 0, bitwise<3>},
    {"floor_divide", 10, 0, floor_divide},
    {"div.mode", 1, 0, rounded_quotient},
    {"fmod", 10, 0, fmod},
    {"remainder", 10, 0, remainder},
    {"clamp", 1, 0, clamp},
    {"pow", 1, 0, power},
    {"isinf", 10, 0, is_inf},
    {"rand", 1, 0, rand},
    {"randn", 1, 0, randn},
    {"randint.low", 1, 0, randint},
    {"multinomial", 7, 0, multinomial},
    {"native_dropout", 12, 0, native_dropout},
};

}  // namespace

std::span<const WritingAdapter> number_writers() { return table; }

}  // namespace moka::onnx
