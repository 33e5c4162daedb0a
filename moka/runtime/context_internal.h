// Context: the memory and the prepared calls with which one thread runs a plan.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "moka/runtime/plan_internal.h"
#include "moka/schema/frame.h"

namespace moka::runtime {

// States that runs write; all runs of an executable share them.
struct StateTable {
  mutable std::shared_mutex mutex;
  std::map<std::string, Any> values;
  Any get(const std::string& name) const;
  void set(const std::string& name, Any value);
};

class Context {
 public:
  // The plan outlives the context.
  Context(const Plan& plan, StateTable& states, const Options& options);
  std::vector<Any> run(std::span<const Any> inputs, const RunOptions& options);

 private:
  struct Call;
  struct Body {
    const Region* region = nullptr;
    std::vector<Call> calls;
  };
  // A formula over operands of one shape and type: the kernel itself, without a driver.
  struct DirectFormula {
    FormulaKernel kernel;
    Uniform uniforms[8];
    int64_t count, grain;
    int streams;
    int64_t item, result_item;
  };
  struct Patch {
    int arg, reg;
  };
  struct Call {
    const Step* step;
    std::unique_ptr<Arg[]> args;
    std::optional<Frame> frame;
    std::optional<DirectFormula> direct;
    std::vector<Patch> patches;       // arguments that every run brings anew
    std::vector<Tensor>
        places;       // Planned: result tensors in the arena; undefined where one is made for each run
    const KernelRow* row = nullptr;   // chosen at the first run
    bool settled = true;              // the layout of arguments is the same in every run: so is the row
    bool fresh = false;               // makes some result anew in every run
    std::vector<int> drops;
    std::vector<Body> bodies;
  };

  void prepare(const Region& region, Body& body);
  void prepare_op(const Step& step, Call& call);
  bool show_views(const Step& step);
  bool evaluate(const Step& step);
  void prepare_direct(const Step& step, Call& call);
  bool is_fixed(int reg) const { return fixed_[reg]; }
  void fix(int reg, Any value);

  void run_body(Body& body);
  void run_call(Call& call);
  void run_planned(Call& call);
  bool run_direct(Call& call);
  void run_dynamic(Call& call);
  void keep_results(Call& call);
  Any passed_on(const Step& step);  // builtins, lists, tuples
  void run_if(Call& call);
  void run_loop(Call& call);
  void check_stop() const;
  void traced(Call& call);

  const Plan& plan_;
  StateTable& states_;
  const Options& options_;
  Tensor arena_;
  std::vector<Any> registers_;
  std::vector<char> fixed_;     // the register holds the same in every run
  std::vector<char> constant_;  // and so do the elements
  std::vector<char> settled_;   // its layout is the same in every run
  std::vector<int> moving_;     // registers that are not fixed
  Body main_;
  const RunOptions* run_ = nullptr;
};

bool truth(const Any& value, const char* what);

}  // namespace moka::runtime
