// Lane programs as CUDA source: one thread computes one element.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstdio>

#include "moka/ops/generated/print.h"

namespace moka::lanes {

namespace {
const char* word_of(Type t) {
  switch (t) {
    case Type::Mask: return "bool";
    case Type::I8: return "signed char";
    case Type::I16: return "short";
    case Type::I32: return "int";
    case Type::I64: return "long long";
    case Type::F16: return "__half";
    case Type::F32: return "float";
    default: return "double";
  }
}

class Printer {
 public:
  explicit Printer(const Program& program) : page_(program.page), program_(program) {}

  std::string function(std::string_view name) {
    std::string parameters = "long long n";
    for (size_t r = 0; r < program_.results.size(); r++)
      parameters += cat(", ", word_of(page_[program_.results[r]].type), "* __restrict__ out", r);
    for (size_t k = 0; k < program_.inputs.size(); k++)
      parameters += cat(", const ", word_of(program_.inputs[k]), "* __restrict__ in", k);
    std::string text = cat("extern \"C\" __global__ void ", name, "(", parameters, ") {\n",
                           "  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n;\n",
                           "       i += (long long)gridDim.x * blockDim.x) {\n");
    for (int i = 0; i < page_.size(); i++)
      if (page_[i].kind != Kind::Constant)
        text += cat("    ", word_of(page_[i].type), " v", i, " = ", node(page_[i]), ";\n");
    for (size_t r = 0; r < program_.results.size(); r++)
      text += cat("    out", r, "[i] = ", operand(program_.results[r]), ";\n");
    return text + "  }\n}\n";
  }

 private:
  std::string operand(int id) const {
    const Node& n = page_[id];
    if (n.kind != Kind::Constant) return cat("v", id);
    char text[64];
    const auto bits = static_cast<unsigned long long>(n.number);
    switch (n.type) {
      case Type::Mask: return n.number ? "true" : "false";
      case Type::F64: std::snprintf(text, sizeof text, "__longlong_as_double(0x%llxll)", bits); break;
      case Type::F32: std::snprintf(text, sizeof text, "__int_as_float(0x%llx)", bits); break;
      case Type::F16: std::snprintf(text, sizeof text, "__ushort_as_half(0x%llx)", bits); break;
      case Type::I64: std::snprintf(text, sizeof text, "(long long)0x%llxull", bits); break;
      default: std::snprintf(text, sizeof text, "(%s)0x%llx", word_of(n.type), bits); break;
    }
    return text;
  }
  // Integers wrap, so they are added without signs.
  std::string arithmetic(const char* sign, const Node& n) const {
    if (is_float(n.type)) return cat(operand(n.a), " ", sign, " ", operand(n.b));
    const char* wide = n.type == Type::I64 ? "unsigned long long" : "unsigned";
    return cat("(", word_of(n.type), ")((", wide, ")", operand(n.a), " ", sign, " (", wide, ")", operand(n.b),
               ")");
  }
  std::string infix(const char* sign, const Node& n) const {
    return cat(operand(n.a), " ", sign, " ", operand(n.b));
  }
  std::string call(const char* name, const Node& n) const {
    return cat(name, n.type == Type::F32 ? "f(" : "(", operand(n.a), ")");
  }
  std::string same_bits(const Node& n) const {
    const char* name = n.type == Type::F32   ? "__int_as_float"
                       : n.type == Type::F64 ? "__longlong_as_double"
                       : n.type == Type::I32 ? "__float_as_int"
                                             : "__double_as_longlong";
    return cat(name, "(", operand(n.a), ")");
  }
  std::string without_sign(const Node& n) const {
    const Type from = page_[n.a].type;
    const char* word = from == Type::Mask  ? "bool"
                       : from == Type::I8  ? "unsigned char"
                       : from == Type::I16 ? "unsigned short"
                                           : "unsigned";
    return cat("(", word_of(n.type), ")(", word, ")", operand(n.a));
  }
  std::string shifted(const char* sign, const Node& n, bool zero) const {
    const char* word = n.type == Type::I64 ? "unsigned long long" : "unsigned";
    if (!zero) return cat(operand(n.a), " ", sign, " ", n.number);
    return cat("(", word_of(n.type), ")((", word, ")", operand(n.a), " ", sign, " ", n.number, ")");
  }
  std::string between_floats(const Node& n) const {
    const Type from = page_[n.a].type;
    if (from == Type::F16) return cat("__half2float(", operand(n.a), ")");
    if (n.type == Type::F16) return cat("__float2half_rn(", operand(n.a), ")");
    return cat("(", word_of(n.type), ")", operand(n.a));
  }

  std::string node(const Node& n) const {
    switch (n.kind) {
      case Kind::Input: return cat("in", n.number, "[i]");
      case Kind::Constant: return {};
      case Kind::Add: return arithmetic("+", n);
      case Kind::Subtract: return arithmetic("-", n);
      case Kind::Multiply: return arithmetic("*", n);
      case Kind::Divide: return infix("/", n);
      case Kind::Negate:
        return is_float(n.type) ? cat("-", operand(n.a))
                                : cat("(", word_of(n.type), ")(0u - ", operand(n.a), ")");
      case Kind::And: return n.type == Type::Mask ? infix("&&", n) : infix("&", n);
      case Kind::Or: return n.type == Type::Mask ? infix("||", n) : infix("|", n);
      case Kind::Xor: return n.type == Type::Mask ? infix("!=", n) : infix("^", n);
      case Kind::Not: return cat(n.type == Type::Mask ? "!" : "~", operand(n.a));
      case Kind::ShiftLeft: return shifted("<<", n, true);
      case Kind::ShiftRight: return shifted(">>", n, false);
      case Kind::ShiftRightZero: return shifted(">>", n, true);
      case Kind::Less: return infix("<", n);
      case Kind::LessEqual: return infix("<=", n);
      case Kind::Equal: return infix("==", n);
      case Kind::NotEqual: return infix("!=", n);
      case Kind::Select: return cat(operand(n.a), " ? ", operand(n.b), " : ", operand(n.c));
      case Kind::SquareRoot: return call("sqrt", n);
      case Kind::Floor: return call("floor", n);
      case Kind::Ceil: return call("ceil", n);
      case Kind::Truncate: return call("trunc", n);
      case Kind::RoundEven: return call("rint", n);
      case Kind::Bits: return same_bits(n);
      case Kind::ZeroExtend: return without_sign(n);
      case Kind::SignExtend:
      case Kind::Shorten:
      case Kind::IntToFloat: return cat("(", word_of(n.type), ")", operand(n.a));
      case Kind::FloatToFloat: return between_floats(n);
      case Kind::MultiplyAdd:
        return cat(n.type == Type::F32 ? "fmaf(" : "fma(", operand(n.a), ", ", operand(n.b), ", ",
                   operand(n.c), ")");
      case Kind::Count:
      case Kind::RowSum:
      case Kind::RowMaximum:
      case Kind::RowMinimum: return {};
    }
    return {};
  }

  const Page& page_;
  const Program& program_;
};
}  // namespace

std::string print_cuda(const Program& program, std::string_view name) {
  MOKA_CHECK_KIND(NotImplemented, !program.rows,
                  "print_cuda: programs that work on rows have no CUDA source yet");
  return Printer(program).function(name);
}

}  // namespace moka::lanes
