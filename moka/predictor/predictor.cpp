// Predictor: a model's main graph, made fast and handed to the executor.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/predictor.h"

#include <chrono>
#include <cmath>
#include <functional>
#include <list>
#include <mutex>
#include <optional>

#include "moka/backends/llvm/bundle.h"
#include "moka/base/error.h"
#include "moka/passes/passes.h"
#include "moka/predictor/plans.h"
#include "moka/runtime/executable.h"
#include "moka/schema/log.h"
#include "moka/tensor/allocator.h"

namespace moka {

struct Predictor::Loaded {
  std::vector<Port> inputs, outputs;
  ModelFormat format = ModelFormat::Package;
  std::map<std::string, std::string> metadata;
  std::optional<runtime::Executable> executable;  // none: the model waits for inputs
  std::string waits;
  bool optimize = true, lacks_ranks = false;
  std::function<std::unique_ptr<graph::Graph>(std::span<const Any>)> read_for;
  std::mutex mutex;  // guards `made`
  std::list<std::shared_ptr<const runtime::Executable>> made;  // for the inputs of runs, the newest first

  static constexpr size_t most_made = 8;

  std::shared_ptr<const runtime::Executable> made_for(std::span<const Any> values);
  std::vector<Any> run(std::span<const Any> values, const runtime::RunOptions& options);
};

namespace {

// The program gives its graphs away, so that weights go as they are packed.
std::unique_ptr<graph::Graph> prepare(graph::Program program, const std::string& main, bool optimize) {
  std::unique_ptr<graph::Graph> graph = passes::inline_calls(program, main);
  program.graphs.clear();
  if (optimize) passes::optimize(*graph);
  return graph;
}

void check_count(size_t wanted, size_t came) {
  MOKA_CHECK_KIND(Value, wanted == came, "predictor: the model takes ", wanted, " inputs, got ", came);
}

std::vector<Port> input_ports(const graph::Graph& graph) {
  std::vector<Port> out;
  for (const graph::Value* v : graph.inputs()) out.push_back({v->name, v->type});
  return out;
}

std::vector<Port> output_ports(const graph::Graph& graph) {
  std::vector<Port> out;
  for (size_t i = 0; i < graph.outputs().size(); i++) {
    const graph::Value* v = graph.outputs()[i];
    std::string name = i < graph.output_names.size() ? graph.output_names[i] : "";
    if (name.empty()) name = cat("output ", i);
    out.push_back({std::move(name), v->type});
  }
  return out;
}

runtime::RunOptions run_options(const RunOptions& options) {
  runtime::RunOptions out;
  out.cancel = options.cancel;
  out.trace = options.trace;
  MOKA_CHECK_KIND(Value, options.deadline_seconds >= 0 && std::isfinite(options.deadline_seconds),
                  "predictor: the deadline must be 0 or more seconds, not ", options.deadline_seconds);
  // Beyond some centuries the clock's counter would overflow: that is no deadline.
  if (options.deadline_seconds > 0 && options.deadline_seconds < 1e9)
    out.deadline =
        std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                               std::chrono::duration<double>(options.deadline_seconds));
  return out;
}

template <class T>
Tensor scalar(DType dtype, T value) {
  Tensor out = new_tensor({}, dtype);
  *out.data<T>() = value;
  return out;
}

Any without_numbers(const Any& value) {
  switch (value.tag()) {
    case Tag::Int: return Any(scalar<int64_t>(DType::I64, value.to_int()));
    case Tag::Float: return Any(scalar<double>(DType::F64, value.to_double()));
    case Tag::Bool: return Any(scalar<bool>(DType::Bool, value.to_bool()));
    default: return value;
  }
}

Tensor as_tensor(const Any& value, const Port& port) {
  MOKA_CHECK_KIND(NotImplemented, value.is_tensor(), "predictor: output '", port.name, "' is a ",
                  tag_name(value.tag()), "; run() returns tensors and numbers, run_values() everything");
  return value.tensor();
}

// What a package lists is a wish: sizes that do not fit are planned when they come.
void plan_listed(const runtime::Executable& executable, const std::map<std::string, Bytes>& files) {
  const auto listed = files.find(std::string(plans_name));
  if (listed == files.end()) return;
  try {
    for (const std::vector<Tensor>& inputs : read_plans(listed->second.text(), plans_name)) {
      const std::vector<Any> values(inputs.begin(), inputs.end());
      executable.plan_summary(values);
    }
  } catch (const Error& e) {
    if (log_enabled(Log::Backends))
      log_line(Log::Backends, cat("package: not planned beforehand: ", e.what()));
  }
}

}  // namespace

