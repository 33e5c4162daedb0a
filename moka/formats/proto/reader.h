// Reads protobuf messages that may be hostile: every length, type and depth is checked, errors name file, message, field
// and offset. Nothing is copied: texts and nested messages are views into the bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "moka/base/error.h"
#include "moka/formats/limits.h"

namespace moka::proto {

// What one file has cost so far; shared by all messages of it.
struct Budget {
  Budget(std::string file, std::string_view bytes, const Limits& limits);
  void take_nodes(uint64_t count);
  // Called before the memory is allocated.
  void take_tensor_bytes(uint64_t bytes, std::string_view what);

  std::string file;  // for messages
  std::string_view bytes;  // offsets are counted from its start
  Limits limits;
  uint64_t nodes = 0;
  uint64_t tensor_bytes = 0;
};

// The four wire types that exist.
enum class Wire : uint8_t { Varint = 0, Fixed64 = 1, Length = 2, Fixed32 = 5 };

// A cursor over one message. Getters read the current field's value, once, right after next() returned true; their
// argument is the field's name, for errors.
class Message {
 public:
  Message(Budget& budget, std::string_view bytes, const char* type, int depth = 0);

  bool next();
  int field() const { return field_; }
  Wire wire() const { return wire_; }

  int64_t integer(const char* name);  // int32, int64, bool, enum
  float number(const char* name);  // float
  std::string_view raw(const char* name);  // bytes
  std::string_view text(const char* name);  // string: UTF-8 without NUL
  Message message(const char* name, const char* type);
  void skip();

  // Repeated numbers, packed or not: appends what this field holds.
  void integers(const char* name, std::vector<int64_t>& out);
  void floats(const char* name, std::vector<double>& out);
  void doubles(const char* name, std::vector<double>& out);
  // The same without a list in between: `room` elements are left at `out`, an error when more come. Returns how many.
  // Integers wrap to the width of T.
  template <class T>
  size_t integers_into(const char* name, T* out, size_t room);
  size_t floats_into(const char* name, float* out, size_t room);
  size_t doubles_into(const char* name, double* out, size_t room);

  std::string_view bytes() const { return whole_; }  // the whole message
  size_t offset() const { return field_at_; }  // of the current field in the file
  Budget& budget() const { return *budget_; }
  const char* type() const { return type_; }
  // "model.onnx: NodeProto.op_type at byte 123: ..."
  template <class... Parts>
  [[noreturn, gnu::cold]] void fail(const char* name, const Parts&... parts) const {
    moka::fail_kind(ErrorKind::File, where(name), cat(parts...));
  }

 private:
  std::string where(const char* name) const;
  void want(const char* name, Wire wire) const;
  uint64_t varint(const char* name);
  std::string_view take(const char* name, size_t count);
  template <class Element, class Read>
  size_t fixed_into(const char* name, Wire wire, size_t room, Read read);

  Budget* budget_;
  std::string_view whole_;
  const char *at_, *end_;
  const char* type_;
  int depth_;
  int field_ = 0;
  Wire wire_ = Wire::Varint;
  size_t field_at_ = 0;
};

bool is_utf8(std::string_view text);

extern template size_t Message::integers_into(const char*, uint8_t*, size_t);
extern template size_t Message::integers_into(const char*, uint16_t*, size_t);
extern template size_t Message::integers_into(const char*, uint32_t*, size_t);
extern template size_t Message::integers_into(const char*, uint64_t*, size_t);

}  // namespace moka::proto
