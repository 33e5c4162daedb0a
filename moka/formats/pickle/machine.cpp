// The pickle stack machine for the opcodes that files of plain data and tensors use (pickletools.py names them).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>

#include "moka/base/error.h"
#include "moka/formats/pickle/pickle_internal.h"

namespace moka::pickle {

void Machine::refuse(const std::string& text) const {
  fail_kind(ErrorKind::File, what_, ": ", text, " (byte ", at_, " of the pickle)");
}

Value* Machine::make(Kind kind) {
  if (document_.values.size() >= limits_.max_nodes)
    refuse("more than " + std::to_string(limits_.max_nodes) + " values");
  document_.values.emplace_back();
  document_.values.back().kind = kind;
  return &document_.values.back();
}
Value* Machine::number(int64_t value) {
  Value* v = make(Kind::Int);
  v->integer = value;
  return v;
}

std::string_view Machine::take(uint64_t count) {
  if (count > bytes_.size() - at_) refuse("the pickle ends in the middle of a value");
  const std::string_view out = bytes_.substr(at_, count);
  at_ += count;
  return out;
}
std::string_view Machine::line() {
  const size_t end = bytes_.find('\n', at_);
  if (end == bytes_.npos || end - at_ > 1024) refuse("a name does not end");
  const std::string_view out = bytes_.substr(at_, end - at_);
  at_ = end + 1;
  return out;
}
uint64_t Machine::little(int count) {
  uint64_t out = 0;
  const std::string_view raw = take(uint64_t(count));
  for (int i = 0; i < count; i++) out |= uint64_t(static_cast<unsigned char>(raw[size_t(i)])) << (8 * i);
  return out;
}

// The values above the last mark belong to it: nothing below it may be taken.
Value* Machine::pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("an operation finds too few values");
  Value* out = stack_.back();
  stack_.pop_back();
  return out;
}
Value* Machine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("an operation finds too few values");
  return stack_.back();
}
std::vector<Value*> Machine::pop_to_mark() {
  if (marks_.empty()) refuse("a container ends that did not begin");
  const size_t from = marks_.back();
  marks_.pop_back();
  std::vector<Value*> out(stack_.begin() + static_cast<ptrdiff_t>(from), stack_.end());
  stack_.resize(from);
  return out;
}
Value* Machine::remembered(uint64_t place) {
  const auto found = memo_.find(place);
  if (found == memo_.end()) refuse("value " + std::to_string(place) + " is used but was never kept");
  return found->second;
}

Value* Machine::run(std::string_view bytes, size_t& at) {
  bytes_ = bytes;
  at_ = at;
  stack_.clear();
  marks_.clear();
  memo_.clear();
  for (;;) {
    const auto opcode = static_cast<unsigned char>(take(1)[0]);
    if (opcode == '.') break;
    step(opcode);
  }
  if (stack_.size() != 1 || !marks_.empty()) refuse("the pickle ends with values left over");
  at = at_;
  return stack_.back();
}

