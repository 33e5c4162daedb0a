// The strict zip reader against crafted archives, and the writer against the reader.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/package/zip.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "moka/base/error.h"
#include "moka/formats/package/zip_internal.h"

namespace moka::package {
namespace {

std::string temporary_path() { return cat("/tmp/moka_zip_test_", static_cast<int64_t>(::getpid())); }

std::string archive(const std::vector<std::pair<std::string, std::string>>& entries) {
  const std::string path = temporary_path();
  ZipWriter zip(path);
  for (const auto& [name, content] : entries) zip.add(name, content);
  zip.commit();
  const std::string out(Bytes::of_file(path).text());
  ::unlink(path.c_str());
  return out;
}
std::vector<ZipEntry> read_text(std::string_view text) { return read_zip(Bytes::copy(text), "test.moka"); }
std::string refusal(std::string_view text) {
  try {
    read_text(text);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::File) << e.message();
    return e.message();
  }
  return "accepted";
}
void expect_refused(std::string_view text, std::string_view part) {
  const std::string message = refusal(text);
  EXPECT_NE(message.find(part), std::string::npos) << message;
}
template <class T>
void put(std::string& text, size_t at, T value) {
  ASSERT_LE(at + sizeof value, text.size());
  std::memcpy(text.data() + at, &value, sizeof value);
}

// Positions in an archive of entries "a" ("hello") and "b" ("world").
struct Sample {
  std::string text = archive({{"a", "hello"}, {"b", "world"}});
  size_t end = text.size() - end_size;
  size_t first = text.find(std::string("PK\x01\x02", 4));
  size_t second = text.find(std::string("PK\x01\x02", 4), first + 1);
  size_t local_b = text.find(std::string("PK\x03\x04", 4), 1);
};

TEST(Zip, WhatIsWrittenIsReadAndAligned) {
  const std::vector<std::pair<std::string, std::string>> entries{{"manifest.json", "{}"},
                                                                 {"graphs/main.txt", std::string(1000, 'g')},
                                                                 {"empty", ""},
                                                                 {"weights", std::string(5000, 'w')}};
  const auto back = read_text(archive(entries));
  ASSERT_EQ(back.size(), entries.size());
  for (size_t i = 0; i < entries.size(); i++) {
    EXPECT_EQ(back[i].name, entries[i].first);
    EXPECT_EQ(back[i].data.text(), entries[i].second);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(back[i].data.data()) % 64, 0u);
  }
  EXPECT_TRUE(read_text(archive({})).empty());
}

TEST(Zip, ChecksumIsTheOneOfZip) {
  EXPECT_EQ(crc32(0, "123456789", 9), 0xCBF43926u);
  const std::string text(1000, 'x');
  EXPECT_EQ(crc32(crc32(0, text.data(), 333), text.data() + 333, 667), crc32(0, text.data(), 1000));
}

TEST(Zip, ChecksumOfEveryLengthAndPositionIsThatOfTheDefinition) {
  auto by_definition = [](uint32_t crc, const char* p, size_t size) {  // one bit at a time
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
      crc ^= static_cast<unsigned char>(p[i]);
      for (int k = 0; k < 8; k++) crc = (crc & 1 ? 0xEDB88320u : 0u) ^ (crc >> 1);
    }
    return ~crc;
  };
  std::string text(700, '\0');
  for (size_t i = 0; i < text.size(); i++) text[i] = static_cast<char>(i * i * 31 + i / 7);
  for (size_t size = 0; size < 600; size++)
    for (size_t at : {0, 1, 13}) {
      const uint32_t start = static_cast<uint32_t>(size * 2654435761u);
      ASSERT_EQ(crc32(start, text.data() + at, size), by_definition(start, text.data() + at, size))
          << size << " at " << at;
    }
}

