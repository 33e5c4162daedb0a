// The JSON reader: what RFC 8259 allows is read, everything else is refused.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/json.h"

#include <gtest/gtest.h>

#include "moka/base/error.h"

namespace moka {
namespace {

bool valid(std::string_view text) {
  try {
    JsonReader json(text, "test", 8);
    json.skip();
    json.finish();
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::File);
    return false;
  }
}

TEST(Json, ValidTextsAreRead) {
  for (const char* text :
       {"{}", "[]", " [ 1 , -2.5e+3 , \"a\\u00e4\\ud83d\\ude00\\n\" , true , false , null ] ", "0", "-0.0",
        R"({"a":{"b":[{}]},"":1})", "1E5", "\"\"", "\"\xC3\xA4\""})
    EXPECT_TRUE(valid(text)) << text;
}

TEST(Json, EverythingElseIsRefused) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[",
                           "]",
                           "[1,]",
                           "{\"a\":1,}",
                           "{\"a\"}",
                           "{a:1}",
                           "{'a':1}",
                           "[1 2]",
                           "01",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "-",
                           "nul",
                           "truE",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"\t\"",
                           "\"\xff\"",
                           "\"\xC0\x80\"",
                           "\"\xED\xA0\x80\"",
                           "[] []",
                           "//\n1",
                           "NaN",
                           "1e999",
                           "[[[[[[[[[1]]]]]]]]]"})
    EXPECT_FALSE(valid(text)) << text;
}

TEST(Json, IntegersHaveNoFractionAndFit64Bits) {
  EXPECT_EQ(JsonReader("9223372036854775807", "t").integer(), INT64_MAX);
  EXPECT_EQ(JsonReader("-9223372036854775808", "t").integer(), INT64_MIN);
  for (const char* text : {"9223372036854775808", "1.0", "1e2", "-0", "\"1\"", ""})
    EXPECT_THROW(JsonReader(text, "t").integer(), Error) << text;
}

TEST(Json, StringsAreEscapedAndReadBack) {
  const std::string text("quote\" back\\ \n\t\r \x01 \x7f \u20ac \0 end", 30);
  std::string written;
  append_json_string(written, text);
  EXPECT_EQ(JsonReader(written, "t").string(), text);
  written.clear();
  append_json_string(written, "bad \xff byte");
  EXPECT_EQ(JsonReader(written, "t").string(), "bad \uFFFD byte");
}

}  // namespace
}  // namespace moka
