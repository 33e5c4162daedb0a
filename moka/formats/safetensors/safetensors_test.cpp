// Every rule of the safetensors layout, and files damaged at every byte.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/safetensors/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "moka/base/error.h"

namespace moka::safetensors {
namespace {

Tensor filled(std::initializer_list<int64_t> sizes, DType dtype) {
  Tensor t = new_tensor(Dims(sizes), dtype);
  for (size_t i = 0; i < t.bytes(); i++) t.data<uint8_t>()[i] = static_cast<uint8_t>(i % 2);
  return t;
}

std::string file_of(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  out.append(header).append(data);
  return out;
}

Content read_text(std::string_view text) { return read(Bytes::copy(text), "test.safetensors"); }

std::string refusal(std::string_view header, std::string_view data) {
  try {
    read_text(file_of(header, data));
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::File) << e.message();
    return e.message();
  }
  return "";
}

void expect_refused(std::string_view header, std::string_view data, std::string_view part) {
  const std::string message = refusal(header, data);
  EXPECT_NE(message.find(part), std::string::npos) << header << "\n-> " << message;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && Dims(a.sizes()) == Dims(b.sizes()) &&
         std::memcmp(as_contiguous(a).raw_data(), as_contiguous(b).raw_data(), a.bytes()) == 0;
}

TEST(Safetensors, EveryElementTypeComesBack) {
  std::map<std::string, Tensor> tensors;
  for (int i = 0; i < static_cast<int>(DType::BuiltinCount); i++)
    if (DType(i) != DType::String) tensors[cat("t", info(DType(i)).name)] = filled({3, 5}, DType(i));
  tensors["scalar"] = filled({}, DType::F64);
  tensors["empty"] = filled({0, 7}, DType::I16);
  tensors["name \"with\" \\ and \n \u00e4"] = filled({2}, DType::F32);
  const std::map<std::string, std::string> metadata{{"format", "pt"}, {"\u2603", "snow\tman"}};
  const Content back = read_text(to_bytes(tensors, metadata));
  ASSERT_EQ(back.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(same(tensor, back.tensors.at(name))) << name;
  EXPECT_EQ(back.metadata, metadata);
}

TEST(Safetensors, DataBeginAtAMultipleOf64AndWideElementsComeFirst) {
  const Layout layout =
      plan({{"a", filled({3}, DType::I8)}, {"b", filled({3}, DType::F64)}, {"c", filled({3}, DType::F16)}});
  EXPECT_EQ(layout.header.size() % 64, 0u);
  EXPECT_EQ(layout.order[0].dtype(), DType::F64);
  EXPECT_EQ(layout.order[2].dtype(), DType::I8);
  EXPECT_EQ(layout.size, layout.header.size() + 24 + 6 + 3);
}

TEST(Safetensors, StridedTensorsAreWrittenAsTheyRead) {
  Tensor base = filled({4, 6}, DType::I32);
  for (int i = 0; i < 24; i++) base.data<int32_t>()[i] = i;
  const int64_t sizes[] = {6, 4}, strides[] = {1, 6};
  const Tensor transposed = strided_view(base, sizes, strides, 0);
  const Content back = read_text(to_bytes({{"t", transposed}}));
  EXPECT_EQ(back.tensors.at("t").data<int32_t>()[1], 6);
  EXPECT_TRUE(same(transposed, back.tensors.at("t")));
}

TEST(Safetensors, PackedTypesAreUnpacked) {
  const Content four =
      read_text(file_of(R"({"t":{"dtype":"F4","shape":[2,2],"data_offsets":[0,2]}})", "\x21\x43"));
  const uint8_t* p = four.tensors.at("t").data<uint8_t>();
  EXPECT_EQ(four.tensors.at("t").dtype(), DType::F4E2M1);
  EXPECT_EQ(std::vector<uint8_t>(p, p + 4), (std::vector<uint8_t>{1, 2, 3, 4}));
  // 6-bit elements 1, 2, 3, 4 from the low bits on: 000001 | 000010 << 6 | 000011 << 12 | 000100 << 18
  const Content six =
      read_text(file_of(R"({"t":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", "\x81\x30\x10"));
  p = six.tensors.at("t").data<uint8_t>();
  EXPECT_EQ(std::vector<uint8_t>(p, p + 4), (std::vector<uint8_t>{1, 2, 3, 4}));
  expect_refused(R"({"t":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", "ab", "ends inside a byte");
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_TRUE(read_text(file_of("{}", "")).tensors.empty());
  EXPECT_TRUE(read_text(file_of("{}      ", "")).tensors.empty());
  const Content any_order = read_text(file_of(
      R"({ "b" : {"shape":[1],"data_offsets":[2,3],"dtype":"U8"}, "a":{"dtype":"I16","shape":[],"data_offsets":[0,2]} })",
      "xyz"));
  EXPECT_EQ(any_order.tensors.at("b").data<uint8_t>()[0], 'z');
  EXPECT_EQ(any_order.tensors.at("a").dim(), 0);
}

TEST(Safetensors, BreaksOfTheRulesAreNamed) {
  const std::string one = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  expect_refused("", "", "'{'");
  expect_refused(" {}", "", "'{'");
  expect_refused("[]", "", "'{'");
  expect_refused("{" + one + "}", "x", "truncated");
  expect_refused("{" + one + "}", "xyz", "belongs to no tensor");
  expect_refused("{" + one + "," + one + "}", "xy", "twice");
  expect_refused("{" + one + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "xyz", "overlap");
  expect_refused("{" + one + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})", "wxyz", "holes");
  expect_refused("{" + one + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "xy", "overlap");
  expect_refused(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}})", "xy", "needs 3 bytes");
  expect_refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}})", "xy", "no range");
  expect_refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0]}})", "xy", "no range");
  expect_refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1,2]}})", "xy", "more than two");
  expect_refused(R"({"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}})", "xy", "negative");
  expect_refused(R"({"a":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}})", "xy", "integer");
  expect_refused(R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,2]}})", "xy",
                 "64 bits");
  expect_refused(R"({"a":{"dtype":"F64","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "",
                 "overflow");
  expect_refused(R"({"a":{"dtype":"F64","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", "",
                 "overflow");
  expect_refused(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,2]}})", "xy", "unknown dtype");
  expect_refused(R"({"a":{"dtype":"U8","shape":[2]}})", "xy", "lacks data_offsets");
  expect_refused(R"({"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "xy", "twice");
  expect_refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"more":1}})", "xy", "unknown field");
  expect_refused(R"({"__metadata__":{"k":1}})", "", "a string");
  expect_refused(R"({"__metadata__":{"k":"1","k":"2"}})", "", "twice");
  expect_refused(R"({"__metadata__":{},"__metadata__":{}})", "", "twice");
  expect_refused("{\"a\xff\":{}}", "", "UTF-8");
  expect_refused("{} x", "", "end of the text");
  expect_refused(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", std::string("\x01\x07", 2),
                 "one of its bytes is 7");
  std::string deep = "{\"a\":{\"dtype\":\"U8\",\"shape\":[";
  for (int i = 0; i < 65; i++) deep += i ? ",1" : "1";
  expect_refused(deep + "],\"data_offsets\":[0,1]}}", "x", "dimensions");
}