void Machine::step(unsigned char opcode) {
  switch (opcode) {
    case 0x80: {  // PROTO
      const uint64_t version = little(1);
      if (version < 2 || version > 5) refuse("pickle protocol " + std::to_string(version) + " is not read");
      return;
    }
    case 0x95: little(8); return;  // FRAME
    case 'N': return push(make(Kind::None));
    case 0x88:
    case 0x89: {
      Value* v = make(Kind::Bool);
      v->integer = opcode == 0x88;
      return push(v);
    }
    case 'K': return push(number(int64_t(little(1))));
    case 'M': return push(number(int64_t(little(2))));
    case 'J': return push(number(static_cast<int32_t>(little(4))));
    case 0x8a:  // LONG1
    case 0x8b: {  // LONG4
      const std::string_view raw = take(little(opcode == 0x8a ? 1 : 4));
      if (raw.size() > 4096) refuse("an integer of " + std::to_string(raw.size()) + " bytes");
      if (raw.size() > 8) {
        Value* v = make(Kind::BigInt);
        v->text = raw;
        return push(v);
      }
      uint64_t bits = !raw.empty() && (raw.back() & 0x80) ? ~uint64_t(0) : 0;
      std::memcpy(&bits, raw.data(), raw.size());
      return push(number(static_cast<int64_t>(bits)));
    }
    case 'G': {
      const std::string_view raw = take(8);
      uint64_t bits = 0;
      for (char c : raw) bits = bits << 8 | static_cast<unsigned char>(c);
      Value* v = make(Kind::Float);
      v->real = std::bit_cast<double>(bits);
      return push(v);
    }
    case 'q': memo_[little(1)] = top(); return;
    case 'r': memo_[little(4)] = top(); return;
    case 0x94: memo_[memo_.size()] = top(); return;  // MEMOIZE
    case 'h': return push(remembered(little(1)));
    case 'j': return push(remembered(little(4)));
    case '(': marks_.push_back(stack_.size()); return;
    case '0': pop(); return;
    case '1': pop_to_mark(); return;
    case 'X':
    case 0x8c:
    case 0x8d:
    case 'U':
    case 'T':
    case 'B':
    case 'C':
    case 0x8e: return step_text(opcode);
    case ')':
    case '}':
    case ']':
    case 0x8f:
    case 't':
    case 0x85:
    case 0x86:
    case 0x87:
    case 's':
    case 'u':
    case 'a':
    case 'e':
    case 0x90: return step_container(opcode);
    default: return step_object(opcode);
  }
}

void Machine::step_text(unsigned char opcode) {
  const bool bytes = opcode == 'B' || opcode == 'C' || opcode == 0x8e;
  const int width = opcode == 0x8c || opcode == 'U' || opcode == 'C' ? 1
                    : opcode == 0x8d || opcode == 0x8e               ? 8
                                                                     : 4;
  Value* v = make(bytes ? Kind::Bytes : Kind::Text);
  v->text = take(little(width));
  push(v);
}

void Machine::step_container(unsigned char opcode) {
  switch (opcode) {
    case ')': return push(make(Kind::Tuple));
    case '}': return push(make(Kind::Dict));
    case ']': return push(make(Kind::List));
    case 0x8f: return push(make(Kind::Set));
    case 't': {
      std::vector<Value*> items = pop_to_mark();
      Value* v = make(Kind::Tuple);
      v->items = std::move(items);
      return push(v);
    }
    case 0x85:
    case 0x86:
    case 0x87: {
      Value* v = make(Kind::Tuple);
      v->items.resize(size_t(opcode - 0x84));
      for (size_t i = v->items.size(); i-- > 0;) v->items[i] = pop();
      return push(v);
    }
    default: break;
  }
  std::vector<Value*> items;
  if (opcode == 's' || opcode == 'a') {
    items.resize(opcode == 's' ? 2 : 1);
    for (size_t i = items.size(); i-- > 0;) items[i] = pop();
  } else {
    items = pop_to_mark();
  }
  Value* container = top();
  const bool pairs = opcode == 's' || opcode == 'u';
  const bool fits = pairs ? container->kind == Kind::Dict || container->kind == Kind::Ordered
                          : container->kind == (opcode == 0x90 ? Kind::Set : Kind::List);
  if (!fits || (pairs && items.size() % 2))
    refuse("entries are added to something that takes none of that kind");
  container->items.insert(container->items.end(), items.begin(), items.end());
}

void Machine::step_object(unsigned char opcode) {
  switch (opcode) {
    case 'c': {
      const std::string_view module = line();
      return push(named(module, line()));
    }
    case 0x93: {  // STACK_GLOBAL
      const Value *name = pop(), *module = pop();
      if (name->kind != Kind::Text || module->kind != Kind::Text) refuse("a name is no text");
      return push(named(module->text, name->text));
    }
    case 'Q': return push(storage_of(pop()));
    case 'R':
    case 0x81: {  // REDUCE, NEWOBJ
      Value* arguments = pop();
      return push(call(pop(), arguments));
    }
    case 'b': {
      Value* state = pop();
      return build(top(), state);
    }
    default:
      refuse("opcode " + std::to_string(opcode) +
             " is not on the list of what data and tensors need (no code is ever executed)");
  }
}

}  // namespace moka::pickle
