// The zip writer: stored entries, data aligned by padding in the extra field, zip64 records where sizes ask
// for them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/package/zip.h"
#include "moka/formats/package/zip_internal.h"

namespace moka::package {

namespace {

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

constexpr uint64_t wide = 0xFFFFFFFF;  // sizes from here on go into zip64 fields
constexpr uint16_t date_1980 = 1 << 5 | 1;  // the same bytes for the same content: no clock goes in

uint32_t narrow(uint64_t value) { return static_cast<uint32_t>(value < wide ? value : wide); }

}  // namespace

void ZipWriter::add(std::string name, std::span<const std::string_view> pieces) {
  MOKA_CHECK_KIND(Value, is_safe_name(name), "package: an entry's name must be a plain relative path, not '",
                  name, "'");
  MOKA_CHECK_KIND(Value, names_.insert(name).second, "package: two entries have the name '", name, "'");
  Record record{std::move(name), 0, 0, file_.written()};
  for (std::string_view piece : pieces) {
    record.crc = crc32(record.crc, piece.data(), piece.size());
    record.size += piece.size();
  }
  std::string extra;
  const bool large = record.size >= wide;
  if (large) {
    put<uint16_t>(extra, wide_extra);
    put<uint16_t>(extra, 16);
    put<uint64_t>(extra, record.size);
    put<uint64_t>(extra, record.size);
  }
  const uint64_t data = record.offset + local_size + record.name.size() + extra.size() + 4;
  const uint64_t padding = (alignment - data % alignment) % alignment;
  put<uint16_t>(extra, padding_extra);
  put<uint16_t>(extra, static_cast<uint16_t>(padding));
  extra.append(padding, '\0');

  std::string header;
  put<uint32_t>(header, local_mark);
  put<uint16_t>(header, large ? 45 : 20);
  put<uint16_t>(header, utf8_flag);
  put<uint16_t>(header, 0);  // stored
  put<uint16_t>(header, 0);  // time
  put<uint16_t>(header, date_1980);
  put<uint32_t>(header, record.crc);
  put<uint32_t>(header, narrow(record.size));
  put<uint32_t>(header, narrow(record.size));
  put<uint16_t>(header, static_cast<uint16_t>(record.name.size()));
  put<uint16_t>(header, static_cast<uint16_t>(extra.size()));
  file_.write(header);
  file_.write(record.name);
  file_.write(extra);
  for (std::string_view piece : pieces) file_.write(piece);
  records_.push_back(std::move(record));
}

void ZipWriter::commit() {
  const uint64_t directory = file_.written();
  for (const Record& r : records_) {
    std::string extra;
    if (r.size >= wide || r.offset >= wide) {
      put<uint16_t>(extra, wide_extra);
      put<uint16_t>(extra, static_cast<uint16_t>((r.size >= wide ? 16 : 0) + (r.offset >= wide ? 8 : 0)));
      if (r.size >= wide) {
        put<uint64_t>(extra, r.size);
        put<uint64_t>(extra, r.size);
      }
      if (r.offset >= wide) put<uint64_t>(extra, r.offset);
    }
    std::string record;
    put<uint32_t>(record, central_mark);
    put<uint16_t>(record, 45);
    put<uint16_t>(record, extra.empty() ? 20 : 45);
    put<uint16_t>(record, utf8_flag);
    put<uint16_t>(record, 0);
    put<uint16_t>(record, 0);
    put<uint16_t>(record, date_1980);
    put<uint32_t>(record, r.crc);
    put<uint32_t>(record, narrow(r.size));
    put<uint32_t>(record, narrow(r.size));
    put<uint16_t>(record, static_cast<uint16_t>(r.name.size()));
    put<uint16_t>(record, static_cast<uint16_t>(extra.size()));
    put<uint16_t>(record, 0);  // comment
    put<uint16_t>(record, 0);  // disk
    put<uint16_t>(record, 0);  // internal attributes
    put<uint32_t>(record, 0);  // external attributes
    put<uint32_t>(record, narrow(r.offset));
    file_.write(record);
    file_.write(r.name);
    file_.write(extra);
  }
  const uint64_t size = file_.written() - directory, count = records_.size();
  std::string end;
  if (directory >= wide || size >= wide || count >= 0xFFFF) {
    const uint64_t record = file_.written();
    put<uint32_t>(end, end64_mark);
    put<uint64_t>(end, end64_size - 12);
    put<uint16_t>(end, 45);
    put<uint16_t>(end, 45);
    put<uint32_t>(end, 0);
    put<uint32_t>(end, 0);
    put<uint64_t>(end, count);
    put<uint64_t>(end, count);
    put<uint64_t>(end, size);
    put<uint64_t>(end, directory);
    put<uint32_t>(end, locator_mark);
    put<uint32_t>(end, 0);
    put<uint64_t>(end, record);
    put<uint32_t>(end, 1);
  }
  put<uint32_t>(end, end_mark);
  put<uint16_t>(end, 0);
  put<uint16_t>(end, 0);
  put<uint16_t>(end, static_cast<uint16_t>(count < 0xFFFF ? count : 0xFFFF));
  put<uint16_t>(end, static_cast<uint16_t>(count < 0xFFFF ? count : 0xFFFF));
  put<uint32_t>(end, narrow(size));
  put<uint32_t>(end, narrow(directory));
  put<uint16_t>(end, 0);
  file_.write(end);
  file_.commit();
}

}  // namespace moka::package
