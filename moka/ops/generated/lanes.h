// Lane programs: what a formula does to one element, as a small graph of machine operations. Printed as LLVM's text or as
// CUDA source (print.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "moka/ops/fused/region.h"

namespace moka::lanes {

enum class Type : uint8_t { Mask, I8, I16, I32, I64, F16, F32, F64 };
constexpr bool is_float(Type t) { return t >= Type::F16; }

enum class Kind : uint8_t {
  Input,  // number: which
  Constant,  // number: the bits
  Add,
  Subtract,
  Multiply,
  Divide,
  Negate,
  And,
  Or,
  Xor,
  Not,
  ShiftLeft,  // number: by how many bits
  ShiftRight,  // the sign comes after
  ShiftRightZero,
  Less,
  LessEqual,
  Equal,
  NotEqual,
  Select,  // of a mask
  SquareRoot,
  Floor,
  Ceil,
  Truncate,
  RoundEven,
  Bits,  // the same bits as another type
  SignExtend,
  ZeroExtend,  // also of masks
  Shorten,
  IntToFloat,
  FloatToFloat,
};

struct Node {
  Kind kind;
  Type type;
  int a = -1, b = -1, c = -1;  // operands: earlier nodes
  uint64_t number = 0;
  auto key() const { return std::tuple(kind, type, a, b, c, number); }
};

// Nodes are made once: the same operation of the same operands is one.
class Page {
 public:
  int add(const Node& n);
  const Node& operator[](int i) const { return nodes_[static_cast<size_t>(i)]; }
  int size() const { return static_cast<int>(nodes_.size()); }

 private:
  std::vector<Node> nodes_;
  std::map<std::tuple<Kind, Type, int, int, int, uint64_t>, int> known_;
};

// What a region computes for one element. Elements in memory: bool as a byte, bfloat16 as 16 bits.
struct Program {
  Page page;
  std::vector<Type> inputs;
  std::vector<int> results;  // nodes, of the types in memory
};

// Adds what a formula's text (Formula::text) computes in type `compute` (F32, F64, I32, I64) of operands to the page;
// nothing where some of its functions have no reading as lanes.
std::optional<int> read_formula(Page& page, std::string_view text, Type compute, std::span<const int> streams,
                                std::span<const int> uniforms);
// The program of a planned region; nothing where a formula or type in it has no reading as lanes.
std::optional<Program> read_region(const RegionPlan& plan);

}  // namespace moka::lanes
