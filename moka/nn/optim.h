// Optimizers and learning-rate schedules for C++, with the rules and the settings of moka.optim.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "moka/tensor/tensor.h"

namespace moka::optim {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;

  // One update of all parameters that have a gradient.
  void step();
  void zero_grad();
  double learning_rate() const { return rate_; }
  void set_learning_rate(double rate) { rate_ = rate; }

  // What the rule remembers, by name and number of the parameter ("exp_avg.3"), and how many steps there were: what going
  // on after a restart needs. Loading is an Error where names or shapes do not fit.
  std::map<std::string, Tensor> state_dict() const;
  void load_state_dict(const std::map<std::string, Tensor>& state);

 protected:
  Optimizer(std::string name, std::vector<Tensor> parameters, double rate, std::vector<std::string> memories);
  // The rule, for parameters whose memories are all as old.
  struct Batch {
    std::vector<Tensor> parameters, gradients;
    std::vector<std::vector<Tensor>> memories;  // one list for each name
    int64_t step;                               // from 1
  };
  virtual void update(const Batch& batch) = 0;

 private:
  std::string name_;
  std::vector<Tensor> parameters_;
  double rate_;
  std::vector<std::string> memory_names_;
  std::vector<std::vector<Tensor>> memories_;  // of each parameter; empty before its first step
  std::vector<int64_t> steps_;                 // of each parameter
};

struct SGDOptions {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false, maximize = false;
};
class SGD final : public Optimizer {
 public:
  SGD(std::vector<Tensor> parameters, const SGDOptions& options);

 private:
  void update(const Batch& batch) override;
  SGDOptions options_;
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool amsgrad = false, maximize = false;
};
class Adam : public Optimizer {
 public:
  Adam(std::vector<Tensor> parameters, const AdamOptions& options = {});

 protected:
  Adam(std::string name, std::vector<Tensor> parameters, const AdamOptions& options, bool decoupled);

 private:
  void update(const Batch& batch) override;
  AdamOptions options_;
  bool decoupled_;
};
// Adam whose weight decay does not pass through the averages; give weight_decay (torch's default is 0.01).
class AdamW final : public Adam {
 public:
  AdamW(std::vector<Tensor> parameters, const AdamOptions& options = {.weight_decay = 0.01})
      : Adam("AdamW", std::move(parameters), options, true) {}
};

// Sets the optimizer's rate at once and after every step().
class Schedule {
 public:
  // `rate` gives the rate of step 0, 1, ...
  Schedule(Optimizer& optimizer, std::function<double(int64_t)> rate);
  void step();

 private:
  Optimizer& optimizer_;
  std::function<double(int64_t)> rate_;
  int64_t step_ = 0;
};
// The optimizer's rate times gamma ^ (step / step_size).
Schedule StepLR(Optimizer& optimizer, int64_t step_size, double gamma = 0.1);
// From the optimizer's rate to eta_min along half a cosine of t_max steps.
Schedule CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min = 0);
struct OneCycleOptions {
  double max_lr;
  int64_t total_steps;
  double pct_start = 0.3, div_factor = 25, final_div_factor = 1e4;
};
// From max_lr / div_factor up to max_lr in the first pct_start of the steps, then down to max_lr / (div_factor *
// final_div_factor), along cosines. Momentum stays as it is (cycle_momentum=False of Python).
Schedule OneCycleLR(Optimizer& optimizer, const OneCycleOptions& options);

}  // namespace moka::optim
