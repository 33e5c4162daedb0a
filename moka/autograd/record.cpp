// The autograd layer: runs an operator below itself and records one node with what its derivative will read.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/record.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "moka/autograd/accumulate.h"
#include "moka/autograd/op_node.h"
#include "moka/autograd/saved.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/schema/body.h"
#include "moka/schema/reading.h"

namespace moka::autograd {

#ifndef MOKA_PREDICTOR
namespace {
template <class F>
void for_names(std::string_view list, F f) {
  while (!list.empty()) {
    size_t space = list.find(' ');
    f(list.substr(0, space));
    list = space == std::string_view::npos ? std::string_view() : list.substr(space + 1);
  }
}

Rules* make_rules(const Op& op, const Schema& schema) {
  Rules* rules = new Rules;  // lives as long as the Op
  rules->args = static_cast<int>(schema.args.size());
  rules->list_output = schema.outs.size() == 1 && schema.outs[0].type.list;
  for (const Derivative& d : op.derivative.rows) {
    if (!d.constant.empty()) {
      if (d.names.empty()) rules->unwritten = d.constant;
      for_names(d.names, [&](std::string_view name) {  // those of outputs need no more
        if (int at = schema.find_arg(name); at >= 0) rules->refused |= uint64_t(1) << at;
      });
      continue;
    }
    if (rules->rows.empty()) rules->gradients = d.gradients;
    if (d.gradients != rules->gradients)
      fail_kind(ErrorKind::Internal, schema.name,
                ": all derivatives must take the same output gradients, found ", rules->gradients, " and ",
                d.gradients);
    Row row{&d, {}, d.usage()};
    for_names(d.names, [&](std::string_view name) {
      int at = schema.find_arg(name);
      if (at < 0)
        fail_kind(ErrorKind::Internal, schema.name, ": the derivative names '", name,
                  "', which is no argument");
      row.targets.push_back(at);
      rules->targets |= uint64_t(1) << at;
      rules->slots = std::max({rules->slots, d.gradients + at + 1, d.parameters});
    });
    rules->rows.push_back(row);
  }
  int outputs = rules->list_output ? 1 : rules->gradients > 1 ? rules->gradients : 0;
  if (outputs) rules->slots = std::max(rules->slots, rules->gradients + rules->args + outputs);
  MOKA_ASSERT(rules->slots <= 64);
  return rules;
}
}  // namespace

const Rules& rules_of(const Op& op) {
  OpInfo& info = moka::info(op);
  static std::mutex mutex;
  if (void* known = __atomic_load_n(&info.autograd, __ATOMIC_ACQUIRE))
    return *static_cast<const Rules*>(known);
  std::lock_guard lock(mutex);
  if (!info.autograd)
    __atomic_store_n(&info.autograd, static_cast<void*>(make_rules(op, info.schema)), __ATOMIC_RELEASE);
  return *static_cast<const Rules*>(info.autograd);
}

namespace {
bool wants_gradient(const Arg& a) {
  auto wants = [](const Tensor& t) { return t && requires_grad(t) && is_differentiable(t.dtype()); };
  if (a.tag == Tag::Tensor) return wants(a.as_tensor());
  if (a.tag == Tag::Tensors)
    for (const Tensor& t : a.as_tensors())
      if (wants(t)) return true;
  return false;
}
bool any_wants_gradient(const Frame& f) {
  return std::any_of(f.args, f.args + f.count, [](const Arg& a) { return wants_gradient(a); });
}

void dispatch_below(Frame& f, uint32_t rest) {
  {
    LayersOff off(layer::autograd);
    dispatch_layers(f, rest);
  }
  if (!f.op.view || f.args[0].tag != Tag::Tensor || f.args[0].tensor->origin != ViewOrigin::Plain) return;
  // Only this layer was switched off: the views are as good as those made where nothing needs it.
  ViewOrigin origin = info(f.op).schema.outs[0].type.list ? ViewOrigin::Several : ViewOrigin::Plain;
  for (size_t i = 0; i < f.outs.size(); i++)
    if (f.outs[i].impl()->origin == ViewOrigin::NoGrad) f.outs[i].impl()->origin = origin;
}

// A call that writes into tensors it was given: whether it writes into its first argument in a way that is recorded.
// Errors for what cannot be.
bool check_targets(const Frame& f, bool wanted) {
  bool in_place = false;
  for (size_t i = 0; i < f.outs.size(); i++) {
    if (!(f.given >> i & 1)) continue;
    const Tensor& target = f.outs[i];
    if (i == 0 && f.count > 0 && f.args[0].tag == Tag::Tensor && f.tensor(0) == target) {
      const std::string& name = info(f.op).schema.base;
      check_rebase(target, name.back() == '_' ? name : cat(name, "_"), wanted);
      in_place = wanted || requires_grad(target);
    } else {
      MOKA_CHECK(!wanted && !requires_grad(target), f.name(),
                 ": out= does not support gradients; leave it away or use no_grad()");
    }
  }
  return in_place;
}

// What an operator without a gradient wrote over: its gradient is zero.
class ConstantNode final : public GradNode {
 public:
  ConstantNode(std::string_view op, Edge before) : op_(op) {
    edges.resize(1);
    edges[0] = std::move(before);
  }
  std::string name() const override { return node_name(op_); }
  void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool) override { dxs[0] = zeros_like(dys[0]); }

