// Fill operators of init nets, run while reading.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/formats/netdef/adapters.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::netdef {

using spelling::ForeignNode;

namespace {

struct GivenFill {
  std::string_view op;
  DType dtype;
};
constexpr GivenFill given_fills[] = {
    {"GivenTensorFill", DType::F32},
    {"GivenTensorDoubleFill", DType::F64},
    {"GivenTensorBoolFill", DType::Bool},
    {"GivenTensorIntFill", DType::I32},
    {"GivenTensorInt64Fill", DType::I64},
    {"GivenTensorInt16Fill", DType::I16},
    {"GivenTensorByteStringToUInt8Fill", DType::U8},
};

Dims shape_of(const ForeignNode& node) {
  const Any* shape = node.attribute("shape");
  Dims out;
  if (!shape || shape->is_none()) return out;  // an empty list leaves no trace in a file
  MOKA_CHECK_KIND(File, spelling::to_ints(*shape, out), "argument 'shape' is ", *shape,
                  ", a list of integers was expected");
  MOKA_CHECK_KIND(File, out.size() <= static_cast<size_t>(max_dims), "shape has ", out.size(),
                  " dimensions, at most ", max_dims, " are possible");
  return out;
}

Tensor given(const ForeignNode& node, DType dtype) {
  const Dims shape = shape_of(node);
  const int64_t count = checked_numel(shape, "GivenTensorFill");
  const Any* values = node.attribute("values");
  std::span<const double> floats;
  std::span<const int64_t> ints;
  std::string_view text;
  double one_float = 0;
  int64_t one_int = 0, have = 0;
  if (values) {
    const Arg& a = values->arg();
    switch (values->tag()) {
      case Tag::Floats:
        floats = a.as_floats();
        have = static_cast<int64_t>(floats.size());
        break;
      case Tag::Ints:
        ints = a.as_ints();
        have = static_cast<int64_t>(ints.size());
        break;
      case Tag::Float:
        one_float = a.f;
        floats = {&one_float, 1};
        have = 1;
        break;
      case Tag::Int:
        one_int = a.i;
        ints = {&one_int, 1};
        have = 1;
        break;
      case Tag::String:
        text = values->string();
        have = static_cast<int64_t>(text.size());
        break;
      case Tag::List:
        if (values->list().size() == 1 && values->list()[0].tag() == Tag::String)
          text = values->list()[0].string();
        have = static_cast<int64_t>(text.size());
        break;
      default: break;
    }
  }
  // The values are there before memory is taken for them.
  MOKA_CHECK_KIND(File, have == count, "shape ", std::span<const int64_t>(shape), " needs ", count,
                  " values, the file has ", have);
  Tensor out = new_tensor(shape, dtype);
  if (count == 0) return out;
  if (!text.empty()) {
    MOKA_CHECK_KIND(File, dtype == DType::U8, "values are bytes where numbers were expected");
    std::memcpy(out.raw_data(), text.data(), text.size());
  } else if (!floats.empty()) {
    convert_elements(floats.data(), DType::F64, out.raw_data(), dtype, count);
  } else {
    convert_elements(ints.data(), DType::I64, out.raw_data(), dtype, count);
  }
  return out;
}

}  // namespace

bool run_fill(const ForeignNode& node, Tensor& out) {
  for (const GivenFill& f : given_fills) {
    if (f.op != node.op || !node.inputs.empty()) continue;
    out = given(node, f.dtype);
    return true;
  }
  if (node.op != "ConstantFill" || !node.inputs.empty()) return false;
  const Any* code = node.attribute("dtype");
  const Any* value = node.attribute("value");
  DType dtype = DType::F32;
  if (code)
    MOKA_CHECK_KIND(
        File,
        code->tag() == Tag::Int && spelling::find_dtype_code(spelling::Dialect::NetDef, code->arg().i, dtype),
        "dtype ", *code, " does not exist");
  MOKA_CHECK_KIND(NotImplemented, dtype != DType::String, "tensors of strings are not read");
  const Dims shape = shape_of(node);
  const int64_t count = checked_numel(shape, "ConstantFill");
  // A few bytes of file may ask for any amount of memory.
  MOKA_CHECK_KIND(File, count <= (int64_t(1) << 28), "ConstantFill of shape ",
                  std::span<const int64_t>(shape), " makes ", count, " elements");
  Any number(0.0);
  if (value)
    MOKA_CHECK_KIND(File, spelling::to_number(*value, number), "argument 'value' is ", *value,
                    ", a number was expected");
  out = new_tensor(shape, dtype);
  copy_elements(spelling::number_tensor(number, dtype), out);
  return true;
}

}  // namespace moka::netdef
