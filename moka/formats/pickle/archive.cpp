// The two containers of torch.save: a zip of data.pkl and data/N, and the older row of pickles and raw data.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <map>

#include "moka/base/checked.h"
#include "moka/base/error.h"
#include "moka/formats/package/zip.h"
#include "moka/formats/pickle/pickle_internal.h"

namespace moka::pickle {

namespace {

constexpr std::string_view zip_head("PK\x03\x04", 4);
constexpr uint32_t end_mark = 0x06054b50, end64_mark = 0x06064b50, locator_mark = 0x07064b50,
                   central_mark = 0x02014b50, local_mark = 0x04034b50;
constexpr uint64_t end_size = 22, central_size = 46, local_size = 30;

struct Entry {
  uint64_t offset = 0, size = 0;
  uint32_t crc = 0;
  bool stored = true;
};

// The archive's directory. Unlike the reader of .moka files it accepts what torch's writer does: padding in extra
// fields, data descriptors, zip64 records. Entries that are compressed are listed and refused when they are needed.
class Archive {
 public:
  Archive(const Bytes& bytes, std::string_view what, const Limits& limits) : bytes_(bytes), what_(what) {
    check(bytes.size() >= end_size, "it is too short for an archive");
    uint64_t at = bytes.size() - end_size;
    const uint64_t lowest = at > 0xffff ? at - 0xffff : 0;
    while (get<uint32_t>(at) != end_mark) {
      check(at > lowest, "no archive's end record: the file is cut short");
      at--;
    }
    uint64_t count = get<uint16_t>(at + 10), place = get<uint32_t>(at + 16);
    if (at >= 20 && get<uint32_t>(at - 20) == locator_mark) {
      const uint64_t end64 = get<uint64_t>(at - 12);
      check(get<uint32_t>(end64) == end64_mark, "its zip64 end record is not where the file says");
      count = get<uint64_t>(end64 + 32);
      place = get<uint64_t>(end64 + 48);
    }
    MOKA_CHECK_KIND(File, count <= limits.max_entries && count <= bytes.size() / central_size, what_,
                    ": the archive says it has ", count, " entries");
    for (uint64_t i = 0; i < count; i++) place = read_entry(place);
  }

  // The folder that all entries stand in, with its slash.
  std::string prefix() const {
    for (const auto& [name, entry] : entries_)
      if (name.ends_with("/data.pkl")) return name.substr(0, name.size() - 8);
    fail_kind(ErrorKind::File, what_, ": the archive has no data.pkl: torch.save did not write it");
  }
  bool has(const std::string& name) const { return entries_.contains(name); }
  Bytes data(const std::string& name) const {
    const auto found = entries_.find(name);
    MOKA_CHECK_KIND(File, found != entries_.end(), what_, ": the archive lacks ", name);
    const Entry& e = found->second;
    MOKA_CHECK_KIND(File, e.stored, what_, ": ", name, " is compressed, which torch.save never does");
    const Bytes out = bytes_.slice(e.offset, e.size);
    MOKA_CHECK_KIND(File, package::crc32(0, out.data(), out.size()) == e.crc, what_, ": the checksum of ",
                    name, " is wrong: the file is damaged");
    return out;
  }

