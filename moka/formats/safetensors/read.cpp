// Reads safetensors: the header is checked as a whole before the first tensor is made.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "moka/formats/json.h"
#include "moka/formats/safetensors/safetensors.h"

namespace moka::safetensors {

static_assert(std::endian::native == std::endian::little, "the data of the file are little-endian");

namespace {

struct Entry {
  std::string name;
  DType dtype = DType::U8;
  uint8_t bits = 8;  // of one element in the file
  Dims shape;
  uint64_t begin = 0, end = 0;
  uint64_t bytes() const { return end - begin; }
};

// Codes of types that the file packs below a byte.
struct PackedType {
  std::string_view code;
  DType dtype;
  uint8_t bits;
};
constexpr PackedType packed_types[] = {
    {"F4", DType::F4E2M1, 4}, {"F6_E2M3", DType::F6E2M3, 6}, {"F6_E3M2", DType::F6E3M2, 6}};

bool find_type(std::string_view code, DType& dtype, uint8_t& bits) {
  for (const PackedType& p : packed_types)
    if (p.code == code) {
      dtype = p.dtype;
      bits = p.bits;
      return true;
    }
  for (int i = 0; i < static_cast<int>(DType::BuiltinCount); i++)
    if (std::string_view known = info(DType(i)).safetensors; !known.empty() && known == code) {
      dtype = DType(i);
      bits = static_cast<uint8_t>(8 * item_size(dtype));
      return true;
    }
  return false;
}

class Header {
 public:
  Header(std::string_view text, std::string_view what, const Limits& limits)
      : what_(what), json_(text, what), limits_(limits) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  void parse() {
    std::string name;
    bool metadata_seen = false;
    for (json_.begin_object(); json_.next_key(name);) {
      if (name == "__metadata__") {
        MOKA_CHECK_KIND(File, !std::exchange(metadata_seen, true), what_,
                        ": __metadata__ stands twice in the header");
        parse_metadata();
      } else {
        parse_entry(std::move(name));
      }
    }
    json_.finish();
  }

  // Names differ, and the data ranges tile [0, data_size) exactly.
  void check_ranges(uint64_t data_size) {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
    for (size_t i = 1; i < entries.size(); i++)
      MOKA_CHECK_KIND(File, entries[i - 1].name != entries[i].name, what_, ": tensor '", entries[i].name,
                      "' stands twice in the header");
    std::vector<const Entry*> by_offset;
    by_offset.reserve(entries.size());
    for (const Entry& e : entries) by_offset.push_back(&e);
    std::sort(by_offset.begin(), by_offset.end(), [](const Entry* a, const Entry* b) {
      return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
    });
    uint64_t at = 0;
    for (const Entry* e : by_offset) {
      MOKA_CHECK_KIND(File, e->begin == at, what_, ": data of tensor '", e->name, "' begin at ", e->begin,
                      ", ", at, " was expected: data may neither overlap nor leave holes");
      at = e->end;
    }
    MOKA_CHECK_KIND(File, at == data_size, what_, ": the tensors cover ", at, " bytes, the file holds ",
                    data_size, at > data_size ? ": it is truncated" : ": the rest belongs to no tensor");
  }

 private:
  void parse_metadata() {
    std::string key;
    for (json_.begin_object(); json_.next_key(key);) {
      std::string value = json_.string();
      const bool added = metadata.emplace(key, std::move(value)).second;
      MOKA_CHECK_KIND(File, added, what_, ": metadata key '", key, "' stands twice in the header");
    }
  }

  void parse_entry(std::string name) {
    Entry e;
    e.name = std::move(name);
    unsigned seen = 0;
    auto once = [&](unsigned bit, std::string_view field) {
      MOKA_CHECK_KIND(File, !(seen & bit), what_, ": tensor '", e.name, "' has ", field, " twice");
      seen |= bit;
    };
    std::string field;
    for (json_.begin_object(); json_.next_key(field);) {
      if (field == "dtype") {
        once(1, field);
        const std::string code = json_.string();
        MOKA_CHECK_KIND(File, find_type(code, e.dtype, e.bits), what_, ": tensor '", e.name,
                        "' has the unknown dtype '", code, "'");
      } else if (field == "shape") {
        once(2, field);
        for (json_.begin_array(); json_.next_item();) {
          MOKA_CHECK_KIND(File, e.shape.size() < max_dims, what_, ": tensor '", e.name, "' has more than ",
                          max_dims, " dimensions");
          const int64_t size = json_.integer();
          MOKA_CHECK_KIND(File, size >= 0, what_, ": tensor '", e.name, "' has the negative size ", size);
          e.shape.push_back(size);
        }
      } else if (field == "data_offsets") {
        once(4, field);
        int64_t offsets[2] = {};
        int count = 0;
        for (json_.begin_array(); json_.next_item();) {
          MOKA_CHECK_KIND(File, count < 2, what_, ": tensor '", e.name, "' has more than two data_offsets");
          offsets[count] = json_.integer();
          MOKA_CHECK_KIND(File, offsets[count] >= 0, what_, ": tensor '", e.name,
                          "' has the negative offset ", offsets[count]);
          count++;
        }
        MOKA_CHECK_KIND(File, count == 2 && offsets[0] <= offsets[1], what_, ": data_offsets of tensor '",
                        e.name, "' are no range [begin, end]");
        e.begin = static_cast<uint64_t>(offsets[0]);
        e.end = static_cast<uint64_t>(offsets[1]);
      } else {
        fail_kind(ErrorKind::File, what_, ": tensor '", e.name, "' has the unknown field '", field, "'");
      }
    }
    MOKA_CHECK_KIND(File, seen == 7, what_, ": tensor '", e.name, "' lacks ",
                    !(seen & 1)   ? "dtype"
                    : !(seen & 2) ? "shape"
                                  : "data_offsets");
    check_length(e);
    entries.push_back(std::move(e));
  }

