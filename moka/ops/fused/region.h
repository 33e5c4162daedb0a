// Regions: pointwise operators that run in one pass over memory, as fuse_pointwise puts them together.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moka/schema/frame.h"

namespace moka {

constexpr int most_region_inputs = 12, most_region_results = 4, most_region_nodes = 48;
constexpr int most_lanes = 32;  // that generated code works on at once
constexpr int most_region_values = 240;  // with numbers and conversions
constexpr int most_spare_rows = 64;  // that generated code keeps between its loops over a row

// Operators over the last dimension that a region may hold. Spread: a line's value for all its elements.
enum class RowWork : uint8_t {
  None,
  Sum,
  Mean,
  Maximum,
  Minimum,
  Softmax,
  LogSoftmax,
  LayerNorm,
  RmsNorm,
  Spread
};
RowWork row_work(const Op& op);
constexpr bool reduces(RowWork w) { return w >= RowWork::Sum && w <= RowWork::Minimum; }

// What a region computes: the text "(%0, %1) { %2 = mul(%0, %1) ... return %2 }" read once. Values are its inputs and
// then the results of its nodes.
struct RegionProgram {
  struct Operand {
    int value = -1;  // or a number
    Any number;
  };
  struct Node {
    const Op* op = nullptr;
    std::vector<Operand>
        operands;  // streams, then uniforms, which are numbers; of work on rows tensors or none
    RowWork work = RowWork::None;
    bool keeps_dim = false;  // of reductions
    std::optional<DType> dtype;  // asked for
    std::optional<double> epsilon;
    int64_t normalized = -1;  // the size that LayerNorm and RmsNorm name
  };
  int inputs = 0;
  bool rows = false;  // some node works on rows
  std::vector<Node> nodes;
  std::vector<int> results;
};
RegionProgram read_region(std::string_view text);

// A program for inputs of given types: conversions are written out, every value has one type.
struct RegionPlan {
  struct Value {
    enum Kind : uint8_t { Input, Number, Computed } kind = Computed;
    DType dtype = DType::F32;
    bool line = false;  // one value a row
    int slot = -1;  // its tile; of results of the region none
    int result = -1;  // which result of the region
    alignas(8) char number[8] = {};  // Number: one element
  };
  // result = formula(operands), or a conversion where there is no operator.
  struct Step {
    const Op* op = nullptr;
    FormulaKernel kernel = nullptr;
    DType compute = DType::F32;
    std::vector<int> operands;
    int result = -1;
    Uniform uniforms[8] = {};
    RowWork work = RowWork::None;  // operands of norms: input, then weight and bias or -1
    double epsilon = 0;
  };
  int inputs = 0;
  bool rows = false;  // it works on rows: run_rows
  std::vector<Value> values;  // the first are the inputs
  std::vector<Step> steps;
  std::vector<int> results;
  int slots = 0;
  int cost = 0;  // of all formulas
  int64_t widest = 1;  // bytes of an element
  // Compiled code over at least most_lanes contiguous elements of the inputs' and results' own types, once there is some.
  // Of row programs: over one row; values of lines are one element, and behind the results stand `spare_rows` rows of n
  // times 8 bytes for its own use. Not 0 where some operand is out of its reach: the formulas' kernels have to do it.
  using Code = int (*)(void* const* results, const void* const* inputs, int64_t n);
  mutable std::atomic<Code> code{nullptr};
  mutable std::atomic<int> spare_rows{0};  // set before the code
  mutable std::atomic<bool> tried{false};  // to compile it
};
// Kept for every text and types of inputs; 0-d tensors promote otherwise than others, and in programs that work on rows
// inputs with one element a row are lines.
std::shared_ptr<const RegionPlan> region_plan(std::string_view text, std::span<const Tensor> inputs);

// Computes f.outs of a fused_region: inputs are gathered where they do not lie as the results do; `compiled` takes the
// plan's code, else formulas run one after the other over tiles that stay in the first-level cache.
void run_region(Frame& f, const RegionPlan& plan, bool compiled);
// The same for programs that work on rows, a few rows at a time.
void run_rows(Frame& f, const RegionPlan& plan, bool compiled);

}  // namespace moka
