// The autocast layer: converts the operands of a call to the type that its operator asks for.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/autocast.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "moka/autograd/history.h"
#include "moka/schema/reading.h"

namespace moka::autograd {

namespace {
struct Weight {
  Tensor original;
  Tensor converted;
  uint32_t version;
  bool recorded;
};
struct State {
  AutocastMode mode;
  int scopes = 0;
  std::unordered_map<const TensorImpl*, Weight> weights;
};
State& state() {
  thread_local State s;
  return s;
}

bool may_convert(const Tensor& t) {
  return t && is_floating(t.dtype()) && item_size(t.dtype()) <= 4 && item_size(t.dtype()) >= 2;
}

Tensor converted(const Tensor& t, DType to) {
  if (!may_convert(t) || t.dtype() == to) return t;
  static const Op& convert = get_op("to");
  State& s = state();
  const bool keep = s.mode.keeps_weights && to == s.mode.lower && t.dtype() == DType::F32 && !is_batched(t) &&
                    !t.impl()->base && is_leaf(t) && requires_grad(t);
  if (!keep) return EagerReading::call(convert, t, to);
  auto known = s.weights.find(t.impl());
  if (known != s.weights.end() && known->second.converted.dtype() == to &&
      known->second.version == t.version() && known->second.recorded == grad_enabled())
    return known->second.converted;
  Tensor made = EagerReading::call(convert, t, to);
  s.weights[t.impl()] = {t, made, t.version(), grad_enabled()};
  return made;
}

DType widest_of(const Frame& f, DType lower) {
  DType widest = lower;
  auto look = [&](const Tensor& t) {
    if (may_convert(t)) widest = promote(widest, t.dtype());
  };
  for (int i = 0; i < f.count; i++) {
    if (f.args[i].tag == Tag::Tensor) look(f.tensor(i));
    else if (f.args[i].tag == Tag::Tensors)
      for (const Tensor& t : f.tensors(i)) look(t);
  }
  return widest;
}

void autocast_layer(Frame& f, uint32_t rest) {
  const Autocast rule = f.op.autocast;
  if (rule == Autocast::None || f.given) return dispatch_layers(f, rest);
  const DType lower = state().mode.lower;
  const DType target = rule == Autocast::Lower     ? lower
                       : rule == Autocast::Float32 ? DType::F32
                                                   : widest_of(f, lower);
  LayersOff off(layer::autocast);
  ArgRoom args;
  std::deque<Tensor> tensors;
  std::deque<std::vector<Tensor>> lists;
  for (int i = 0; i < f.count; i++) {
    args[i] = f.args[i];
    if (args[i].tag == Tag::Tensor) {
      args[i] = Arg(tensors.emplace_back(converted(f.tensor(i), target)));
    } else if (args[i].tag == Tag::Tensors) {
      std::vector<Tensor>& list = lists.emplace_back();
      for (const Tensor& t : f.tensors(i)) list.push_back(converted(t, target));
      args[i] = Arg(std::span<const Tensor>(list));
    }
  }
  Frame inner(f.op, args, f.count);
  moka::call(inner);
  f.outs = std::move(inner.outs);
}
}  // namespace

AutocastMode autocast_mode() { return state().mode; }
void set_autocast_mode(AutocastMode mode) {
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::autocast, autocast_layer); });
  MOKA_CHECK(mode.lower == DType::BF16 || mode.lower == DType::F16,
             "autocast: the type must be bfloat16 or float16, got ", mode.lower);
  state().mode = mode;
  thread_layers.enabled |= layer::autocast;
  if (mode.enabled) thread_layers.forced |= layer::autocast;
  else thread_layers.forced &= ~layer::autocast;
}
void open_autocast_scope() { state().scopes++; }
void close_autocast_scope() {
  if (--state().scopes == 0) clear_autocast_cache();
}
void clear_autocast_cache() { state().weights.clear(); }

}  // namespace moka::autograd
