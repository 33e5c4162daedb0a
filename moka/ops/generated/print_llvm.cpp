// Lane programs in LLVM's text form, with explicit vectors.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstdio>
#include <cstring>

#include "moka/base/cpu.h"
#include "moka/ops/generated/print.h"

namespace moka::lanes {

namespace {
constexpr Target targets[] = {{"x86-64-v3", "x86_64-unknown-linux-gnu", 32},
                              {"x86-64-v4", "x86_64-unknown-linux-gnu", 64},
                              {"aarch64", "aarch64-unknown-linux-gnu", 16}};

struct Word {
  const char* scalar;
  int bytes;
};
Word word_of(Type t) {
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

class Printer {
 public:
  Printer(const Program& program, const Target& target) : page_(program.page), program_(program) {
    int widest = 4;
    for (int i = 0; i < page_.size(); i++)
      if (page_[i].kind != Kind::Input) widest = std::max(widest, word_of(page_[i].type).bytes);
    width_ = target.vector_bytes / widest;
  }

  std::string function(std::string_view name) {
    cat_to("define void @", name,
           "(ptr noalias readonly %results, ptr noalias readonly %inputs, i64 %n) #0 {\nentry:\n");
    for (size_t i = 0; i < program_.inputs.size(); i++) pointer("inputs", "in", i);
    for (size_t r = 0; r < program_.results.size(); r++) pointer("results", "out", r);
    cat_to("  %last = sub i64 %n, ", width_, "\n  br label %loop\nloop:\n",
           "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]\n");
    for (int i = 0; i < page_.size(); i++) node(i);
    for (size_t r = 0; r < program_.results.size(); r++) {
      const int id = program_.results[r];
      const Word w = word_of(page_[id].type);
      cat_to("  %to", r, " = getelementptr ", w.scalar, ", ptr %out", r, ", i64 %i\n  store ",
             vector(page_[id].type), " ", operand(id), ", ptr %to", r, ", align ", w.bytes, "\n");
    }
    cat_to("  %step = add i64 %i, ", width_, "\n  %past = icmp sgt i64 %step, %last\n",
           "  %next = select i1 %past, i64 %last, i64 %step\n  %done = icmp eq i64 %i, %last\n",
           "  br i1 %done, label %end, label %loop\nend:\n  ret void\n}\n");
    return std::move(out_);
  }

 private:
  template <class... Parts>
  void cat_to(const Parts&... parts) {
    out_ += cat(parts...);
  }
  void pointer(const char* from, const char* to, size_t i) {
    cat_to("  %", to, i, ".at = getelementptr ptr, ptr %", from, ", i64 ", i, "\n  %", to, i,
           " = load ptr, ptr %", to, i, ".at\n");
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
    return n.kind == Kind::Constant ? splat(n.type, n.number) : cat("%v", id);
  }

  void assign(int id, std::string_view text) { cat_to("  %v", id, " = ", text, "\n"); }
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
  void intrinsic(int id, const char* name, const Node& n) {
    assign(id, cat("call ", vector(n.type), " @llvm.", name, ".v", width_,
                   n.type == Type::F32 ? "f32" : "f64", "(", vector(n.type), " ", operand(n.a), ")"));
  }

  void node(int id) {
    const Node& n = page_[id];
    switch (n.kind) {
      case Kind::Constant: return;
      case Kind::Input: {
        const Word w = word_of(n.type);
        cat_to("  %from", n.number, " = getelementptr ", w.scalar, ", ptr %in", n.number, ", i64 %i\n");
        return assign(id, cat("load ", vector(n.type), ", ptr %from", n.number, ", align ", w.bytes));
      }
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
    }
  }

  const Page& page_;
  const Program& program_;
  int width_ = 8;
  std::string out_;
};
}  // namespace

const Target* find_target(std::string_view name) {
  for (const Target& t : targets)
    if (t.name == name) return &t;
  return nullptr;
}
const Target* host_target() {
#if defined(__x86_64__)
  if (isa() == Isa::Baseline) return nullptr;
  return find_target(isa() == Isa::Avx512 ? "x86-64-v4" : "x86-64-v3");
#elif defined(__aarch64__)
  return find_target("aarch64");
#else
  return nullptr;
#endif
}

std::string print_llvm(const Program& program, std::string_view name, const Target& target) {
  return Printer(program, target).function(name);
}

std::string print_llvm_module(std::string_view functions, const Target& target) {
  std::string text = cat("target triple = \"", target.triple, "\"\n", functions);
  for (const char* name : {"sqrt", "floor", "ceil", "trunc", "roundeven"})
    for (int bytes : {4, 8})
      for (int width = 2; width <= 16; width *= 2) {
        const std::string type = cat("<", width, " x ", bytes == 4 ? "float" : "double", ">");
        const std::string whole = cat("@llvm.", name, ".v", width, bytes == 4 ? "f32" : "f64", "(");
        if (functions.find(whole) != std::string_view::npos)
          text += cat("declare ", type, " ", whole, type, ")\n");
      }
  return text + cat("attributes #0 = { nounwind \"target-cpu\"=\"",
                    target.name == "aarch64" ? "generic" : target.name, "\" \"prefer-vector-width\"=\"",
                    target.vector_bytes * 8, "\" \"frame-pointer\"=\"none\" }\n");
}

}  // namespace moka::lanes
