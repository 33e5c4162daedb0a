// The interpreter by itself: values, and programs that must not get through. Whole files are tested in tests/python.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/pickle/pickle.h"

#include <gtest/gtest.h>

#include "moka/base/error.h"

namespace moka::pickle {
namespace {

// A legacy file: the four pickles before the data, with `program` as the object, and no storages.
std::string row(std::string_view program) {
  std::string out("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  out += std::string("\x80\x02M\xe9\x03.", 6) + "\x80\x02}.";
  return out + std::string(program) + "\x80\x02].";
}
std::string error_of(std::string_view program) {
  try {
    read(Bytes::copy(row(program)), "input");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::File) << e.what();
    return e.what();
  }
  return "";
}

TEST(Pickle, PlainValues) {
  using namespace std::string_view_literals;
  const Document d =
      read(Bytes::copy(row("\x80\x02}(X\x01\0\0\0aJ\xff\xff\xff\xffK\x05]N\x88\x86\x61u."sv)), "input");
  ASSERT_EQ(d.root->kind, Kind::Dict);
  ASSERT_EQ(d.root->items.size(), 4u);
  EXPECT_EQ(d.root->items[0]->text, "a");
  EXPECT_EQ(d.root->items[1]->integer, -1);
  EXPECT_EQ(d.root->items[2]->integer, 5);
  ASSERT_EQ(d.root->items[3]->kind, Kind::List);
  EXPECT_EQ(d.root->items[3]->items.at(0)->items.at(1)->integer, 1);
}
TEST(Pickle, OnlyNamesOnTheListAndOnlyWhatTheyTake) {
  using namespace std::string_view_literals;
  EXPECT_NE(error_of("\x80\x02"
                     "cos\nsystem\n."sv)
                .find("names os.system"),
            std::string::npos);
  EXPECT_NE(error_of("\x80\x02"
                     "c__builtin__\neval\n."sv)
                .find("not on the list"),
            std::string::npos);
  EXPECT_NE(error_of("\x80\x02"
                     "ctorch\nSize\n(NtR."sv)
                .find("does not take"),
            std::string::npos);
  EXPECT_NE(error_of("\x80\x02(lp0\n."sv).find("opcode"), std::string::npos);
}
TEST(Pickle, ValuesHaveALimit) {
  Limits limits;
  limits.max_nodes = 100;
  std::string program("\x80\x02](");
  program.append(200, 'N');
  EXPECT_THROW(read(Bytes::copy(row(program + "e.")), "input", limits), Error);
}

}  // namespace
}  // namespace moka::pickle
