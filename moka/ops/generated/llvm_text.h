// What the printers of LLVM's text share: one lane program's nodes as instructions on vectors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "moka/ops/generated/print.h"

namespace moka::lanes {

struct Word {
  const char* scalar;
  int bytes;
};
inline Word word_of(Type t) {
  switch (t) {
    case Type::Mask: return {"i1", 1};
    case Type::I8: return {"i8", 1};
    case Type::I16: return {"i16", 2};
    case Type::I32: return {"i32", 4};
    case Type::I64: return {"i64", 8};
    case Type::F16: return {"half", 2};
    case Type::F32: return {"float", 4};
    default: return {"double", 8};
  }
}

class LaneText {
 public:
  LaneText(const Program& program, const Target& target)
      : page_(program.page), program_(program), names_(static_cast<size_t>(program.page.size())) {
    int widest = 4;
    for (int i = 0; i < page_.size(); i++)
      if (page_[i].kind != Kind::Input) widest = std::max(widest, word_of(page_[i].type).bytes);
    width_ = target.vector_bytes / widest;
  }

 protected:
  template <class... Parts>
  void cat_to(const Parts&... parts) {
    out_ += cat(parts...);
  }
  void pointer(const char* from, const char* to, size_t i, size_t place) {
    cat_to("  %", to, i, ".at = getelementptr ptr, ptr %", from, ", i64 ", place, "\n  %", to, i,
           " = load ptr, ptr %", to, i, ".at\n");
  }
  // The end of a function that says with `bad`, a mask, whether it could compute everything.
  void finish(std::string_view bad) {
    if (bad.empty()) return cat_to("  ret i32 0\n}\n");
    cat_to("  %bad.bits = bitcast ", vector(Type::Mask), " ", bad, " to i", width_,
           "\n  %bad.any = icmp ne i", width_,
           " %bad.bits, 0\n  %bad.word = zext i1 %bad.any to i32\n  ret i32 %bad.word\n}\n");
  }
  std::string vector(Type t) const { return cat("<", width_, " x ", word_of(t).scalar, ">"); }

