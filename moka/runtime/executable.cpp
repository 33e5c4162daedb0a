// Executables: inputs are checked, a plan is found or made, a free context runs it.
// SPDX-License-Identifier: Apache-2.0
#include "moka/runtime/executable.h"

#include <algorithm>
#include <list>
#include <mutex>

#include "moka/passes/passes.h"
#include "moka/runtime/context_internal.h"

namespace moka::runtime {

using namespace graph;

namespace {
void sign(std::string& out, const Any& a) {
  auto number = [&](int64_t n) { out.append(reinterpret_cast<const char*>(&n), sizeof n); };
  auto tensor = [&](const Tensor& t) {
    if (!t) return number(-1);
    out += static_cast<char>(t.dtype());
    out += static_cast<char>(t.dim());
    out += static_cast<char>(t.device().type);
    out += static_cast<char>(t.device().index);
    for (int64_t s : t.sizes()) number(s);
    // Contiguous tensors share plans whatever strides their dimensions of size 1 have.
    bool contiguous = t.is_contiguous();
    out += static_cast<char>(contiguous);
    if (!contiguous)
      for (int64_t s : t.strides()) number(s);
  };
  out += static_cast<char>(a.tag());
  switch (a.tag()) {
    case Tag::Tensor: tensor(a.tensor()); break;
    case Tag::String:
      number(static_cast<int64_t>(a.string().size()));
      out += a.string();
      break;
    case Tag::DType: out += static_cast<char>(a.dtype()); break;
    case Tag::Tensors:
      number(a.arg().count);
      for (const Tensor& t : a.tensors()) tensor(t);
      break;
    default: break;  // numbers and lists of them do not choose the plan
  }
}

// The same answer as fits(type_of(value), type), without making a type of every tensor that comes.
bool serves(const Any& value, const Type& type) {
  if (!value.is_tensor() || type.kind != TypeKind::Tensor) return fits(type_of(value), type);
  const Tensor& t = value.tensor();
  if (type.has_dtype && t.dtype() != type.dtype) return false;
  if (!type.has_dims) return true;
  if (type.dims.size() != static_cast<size_t>(t.dim())) return false;
  for (size_t i = 0; i < type.dims.size(); i++)
    if (type.dims[i].fixed() && type.dims[i].size != t.size(static_cast<int>(i))) return false;
  return true;
}
}  // namespace

struct Executable::Made {
  struct Planned {
    std::string key;
    Plan plan;
    std::mutex mutex;
    std::vector<std::unique_ptr<Context>> idle;
  };

  Made(std::unique_ptr<Graph> g, const Options& o) : graph(std::move(g)), options(o) {
    passes::decompose(*graph);
    verify(*graph);
    for (auto& [name, s] : graph->states) (s.written ? states.values : constants)[name] = s.value;
    std::map<std::string, std::pair<size_t, int>> first;
    for (size_t i = 0; i < graph->inputs().size(); i++) {
      const Type& type = graph->inputs()[i]->type;
      for (size_t d = 0; type.kind == TypeKind::Tensor && d < type.dims.size(); d++) {
        if (type.dims[d].symbol.empty()) continue;
        auto [at, fresh] = first.emplace(type.dims[d].symbol, std::pair{i, static_cast<int>(d)});
        if (!fresh) repeated.push_back({at->second.first, at->second.second, i, static_cast<int>(d)});
      }
    }
  }

  // Two places in the inputs that one name says have one size.
  struct Repeated {
    size_t first_input;
    int first_dim;
    size_t input;
    int dim;
  };
  std::vector<Repeated> repeated;

  std::unique_ptr<Graph> graph;
  Options options;
  mutable StateTable states;
  mutable std::mutex mutex;  // guards the members below
  std::map<std::string, Any> constants;
  mutable std::list<std::shared_ptr<Planned>> plans;  // used last first
  mutable std::unordered_map<std::string, std::list<std::shared_ptr<Planned>>::iterator> by_key;

  std::string input_name(size_t i) const {
    const std::string& name = graph->inputs()[i]->name;
    return name.empty() ? cat("input ", i) : name;
  }

  void check(std::span<const Any> inputs) const {
    size_t wanted = graph->inputs().size();
    if (inputs.size() != wanted)
      fail("run: graph '", graph->name, "' takes ", wanted, " inputs, got ", inputs.size());
    for (size_t i = 0; i < wanted; i++) {
      const Type& type = graph->inputs()[i]->type;
      if (inputs[i].is_tensor() && !inputs[i].tensor().has_storage())
        fail("run: input '", input_name(i), "' has a shape but no values");
      if (serves(inputs[i], type)) continue;
      Type got = type_of(inputs[i]);
      fail_kind(got.kind == type.kind ? ErrorKind::Runtime : ErrorKind::Type, "run: input '", input_name(i),
                "' of graph '", graph->name, "' must be ", type.text(), ", got ", got.text());
    }
    for (const Repeated& r : repeated) {
      const int64_t a = size_at(inputs, r.first_input, r.first_dim), b = size_at(inputs, r.input, r.dim);
      if (a < 0 || b < 0 || a == b) continue;
      const std::string& symbol = graph->inputs()[r.input]->type.dims[static_cast<size_t>(r.dim)].symbol;
      fail("run: size '", symbol, "' is ", a, " in input '", input_name(r.first_input), "' but ", b,
           " in input '", input_name(r.input), "'");
    }
  }

  int64_t size_at(std::span<const Any> inputs, size_t input, int dim) const {
    return inputs[input].is_tensor() ? inputs[input].tensor().size(dim) : -1;
  }