  void check_length(const Entry& e) {
    uint64_t bits = e.bits;
    bool overflow = false, empty = false;
    for (int64_t size : e.shape) {
      empty = empty || size == 0;
      overflow = overflow || __builtin_mul_overflow(bits, static_cast<uint64_t>(size ? size : 1), &bits);
    }
    // Beside a size of 0 the other sizes may not overflow either: strides are made of them.
    MOKA_CHECK_KIND(File, !overflow && bits <= uint64_t(INT64_MAX), what_, ": shape ", e.shape,
                    " of tensor '", e.name, "' overflows 64 bits");
    if (empty) bits = 0;
    MOKA_CHECK_KIND(File, bits % 8 == 0, what_, ": tensor '", e.name,
                    "' ends inside a byte: ", info(e.dtype).name, " ", e.shape);
    MOKA_CHECK_KIND(File, bits / 8 == e.bytes(), what_, ": tensor '", e.name, "' (", info(e.dtype).name, " ",
                    e.shape, ") needs ", bits / 8, " bytes, its data_offsets span ", e.bytes());
    // Packed types take a byte an element in memory.
    const uint64_t in_memory = e.bits < 8 ? bits / e.bits : bits / 8;
    MOKA_CHECK_KIND(File, in_memory <= limits_.max_tensor_bytes - total_, what_,
                    ": the tensors need more than ", limits_.max_tensor_bytes,
                    " bytes, the limit for one file");
    total_ += in_memory;
  }

  std::string_view what_;
  JsonReader json_;
  const Limits& limits_;
  uint64_t total_ = 0;
};

// Elements follow one another as a little-endian stream of bits.
Tensor unpack(const Bytes& data, const Entry& e) {
  Tensor out = new_tensor(e.shape, e.dtype);
  uint8_t* to = out.data<uint8_t>();
  const uint8_t* from = reinterpret_cast<const uint8_t*>(data.data()) + e.begin;
  const unsigned mask = (1u << e.bits) - 1;
  uint64_t bit = 0;
  for (int64_t i = 0; i < out.numel(); i++, bit += e.bits) {
    unsigned window = from[bit / 8];
    if (bit % 8 + e.bits > 8) window |= static_cast<unsigned>(from[bit / 8 + 1]) << 8;
    to[i] = static_cast<uint8_t>(window >> (bit % 8) & mask);
  }
  return out;
}

constexpr std::string_view dtype_note = "moka.dtype:";

// A tensor that plan() stored as bytes gets its own type back.
void apply_dtype_note(Entry& e, std::string_view name, std::string_view what) {
  DType dtype;
  MOKA_CHECK_KIND(File, find_dtype(name, dtype) && dtype < DType::BuiltinCount && dtype != DType::String,
                  what, ": metadata give tensor '", e.name, "' the unknown type '", name, "'");
  const int64_t size = static_cast<int64_t>(item_size(dtype));
  MOKA_CHECK_KIND(File, e.dtype == DType::U8 && !e.shape.empty() && e.shape.back() == size, what,
                  ": tensor '", e.name, "' is noted as ", name, ", so it must be stored as U8 [..., ", size,
                  "]; it is ", info(e.dtype).name, " ", e.shape);
  e.shape.pop_back();
  e.dtype = dtype;
}

}  // namespace

Content read(const std::string& path, const Limits& limits) {
  return read(Bytes::of_file(path, limits), path, limits);
}

Content read(const Bytes& bytes, std::string_view what, const Limits& limits) {
  MOKA_CHECK_KIND(File, bytes.size() >= 8, what, ": ", bytes.size(),
                  " bytes are too short for a safetensors file");
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  MOKA_CHECK_KIND(File, length <= limits.max_header_bytes, what, ": the header claims ", length,
                  " bytes, the limit is ", limits.max_header_bytes, "; is this a safetensors file?");
  MOKA_CHECK_KIND(File, length <= bytes.size() - 8, what, ": the header claims ", length,
                  " bytes, the file has ", bytes.size() - 8,
                  " behind the length: it is truncated or no safetensors file");
  const std::string_view text = bytes.text().substr(8, length);
  MOKA_CHECK_KIND(File, !text.empty() && text[0] == '{', what,
                  ": the header does not begin with '{': no safetensors file");

  Header header(text, what, limits);
  header.parse();
  const Bytes data = bytes.slice(8 + length, bytes.size() - 8 - length);
  header.check_ranges(data.size());

  Content out;
  for (Entry& e : header.entries) {
    const auto note = header.metadata.find(cat(dtype_note, e.name));
    if (note != header.metadata.end()) {
      apply_dtype_note(e, note->second, what);
      header.metadata.erase(note);
    }
    Tensor tensor = e.bits < 8 ? unpack(data, e) : data.tensor(e.begin, e.shape, e.dtype);
    out.tensors.emplace_hint(out.tensors.end(), std::move(e.name), std::move(tensor));
  }
  out.metadata = std::move(header.metadata);
  return out;
}

}  // namespace moka::safetensors