TEST(Zip, MoreThan65534EntriesTakeZip64Records) {
  const std::string path = temporary_path();
  ZipWriter zip(path);
  for (int i = 0; i < 70'000; i++) zip.add(cat("e", i), "");
  zip.commit();
  EXPECT_EQ(read_zip(Bytes::of_file(path), path).size(), 70'000u);
  Limits limits;
  limits.max_entries = 69'999;
  EXPECT_THROW(read_zip(Bytes::of_file(path), path, limits), Error);
  ::unlink(path.c_str());
}

TEST(Zip, EveryTruncationAndEveryFlippedBitIsRefused) {
  const std::string text = archive({{"a", "hello"}, {"b/c", "world"}});
  for (size_t n = 0; n < text.size(); n++) EXPECT_NE(refusal(text.substr(0, n)), "accepted") << n;
  // Times, the version that made it and attributes carry no meaning; padding bytes neither.
  int accepted = 0;
  for (size_t at = 0; at < text.size(); at++)
    for (int bit = 0; bit < 8; bit++) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      try {
        const auto entries = read_text(damaged);
        ASSERT_EQ(entries.size(), 2u);
        EXPECT_EQ(entries[0].data.text(), "hello");
        EXPECT_EQ(entries[1].data.text(), "world");
        accepted++;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::File) << e.message();
      }
    }
  EXPECT_LT(accepted, 8 * 180);
}

TEST(Zip, BytesAroundTheArchiveAreRefused) {
  const Sample s;
  expect_refused("x" + s.text, "");
  expect_refused(s.text + "x", "end record");
  EXPECT_NE(refusal("x" + s.text), "accepted");
  std::string gap = s.text;  // between the last entry and the directory
  gap.insert(s.first, "xx");
  put<uint32_t>(gap, s.end + 2 + 16, static_cast<uint32_t>(s.first + 2));
  expect_refused(gap, "belong to no entry");
}

TEST(Zip, DuplicateNamesAreRefused) {
  std::string text = archive({{"a", "hello"}, {"b", "world"}});
  const Sample s;
  text[s.second + central_size] = 'a';
  text[s.local_b + local_size] = 'a';
  expect_refused(text, "stands twice");
}

TEST(Zip, OverlapAndSharedDataAreRefused) {
  Sample s;
  put<uint32_t>(s.text, s.second + 42, 0);  // both entries begin at 0
  expect_refused(s.text, "");
  EXPECT_NE(refusal(s.text), "accepted");
  Sample t;
  put<uint32_t>(t.text, t.first + 20, 200);  // the first entry reaches into the second
  put<uint32_t>(t.text, t.first + 24, 200);
  put<uint32_t>(t.text, 18, 200);
  put<uint32_t>(t.text, 22, 200);
  EXPECT_NE(refusal(t.text), "accepted");
}

TEST(Zip, WrongChecksumsAreRefused) {
  Sample s;
  put<uint32_t>(s.text, s.first + 16, 1);
  expect_refused(s.text, "differ");
  put<uint32_t>(s.text, 14, 1);
  expect_refused(s.text, "damaged");
}

TEST(Zip, LargeEntriesAreCheckedSideBySideAndTheFirstDamagedOneIsNamed) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (size_t i = 0; i < 12; i++)
    entries.emplace_back(cat("entry", i),
                         std::string(i % 3 == 0 ? 9'000'000 : i, static_cast<char>('a' + i)));
  std::string text = archive(entries);
  const auto back = read_text(text);
  ASSERT_EQ(back.size(), entries.size());
  for (size_t i = 0; i < entries.size(); i++) EXPECT_EQ(back[i].data.text(), entries[i].second);
  text[text.find("jjjj") + 8'999'999] ^= 1;  // the last byte of entry9
  expect_refused(text, "entry 'entry9' is damaged");
  text[text.find("hhhh")] ^= 1;
  expect_refused(text, "entry 'entry7' is damaged");
}