  bool takes(std::span<const Any> inputs) const {
    if (inputs.size() != graph->inputs().size()) return false;
    for (size_t i = 0; i < inputs.size(); i++)
      if (!serves(inputs[i], graph->inputs()[i]->type)) return false;
    return std::none_of(repeated.begin(), repeated.end(), [&](const Repeated& r) {
      const int64_t a = size_at(inputs, r.first_input, r.first_dim), b = size_at(inputs, r.input, r.dim);
      return a >= 0 && b >= 0 && a != b;
    });
  }

  std::shared_ptr<Planned> plan_for(std::span<const Any> inputs) const {
    thread_local std::string key;  // its memory serves the thread's next run
    key.clear();
    for (const Any& a : inputs) sign(key, a);
    std::map<std::string, Any> values;
    {
      std::lock_guard lock(mutex);
      auto it = by_key.find(key);
      if (it != by_key.end()) {
        plans.splice(plans.begin(), plans, it->second);
        return plans.front();
      }
      values = constants;
    }
    // Made outside the lock: other shapes go on meanwhile. Of two threads that make the same plan one wins.
    auto made = std::make_shared<Planned>();
    made->key = key;
    made->plan = make_plan(*graph, inputs, values, options);
    std::lock_guard lock(mutex);
    if (values != constants) return made;  // a state was set meanwhile: right for this run, not kept
    auto it = by_key.find(key);
    if (it != by_key.end()) return *it->second;
    plans.push_front(made);
    by_key[key] = plans.begin();
    while (plans.size() > static_cast<size_t>(std::max(1, options.plans))) {
      by_key.erase(plans.back()->key);
      plans.pop_back();
    }
    return made;
  }

  std::vector<Any> run(std::span<const Any> inputs, const RunOptions& run_options) const {
    check(inputs);
    std::shared_ptr<Planned> planned = plan_for(inputs);
    std::unique_ptr<Context> context;
    {
      std::lock_guard lock(planned->mutex);
      if (!planned->idle.empty()) {
        context = std::move(planned->idle.back());
        planned->idle.pop_back();
      }
    }
    if (!context) context = std::make_unique<Context>(planned->plan, states, options);
    std::vector<Any> results = context->run(inputs, run_options);
    std::lock_guard lock(planned->mutex);
    if (planned->idle.size() < static_cast<size_t>(std::max(1, options.idle_contexts)))
      planned->idle.push_back(std::move(context));
    return results;
  }
};

Executable::Executable(const Graph& graph, const Options& options)
    : made_(std::make_unique<Made>(graph.clone(), options)) {}
Executable::Executable(const Program& program, const std::string& name, const Options& options)
    : made_(std::make_unique<Made>(passes::inline_calls(program, name), options)) {}
Executable::Executable(Executable&&) noexcept = default;
Executable& Executable::operator=(Executable&&) noexcept = default;
Executable::~Executable() = default;

std::vector<Any> Executable::run(std::span<const Any> inputs, const RunOptions& options) const {
  return made_->run(inputs, options);
}

std::map<std::string, Any> Executable::run(const std::map<std::string, Any>& inputs,
                                           const RunOptions& options) const {
  const Graph& g = *made_->graph;
  std::vector<Any> ordered(g.inputs().size());
  std::string known;
  for (size_t i = 0; i < ordered.size(); i++) {
    std::string name = made_->input_name(i);
    known += cat(i ? ", '" : "'", name, "'");
    auto it = inputs.find(name);
    if (it != inputs.end()) {
      ordered[i] = it->second;
      continue;
    }
    if (g.inputs()[i]->type.kind != TypeKind::Optional)
      fail("run: input '", name, "' of graph '", g.name, "' is missing");
  }
  for (const auto& [name, value] : inputs) {
    bool found = false;
    for (size_t i = 0; i < ordered.size() && !found; i++) found = made_->input_name(i) == name;
    if (!found) fail("run: graph '", g.name, "' has no input '", name, "'; its inputs are ", known);
  }
  std::vector<Any> results = run(std::span<const Any>(ordered), options);
  std::map<std::string, Any> named;
  for (size_t i = 0; i < results.size(); i++) {
    bool has_name = i < g.output_names.size() && !g.output_names[i].empty();
    named[has_name ? g.output_names[i] : cat("output ", i)] = std::move(results[i]);
  }
  return named;
}

bool Executable::takes(std::span<const Any> inputs) const { return made_->takes(inputs); }

const Graph& Executable::graph() const { return *made_->graph; }

Any Executable::state(const std::string& name) const {
  auto it = made_->graph->states.find(name);
  MOKA_CHECK_KIND(Value, it != made_->graph->states.end(), "state: graph '", made_->graph->name,
                  "' has no state '", name, "'");
  if (it->second.written) return made_->states.get(name);
  std::lock_guard lock(made_->mutex);
  return made_->constants.at(name);
}

void Executable::set_state(const std::string& name, Any value) {
  auto it = made_->graph->states.find(name);
  MOKA_CHECK_KIND(Value, it != made_->graph->states.end(), "set_state: graph '", made_->graph->name,
                  "' has no state '", name, "'");
  if (!fits(type_of(value), it->second.type))
    fail_kind(ErrorKind::Type, "set_state: state '", name, "' is ", it->second.type.text(), ", got ",
              type_of(value).text());
  if (it->second.written) return made_->states.set(name, std::move(value));
  std::lock_guard lock(made_->mutex);
  made_->constants[name] = std::move(value);
  made_->plans.clear();  // they hold the old value; runs that use one now finish with it
  made_->by_key.clear();
}

PlanSummary Executable::plan_summary(std::span<const Any> inputs) const {
  made_->check(inputs);
  return made_->plan_for(inputs)->plan.summary;
}

size_t Executable::plan_count() const {
  std::lock_guard lock(made_->mutex);
  return made_->plans.size();
}

}  // namespace moka::runtime
