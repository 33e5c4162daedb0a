// Predictor: a loaded model that any number of threads may run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "moka/graph/graph.h"
#include "moka/predictor/model.h"

namespace moka::runtime {
class Trace;
}

namespace moka {

struct LoadOptions {
  Limits limits;
  bool optimize = true;  // rewrite the graph for speed; results may differ in the last bits
  // Code that `moka build` put into a package is run where it was marked with the key in this file, never else. Empty:
  // MOKA_CODE_KEY names the file.
  std::string code_key;
};

struct RunOptions {
  double deadline_seconds = 0;  // from now; a run that takes longer raises Cancelled. 0: none
  const std::atomic<bool>* cancel = nullptr;  // set from any thread: the run raises Cancelled
  runtime::Trace* trace = nullptr;  // takes the time of every step
};

class Predictor {
 public:
  // Formats as load_model() tells them apart.
  static Predictor load(const std::string& path, const LoadOptions& options = {});
  static Predictor load(const Bytes& bytes, std::string_view what, const LoadOptions& options = {});
  static Predictor load_netdef(const std::string& init_path, const std::string& predict_path,
                               const LoadOptions& options = {});
  explicit Predictor(Model model, const LoadOptions& options = {});
  Predictor(Predictor&&) noexcept;
  Predictor& operator=(Predictor&&) noexcept;
  ~Predictor();

  const std::vector<Port>& inputs() const;
  const std::vector<Port>& outputs() const;
  const graph::Graph& graph()
      const;  // as it is run; an error before the first run of a model that waits for it
  ModelFormat format() const;
  const std::map<std::string, std::string>& metadata() const;

  // Inputs and outputs in the model's order. Wrong counts, types and shapes are errors that name the input,
  // what the model takes and what came; numbers that a model returns become tensors without dimensions. Safe
  // from any number of threads at once.
  std::vector<Tensor> run(std::span<const Tensor> inputs, const RunOptions& options = {}) const;
  // The same with everything that a model may take and give: lists, maps, strings, None for
  // what is optional.
  std::vector<Any> run_values(std::span<const Any> inputs, const RunOptions& options = {}) const;
  // By name; every input must be there and no other.
  std::map<std::string, Tensor> run(const std::map<std::string, Tensor>& inputs,
                                    const RunOptions& options = {}) const;

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace moka
