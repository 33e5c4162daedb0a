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
  MultiplyAdd,  // a * b + c, rounded once
  Count,  // how many elements a row has
  RowSum,  // over all elements of a row
  RowMaximum,  // NaN wins
  RowMinimum,
};
constexpr bool is_reduction(Kind k) { return k >= Kind::RowSum; }

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
  // Masks of elements that the program cannot compute: code says so, and does nothing that lasts.
  void refuse(int mask);
  const std::vector<int>& refused() const { return refused_; }

 private:
  std::vector<int> refused_;
  std::vector<Node> nodes_;
  std::map<std::tuple<Kind, Type, int, int, int, uint64_t>, int> known_;
};

// What a region computes for one element, or for one row. Elements in memory: bool as a byte, bfloat16 as 16 bits.
struct Program {
  Page page;
  std::vector<Type> inputs;
  std::vector<int> results;  // nodes, of the types in memory
  bool rows = false;
  std::vector<bool> line_inputs, line_results;  // of row programs: one element a row
};

// How the code of a row program goes over a row: as many loops as reductions stand on each other and one for what
// follows them. A node's loop is the first in which it can be computed.
struct RowLoops {
  std::vector<char> line;  // by node: one value a row
  std::vector<int> loop;  // by node
  std::vector<int> spare;  // by node: the row in which its values are kept for later loops, -1: none
  int loops = 1, spare_rows = 0;
};
RowLoops plan_loops(const Program& program);
// The nodes of elements that loop l computes or reads back, in order, and the values of rows that it stores.
std::vector<int> loop_body(const Program& program, const RowLoops& loops, int l);
// Whether code over rows does little twice: what no row is kept for is computed again in every loop that wants it, where
// the operators' kernels over tiles compute it once. Each loop costs next to nothing: 25 of them over a row, the code of
// six layer norms and softmaxes, are faster than tiles from 256 elements a row on.
bool pays(const Program& program, const RowLoops& loops);

// Adds what a formula's text (Formula::text) computes in type `compute` (F32, F64, I32, I64) of operands to the page;
// nothing where some of its functions have no reading as lanes.
std::optional<int> read_formula(Page& page, std::string_view text, Type compute, std::span<const int> streams,
                                std::span<const int> uniforms);
// The same for work on rows; weight and bias may be -1.
std::optional<int> read_row_work(Page& page, RowWork work, Type compute, int input, int weight, int bias,
                                 double epsilon);
// The program of a planned region; nothing where a formula or type in it has no reading as lanes, or where its code would
// compute too much of rows again.
std::optional<Program> read_region(const RegionPlan& plan);

}  // namespace moka::lanes