TEST(Safetensors, ANotedTypeMustFitItsBytes) {
  expect_refused(
      R"({"__metadata__":{"moka.dtype:a":"complex128"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
      "xy", "must be stored as U8 [..., 16]");
  expect_refused(
      R"({"__metadata__":{"moka.dtype:a":"nothing"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
      "xy", "unknown type");
  expect_refused(
      R"({"__metadata__":{"moka.dtype:a":"string"},"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}})",
      "0123456789abcdef", "unknown type");
}

TEST(Safetensors, LimitsHold) {
  const std::string text = to_bytes({{"a", filled({1000}, DType::F32)}});
  Limits limits;
  limits.max_header_bytes = 10;
  EXPECT_THROW(read(Bytes::copy(text), "t", limits), Error);
  limits = {};
  limits.max_tensor_bytes = 3999;
  EXPECT_THROW(read(Bytes::copy(text), "t", limits), Error);
  limits.max_tensor_bytes = 4000;
  EXPECT_NO_THROW(read(Bytes::copy(text), "t", limits));
  // A header length beyond everything.
  std::string huge = text;
  std::memset(huge.data(), 0xFF, 8);
  EXPECT_THROW(read_text(huge), Error);
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string text =
      to_bytes({{"a", filled({2, 3}, DType::F32)}, {"b", filled({5}, DType::U8)}}, {{"k", "v"}});
  for (size_t n = 0; n < text.size(); n++) EXPECT_THROW(read_text(text.substr(0, n)), Error) << n;
}

TEST(Safetensors, AFlippedByteIsRefusedOrGivesTensorsThatCanBeRead) {
  const std::string text =
      to_bytes({{"a", filled({2, 3}, DType::F32)}, {"b", filled({5}, DType::Bool)}}, {{"k", "v"}});
  int refused = 0;
  for (size_t at = 0; at < text.size(); at++)
    for (int bit = 0; bit < 8; bit++) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      try {
        for (const auto& [name, tensor] : read_text(damaged).tensors) (void)as_contiguous(tensor);
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::File) << e.message();
        refused++;
      }
    }
  EXPECT_GT(refused, 500);
}

TEST(Safetensors, WhatCannotBeWrittenIsNamed) {
  const int64_t two[] = {2};
  EXPECT_THROW(plan({{"__metadata__", filled({1}, DType::U8)}}), Error);
  EXPECT_THROW(plan({{"a", Tensor()}}), Error);
  EXPECT_THROW(plan({{"a", shape_only(two, DType::F32)}}), Error);
  EXPECT_THROW(plan({{"\xff", filled({1}, DType::U8)}}), Error);
}

TEST(Safetensors, FilesAreMappedAndWrittenAtomically) {
  const std::string path = cat("/tmp/moka_safetensors_test_", static_cast<int64_t>(::getpid()));
  const Tensor large = filled({300, 400}, DType::F32);
  write(path, {{"large", large}}, {{"k", "v"}});
  const Content back = read(path);
  EXPECT_TRUE(same(large, back.tensors.at("large")));
  EXPECT_TRUE(back.tensors.at("large").impl()->storage->read_only);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(back.tensors.at("large").raw_data()) % 64, 0u);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace moka::safetensors