 private:
  template <class T>
  T get(uint64_t at) const {
    check(at <= bytes_.size() && sizeof(T) <= bytes_.size() - at,
          "a record of the archive lies outside of it");
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  void check(bool good, const char* problem) const { MOKA_CHECK_KIND(File, good, what_, ": ", problem); }

  uint64_t read_entry(uint64_t at) {
    check(get<uint32_t>(at) == central_mark, "its directory is damaged");
    const uint64_t name_size = get<uint16_t>(at + 28), extra_size = get<uint16_t>(at + 30),
                   comment_size = get<uint16_t>(at + 32), end = at + central_size + name_size;
    check(end + extra_size <= bytes_.size(), "its directory is cut short");
    Entry e;
    e.stored = get<uint16_t>(at + 10) == 0 && !(get<uint16_t>(at + 8) & 1);
    e.crc = get<uint32_t>(at + 16);
    e.size = get<uint32_t>(at + 24);
    uint64_t stored_size = get<uint32_t>(at + 20), local = get<uint32_t>(at + 42);
    for (uint64_t x = end; x + 4 <= end + extra_size;) {  // zip64: the values that did not fit
      const uint64_t kind = get<uint16_t>(x), length = get<uint16_t>(x + 2);
      uint64_t field = x + 4;
      if (kind == 1)
        for (uint64_t* value : {&e.size, &stored_size, &local})
          if (*value == 0xffffffff && field + 8 <= x + 4 + length) *value = get<uint64_t>(field), field += 8;
      x += 4 + length;
    }
    const std::string name(bytes_.text().substr(at + central_size, name_size));
    check(get<uint32_t>(local) == local_mark, "an entry is not where the directory says");
    e.offset = local + local_size + get<uint16_t>(local + 26) + get<uint16_t>(local + 28);
    check(e.offset <= bytes_.size() && stored_size <= bytes_.size() - e.offset,
          "an entry reaches beyond the file");
    check(!e.stored || stored_size == e.size, "an entry's two sizes differ");
    check(entries_.emplace(name, e).second, "two entries have the same name");
    return end + extra_size + comment_size;
  }

  const Bytes& bytes_;
  std::string_view what_;
  std::map<std::string, Entry> entries_;
};

void fill(StorageEntry& storage, const Bytes& data, size_t offset, std::string_view what, uint64_t& total,
          const Limits& limits) {
  const int64_t size = checked_mul(storage.numel, int64_t(item_size(storage.dtype)), "a storage in a pickle");
  MOKA_CHECK_KIND(File, offset <= data.size() && uint64_t(size) <= data.size() - offset, what, ": storage ",
                  storage.key, " should have ", size, " bytes, but the file has ", data.size() - offset);
  total += uint64_t(size);
  MOKA_CHECK_KIND(File, total <= limits.max_tensor_bytes, what, ": its tensors need more than the limit of ",
                  limits.max_tensor_bytes, " bytes");
  storage.data = data;
  storage.at = offset;
  storage.has_data = true;
}

void read_zip(const Bytes& bytes, std::string_view what, const Limits& limits, Document& out) {
  const Archive archive(bytes, what, limits);
  const std::string prefix = archive.prefix();
  MOKA_CHECK_KIND(File, !archive.has(prefix + "constants.pkl"), what,
                  ": a TorchScript archive, which moka.load does not read");
  if (archive.has(prefix + "byteorder"))
    MOKA_CHECK_KIND(File, archive.data(prefix + "byteorder").text() == "little", what,
                    ": its numbers are not little-endian");
  const Bytes program = archive.data(prefix + "data.pkl");
  Machine machine(out, what, limits);
  size_t at = 0;
  out.root = machine.run(program.text(), at);
  uint64_t total = 0;
  for (StorageEntry& storage : machine.storages)
    fill(storage, archive.data(prefix + "data/" + storage.key), 0, what, total, limits);
  machine.finish();
}

// Magic, protocol, system, the object, the keys of the storages; then for each its count and its bytes.
void read_row(const Bytes& bytes, std::string_view what, const Limits& limits, Document& out) {
  constexpr std::string_view magic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
  Machine machine(out, what, limits);
  size_t at = 0;
  const Value* head = machine.run(bytes.text(), at);
  MOKA_CHECK_KIND(File, head->kind == Kind::BigInt && head->text == magic, what,
                  ": a pickle, but not a file of torch.save; Moka reads no other pickles");
  const Value* protocol = machine.run(bytes.text(), at);
  MOKA_CHECK_KIND(File, protocol->kind == Kind::Int && protocol->integer == 1001, what,
                  ": a legacy file of an unknown protocol");
  machine.run(bytes.text(), at);
  out.root = machine.run(bytes.text(), at);
  const Value* keys = machine.run(bytes.text(), at);
  MOKA_CHECK_KIND(File, keys->kind == Kind::List, what, ": the storages' keys are no list");
  uint64_t total = 0;
  for (const Value* key : keys->items) {
    const auto found =
        std::find_if(machine.storages.begin(), machine.storages.end(),
                     [&](const StorageEntry& s) { return key->kind == Kind::Text && s.key == key->text; });
    MOKA_CHECK_KIND(File, found != machine.storages.end() && !found->has_data, what,
                    ": data of a storage that no tensor has, or that came before");
    int64_t count = 0;
    MOKA_CHECK_KIND(File, bytes.size() - at >= sizeof count, what, ": the data are cut short");
    std::memcpy(&count, bytes.data() + at, sizeof count);
    MOKA_CHECK_KIND(File, count == found->numel, what, ": storage ", found->key, " has ", count,
                    " elements, but its tensors say ", found->numel);
    at += sizeof count;
    fill(*found, bytes, at, what, total, limits);
    at += size_t(count) * item_size(found->dtype);
  }
  machine.finish();
}

}  // namespace

bool looks_like_one(std::string_view head) {
  return head.starts_with(zip_head) ||
         (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5);
}

Document read(const Bytes& bytes, std::string_view what, const Limits& limits) {
  MOKA_CHECK_KIND(File, bytes.size() <= limits.max_bytes, what, ": ", bytes.size(),
                  " bytes are more than the limit of ", limits.max_bytes);
  MOKA_CHECK_KIND(File, looks_like_one(bytes.text()), what,
                  ": neither a zip archive nor a pickle of protocol 2");
  Document out;
  bytes.text().starts_with(zip_head) ? read_zip(bytes, what, limits, out)
                                     : read_row(bytes, what, limits, out);
  return out;
}

}  // namespace moka::pickle
