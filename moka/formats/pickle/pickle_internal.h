// The interpreter's parts: storages that persistent ids name, tensors that wait for their data, the machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <unordered_map>

#include "moka/formats/pickle/pickle.h"

namespace moka::pickle {

struct StorageEntry {
  std::string key;
  DType dtype = DType::U8;
  bool untyped = false;
  int64_t numel = 0;
  bool has_data = false;
  Bytes data;
  size_t at = 0;                   // where the storage begins in `data`
  std::map<DType, Tensor> wholes;  // all its elements in one dimension, for each type that tensors give it
};

// A tensor whose storage may come later in the file.
struct Pending {
  Value* value;
  size_t storage;
  DType dtype;  // of an untyped storage's elements
  int64_t offset;
  Dims sizes, strides;
};

class Machine {
 public:
  Machine(Document& document, std::string_view what, const Limits& limits)
      : document_(document), what_(what), limits_(limits) {}

  // Runs one pickle that begins at `at`; returns its value and leaves `at` behind it.
  Value* run(std::string_view bytes, size_t& at);
  // Gives every tensor its memory; all storages must have theirs.
  void finish();

  std::vector<StorageEntry> storages;

 private:
  Value* make(Kind kind);
  Value* number(int64_t value);
  Value* pop();
  Value* top();
  std::vector<Value*> pop_to_mark();
  void push(Value* value) { stack_.push_back(value); }
  void step(unsigned char opcode);
  void step_text(unsigned char opcode);
  void step_container(unsigned char opcode);
  void step_object(unsigned char opcode);
  std::string_view take(uint64_t count);
  std::string_view line();
  uint64_t little(int bytes);
  Value* remembered(uint64_t place);
  Value* named(std::string_view module, std::string_view name);
  Value* storage_of(Value* id);
  Value* call(Value* function, Value* arguments);
  Value* tensor_of(const std::vector<Value*>& arguments, bool untyped);
  void build(Value* object, Value* state);
  int64_t integer_of(const Value* value, const char* meaning) const;
  Dims dims_of(const Value* value, const char* meaning) const;
  [[noreturn]] void refuse(const std::string& text) const;

  Document& document_;
  std::string_view what_, bytes_;
  const Limits& limits_;
  size_t at_ = 0;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Value*> memo_;
  std::map<std::string, size_t> numbers_;  // storage key -> its number
  std::vector<Pending> pending_;
};

// "FloatStorage" and so on; false for other names.
bool find_storage(std::string_view name, DType& dtype, bool& untyped);

}  // namespace moka::pickle
