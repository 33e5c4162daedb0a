// Zip archives of stored entries only: a strict reader over mapped bytes, and an atomic writer that aligns
// entries.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "moka/formats/files.h"

namespace moka::package {

uint32_t crc32(uint32_t crc, const void* data, size_t size);  // of zip and png; starts with 0

struct ZipEntry {
  std::string name;
  Bytes data;
};

// All entries in the order of the file, their checksums verified. Refused is everything that lets two readers
// see two archives in one file: compression, encryption, data descriptors, comments, duplicate names, entries
// that overlap or leave gaps, central and local headers that differ, bytes before or behind; and names that
// leave the folder.
std::vector<ZipEntry> read_zip(const Bytes& bytes, std::string_view what, const Limits& limits = {});

// Writes entries one after the other; their data begin at multiples of 64. Atomic as AtomicFile is.
class ZipWriter {
 public:
  static constexpr uint64_t alignment = 64;
  explicit ZipWriter(const std::string& path) : file_(path) {}
  // One entry, given in pieces.
  void add(std::string name, std::span<const std::string_view> pieces);
  void add(std::string name, std::string_view content) { add(std::move(name), std::span(&content, 1)); }
  void commit();

 private:
  struct Record {
    std::string name;
    uint32_t crc;
    uint64_t size, offset;
  };
  AtomicFile file_;
  std::vector<Record> records_;
  std::set<std::string> names_;
};

// An entry's name that stays inside a folder: relative, no empty, "." or ".." parts, no backslash, colon or
// control characters, UTF-8, at most 1,024 bytes.
bool is_safe_name(std::string_view name);

}  // namespace moka::package
