// SPDX-License-Identifier: Apache-2.0
#include "moka/nn/module.h"

#include <algorithm>

#include "moka/autograd/engine.h"
#include "moka/formats/safetensors/safetensors.h"
#include "moka/nn/start.h"
#include "moka/ops/random/generator.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::nn {

Module::Module() { start(); }

Tensor Module::forward(const Tensor&) {
  fail_kind(ErrorKind::NotImplemented,
            "Module::forward: this module has no forward of one tensor; override it");
}

void Module::check_fresh(const std::string& name) const {
  auto has = [&](const auto& list) {
    return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return entry.first == name; });
  };
  MOKA_CHECK_KIND(Value, !name.empty() && name.find('.') == name.npos, "Module: '", name,
                  "' cannot be a name: it must not be empty or hold a dot");
  MOKA_CHECK_KIND(Value, !has(parameters_) && !has(buffers_) && !has(children_), "Module: '", name,
                  "' is registered already");
}

Tensor Module::register_parameter(std::string name, Tensor value) {
  check_fresh(name);
  if (value) autograd::set_requires_grad(value, true);
  parameters_.emplace_back(std::move(name), value);
  return value;
}

Tensor Module::register_buffer(std::string name, Tensor value) {
  check_fresh(name);
  buffers_.emplace_back(std::move(name), value);
  return value;
}

void Module::add_child(std::string name, std::shared_ptr<Module> child) {
  check_fresh(name);
  MOKA_CHECK_KIND(Value, child, "Module: the module '", name, "' is null");
  children_.emplace_back(std::move(name), std::move(child));
}

void Module::collect(const std::string& prefix, NamedTensors Module::* kind, NamedTensors& out) const {
  for (const auto& [name, tensor] : this->*kind)
    if (tensor) out.emplace_back(prefix + name, tensor);
  for (const auto& [name, child] : children_) child->collect(prefix + name + ".", kind, out);
}

namespace {
NamedTensors first_of_each(NamedTensors all) {
  std::vector<const TensorImpl*> seen;
  std::erase_if(all, [&](const auto& entry) {
    const TensorImpl* t = entry.second.impl();
    if (std::find(seen.begin(), seen.end(), t) != seen.end()) return true;
    seen.push_back(t);
    return false;
  });
  return all;
}
}  // namespace

NamedTensors Module::named_parameters() const {
  NamedTensors all;
  collect("", &Module::parameters_, all);
  return first_of_each(std::move(all));
}

NamedTensors Module::named_buffers() const {
  NamedTensors all;
  collect("", &Module::buffers_, all);
  return first_of_each(std::move(all));
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> out;
  for (auto& [name, tensor] : named_parameters()) out.push_back(tensor);
  return out;
}

std::map<std::string, Tensor> Module::state_dict() const {
  NamedTensors all;
  collect("", &Module::parameters_, all);
  collect("", &Module::buffers_, all);
  std::map<std::string, Tensor> out;
  for (auto& [name, tensor] : all) out.emplace(name, autograd::detach(tensor));
  return out;
}

void Module::load_state_dict(const std::map<std::string, Tensor>& state, bool strict) {
  const std::map<std::string, Tensor> own = state_dict();
  std::string problems;
  auto report = [&](const auto&... words) { problems += "\n  " + cat(words...); };
  for (const auto& [name, tensor] : own) {
    auto found = state.find(name);
    if (found == state.end()) {
      if (strict) report(name, " is missing");
    } else if (!std::ranges::equal(found->second.sizes(), tensor.sizes())) {
      report(name, " has shape ", found->second.sizes(), ", but the module's has ", tensor.sizes());
    }
  }
  if (strict)
    for (const auto& [name, tensor] : state)
      if (!own.count(name)) report(name, " is not part of the module");
  MOKA_CHECK(problems.empty(), "load_state_dict: the state does not fit the module:", problems);
  for (const auto& [name, tensor] : own)
    if (auto found = state.find(name); found != state.end()) {
      copy_elements(found->second, tensor);
      tensor.raise_version();
    }
}

void Module::train(bool on) {
  training_ = on;
  for (auto& [name, child] : children_) child->train(on);
}

void Module::zero_grad() {
  for (const Tensor& t : parameters()) autograd::make_meta(t).grad = Tensor();
}

void Module::requires_grad_(bool on) {
  for (const Tensor& t : parameters()) autograd::set_requires_grad(t, on);
}

void Module::apply(const std::function<void(Module&)>& f) {
  for (auto& [name, child] : children_) child->apply(f);
  f(*this);
}

void save(const Module& module, const std::string& path) { safetensors::write(path, module.state_dict()); }

void load(Module& module, const std::string& path, bool strict) {
  module.load_state_dict(safetensors::read(path).tensors, strict);
}

void backward(const Tensor& loss) {
  const autograd::Root root = autograd::root_of(loss, {});
  autograd::backward({&root, 1}, {}, {});
}

std::vector<Tensor> gradients(const Tensor& output, const std::vector<Tensor>& inputs, bool create_graph) {
  const autograd::Root root = autograd::root_of(output, {});
  std::vector<autograd::Edge> edges;
  for (const Tensor& t : inputs) {
    MOKA_CHECK(autograd::requires_grad(t), "gradients: an input (", t, ") does not require grad");
    edges.push_back(autograd::gradient_edge(t));
  }
  return autograd::gradients({&root, 1}, edges, {.retain_graph = create_graph, .create_graph = create_graph});
}

Tensor grad_of(const Tensor& t) {
  const autograd::GradMeta* kept = autograd::meta(t);
  return kept ? kept->grad : Tensor();
}

void manual_seed(uint64_t seed) { default_generator().set_seed(seed); }

}  // namespace moka::nn
