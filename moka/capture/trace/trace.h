// Tracing: runs a program once and records every operator call as a graph.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::capture {

// Where the running program is; the bindings read it from Python's frames.
using SourceProvider = graph::Source (*)();
void set_source_provider(SourceProvider provider);

// One recording. Inputs and states are declared, the program runs between begin() and finish(), and what it calls in
// this thread becomes nodes. In-place writes, also into views, become new values; writes to states become Set nodes at
// the end. Tensors that are neither inputs, states nor results become constants, or states where the program writes
// them. What the program writes into an input is a further output, "x.after" for input x, and the metadata
// "writes x.after" = "x" says so.
class Tracer {
 public:
  explicit Tracer(std::string name);
  ~Tracer();
  Tracer(const Tracer&) = delete;

  void add_input(const Tensor& t, std::string name);
  void add_state(const Tensor& t, std::string name, bool parameter);
  void begin();
  void push_scope(std::string name);  // module path: "layer1", then "layer1.conv"
  void pop_scope();
  // Stops recording. Outputs are results, inputs or states of the recording (other tensors become constants), or numbers
  // that it followed.
  struct Result {
    Tensor tensor;
    graph::Value* number = nullptr;
  };
  std::unique_ptr<graph::Graph> finish(std::span<const Result> outputs,
                                       const std::vector<std::string>& names);

  // While sizes are followed: the value of the graph that is this size (null where the recording does not know the
  // tensor), numbers computed from such values, and what the program asked of one and was told.
  bool follows_sizes = false;
  graph::Value* size(const Tensor& t, int dim);
  graph::Value* literal(int64_t number);
  graph::Value* compute(const std::string& builtin, graph::Value* a, graph::Value* b, int64_t is);
  void answer(const std::string& builtin, graph::Value* a, graph::Value* b, bool is);

  // Line and module of the program that runs now, for messages.
  graph::Source here() const;
  // Whether another run may find other elements in `t`: they come of inputs, states or random numbers.
  bool varies(const Tensor& t);
  // A part that stayed Python gave `results`; `inputs` are values of this graph.
  graph::Value* value(const Tensor& t);
  void call_python(const std::string& name, std::span<graph::Value* const> inputs,
                   std::span<const Tensor> results);
  // `t` is a tensor that the program made, not one that it found.
  void own(const Tensor& t);
  // `t` shows from now on what `other` shows (t_(), x.data = y).
  void become(const Tensor& t, const Tensor& other);

  static Tracer* current();  // of this thread; null when none records

  // What runs in its scope is not recorded.
  class Paused {
   public:
    Paused();
    ~Paused();
    Paused(const Paused&) = delete;

   private:
    Tracer* tracer_;
    LayersOff off_;
  };

 private:
  friend void record_call(Frame& frame, uint32_t rest);
  struct State;
  std::unique_ptr<State> state_;
};

// Names of sizes that may change, by (input, dimension).
using SizeNames = std::map<std::pair<int, int>, std::string>;
// Combines recordings of one program with inputs of different sizes: dimensions that differ become unknown or get their
// name, numbers that differ are computed from sizes. An error names the first place where the program itself depends on
// a size. With less than three recordings in all, only numbers that are sizes, or products of neighbouring ones, count.
void generalize(graph::Graph& graph, std::span<graph::Graph* const> others, const SizeNames& names);

// What a program's user promises of a size: it is factor * name + offset, and name lies between least and most.
struct SizeRule {
  int input, dim;
  std::string name;
  int64_t factor = 1, offset = 0;
  int64_t least = 0, most = -1;  // -1: no limit
};
// The graph checks the promises when a plan is made.
void check_sizes(graph::Graph& graph, std::span<const SizeRule> rules);

// Installs the capture layer; once, before anything is traced.
void install();

}  // namespace moka::capture