TEST(Zip, HugeSizesAndCountsAreRefused) {
  const Sample good;
  for (const uint32_t huge : {0xFFFFFFFFu, 0xFFFFFFFEu, 0x7FFFFFFFu}) {
    for (size_t at : {good.first + 20, good.first + 24, good.first + 42, good.end + 12, good.end + 16,
                      size_t(18), size_t(22)}) {
      std::string text = good.text;
      put<uint32_t>(text, at, huge);
      EXPECT_NE(refusal(text), "accepted") << at;
    }
    std::string both = good.text;
    for (size_t at : {good.first + 20, good.first + 24, size_t(18), size_t(22)})
      put<uint32_t>(both, at, huge);
    EXPECT_NE(refusal(both), "accepted");
  }
  for (const uint16_t count : {0, 1, 3, 0xFFFE, 0xFFFF}) {
    std::string text = good.text;
    put<uint16_t>(text, good.end + 8, count);
    put<uint16_t>(text, good.end + 10, count);
    EXPECT_NE(refusal(text), "accepted") << count;
  }
}

TEST(Zip, CompressionEncryptionDescriptorsAndCommentsAreRefused) {
  Sample s;
  put<uint16_t>(s.text, s.first + 10, 8);
  put<uint16_t>(s.text, 8, 8);
  expect_refused(s.text, "compressed");
  for (int bit : {0, 3, 5, 6, 13}) {
    Sample t;
    put<uint16_t>(t.text, t.first + 8, static_cast<uint16_t>(utf8_flag | 1 << bit));
    put<uint16_t>(t.text, 6, static_cast<uint16_t>(utf8_flag | 1 << bit));
    expect_refused(t.text, "flags");
  }
  Sample c;
  put<uint16_t>(c.text, c.end + 20, 1);
  expect_refused(c.text + "x", "");
  EXPECT_NE(refusal(c.text + "x"), "accepted");
}

TEST(Zip, NamesThatLeaveTheFolderAreRefused) {
  for (const char* name : {"../x", "/etc", "a//b", "a/..", "./aa", "a\\bc", "C:/x", "a/b/", "..", ".", "",
                           "a\nbc", "\xff\xfe"}) {
    EXPECT_FALSE(is_safe_name(name)) << name;
    const std::string path = temporary_path();
    ZipWriter zip(path);
    EXPECT_THROW(zip.add(name, "x"), Error);
    const size_t size = std::strlen(name);
    if (size == 0) continue;
    std::string text = archive({{std::string(size, 'q'), "hello"}});
    for (size_t at = text.find(std::string(size, 'q')); at != text.npos;
         at = text.find(std::string(size, 'q'), at + size))
      text.replace(at, size, name);
    expect_refused(text, "no plain relative path");
  }
  EXPECT_TRUE(is_safe_name("graphs/main.txt"));
  EXPECT_TRUE(is_safe_name("..hidden/a..b"));
}

TEST(Zip, FiveThousandCraftedArchivesNeverChangeWhatIsRead) {
  const std::string good = archive(
      {{"manifest.json", "{\"format\":1}"}, {"graphs/main", "graph"}, {"weights", std::string(64, 'w')}});
  uint64_t state = 12345;
  auto random = [&](uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  for (int i = 0; i < 5000; i++) {
    std::string text = good;
    for (uint64_t k = 0, edits = 1 + random(4); k < edits; k++) switch (random(4)) {
        case 0: text[random(text.size())] = static_cast<char>(random(256)); break;
        case 1: text.erase(random(text.size() - 40), 1 + random(30)); break;
        case 2:
          text.insert(random(text.size()), text.substr(random(text.size() - 60), 1 + random(60)));
          break;
        default:
          put<uint32_t>(text, random(text.size() - 4),
                        random(2) ? 0xFFFFFFFFu : static_cast<uint32_t>(random(text.size())));
      }
    try {
      const auto entries = read_text(text);
      ASSERT_EQ(entries.size(), 3u);
      EXPECT_EQ(entries[0].data.text(), "{\"format\":1}");
      EXPECT_EQ(entries[2].data.text(), std::string(64, 'w'));
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::File) << e.message();
    }
  }
}

}  // namespace
}  // namespace moka::package
