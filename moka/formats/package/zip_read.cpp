// The strict zip reader (PKWARE APPNOTE 6.3.10; sections are given where a field is read).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/formats/json.h"
#include "moka/formats/package/zip.h"
#include "moka/formats/package/zip_internal.h"

namespace moka::package {

namespace {

// Little-endian fields at checked positions.
class Fields {
 public:
  Fields(const Bytes& bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  template <class T>
  T get(uint64_t at) const {
    need(at, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  std::string_view text(uint64_t at, uint64_t size) const {
    need(at, size);
    return bytes_.text().substr(at, size);
  }
  uint64_t size() const { return bytes_.size(); }

 private:
  void need(uint64_t at, uint64_t size) const {
    MOKA_CHECK_KIND(File, at <= bytes_.size() && size <= bytes_.size() - at, what_,
                    ": archive record at byte ", at, " lies outside the file of ", bytes_.size(), " bytes");
  }
  const Bytes& bytes_;
  std::string_view what_;
};

struct Directory {
  uint64_t entries = 0, size = 0, offset = 0, end = 0;  // end: where the end records begin
};

// 4.3.14 to 4.3.16. Without a comment the end record is the file's last 22 bytes: nothing is searched for.
Directory read_end(const Fields& file, std::string_view what) {
  MOKA_CHECK_KIND(File, file.size() >= end_size, what, ": ", file.size(),
                  " bytes are too short for an archive");
  const uint64_t at = file.size() - end_size;
  MOKA_CHECK_KIND(File, file.get<uint32_t>(at) == end_mark, what,
                  ": no archive's end record in the last 22 bytes: truncated, or no .moka file");
  MOKA_CHECK_KIND(File, file.get<uint16_t>(at + 4) == 0 && file.get<uint16_t>(at + 6) == 0, what,
                  ": archives of several disks are not read");
  MOKA_CHECK_KIND(File, file.get<uint16_t>(at + 20) == 0, what, ": archive comments are not allowed");
  Directory out;
  out.entries = file.get<uint16_t>(at + 10);
  out.size = file.get<uint32_t>(at + 12);
  out.offset = file.get<uint32_t>(at + 16);
  out.end = at;
  MOKA_CHECK_KIND(File, file.get<uint16_t>(at + 8) == out.entries, what,
                  ": the end record contradicts itself");
  const bool large = at >= locator_size && file.get<uint32_t>(at - locator_size) == locator_mark;
  if (!large) {
    MOKA_CHECK_KIND(File, out.entries != 0xFFFF && out.size != 0xFFFFFFFF && out.offset != 0xFFFFFFFF, what,
                    ": the end record asks for zip64 records that are not there");
    return out;
  }
  const uint64_t locator = at - locator_size;
  const uint64_t record = file.get<uint64_t>(locator + 8);
  MOKA_CHECK_KIND(File,
                  locator >= end64_size && record == locator - end64_size &&
                      file.get<uint32_t>(locator + 4) == 0 && file.get<uint32_t>(locator + 16) == 1,
                  what, ": the zip64 end record is not where its locator says");
  MOKA_CHECK_KIND(File,
                  file.get<uint32_t>(record) == end64_mark &&
                      file.get<uint64_t>(record + 4) == end64_size - 12 &&
                      file.get<uint32_t>(record + 16) == 0 && file.get<uint32_t>(record + 20) == 0,
                  what, ": the zip64 end record is damaged");
  const Directory narrow = out;
  out.entries = file.get<uint64_t>(record + 32);
  out.size = file.get<uint64_t>(record + 40);
  out.offset = file.get<uint64_t>(record + 48);
  out.end = record;
  auto agree = [](uint64_t small, uint64_t wide, uint64_t full) { return small == full || small == wide; };
  MOKA_CHECK_KIND(
      File,
      file.get<uint64_t>(record + 24) == out.entries && agree(narrow.entries, out.entries, 0xFFFF) &&
          agree(narrow.size, out.size, 0xFFFFFFFF) && agree(narrow.offset, out.offset, 0xFFFFFFFF),
      what, ": the two end records differ");
  return out;
}

struct Central {
  std::string_view name;
  uint32_t crc = 0;
  uint64_t size = 0, offset = 0;
  uint16_t flags = 0;
};

// 4.5.3: 64-bit values stand in the extra field, in this order, only where the 32-bit field is all ones.
void read_wide(const Fields& file, uint64_t at, uint64_t size, std::span<uint64_t* const> wanted,
               std::string_view what, std::string_view name) {
  const uint64_t end = at + size;
  bool found = false;
  while (at < end) {
    MOKA_CHECK_KIND(File, end - at >= 4, what, ": entry '", name, "' has a damaged extra field");
    const uint16_t id = file.get<uint16_t>(at), length = file.get<uint16_t>(at + 2);
    at += 4;
    MOKA_CHECK_KIND(File, length <= end - at, what, ": entry '", name, "' has a damaged extra field");
    if (id == wide_extra) {
      MOKA_CHECK_KIND(File, !found && length == 8 * wanted.size(), what, ": entry '", name,
                      "' has a zip64 field that does not fit");
      found = true;
      for (size_t i = 0; i < wanted.size(); i++) *wanted[i] = file.get<uint64_t>(at + 8 * i);
    }
    at += length;
  }
  MOKA_CHECK_KIND(File, found || wanted.empty(), what, ": entry '", name, "' lacks its zip64 field");
}

void check_plain(uint16_t version, uint16_t flags, uint16_t method, std::string_view name,
                 std::string_view what) {
  MOKA_CHECK_KIND(File, (flags & ~utf8_flag) == 0, what, ": entry '", name, "' has flags ", flags,
                  " (encryption and data descriptors are not allowed)");
  MOKA_CHECK_KIND(File, method == 0, what, ": entry '", name, "' is compressed (method ", method,
                  "); only stored entries are allowed");
  MOKA_CHECK_KIND(File, (version & 0xFF) <= 45, what, ": entry '", name, "' needs zip version ",
                  version & 0xFF);
}

// 4.3.12. Returns where the next record begins.
uint64_t read_central(const Fields& file, uint64_t at, Central& out, std::string_view what) {
  MOKA_CHECK_KIND(File, file.get<uint32_t>(at) == central_mark, what, ": no directory record at byte ", at);
  const uint16_t name_size = file.get<uint16_t>(at + 28), extra_size = file.get<uint16_t>(at + 30);
  out.name = file.text(at + central_size, name_size);
  MOKA_CHECK_KIND(File, is_safe_name(out.name), what,
                  ": an entry's name is no plain relative path: ", out.name);
  out.flags = file.get<uint16_t>(at + 8);
  check_plain(file.get<uint16_t>(at + 6), out.flags, file.get<uint16_t>(at + 10), out.name, what);
  out.crc = file.get<uint32_t>(at + 16);
  uint64_t packed = file.get<uint32_t>(at + 20);
  out.size = file.get<uint32_t>(at + 24);
  out.offset = file.get<uint32_t>(at + 42);
  MOKA_CHECK_KIND(File, file.get<uint16_t>(at + 32) == 0 && file.get<uint16_t>(at + 34) == 0, what,
                  ": entry '", out.name, "' has a comment or lies on another disk");
  uint64_t* wanted[3];
  size_t count = 0;
  if (out.size == 0xFFFFFFFF) wanted[count++] = &out.size;
  if (packed == 0xFFFFFFFF) wanted[count++] = &packed;
  if (out.offset == 0xFFFFFFFF) wanted[count++] = &out.offset;
  file.text(at + central_size, uint64_t(name_size) + extra_size);
  read_wide(file, at + central_size + name_size, extra_size, {wanted, count}, what, out.name);
  MOKA_CHECK_KIND(File, packed == out.size, what, ": entry '", out.name,
                  "' is stored, but its two sizes differ");
  return at + central_size + name_size + extra_size;
}

// 4.3.7. The local header must say what the directory says; returns where the data begin.
uint64_t read_local(const Fields& file, const Central& entry, std::string_view what) {
  const uint64_t at = entry.offset;
  MOKA_CHECK_KIND(File, file.get<uint32_t>(at) == local_mark, what, ": entry '", entry.name,
                  "' has no header at byte ", at);
  const uint16_t flags = file.get<uint16_t>(at + 6);
  check_plain(file.get<uint16_t>(at + 4), flags, file.get<uint16_t>(at + 8), entry.name, what);
  uint64_t packed = file.get<uint32_t>(at + 18), size = file.get<uint32_t>(at + 22);
  const uint16_t name_size = file.get<uint16_t>(at + 26), extra_size = file.get<uint16_t>(at + 28);
  file.text(at + local_size, uint64_t(name_size) + extra_size);
  uint64_t* wanted[2];
  size_t count = 0;
  if (size == 0xFFFFFFFF || packed == 0xFFFFFFFF) {  // local headers carry both or none
    wanted[count++] = &size;
    wanted[count++] = &packed;
  }
  read_wide(file, at + local_size + name_size, extra_size, {wanted, count}, what, entry.name);
  MOKA_CHECK_KIND(File,
                  flags == entry.flags && file.get<uint32_t>(at + 14) == entry.crc && size == entry.size &&
                      packed == entry.size && file.text(at + local_size, name_size) == entry.name,
                  what, ": entry '", entry.name, "': its header and the directory differ");
  return at + local_size + name_size + extra_size;
}

// Reads what the entries hold, side by side; the first damaged one is named.
void check_sums(const Bytes& file, const std::vector<Central>& entries, const std::vector<ZipEntry>& read,
                std::string_view what) {
  std::vector<char> damaged(entries.size());
  std::atomic<size_t> next{0};
  const auto work = [&](int64_t, int64_t) {
    for (size_t i; (i = next++) < entries.size();) {
      const Bytes& data = read[i].data;
      // Piece by piece: memory need not hold entries that nobody may ever read.
      uint32_t crc = 0;
      constexpr uint64_t piece = uint64_t(8) << 20;
      for (uint64_t done = 0; done < data.size(); done += piece) {
        const uint64_t now = std::min<uint64_t>(piece, data.size() - done);
        crc = crc32(crc, data.data() + done, now);
        data.leave(done, now);
      }
      damaged[i] = crc != entries[i].crc;
    }
  };
  // Entries differ in size: threads take the next one when they are done with theirs.
  constexpr uint64_t least_bytes = uint64_t(1)
                                   << 20;  // smaller files are read before other threads have begun
  if (file.size() < least_bytes) work(0, 1);
  else parallel_for(0, num_threads(), 1, work);
  const auto first = std::find(damaged.begin(), damaged.end(), char(1));
  if (first == damaged.end()) return;
  const Central& entry = entries[static_cast<size_t>(first - damaged.begin())];
  fail_kind(ErrorKind::File, what, ": entry '", entry.name, "' is damaged: its checksum differs");
}
}  // namespace

bool is_safe_name(std::string_view name) {
  if (name.empty() || name.size() > 1024 || !is_utf8(name)) return false;
  for (char c : name)
    if (c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  while (true) {
    const size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == name.npos) return true;
    name.remove_prefix(slash + 1);
  }
}

std::vector<ZipEntry> read_zip(const Bytes& bytes, std::string_view what, const Limits& limits) {
  const Fields file(bytes, what);
  const Directory directory = read_end(file, what);
  MOKA_CHECK_KIND(File, directory.entries <= limits.max_entries, what, ": has ", directory.entries,
                  " entries, the limit is ", limits.max_entries);
  MOKA_CHECK_KIND(File,
                  directory.offset <= directory.end && directory.size == directory.end - directory.offset,
                  what, ": the archive's directory does not reach from its offset to the end record");
  MOKA_CHECK_KIND(File, directory.entries <= directory.size / central_size, what,
                  ": the archive's directory is too short for ", directory.entries, " entries");
  std::vector<Central> entries(directory.entries);
  uint64_t at = directory.offset;
  for (Central& entry : entries) at = read_central(file, at, entry, what);
  MOKA_CHECK_KIND(File, at == directory.end, what, ": the archive's directory holds more than its entries");

  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const Central& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  MOKA_CHECK_KIND(File, twice == names.end(), what, ": entry '", *twice, "' stands twice in the archive");

  std::sort(entries.begin(), entries.end(),
            [](const Central& a, const Central& b) { return a.offset < b.offset; });
  std::vector<ZipEntry> out;
  out.reserve(entries.size());
  at = 0;
  for (const Central& entry : entries) {
    MOKA_CHECK_KIND(File, entry.offset == at, what, ": entry '", entry.name, "' begins at byte ",
                    entry.offset, ", ", at, " was expected: entries may neither overlap nor leave gaps");
    const uint64_t data = read_local(file, entry, what);
    MOKA_CHECK_KIND(File, data <= directory.offset && entry.size <= directory.offset - data, what,
                    ": entry '", entry.name, "' reaches into the archive's directory");
    at = data + entry.size;
    out.push_back({std::string(entry.name), bytes.slice(data, entry.size)});
  }
  MOKA_CHECK_KIND(File, at == directory.offset, what,
                  ": bytes before the archive's directory belong to no entry");
  check_sums(bytes, entries, out, what);
  return out;
}

}  // namespace moka::package
