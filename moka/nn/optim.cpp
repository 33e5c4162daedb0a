// SPDX-License-Identifier: Apache-2.0
#include "moka/nn/optim.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "moka/autograd/history.h"
#include "moka/nn/arguments.h"
#include "moka/nn/start.h"
#include "moka/ops/creation/creation.h"

namespace moka::optim {

Optimizer::Optimizer(std::string name, std::vector<Tensor> parameters, double rate,
                     std::vector<std::string> memories)
    : name_(std::move(name)),
      parameters_(std::move(parameters)),
      rate_(rate),
      memory_names_(std::move(memories)),
      memories_(parameters_.size()),
      steps_(parameters_.size()) {
  nn::start();
  MOKA_CHECK_KIND(Value, !parameters_.empty(), name_, ": got an empty list of parameters");
  MOKA_CHECK_KIND(Value, rate >= 0, name_, ": lr must not be negative, got ", rate);
}

void Optimizer::step() {
  autograd::GradModeScope off(false);
  std::map<int64_t, Batch> batches;  // by the number of the parameters' next step
  for (size_t i = 0; i < parameters_.size(); i++) {
    const autograd::GradMeta* kept = autograd::meta(parameters_[i]);
    if (!kept || !kept->grad) continue;
    if (memories_[i].empty())
      for (size_t k = 0; k < memory_names_.size(); k++) memories_[i].push_back(zeros_like(parameters_[i]));
    Batch& batch = batches[++steps_[i]];
    batch.step = steps_[i];
    batch.parameters.push_back(parameters_[i]);
    batch.gradients.push_back(kept->grad);
    batch.memories.resize(memory_names_.size());
    for (size_t k = 0; k < memory_names_.size(); k++) batch.memories[k].push_back(memories_[i][k]);
  }
  for (const auto& [step, batch] : batches) {
    update(batch);
    for (const Tensor& t : batch.parameters) t.raise_version();
  }
}

void Optimizer::zero_grad() {
  for (const Tensor& t : parameters_) autograd::make_meta(t).grad = Tensor();
}

std::map<std::string, Tensor> Optimizer::state_dict() const {
  std::map<std::string, Tensor> out;
  for (size_t i = 0; i < parameters_.size(); i++) {
    for (size_t k = 0; k < memories_[i].size(); k++)
      out.emplace(cat(memory_names_[k], ".", i), memories_[i][k]);
    Tensor steps = new_tensor({}, DType::I64);
    *steps.data<int64_t>() = steps_[i];
    out.emplace(cat("step.", i), steps);
  }
  return out;
}

void Optimizer::load_state_dict(const std::map<std::string, Tensor>& state) {
  std::vector<std::vector<Tensor>> memories(parameters_.size());
  std::vector<int64_t> steps(parameters_.size());
  size_t used = 0;
  for (size_t i = 0; i < parameters_.size(); i++) {
    auto found = state.find(cat("step.", i));
    MOKA_CHECK(found != state.end() && found->second.numel() == 1, name_,
               ": load_state_dict: there is no step.", i, ", but there are ", parameters_.size(),
               " parameters");
    steps[i] = element_as_int(found->second, 0);
    used++;
    for (size_t k = 0; steps[i] > 0 && k < memory_names_.size(); k++, used++) {
      const std::string name = cat(memory_names_[k], ".", i);
      auto memory = state.find(name);
      MOKA_CHECK(memory != state.end(), name_, ": load_state_dict: ", name, " is missing");
      MOKA_CHECK(std::ranges::equal(memory->second.sizes(), parameters_[i].sizes()), name_,
                 ": load_state_dict: ", name, " has shape ", memory->second.sizes(), ", its parameter has ",
                 parameters_[i].sizes());
      memories[i].push_back(zeros_like(parameters_[i]));
      copy_elements(memory->second, memories[i].back());
    }
  }
  MOKA_CHECK(used == state.size(), name_, ": load_state_dict: the state has ", state.size(),
             " entries, of which ", used, " belong to this optimizer");
  memories_ = std::move(memories);
  steps_ = std::move(steps);
}

SGD::SGD(std::vector<Tensor> parameters, const SGDOptions& o)
    : Optimizer("SGD", std::move(parameters), o.lr,
                o.momentum != 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{}),
      options_(o) {
  MOKA_CHECK_KIND(Value, o.momentum >= 0 && o.weight_decay >= 0, "SGD: momentum ", o.momentum,
                  " and weight_decay ", o.weight_decay, " must not be negative");
  MOKA_CHECK_KIND(Value, !o.nesterov || (o.momentum > 0 && o.dampening == 0),
                  "SGD: nesterov needs momentum above 0 and no dampening, got ", o.momentum, " and ",
                  o.dampening);
}

void SGD::update(const Batch& b) {
  static const Op& op = functional::operator_named("sgd_step_");
  const SGDOptions& o = options_;
  const std::vector<Tensor> none;
  const std::vector<Tensor>& directions = b.memories.empty() ? none : b.memories[0];
  functional::call_several(
      op, {Arg(b.parameters), Arg(b.gradients), Arg(directions), Arg(learning_rate()), Arg(o.momentum),
           Arg(o.dampening), Arg(o.weight_decay), Arg(o.nesterov), Arg(o.maximize), Arg(b.step == 1)});
}

Adam::Adam(std::vector<Tensor> parameters, const AdamOptions& options)
    : Adam("Adam", std::move(parameters), options, false) {}

Adam::Adam(std::string name, std::vector<Tensor> parameters, const AdamOptions& o, bool decoupled)
    : Optimizer(name, std::move(parameters), o.lr,
                o.amsgrad ? std::vector<std::string>{"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
                          : std::vector<std::string>{"exp_avg", "exp_avg_sq"}),
      options_(o),
      decoupled_(decoupled) {
  for (double beta : {o.beta1, o.beta2})
    MOKA_CHECK_KIND(Value, beta >= 0 && beta < 1, name, ": betas must be in 0 to 1, got ", beta);
  MOKA_CHECK_KIND(Value, o.eps >= 0 && o.weight_decay >= 0, name, ": eps ", o.eps, " and weight_decay ",
                  o.weight_decay, " must not be negative");
}

void Adam::update(const Batch& b) {
  static const Op& op = functional::operator_named("adam_step_");
  const AdamOptions& o = options_;
  const std::vector<Tensor> none;
  functional::call_several(
      op, {Arg(b.parameters), Arg(b.gradients), Arg(b.memories[0]), Arg(b.memories[1]),
           Arg(o.amsgrad ? b.memories[2] : none), Arg(b.step), Arg(learning_rate()), Arg(o.beta1),
           Arg(o.beta2), Arg(o.eps), Arg(o.weight_decay), Arg(decoupled_), Arg(o.maximize)});
}

Schedule::Schedule(Optimizer& optimizer, std::function<double(int64_t)> rate)
    : optimizer_(optimizer), rate_(std::move(rate)) {
  optimizer_.set_learning_rate(rate_(0));
}

void Schedule::step() { optimizer_.set_learning_rate(rate_(++step_)); }

namespace {
double along_cosine(double from, double to, double share) {
  return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
}
}  // namespace

Schedule StepLR(Optimizer& optimizer, int64_t step_size, double gamma) {
  MOKA_CHECK_KIND(Value, step_size > 0, "StepLR: step_size must be positive, got ", step_size);
  const double first = optimizer.learning_rate();
  return Schedule(optimizer, [=](int64_t step) {
    return first * std::pow(gamma, static_cast<double>(step / step_size));
  });
}

Schedule CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min) {
  MOKA_CHECK_KIND(Value, t_max > 0, "CosineAnnealingLR: t_max must be positive, got ", t_max);
  const double first = optimizer.learning_rate();
  return Schedule(optimizer, [=](int64_t step) {
    return along_cosine(first, eta_min, static_cast<double>(step) / static_cast<double>(t_max));
  });
}

Schedule OneCycleLR(Optimizer& optimizer, const OneCycleOptions& o) {
  MOKA_CHECK_KIND(Value, o.total_steps > 0 && o.pct_start >= 0 && o.pct_start <= 1,
                  "OneCycleLR: total_steps must be positive and pct_start in 0 to 1, got ", o.total_steps,
                  " and ", o.pct_start);
  const double low = o.max_lr / o.div_factor, end = low / o.final_div_factor;
  const double top = o.pct_start * static_cast<double>(o.total_steps) - 1;
  const double last = static_cast<double>(o.total_steps - 1);
  return Schedule(optimizer, [=](int64_t step) {
    const double at = static_cast<double>(step);
    MOKA_CHECK_KIND(Value, step <= o.total_steps, "OneCycleLR: step ", step,
                    " was asked for, but the cycle has ", o.total_steps,
                    " steps; give total_steps the number of optimizer steps");
    if (at <= top) return along_cosine(low, o.max_lr, top > 0 ? at / top : 1.0);
    return along_cosine(o.max_lr, end, last > top ? (at - top) / (last - top) : 1.0);
  });
}

}  // namespace moka::optim
