// Element types: the table, promotion against PyTorch's recorded one, registration; names of devices.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "moka/base/error.h"
#include "moka/tensor/allocator.h"
#include "moka/tensor/device.h"

namespace moka {
namespace {

std::string error_of(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

// What torch.promote_types of torch 2.15 answers, by the codes of safetensors; "-" where it refuses, which it does
// for every pair of a wide unsigned integer with another integer or a complex type.
constexpr const char* promotion_of_torch = R"(
     BOOL U8  I8  I16 I32 I64 F16 BF16 F32 F64 C64 C128 U16  U32  U64
BOOL BOOL U8  I8  I16 I32 I64 F16 BF16 F32 F64 C64 C128 -    -    -
U8   U8   U8  I16 I16 I32 I64 F16 BF16 F32 F64 C64 C128 -    -    -
I8   I8   I16 I8  I16 I32 I64 F16 BF16 F32 F64 C64 C128 -    -    -
I16  I16  I16 I16 I16 I32 I64 F16 BF16 F32 F64 C64 C128 -    -    -
I32  I32  I32 I32 I32 I32 I64 F16 BF16 F32 F64 C64 C128 -    -    -
I64  I64  I64 I64 I64 I64 I64 F16 BF16 F32 F64 C64 C128 -    -    -
F16  F16  F16 F16 F16 F16 F16 F16 F32  F32 F64 C64 C128 F16  F16  F16
BF16 BF16 BF16 BF16 BF16 BF16 BF16 F32 BF16 F32 F64 C64 C128 BF16 BF16 BF16
F32  F32  F32 F32 F32 F32 F32 F32 F32  F32 F64 C64 C128 F32  F32  F32
F64  F64  F64 F64 F64 F64 F64 F64 F64  F64 F64 C128 C128 F64 F64  F64
C64  C64  C64 C64 C64 C64 C64 C64 C64  C64 C128 C64 C128 -   -    -
C128 C128 C128 C128 C128 C128 C128 C128 C128 C128 C128 C128 C128 - - -
U16  -    -   -   -   -   -   F16 BF16 F32 F64 -   -    U16  -    -
U32  -    -   -   -   -   -   F16 BF16 F32 F64 -   -    -    U32  -
U64  -    -   -   -   -   -   F16 BF16 F32 F64 -   -    -    -    U64
)";
// What numpy.promote_types of NumPy 2 answers for those that torch refuses; "-" where it takes float64 for integers,
// which loses digits without a word: there Moka asks for a conversion.
constexpr const char* promotion_of_numpy = R"(
     BOOL U8  I8  I16 I32 I64 C64 C128 U16 U32 U64
U16  U16  U16 I32 I32 I32 I64 C64 C128 U16 U32 U64
U32  U32  U32 I64 I64 I64 I64 C64 C128 U32 U32 U64
U64  U64  U64 -   -   -   -   C64 C128 U64 U64 U64
)";

DType by_code(const std::string& code) {
  if (code == "C128") return DType::C128;  // safetensors has no code for it
  for (int i = 0; i < static_cast<int>(DType::BuiltinCount); i++)
    if (info(static_cast<DType>(i)).safetensors == code) return static_cast<DType>(i);
  ADD_FAILURE() << "no type " << code;
  return DType::Bool;
}

struct Pair {
  DType a, b;
  std::string result;
};
std::vector<Pair> read_pairs(const char* table) {
  std::istringstream lines(table);
  std::string line, word;
  std::vector<DType> columns;
  std::vector<Pair> out;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    if (columns.empty()) {
      while (words >> word) columns.push_back(by_code(word));
      continue;
    }
    words >> word;
    const DType row = by_code(word);
    for (size_t i = 0; words >> word; i++) out.push_back({row, columns.at(i), word});
  }
  return out;
}

TEST(DType, PromotesAsTorchDoes) {
  int pairs = 0;
  for (const Pair& pair : read_pairs(promotion_of_torch)) {
    if (pair.result == "-") continue;
    EXPECT_EQ(promote(pair.a, pair.b), by_code(pair.result)) << cat(pair.a, " and ", pair.b);
    pairs++;
  }
  EXPECT_EQ(pairs, 12 * 12 + 2 * 3 * 4 + 3);
}

TEST(DType, PromotesWideUnsignedIntegersAsNumPyDoes) {
  for (const Pair& pair : read_pairs(promotion_of_numpy)) {
    if (pair.result == "-") {
      for (const auto& [a, b] : {std::pair(pair.a, pair.b), std::pair(pair.b, pair.a)})
        EXPECT_EQ(error_of([&] { promote(a, b); }),
                  cat("promotion: no integer type holds both ", a, " and ", b, "; convert one of them"));
    } else {
      EXPECT_EQ(promote(pair.a, pair.b), by_code(pair.result)) << cat(pair.a, " and ", pair.b);
      EXPECT_EQ(promote(pair.b, pair.a), by_code(pair.result)) << cat(pair.b, " and ", pair.a);
    }
  }
}