 private:
  std::string op_;
};

// Stands for a derivative that nobody wrote.
class UnwrittenNode final : public GradNode {
 public:
  UnwrittenNode(std::string op, std::string_view why) : op_(std::move(op)), why_(why) {}
  std::string name() const override { return node_name(op_); }
  void backward(std::span<Tensor>, std::span<Tensor>, bool) override {
    fail_kind(ErrorKind::NotImplemented, op_, ": the derivative is not implemented: ", why_);
  }

 private:
  std::string op_;
  std::string_view why_;  // of the Op
};
void call_unwritten(Frame& f, uint32_t rest, std::string_view why) {
  if (f.given || !any_wants_gradient(f)) return dispatch_below(f, rest);
  auto node = Ref<GradNode>::share(new UnwrittenNode(info(f.op).schema.base, why));
  std::vector<Edge> edges;
  auto lead_to = [&](const Tensor& t) {
    if (t && requires_grad(t)) edges.push_back(gradient_edge(t));
  };
  for (int i = 0; i < f.count; i++) {
    if (f.args[i].tag == Tag::Tensor) lead_to(f.tensor(i));
    if (f.args[i].tag == Tag::Tensors)
      for (const Tensor& t : f.tensors(i)) lead_to(t);
  }
  node->edges.resize(edges.size());
  for (size_t i = 0; i < edges.size(); i++) node->edges[i] = std::move(edges[i]);
  dispatch_below(f, rest);
  node->outputs = static_cast<uint32_t>(f.outs.size());
  for (size_t i = 0; i < f.outs.size(); i++)
    if (is_differentiable(f.outs[i].dtype())) set_history(f.outs[i], node, static_cast<uint32_t>(i));
}

void call_composite(Frame& f, uint32_t rest) {
  bool wanted = (f.given || has_kernels(f.op)) && any_wants_gradient(f);
  if (has_kernels(f.op) && !wanted) return dispatch_below(f, rest);
  if (!f.given || !check_targets(f, wanted)) return run_body(f);
  // Its parts are recorded, then the copy of their result into the target. They may save what that overwrites.
  Tensor before = copy_with_history(f.outs[0]);
  ArgRoom inputs;
  for (int i = 0; i < f.count; i++)
    inputs[i] = f.args[i].tag == Tag::Tensor && f.tensor(i) == f.outs[0] ? Arg(before) : f.args[i];
  Frame parts(f.op, inputs, f.count);
  run_body(parts);
  Arg args[2] = {f.outs[0], parts.outs[0]};
  Frame write(ops::copy__op, args, 2);
  write.outs.resize(1);
  write.outs[0] = f.outs[0];
  write.given = 1;
  call(write);
}

void call_constant(Frame& f, uint32_t rest) {
  bool wanted = any_wants_gradient(f);
  if (wanted && f.op.derivative.none.empty())
    fail_kind(ErrorKind::NotImplemented, f.name(),
              ": no derivative is defined; use no_grad() or detach() its inputs");
  bool overwrites = f.given && check_targets(f, wanted) && requires_grad(f.outs[0]);
  if (!overwrites) return dispatch_below(f, rest);
  Edge before = gradient_edge(f.outs[0]);
  dispatch_below(f, rest);
  auto node = Ref<GradNode>::share(new ConstantNode(info(f.op).schema.base, std::move(before)));
  rebase_history(f.outs[0], std::move(node), 0);
}

void check_refused(const Frame& f, uint64_t refused) {
  for (; refused; refused &= refused - 1) {
    int i = __builtin_ctzll(refused);
    MOKA_CHECK(!wants_gradient(f.args[i]), f.name(), ": not differentiable with respect to argument '",
               info(f.op).schema.args[static_cast<size_t>(i)].name,
               "', which must not require gradients; detach() it");
  }
}

void autograd_layer(Frame& f, uint32_t rest) {
  if (f.op.derivative.rows.count == 0) return f.op.body ? call_composite(f, rest) : call_constant(f, rest);
  const Rules& rules = rules_of(f.op);
  if (!rules.unwritten.empty()) return call_unwritten(f, rest, rules.unwritten);
  uint64_t wanted = 0;
  for (uint64_t targets = rules.targets; targets; targets &= targets - 1) {
    int i = __builtin_ctzll(targets);
    if (wants_gradient(f.args[i])) wanted |= uint64_t(1) << i;
  }
  if (__builtin_expect(rules.refused != 0, 0)) check_refused(f, rules.refused);
  bool overwrites = f.given && check_targets(f, wanted != 0);
  if (!wanted && !overwrites) return dispatch_below(f, rest);
  Ref<OpNode> node = OpNode::before(f, rules, wanted);
  dispatch_below(f, rest);
  if (f.outs.size() == 0) return;  // split into no parts
  // An operator may hand its input back (contiguous, to): then there is nothing to record.
  if (!f.given && f.args[0].tag == Tag::Tensor && f.outs[0].impl() == f.args[0].tensor) return;
  OpNode* recorded = node.get();
  recorded->after(f, Ref<GradNode>::adopt(node.detach()));
}
}  // namespace
#endif

void install() {
#ifndef MOKA_PREDICTOR
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::autograd, autograd_layer); });
#endif
}

}  // namespace moka::autograd
