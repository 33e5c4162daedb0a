// Plan: a graph made ready for one combination of input shapes. Values became registers, nodes became steps, and the
// tensors whose sizes are known have their place in one arena.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "moka/graph/builtins.h"
#include "moka/graph/graph.h"
#include "moka/runtime/executable.h"

namespace moka::runtime {

enum class StepKind : uint8_t {
  Planned,  // an operator whose result sizes are known: kernel or formula writes to memory that is there
  View,  // an operator that shows memory of its inputs
  Dynamic,  // an operator that is dispatched when it runs
  Builtin,
  MakeList,
  MakeTuple,
  Unpack,
  If,
  Loop,
  Get,
  Set,
  Python,
};

// What is known of a value before anything runs: all of it, or shapes of tensors (without storage), or nothing.
struct Meta {
  bool known = false;  // `value` says all that shape functions may ask
  bool constant = false;  // and its elements are known too
  Any value;
};

// All that one walk over the graph finds out before anything runs.
struct Analysis {
  std::unordered_map<const graph::Value*, Meta> metas;
  std::unordered_map<const graph::Node*, std::vector<Tensor>> results;  // shapes of what operators will make
  const Meta& meta(const graph::Value* v) const;
};
Analysis analyze(const graph::Graph& graph, std::span<const Any> inputs,
                 const std::map<std::string, Any>& states);
bool has_tensor(const Any& value);  // in it, at any depth
bool same_shape(const Any& a, const Any& b);

// Memory of one tensor that the program makes.
struct Root {
  int64_t bytes = 0;
  int first = 0, last = 0;  // steps between which it lives
  bool planned = false;  // its size is known
  bool escapes = false;  // it outlives the run or the iteration: allocated when it is made
  int same_place_as = -1;  // written over this root, element for element
  int64_t offset = -1;  // in the arena
};

struct OutputSpec {
  Dims sizes;
  DType dtype = DType::F32;
  int root = -1;
};

struct Region;
struct Step {
  StepKind kind = StepKind::Dynamic;
  const graph::Node* node = nullptr;
  const graph::Builtin* builtin = nullptr;
  std::vector<int> inputs, outputs;  // registers of data, without tokens
  std::vector<OutputSpec> specs;  // Planned: one for each output tensor
  std::vector<Region> regions;  // If: then, else; Loop: body
  std::vector<int> drops;  // registers that nothing reads after this step
  int position = 0;
};

struct Region {
  std::vector<Step> steps;
  std::vector<int> params, results;  // registers
};

// How a register gets its value.
enum class Source : uint8_t { Computed, Constant, Input };

struct Plan {
  Region main;
  std::vector<Source> sources;  // by register
  std::vector<Any> constants;  // by register; None where the source is another
  std::vector<Root> roots;
  std::vector<std::vector<int>> aliases;  // by register: roots whose memory it may show
  int64_t arena_bytes = 0;
  PlanSummary summary;
};

// States that nothing writes are constants of the plan; `states` holds their values.
Plan make_plan(const graph::Graph& graph, std::span<const Any> inputs,
               const std::map<std::string, Any>& states, const Options& options);
// Offsets for roots that are planned and do not escape: best fit by size and time of life; returns the bytes needed.
int64_t plan_memory(std::vector<Root>& roots);

bool is_written(const graph::Graph& graph, const std::string& state);
// Where a node stands, for messages: "in conv2d 'layer1.conv' (model.py:12)".
std::string node_place(const graph::Node& node);
// The value of a state that nothing writes.
const Any& constant_state(const graph::Graph& graph, const std::string& name,
                          const std::map<std::string, Any>& states);

}  // namespace moka::runtime
