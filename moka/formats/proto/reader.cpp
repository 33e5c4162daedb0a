// Checked reading of protobuf's wire format, on protozero's decoder of varints.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/proto/reader.h"

#include <cstring>
#include <protozero/exception.hpp>
#include <protozero/varint.hpp>

namespace moka::proto {

Budget::Budget(std::string file, std::string_view bytes, const Limits& limits)
    : file(std::move(file)), bytes(bytes), limits(limits) {
  MOKA_CHECK_KIND(File, bytes.size() <= limits.max_bytes, this->file, ": has ", bytes.size(),
                  " bytes, the limit is ", limits.max_bytes);
}

void Budget::take_nodes(uint64_t count) {
  nodes += count;
  MOKA_CHECK_KIND(File, nodes <= limits.max_nodes, file, ": has more than ", limits.max_nodes,
                  " nodes, attributes and names, which is the limit");
}

void Budget::take_tensor_bytes(uint64_t size, std::string_view what) {
  MOKA_CHECK_KIND(File, size <= limits.max_tensor_bytes && tensor_bytes <= limits.max_tensor_bytes - size,
                  file, ": ", what, " needs ", size, " bytes, with ", tensor_bytes,
                  " bytes of tensors before it; the limit is ", limits.max_tensor_bytes);
  tensor_bytes += size;
}

Message::Message(Budget& budget, std::string_view bytes, const char* type, int depth)
    : budget_(&budget),
      whole_(bytes),
      at_(bytes.data()),
      end_(bytes.data() + bytes.size()),
      type_(type),
      depth_(depth) {
  MOKA_CHECK_KIND(File, depth <= budget.limits.max_depth * 4, budget.file, ": ", type, " is nested ", depth,
                  " messages deep; the limit is ", budget.limits.max_depth * 4);
}

std::string Message::where(const char* name) const {
  // Tensors kept outside the file have bytes of their own; then the offset counts from the message.
  const std::string_view all = budget_->bytes;
  std::string out = cat(budget_->file, ": ", type_);
  if (name) out += cat(".", name);
  if (whole_.data() >= all.data() && whole_.data() <= all.data() + all.size())
    out += cat(" at byte ", field_at_);
  return out + ": ";
}

void Message::want(const char* name, Wire wire) const {
  static constexpr const char* names[] = {"a varint", "8 fixed bytes", "a length and bytes", "",
                                          "",         "4 fixed bytes"};
  if (wire_ != wire)
    fail(name, "field ", field_, " was expected as ", names[int(wire)], ", the file has ", names[int(wire_)]);
}

uint64_t Message::varint(const char* name) {
  try {
    return protozero::decode_varint(&at_, end_);
  } catch (const protozero::exception&) {
    fail(name, "the number is cut off or longer than 10 bytes");
  }
}

std::string_view Message::take(const char* name, size_t count) {
  const size_t left = static_cast<size_t>(end_ - at_);
  if (count > left)
    fail(name, "says that ", count, " bytes follow, only ", left,
         " are there: the file is cut off or damaged");
  std::string_view out(at_, count);
  at_ += count;
  return out;
}

bool Message::next() {
  if (at_ == end_) return false;
  field_at_ = static_cast<size_t>(at_ - budget_->bytes.data());
  const uint64_t key = varint(nullptr);
  const uint64_t number = key >> 3;
  const unsigned wire = key & 7;
  if (number == 0 || number > 536870911)
    fail(nullptr, "field number ", number, " does not exist in protobuf");
  if (wire > 5 || wire == 3 || wire == 4)
    fail(nullptr, "field ", number, " has wire type ", wire, ", which is not used");
  field_ = static_cast<int>(number);
  wire_ = static_cast<Wire>(wire);
  return true;
}

void Message::skip() {
  switch (wire_) {
    case Wire::Varint: varint(nullptr); return;
    case Wire::Fixed64: take(nullptr, 8); return;
    case Wire::Fixed32: take(nullptr, 4); return;
    case Wire::Length: take(nullptr, varint(nullptr)); return;
  }
}

int64_t Message::integer(const char* name) {
  want(name, Wire::Varint);
  return static_cast<int64_t>(varint(name));
}

float Message::number(const char* name) {
  want(name, Wire::Fixed32);
  float out;
  std::memcpy(&out, take(name, 4).data(), 4);
  return out;
}

std::string_view Message::raw(const char* name) {
  want(name, Wire::Length);
  return take(name, varint(name));
}

std::string_view Message::text(const char* name) {
  std::string_view out = raw(name);
  if (!is_utf8(out)) fail(name, "is not valid UTF-8 text");
  return out;
}

Message Message::message(const char* name, const char* type) {
  return Message(*budget_, raw(name), type, depth_ + 1);
}

template <class Element, class Read>
size_t Message::fixed_into(const char* name, Wire wire, size_t room, Read read) {
  std::string_view all;
  if (wire_ == Wire::Length) {
    all = raw(name);
    if (all.size() % sizeof(Element))
      fail(name, all.size(), " bytes are no whole number of elements of ", sizeof(Element));
  } else {
    want(name, wire);
    all = take(name, sizeof(Element));
  }
  const size_t count = all.size() / sizeof(Element);
  if (count > room) fail(name, "has ", count, " more elements where ", room, " are left");
  read(all, count);
  return count;
}

size_t Message::floats_into(const char* name, float* out, size_t room) {
  return fixed_into<float>(name, Wire::Fixed32, room, [&](std::string_view all, size_t) {
    if (!all.empty()) std::memcpy(out, all.data(), all.size());
  });
}
size_t Message::doubles_into(const char* name, double* out, size_t room) {
  return fixed_into<double>(name, Wire::Fixed64, room, [&](std::string_view all, size_t) {
    if (!all.empty()) std::memcpy(out, all.data(), all.size());
  });
}

void Message::floats(const char* name, std::vector<double>& out) {
  fixed_into<float>(name, Wire::Fixed32, SIZE_MAX, [&](std::string_view all, size_t count) {
    for (size_t i = 0; i < count; i++) {
      float f;
      std::memcpy(&f, all.data() + i * 4, 4);
      out.push_back(f);
    }
  });
}
void Message::doubles(const char* name, std::vector<double>& out) {
  fixed_into<double>(name, Wire::Fixed64, SIZE_MAX, [&](std::string_view all, size_t count) {
    const size_t had = out.size();
    out.resize(had + count);
    if (count) std::memcpy(out.data() + had, all.data(), all.size());
  });
}

void Message::integers(const char* name, std::vector<int64_t>& out) {
  if (wire_ != Wire::Length) {
    out.push_back(integer(name));
    return;
  }
  Message packed(*budget_, raw(name), type_, depth_);
  packed.field_at_ = field_at_;
  while (packed.at_ != packed.end_) out.push_back(static_cast<int64_t>(packed.varint(name)));
}

template <class T>
size_t Message::integers_into(const char* name, T* out, size_t room) {
  size_t count = 0;
  auto add = [&](uint64_t v) {
    if (count == room) fail(name, "has more elements than the shape has room for");
    out[count++] = static_cast<T>(v);
  };
  if (wire_ != Wire::Length) {
    add(static_cast<uint64_t>(integer(name)));
    return count;
  }
  Message packed(*budget_, raw(name), type_, depth_);
  packed.field_at_ = field_at_;
  while (packed.at_ != packed.end_) add(packed.varint(name));
  return count;
}
template size_t Message::integers_into(const char*, uint8_t*, size_t);
template size_t Message::integers_into(const char*, uint16_t*, size_t);
template size_t Message::integers_into(const char*, uint32_t*, size_t);
template size_t Message::integers_into(const char*, uint64_t*, size_t);

// The table of well-formed byte sequences of the Unicode standard (3.9, table 3-7); NUL is refused too, since names with
// it cannot be shown or looked up by C callers.
bool is_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = p + text.size();
  while (p < end) {
    const unsigned char c = *p++;
    if (c == 0) return false;
    if (c < 0x80) continue;
    int more;
    unsigned char low = 0x80, high = 0xBF;
    if (c >= 0xC2 && c <= 0xDF) more = 1;
    else if (c >= 0xE0 && c <= 0xEF) {
      more = 2;
      if (c == 0xE0) low = 0xA0;
      if (c == 0xED) high = 0x9F;
    } else if (c >= 0xF0 && c <= 0xF4) {
      more = 3;
      if (c == 0xF0) low = 0x90;
      if (c == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    if (end - p < more || *p < low || *p > high) return false;
    p++;
    for (; more > 1; more--, p++)
      if (*p < 0x80 || *p > 0xBF) return false;
  }
  return true;
}

}  // namespace moka::proto