TEST(DType, StorageTypesDoNotPromote) {
  EXPECT_EQ(error_of([] { promote(DType::F8E4M3FN, DType::F32); }),
            "promotion: float8_e4m3fn and float32 have no common type; convert with .to(dtype) first");
  EXPECT_EQ(promote(DType::F8E4M3FN, DType::F8E4M3FN), DType::F8E4M3FN);
  EXPECT_THROW(promote(DType::String, DType::Bool), Error);
}

TEST(DType, NamesAndCodesAreUniqueAndFindTheirType) {
  std::set<std::string_view> names, codes;
  for (int i = 0; i < static_cast<int>(DType::BuiltinCount); i++) {
    const DType dtype = static_cast<DType>(i);
    const DTypeInfo& entry = info(dtype);
    ASSERT_FALSE(entry.name.empty()) << i;
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    if (!entry.alias.empty()) {
      EXPECT_TRUE(names.insert(entry.alias).second) << entry.alias;
    }
    if (!entry.safetensors.empty()) {
      EXPECT_TRUE(codes.insert(entry.safetensors).second) << entry.safetensors;
    }
    DType found;
    ASSERT_TRUE(find_dtype(entry.name, found));
    EXPECT_EQ(found, dtype);
    EXPECT_EQ(cat(dtype), entry.name);
    EXPECT_EQ(compute_dtype(compute_dtype(dtype)), compute_dtype(dtype)) << entry.name;
  }
  DType found;
  EXPECT_FALSE(find_dtype("", found));
  EXPECT_FALSE(find_dtype("float31", found));
}

TEST(DType, FamiliesSayWhatATypeIs) {
  EXPECT_TRUE(is_floating(DType::BF16) && !is_floating(DType::C64) && !is_floating(DType::I8));
  EXPECT_TRUE(is_integral(DType::U8) && is_integral(DType::I64) && !is_integral(DType::Bool));
  EXPECT_TRUE(is_differentiable(DType::C128) && is_differentiable(DType::F16) &&
              !is_differentiable(DType::I32));
  EXPECT_EQ(item_size(DType::C128), 16u);
  EXPECT_EQ(item_size(DType::U4), 1u);
}

TEST(DType, OthersMayRegisterTypes) {
  const DTypeInfo entry{"posit16_test", "", 2, DTypeClass::StorageOnly, DType::F32, ""};
  const DType posit = register_dtype(entry);
  DType found;
  ASSERT_TRUE(find_dtype("posit16_test", found));
  EXPECT_EQ(found, posit);
  EXPECT_EQ(item_size(posit), 2u);
  EXPECT_EQ(error_of([&] { register_dtype(entry); }), "register_dtype: the name 'posit16_test' is taken");
}

TEST(DType, TheDefaultFloatIsChecked) {
  EXPECT_EQ(default_float(), DType::F32);
  set_default_float(DType::F64);
  EXPECT_EQ(default_float(), DType::F64);
  set_default_float(DType::F32);
  EXPECT_THROW(set_default_float(DType::I32), Error);
  EXPECT_EQ(default_float(), DType::F32);
}

TEST(Device, NamesAreReadAndWrongOnesExplained) {
  EXPECT_EQ(parse_device("cpu"), Device{});
  EXPECT_EQ(parse_device("cpu:0"), Device{});
  EXPECT_EQ(cat(Device{}), "cpu");
  for (const char* wrong : {"", "gpu", "CPU", " cpu"})
    EXPECT_NE(error_of([&] { parse_device(wrong); }).find("in this build; known: cpu"), std::string::npos)
        << wrong;
  for (const char* wrong : {"cpu:", "cpu:x", "cpu:-1", "cpu:256", "cpu:0x", "cpu:99999999999999999999"})
    EXPECT_EQ(error_of([&] { parse_device(wrong); }),
              cat("device: expected 'type' or 'type:index', got '", wrong, "'"));
  EXPECT_EQ(error_of([] { parse_device("cpu:1"); }), "device: there is one cpu, cpu:0; got 'cpu:1'");
}

TEST(Device, OthersMayRegisterTypes) {
  const uint8_t type = register_device_type("testdevice", [](int) { return &cpu_allocator(); });
  EXPECT_EQ(parse_device("testdevice:3"), (Device{type, 3}));
  EXPECT_EQ(cat(Device{type, 3}), "testdevice:3");
  EXPECT_EQ(device_type_name(type), "testdevice");
  EXPECT_EQ(&allocator(Device{type, 0}), &cpu_allocator());
  EXPECT_EQ(error_of([] { register_device_type("testdevice", nullptr); }),
            "register_device_type: 'testdevice' is taken");
}

}  // namespace
}  // namespace moka
