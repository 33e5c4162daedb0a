// Running a context: the loop over prepared calls.
// SPDX-License-Identifier: Apache-2.0
#include "moka/runtime/context_internal.h"

#include <algorithm>

#include "moka/base/parallel.h"
#include "moka/runtime/watch.h"
#include "moka/schema/formula_runner.h"
#include "moka/schema/log.h"

namespace moka::runtime {

using namespace graph;

namespace {
std::atomic<PythonRunner> python_runner{nullptr};
}

namespace {
constexpr std::chrono::milliseconds poll_every(50);
}

void set_python_runner(PythonRunner runner) { python_runner = runner; }

Any StateTable::get(const std::string& name) const {
  std::shared_lock lock(mutex);
  auto it = values.find(name);
  return it == values.end() ? Any() : it->second;
}
void StateTable::set(const std::string& name, Any value) {
  std::unique_lock lock(mutex);
  std::swap(values[name], value);  // the old value is dropped after the lock
}

bool truth(const Any& value, const char* what) {
  if (value.is_tensor()) {
    const Tensor& t = value.tensor();
    MOKA_CHECK(t.numel() == 1, what, ": a condition must be one bool or a tensor with one element, got ",
               value);
    return is_floating(t.dtype()) ? element_as_double(t, 0) != 0 : element_as_int(t, 0) != 0;
  }
  MOKA_CHECK_KIND(Type, value.arg().is_number(), what,
                  ": a condition must be one bool or a tensor with one element, got ", value);
  return value.to_bool();
}

std::vector<Any> Context::run(std::span<const Any> inputs, const RunOptions& options) {
  RunOptions watched = options;
  if (const Watch* watch = Watch::current(); watch && !options.trace) watched.trace = &watch->trace;
  LayersOff off(~0u);
  run_ = &watched;
  // Whatever happens, nothing of this run stays in the registers.
  struct Clear {
    Context& c;
    ~Clear() {
      for (int r : c.moving_) c.registers_[r] = Any();
    }
  } clear{*this};
  for (size_t i = 0; i < inputs.size(); i++) registers_[plan_.main.params[i]] = inputs[i];
  run_body(main_);
  std::vector<Any> results;
  results.reserve(plan_.main.results.size());
  for (int r : plan_.main.results) results.push_back(registers_[r]);
  return results;
}

void Context::check_stop() const {
  if (run_->cancel && run_->cancel->load(std::memory_order_relaxed))
    fail_kind(ErrorKind::Cancelled, "run: cancelled");
  if (run_->deadline.time_since_epoch().count() != 0 && std::chrono::steady_clock::now() > run_->deadline)
    fail_kind(ErrorKind::Cancelled, "run: the deadline has passed");
}

void Context::run_body(Body& body) {
  bool stops = run_->cancel || run_->deadline.time_since_epoch().count() != 0;
  Call* current = nullptr;
  try {
    for (Call& call : body.calls) {
      current = &call;
      if (stops) check_stop();
      if (run_->trace) traced(call);
      else run_call(call);
      for (int r : call.drops) registers_[r] = Any();
    }
  } catch (Error& e) {
    if (current) e.add_context(node_place(*current->step->node));
    throw;
  }
}

void Context::run_call(Call& call) {
  const Step& step = *call.step;
  switch (step.kind) {
    case StepKind::Planned: return run_planned(call);
    case StepKind::View:
    case StepKind::Dynamic: return run_dynamic(call);
    case StepKind::Builtin:
    case StepKind::MakeList:
    case StepKind::MakeTuple: registers_[step.outputs[0]] = passed_on(step); return;
    case StepKind::Unpack: {
      const Any list = registers_[step.inputs[0]];
      MOKA_CHECK(list_length(list) == static_cast<int64_t>(step.outputs.size()), "unpack: expected ",
                 step.outputs.size(), " elements, got ", list_length(list));
      for (size_t i = 0; i < step.outputs.size(); i++)
        registers_[step.outputs[i]] = list_item(list, static_cast<int64_t>(i));
      return;
    }
    case StepKind::If: return run_if(call);
    case StepKind::Loop: return run_loop(call);
    case StepKind::Get: {
      Any value = states_.get(step.node->name);
      MOKA_CHECK(!value.is_none() || step.node->output(0)->type.kind != TypeKind::Tensor, "get: state '",
                 step.node->name, "' has no value yet");
      registers_[step.outputs[0]] = std::move(value);
      return;
    }
    case StepKind::Set: states_.set(step.node->name, registers_[step.inputs[0]]); return;
    case StepKind::Python: {
      PythonRunner runner = python_runner;
      MOKA_CHECK_KIND(NotImplemented, runner, "python: segment '", step.node->name,
                      "' needs Python, which is not here");
      std::vector<Any> args;
      for (int r : step.inputs) args.push_back(registers_[r]);
      std::vector<Any> results = runner(step.node->name, args);
      MOKA_CHECK(results.size() == step.outputs.size(), "python: segment '", step.node->name, "' gave ",
                 results.size(), " values, expected ", step.outputs.size());
      for (size_t i = 0; i < results.size(); i++) registers_[step.outputs[i]] = std::move(results[i]);
      return;
    }
  }
}

bool Context::run_direct(Call& call) {
  const DirectFormula& d = *call.direct;
  const void* in[12];
  const Tensor& out = call.frame->outs[0];
  for (int k = 0; k < d.streams; k++) {
    const Arg& a = call.args[k];
    if (a.tag != Tag::Tensor) return false;
    const Tensor& t = a.as_tensor();
    if (t.numel() != d.count || t.dim() != out.dim() ||
        static_cast<int64_t>(item_size(t.dtype())) != d.item || !is_floating(t.dtype()) || !t.is_contiguous())
      return false;
    in[k] = t.raw_data();
  }
  char* to = static_cast<char*>(out.raw_data());
  if (d.count <= d.grain) {
    if (d.count) d.kernel(to, in, d.count, d.uniforms);
    return true;
  }
  parallel_for(0, d.count, d.grain, [&](int64_t first, int64_t last) {
    const void* part[12];
    for (int k = 0; k < d.streams; k++) part[k] = static_cast<const char*>(in[k]) + first * d.item;
    d.kernel(to + first * d.result_item, part, last - first, d.uniforms);
  });
  return true;
}

void Context::run_planned(Call& call) {
  for (const Patch& p : call.patches) call.args[p.arg] = registers_[p.reg].arg();
  Frame& frame = *call.frame;
  const Step& step = *call.step;
  const Op& op = *step.node->op;
  if (call.fresh)
    for (size_t i = 0; i < call.places.size(); i++)
      if (!call.places[i]) frame.outs[i] = new_tensor(step.specs[i].sizes, step.specs[i].dtype);
  if (op.formula) {
    if (!call.direct || !run_direct(call)) {
      uint8_t given = frame.given;
      frame.given = 1;
      formula_runner(frame);
      frame.given = given;
    }
  } else {
    if (!call.row || !call.settled) {
      call.row = choose_kernel(frame, nullptr);
      if (!call.row) {
        std::string why;
        choose_kernel(frame, &why);
        fail_kind(ErrorKind::NotImplemented, frame.name(), ": no kernel serves these arguments", why);
      }
    }
    if (log_enabled(Log::Kernels)) log_kernel(frame, call.row);
    call.row->run(frame);
    // A kernel may bring a tensor of its own instead of filling the one it was given.
    for (size_t i = 0; i < call.places.size(); i++) {
      if (!call.places[i] || frame.outs[i] == call.places[i]) continue;
      copy_elements(frame.outs[i], call.places[i]);
      frame.outs[i] = call.places[i];
    }
  }
  if (call.fresh) keep_results(call);
}

void Context::keep_results(Call& call) {
  const Step& step = *call.step;
  Frame& frame = *call.frame;
  const Schema& schema = info(*step.node->op).schema;
  if (schema.outs.size() == 1 && schema.outs[0].type.list) {
    std::vector<Tensor> list;
    for (size_t i = 0; i < frame.outs.size(); i++) list.push_back(frame.outs[i]);
    registers_[step.outputs[0]] = Any(std::span<const Tensor>(list));
  } else {
    for (size_t i = 0; i < step.outputs.size(); i++)
      if (!is_fixed(step.outputs[i])) registers_[step.outputs[i]] = Any(frame.outs[i]);
  }
  for (size_t i = 0; i < frame.outs.size(); i++)
    if (i >= call.places.size() || !call.places[i]) frame.outs[i] = Tensor();
}

void Context::run_dynamic(Call& call) {
  for (const Patch& p : call.patches) call.args[p.arg] = registers_[p.reg].arg();
  Frame& frame = *call.frame;
  // A copy, as checks may fill in defaults for what a run leaves out.
  Arg args[32];
  MOKA_ASSERT(frame.count <= 32);
  std::copy(call.args.get(), call.args.get() + frame.count, args);
  check_args(frame.op, args, frame.count);
  Frame dynamic(frame.op, args, frame.count);
  run_op(dynamic);
  frame.outs = std::move(dynamic.outs);
  keep_results(call);
}

Any Context::passed_on(const Step& step) {
  const auto is_tensor = [&](int r) { return registers_[r].is_tensor(); };
  if (step.kind == StepKind::MakeList && !step.inputs.empty() &&
      std::all_of(step.inputs.begin(), step.inputs.end(), is_tensor)) {
    std::vector<Tensor> list;
    list.reserve(step.inputs.size());
    for (int r : step.inputs) list.push_back(registers_[r].tensor());
    return Any(std::span<const Tensor>(list));
  }
  std::vector<Any> args;
  args.reserve(step.inputs.size());
  for (int r : step.inputs) args.push_back(registers_[r]);
  if (step.kind == StepKind::Builtin) return step.builtin->run(args);
  if (step.kind == StepKind::MakeTuple) return Any(std::span<const Any>(args));
  const Type& type = step.node->output(0)->type;
  return make_list(args, type.kind == TypeKind::List ? type.elements[0] : Type());
}

void Context::run_if(Call& call) {
  const Step& step = *call.step;
  Body& body = call.bodies[truth(registers_[step.inputs[0]], "if") ? 0 : 1];
  run_body(body);
  for (size_t i = 0; i < step.outputs.size(); i++)
    registers_[step.outputs[i]] = registers_[body.region->results[i]];
}

void Context::run_loop(Call& call) {
  const Step& step = *call.step;
  Body& body = call.bodies[0];
  const Region& region = *body.region;
  size_t carried = step.outputs.size();
  const Any count = registers_[step.inputs[0]], condition = registers_[step.inputs[1]];
  int64_t limit = count.is_none()     ? INT64_MAX
                  : count.is_tensor() ? element_as_int(count.tensor(), 0)
                                      : count.to_int();
  bool go = condition.is_none() || truth(condition, "loop");
  std::vector<Any> values(carried);
  for (size_t i = 0; i < carried; i++) values[i] = registers_[step.inputs[i + 2]];
  auto next_poll = std::chrono::steady_clock::now() + poll_every;
  for (int64_t iteration = 0; iteration < limit && go; iteration++) {
    check_stop();
    if (run_->poll && std::chrono::steady_clock::now() > next_poll) {
      run_->poll();
      next_poll = std::chrono::steady_clock::now() + poll_every;
    }
    if (options_.max_iterations > 0 && iteration >= options_.max_iterations)
      fail("loop: more than ", options_.max_iterations, " iterations; raise max_iterations if that is meant");
    registers_[region.params[0]] = Any(iteration);
    for (size_t i = 0; i < carried; i++) registers_[region.params[i + 1]] = std::move(values[i]);
    run_body(body);
    const Any& next = registers_[region.results[0]];
    go = next.is_none() || truth(next, "loop");
    for (size_t i = 0; i < carried; i++) values[i] = registers_[region.results[i + 1]];
  }
  for (size_t i = 0; i < carried; i++) registers_[step.outputs[i]] = std::move(values[i]);
}

}  // namespace moka::runtime