std::shared_ptr<const runtime::Executable> Predictor::Loaded::made_for(std::span<const Any> values) {
  check_count(inputs.size(), values.size());
  std::lock_guard lock(mutex);
  for (const auto& one : made)
    if (one->takes(values)) return one;
  const std::unique_ptr<graph::Graph> graph = read_for(values);
  if (optimize) passes::optimize(*graph);
  auto out = std::make_shared<const runtime::Executable>(*graph, runtime::Options());
  if (!out->takes(values)) return out;  // its run says what does not fit
  made.push_front(out);
  if (made.size() > most_made) made.pop_back();
  return out;
}

std::vector<Any> Predictor::Loaded::run(std::span<const Any> values, const runtime::RunOptions& options) {
  // Names of sizes may contradict what comes; then the model is read for these inputs.
  if (executable && !lacks_ranks && (!read_for || executable->takes(values)))
    return executable->run(values, options);
  const std::shared_ptr<const runtime::Executable> one = made_for(values);
  return executable && !one->takes(values) ? executable->run(values, options) : one->run(values, options);
}

Predictor Predictor::load(const std::string& path, const LoadOptions& options) {
  return Predictor(load_model(path, options.limits), options);
}

Predictor Predictor::load(const Bytes& bytes, std::string_view what, const LoadOptions& options) {
  return Predictor(load_model(bytes, what, options.limits), options);
}

Predictor Predictor::load_netdef(const std::string& init_path, const std::string& predict_path,
                                 const LoadOptions& options) {
  return Predictor(moka::load_netdef(init_path, predict_path, options.limits), options);
}

Predictor::Predictor(Model model, const LoadOptions& options) {
  loaded_ = std::make_unique<Loaded>();
  loaded_->format = model.format;
  loaded_->optimize = options.optimize;
  loaded_->read_for = std::move(model.read_for);
  loaded_->waits = model.waits;
  loaded_->lacks_ranks = model.lacks_ranks;
  if (!model.waits.empty()) {
    loaded_->inputs = std::move(model.inputs);
    loaded_->outputs = std::move(model.outputs);
    return;
  }
  loaded_->inputs = input_ports(model.graph());
  loaded_->outputs = output_ports(model.graph());
  if (options.optimize) llvm::use_package_code(model.files, options.code_key);
  loaded_->metadata = std::move(model.metadata);
  loaded_->executable.emplace(*prepare(std::move(model.program), model.main, options.optimize),
                              runtime::Options());
  cpu_allocator().release_cache();  // what packing freed
  if (model.leave) model.leave();
  if (options.optimize) plan_listed(*loaded_->executable, model.files);
}

Predictor::Predictor(Predictor&&) noexcept = default;
Predictor& Predictor::operator=(Predictor&&) noexcept = default;
Predictor::~Predictor() = default;

const std::vector<Port>& Predictor::inputs() const { return loaded_->inputs; }
const std::vector<Port>& Predictor::outputs() const { return loaded_->outputs; }
const graph::Graph& Predictor::graph() const {
  if (loaded_->executable) return loaded_->executable->graph();
  std::lock_guard lock(loaded_->mutex);
  MOKA_CHECK_KIND(NotImplemented, !loaded_->made.empty(), loaded_->waits);
  return loaded_->made.front()->graph();
}
ModelFormat Predictor::format() const { return loaded_->format; }
const std::map<std::string, std::string>& Predictor::metadata() const { return loaded_->metadata; }

std::vector<Tensor> Predictor::run(std::span<const Tensor> inputs, const RunOptions& options) const {
  std::vector<Any> values(inputs.begin(), inputs.end());
  const std::vector<Any> results = run_values(values, options);
  std::vector<Tensor> out;
  for (size_t i = 0; i < results.size(); i++) out.push_back(as_tensor(results[i], loaded_->outputs[i]));
  return out;
}

std::vector<Any> Predictor::run_values(std::span<const Any> inputs, const RunOptions& options) const {
  std::vector<Any> out = loaded_->run(inputs, run_options(options));
  for (Any& value : out) value = without_numbers(value);
  return out;
}

std::map<std::string, Tensor> Predictor::run(const std::map<std::string, Tensor>& inputs,
                                             const RunOptions& options) const {
  std::vector<Tensor> order;
  std::string names;
  for (const Port& port : loaded_->inputs) {
    names += cat(names.empty() ? "" : ", ", port.name);
    const auto at = inputs.find(port.name);
    MOKA_CHECK_KIND(Value, at != inputs.end(), "predictor: there is no input '", port.name, "' (",
                    port.type.text(), ")");
    order.push_back(at->second);
  }
  for (const auto& [name, tensor] : inputs) {
    bool known = false;
    for (const Port& port : loaded_->inputs) known = known || port.name == name;
    MOKA_CHECK_KIND(Value, known, "predictor: the model has no input '", name, "'; its inputs are: ", names);
  }
  std::vector<Tensor> results = run(order, options);
  std::map<std::string, Tensor> out;
  for (size_t i = 0; i < results.size(); i++) out[loaded_->outputs[i].name] = std::move(results[i]);
  return out;
}

}  // namespace moka
