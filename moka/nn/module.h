// Modules for C++: parts with parameters, as moka.nn has them in Python, with the same names in their state.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moka/autograd/history.h"

namespace moka::nn {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

class Module;

// A module that is shared as Python's are: copies mean the same one. `net(x)` calls forward.
template <class M>
class Handle {
 public:
  Handle(std::nullptr_t) {}
  Handle()
    requires std::default_initializable<M>
      : module_(std::make_shared<M>()) {}
  template <class... A>
    requires(sizeof...(A) > 0 && std::constructible_from<M, A...>)
  explicit Handle(A&&... a) : module_(std::make_shared<M>(std::forward<A>(a)...)) {}
  // Conv2d({.in_channels = 3, .out_channels = 8, .kernel_size = 3})
  template <class Impl = M>
  Handle(const typename Impl::Options& options) : module_(std::make_shared<M>(options)) {}
  Handle(std::shared_ptr<M> module) : module_(std::move(module)) {}

  M* operator->() const { return module_.get(); }
  M& operator*() const { return *module_; }
  const std::shared_ptr<M>& shared() const { return module_; }
  template <class... A>
  auto operator()(A&&... a) const {
    return module_->forward(std::forward<A>(a)...);
  }

 private:
  std::shared_ptr<M> module_;
};

class Module {
 public:
  Module();
  virtual ~Module() = default;
  Module(const Module&) = delete;

  // What the module computes; a module that is called otherwise (several inputs) need not override it.
  virtual Tensor forward(const Tensor& input);
  Tensor operator()(const Tensor& input) { return forward(input); }

  // Parameters and buffers by the names that Python's state_dict has: "conv1.weight", "norm1.running_mean". A tensor that
  // stands in several places is named once, at the first.
  NamedTensors named_parameters() const;
  NamedTensors named_buffers() const;
  std::vector<Tensor> parameters() const;
  const std::vector<std::pair<std::string, std::shared_ptr<Module>>>& children() const { return children_; }

  // Parameters and buffers under all their names; they share the module's memory.
  std::map<std::string, Tensor> state_dict() const;
  // Copies the values in. Strict: every name must be there and no other, an Error lists those that are not; otherwise
  // only what has the same name is taken. Shapes must agree; nothing is changed where something does not fit.
  void load_state_dict(const std::map<std::string, Tensor>& state, bool strict = true);

  // Dropout and batch normalization differ in training and evaluation; modules start in training.
  void train(bool on = true);
  void eval() { train(false); }
  bool is_training() const { return training_; }

  void zero_grad();
  void requires_grad_(bool on = true);
  void apply(const std::function<void(Module&)>& f);

 protected:
  // Registered parameters require gradients; an undefined one is absent (a layer without bias). The tensor is returned.
  Tensor register_parameter(std::string name, Tensor value);
  Tensor register_buffer(std::string name, Tensor value);
  template <class M>
  Handle<M> register_module(std::string name, Handle<M> module) {
    add_child(std::move(name), module.shared());
    return module;
  }
  void add_child(std::string name, std::shared_ptr<Module> child);

 private:
  void check_fresh(const std::string& name) const;
  void collect(const std::string& prefix, NamedTensors Module::* kind, NamedTensors& out) const;

  NamedTensors parameters_, buffers_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
  bool training_ = true;
};

// The state of a module in a safetensors file, as Python's moka.safetensors writes and reads it. Saving is atomic.
void save(const Module& module, const std::string& path);
void load(Module& module, const std::string& path, bool strict = true);

// No gradients are recorded while one of these lives.
struct NoGrad : autograd::GradModeScope {
  NoGrad() : GradModeScope(false) {}
};

// Adds the gradient of a scalar loss to .grad of everything that it was computed from and that requires one.
void backward(const Tensor& loss);
// The gradients of `output` (a scalar) with respect to the inputs; create_graph lets them be differentiated again.
std::vector<Tensor> gradients(const Tensor& output, const std::vector<Tensor>& inputs,
                              bool create_graph = false);
// .grad of a tensor: undefined where nothing has come yet.
Tensor grad_of(const Tensor& t);

// Starts the default stream of random numbers again.
void manual_seed(uint64_t seed);

}  // namespace moka::nn