  std::string literal(Type t, uint64_t bits) const {
    if (!is_float(t)) {
      if (t == Type::Mask) return bits ? "true" : "false";
      const int64_t value = t == Type::I64   ? static_cast<int64_t>(bits)
                            : t == Type::I32 ? static_cast<int32_t>(bits)
                            : t == Type::I16 ? static_cast<int16_t>(bits)
                                             : static_cast<int8_t>(bits);
      return cat(value);
    }
    char text[40];
    if (t == Type::F16) {
      std::snprintf(text, sizeof text, "0xH%04X", static_cast<unsigned>(bits));
      return text;
    }
    // Floats are written as the double of the same value.
    uint64_t wide = bits;
    if (t == Type::F32)
      wide = std::bit_cast<uint64_t>(static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits))));
    std::snprintf(text, sizeof text, "0x%016llX", static_cast<unsigned long long>(wide));
    return text;
  }
  std::string splat(Type t, uint64_t bits) const {
    const std::string one = cat(word_of(t).scalar, " ", literal(t, bits));
    std::string text = "<";
    for (int i = 0; i < width_; i++) text += cat(i ? ", " : "", one);
    return text + ">";
  }
  std::string operand(int id) const {
    const Node& n = page_[id];
    return n.kind == Kind::Constant ? splat(n.type, n.number) : names_[static_cast<size_t>(id)];
  }

  void assign(int id, std::string_view text) {
    std::string& name = names_[static_cast<size_t>(id)] = cat("%v", id, suffix_);
    cat_to("  ", name, " = ", text, "\n");
  }
  void simple(int id, std::string_view instruction, const Node& n) {
    assign(id, cat(instruction, " ", vector(page_[n.a].type), " ", operand(n.a), ", ", operand(n.b)));
  }
  // Products and sums may be joined, as in the formulas' own kernels.
  void arithmetic(int id, const char* of_floats, const char* of_ints, const Node& n) {
    simple(id, is_float(n.type) ? cat(of_floats, " contract") : std::string(of_ints), n);
  }
  void comparison(int id, const char* of_floats, const char* of_ints, const Node& n) {
    simple(id, is_float(page_[n.a].type) ? cat("fcmp ", of_floats) : cat("icmp ", of_ints), n);
  }
  void conversion(int id, const char* instruction, const Node& n) {
    assign(id, cat(instruction, " ", vector(page_[n.a].type), " ", operand(n.a), " to ", vector(n.type)));
  }
  void shift(int id, const char* instruction, const Node& n) {
    assign(id, cat(instruction, " ", vector(n.type), " ", operand(n.a), ", ", splat(n.type, n.number)));
  }
  // The vector at element `index_` of an array.
  void load(int id, std::string_view array) {
    const Word w = word_of(page_[id].type);
    cat_to("  %from", id, suffix_, " = getelementptr ", w.scalar, ", ptr ", array, ", i64 ", index_, "\n");
    assign(id, cat("load ", vector(page_[id].type), ", ptr %from", id, suffix_, ", align ", w.bytes));
  }
  void store(int id, std::string_view array) {
    const Word w = word_of(page_[id].type);
    cat_to("  ", array, ".to", suffix_, " = getelementptr ", w.scalar, ", ptr ", array, ", i64 ", index_,
           "\n  store ", vector(page_[id].type), " ", operand(id), ", ptr ", array, ".to", suffix_,
           ", align ", w.bytes, "\n");
  }
  void intrinsic(int id, const char* name, const Node& n) {
    assign(id, cat("call ", vector(n.type), " @llvm.", name, ".v", width_,
                   n.type == Type::F32 ? "f32" : "f64", "(", vector(n.type), " ", operand(n.a), ")"));
  }

  void node(int id) {
    const Node& n = page_[id];
    switch (n.kind) {
      case Kind::Constant: return;
      case Kind::Input: return load(id, cat("%in", n.number));
      case Kind::Add: return arithmetic(id, "fadd", "add", n);
      case Kind::Subtract: return arithmetic(id, "fsub", "sub", n);
      case Kind::Multiply: return arithmetic(id, "fmul", "mul", n);
      case Kind::Divide: return simple(id, "fdiv", n);
      case Kind::Negate:
        if (is_float(n.type)) return assign(id, cat("fneg ", vector(n.type), " ", operand(n.a)));
        return assign(id, cat("sub ", vector(n.type), " ", splat(n.type, 0), ", ", operand(n.a)));
      case Kind::And: return simple(id, "and", n);
      case Kind::Or: return simple(id, "or", n);
      case Kind::Xor: return simple(id, "xor", n);
      case Kind::Not:
        return assign(id, cat("xor ", vector(n.type), " ", operand(n.a), ", ", splat(n.type, ~uint64_t(0))));
      case Kind::ShiftLeft: return shift(id, "shl", n);
      case Kind::ShiftRight: return shift(id, "ashr", n);
      case Kind::ShiftRightZero: return shift(id, "lshr", n);
      case Kind::Less: return comparison(id, "olt", "slt", n);
      case Kind::LessEqual: return comparison(id, "ole", "sle", n);
      case Kind::Equal: return comparison(id, "oeq", "eq", n);
      case Kind::NotEqual: return comparison(id, "une", "ne", n);
      case Kind::Select:
        return assign(id, cat("select ", vector(Type::Mask), " ", operand(n.a), ", ", vector(n.type), " ",
                              operand(n.b), ", ", vector(n.type), " ", operand(n.c)));
      case Kind::SquareRoot: return intrinsic(id, "sqrt", n);
      case Kind::Floor: return intrinsic(id, "floor", n);
      case Kind::Ceil: return intrinsic(id, "ceil", n);
      case Kind::Truncate: return intrinsic(id, "trunc", n);
      case Kind::RoundEven: return intrinsic(id, "roundeven", n);
      case Kind::Bits: return conversion(id, "bitcast", n);
      case Kind::SignExtend: return conversion(id, "sext", n);
      case Kind::ZeroExtend: return conversion(id, "zext", n);
      case Kind::Shorten: return conversion(id, "trunc", n);
      case Kind::IntToFloat: return conversion(id, "sitofp", n);
      case Kind::FloatToFloat:
        return conversion(id, word_of(n.type).bytes > word_of(page_[n.a].type).bytes ? "fpext" : "fptrunc",
                          n);
      case Kind::MultiplyAdd:
        return assign(
            id, cat("call ", vector(n.type), " @llvm.fma.v", width_, n.type == Type::F32 ? "f32" : "f64", "(",
                    vector(n.type), " ", operand(n.a), ", ", vector(n.type), " ", operand(n.b), ", ",
                    vector(n.type), " ", operand(n.c), ")"));
      case Kind::Count:
      case Kind::RowSum:
      case Kind::RowMaximum:
      case Kind::RowMinimum: return;  // the printer of rows writes them
    }
  }

  const Page& page_;
  const Program& program_;
  int width_ = 8;
  std::string suffix_;            // of the names of this copy of the program
  std::string index_ = "%i";      // the first element that it works on
  std::vector<std::string> names_;  // by node
  std::string out_;
};

}  // namespace moka::lanes
