// Executable: a graph that runs. Any number of threads may run one at the same time; they share weights and plans.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::runtime {

class Trace;

struct Options {
  // Most bytes that one run may hold in intermediate and output tensors of known size; 0: no limit.
  int64_t max_bytes = 0;
  // Plans kept, one for each combination of input types, shapes and strides; the one not used for longest goes.
  int plans = 16;
  // Idle contexts kept for each plan; a context holds the memory of one run.
  int idle_contexts = 4;
  // Most iterations of one loop; 0: no limit.
  int64_t max_iterations = 0;
};

struct RunOptions {
  std::chrono::steady_clock::time_point
      deadline{};  // zero: none. Looked at between steps; late runs raise Cancelled
  const std::atomic<bool>* cancel = nullptr;  // set from any thread: the run raises Cancelled
  Trace* trace = nullptr;  // takes the time of every step
  // Called some twenty times a second while a loop runs; what it throws ends the run.
  void (*poll)() = nullptr;
};

struct PlanSummary {
  int steps = 0;  // all nodes that do something when the plan runs
  int planned_steps = 0;  // of them, those whose kernel and memory are known beforehand
  int views = 0;  // nodes that became aliases and cost nothing
  int64_t arena_bytes = 0;
  int64_t tensor_bytes = 0;  // what the intermediates would take without sharing memory
};

class Executable {
 public:
  // The graph is copied; its states' tensors are shared until set_state.
  explicit Executable(const graph::Graph& graph, const Options& options = {});
  // Calls between graphs are inlined.
  Executable(const graph::Program& program, const std::string& name, const Options& options = {});
  Executable(Executable&&) noexcept;
  Executable& operator=(Executable&&) noexcept;
  ~Executable();

  // Inputs and results in the graph's order. Wrong counts, types and shapes are errors that name the input.
  std::vector<Any> run(std::span<const Any> inputs, const RunOptions& options = {}) const;
  // By name; every input must be there and no other. Outputs without a name are called "output 0", ...
  std::map<std::string, Any> run(const std::map<std::string, Any>& inputs,
                                 const RunOptions& options = {}) const;

  // Whether types, shapes and equally named sizes fit; run() says what does not.
  bool takes(std::span<const Any> inputs) const;
  const graph::Graph& graph() const;  // as it is run
  Any state(const std::string& name) const;
  void set_state(const std::string& name, Any value);
  // The plan that these inputs would run with; makes it when there is none.
  PlanSummary plan_summary(std::span<const Any> inputs) const;
  size_t plan_count() const;

 private:
  struct Made;
  std::unique_ptr<Made> made_;
};

// What runs Python segments; the bindings set it.
using PythonRunner = std::vector<Any> (*)(std::string_view name, std::span<const Any> inputs);
void set_python_runner(PythonRunner runner);

// A fused_region of a plan (moka/ops/fused): its program, and its inputs without elements.
struct RegionUse {
  std::string_view program;
  std::span<const Tensor> inputs;
};
// What makes code for the regions of a plan before it runs; a back end sets it.
using RegionCompiler = void (*)(std::span<const RegionUse> regions);
void set_region_compiler(RegionCompiler compiler);

}  // namespace moka::runtime
