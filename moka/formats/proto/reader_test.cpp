// Hostile protobuf: cut off, wrong types, too deep, not UTF-8.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/proto/reader.h"

#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>

namespace moka::proto {
namespace {

std::string error_of(std::string_view bytes, void (*read)(Message&), Limits limits = {}) {
  try {
    Budget budget("model.onnx", bytes, limits);
    Message m(budget, bytes, "Test");
    read(m);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::File);
    return e.message();
  }
  return {};
}

TEST(ProtoReader, ReadsEveryKindOfField) {
  std::string bytes;
  const std::vector<int64_t> ints{1, -2, 300};
  protozero::pbf_writer v(bytes);
  v.add_int64(1, -5);
  v.add_float(2, 1.5f);
  v.add_string(3, "name");
  v.add_packed_int64(4, ints.begin(), ints.end());
  v.add_int64(4, 7);
  Budget budget("f", bytes, {});
  Message m(budget, bytes, "Test");
  std::vector<int64_t> got;
  ASSERT_TRUE(m.next());
  EXPECT_EQ(m.integer("a"), -5);
  ASSERT_TRUE(m.next());
  EXPECT_EQ(m.number("b"), 1.5f);
  ASSERT_TRUE(m.next());
  EXPECT_EQ(m.text("c"), "name");
  while (m.next()) m.integers("d", got);
  EXPECT_EQ(got, (std::vector<int64_t>{1, -2, 300, 7}));
}

TEST(ProtoReader, NamesFieldAndPlaceOfWhatIsCutOff) {
  const std::string error = error_of(std::string("\x08\x01\x1a\x10"
                                                 "abc",
                                                 7),
                                     [](Message& m) {
                                       while (m.next()) m.field() == 3 ? void(m.text("name")) : m.skip();
                                     });
  EXPECT_NE(error.find("model.onnx: Test.name at byte 2"), std::string::npos) << error;
  EXPECT_NE(error.find("16 bytes follow, only 3"), std::string::npos) << error;
}

TEST(ProtoReader, RefusesWrongWireTypes) {
  EXPECT_NE(error_of("\x08\x01",
                     [](Message& m) {
                       m.next();
                       m.text("name");
                     })
                .find("was expected as a length"),
            std::string::npos);
  EXPECT_NE(error_of("\x0b", [](Message& m) { m.next(); }).find("wire type 3"), std::string::npos);
  EXPECT_NE(error_of(std::string_view("\x00\x01", 2), [](Message& m) { m.next(); }).find("field number 0"),
            std::string::npos);
}

TEST(ProtoReader, RefusesNumbersThatDoNotEnd) {
  EXPECT_NE(error_of("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                     [](Message& m) {
                       m.next();
                       m.integer("i");
                     })
                .find("longer than 10 bytes"),
            std::string::npos);
}

TEST(ProtoReader, RefusesTextThatIsNotUtf8) {
  for (std::string_view bad :
       {std::string_view("a\0b", 3), std::string_view("\xc0\x80"), std::string_view("\xed\xa0\x80"),
        std::string_view("\xf4\x90\x80\x80"), std::string_view("\xe2\x82")})
    EXPECT_FALSE(is_utf8(bad));
  for (std::string_view good : {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\x8b"})
    EXPECT_TRUE(is_utf8(good));
}

TEST(ProtoReader, CountsMemoryBeforeItIsTaken) {
  Limits limits;
  limits.max_tensor_bytes = 100;
  Budget budget("f", "", limits);
  budget.take_tensor_bytes(60, "a");
  EXPECT_THROW(budget.take_tensor_bytes(60, "b"), Error);
  EXPECT_THROW(budget.take_tensor_bytes(UINT64_MAX, "c"), Error);
  budget.take_tensor_bytes(40, "d");
}

TEST(ProtoReader, PackedListsDoNotOverflowTheirRoom) {
  std::string bytes;
  protozero::pbf_writer w(bytes);
  const std::vector<float> five(5, 1.0f);
  w.add_packed_float(4, five.begin(), five.end());
  EXPECT_NE(error_of(bytes,
                     [](Message& m) {
                       float room[4];
                       m.next();
                       m.floats_into("float_data", room, 4);
                     })
                .find("5 more elements where 4"),
            std::string::npos);
}

}  // namespace
}  // namespace moka::proto
