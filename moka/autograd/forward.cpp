// The forward layer: runs an operator on what lies below a level, then gives its results their tangents of that level.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/forward.h"

#include <bit>
#include <mutex>
#include <vector>

#include "moka/autograd/batch.h"
#include "moka/autograd/op_node.h"
#include "moka/autograd/tangents.h"
#include "moka/ops/operators.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/schema/body.h"
#include "moka/schema/formula_runner.h"
#include "moka/schema/reading.h"

namespace moka::autograd {

#ifndef MOKA_PREDICTOR
namespace {
// Calls look(tensor) for every tensor of a call.
template <class F>
void each_tensor(const Frame& f, F look) {
  for (int i = 0; i < f.count; i++) {
    if (f.args[i].tag == Tag::Tensor) look(f.tensor(i));
    else if (f.args[i].tag == Tag::Tensors)
      for (const Tensor& t : f.tensors(i))
        if (t) look(t);
  }
  for (size_t i = 0; i < Outputs::inline_limit; i++)
    if (f.given >> i & 1) look(f.outs[i]);
}

bool writes_its_first_argument(const Op& op) {
  const std::string& name = info(op).schema.base;
  return name.size() > 1 && name.back() == '_' && name[name.size() - 2] != '_';
}

// The write of a result into the target of an in-place call.
void copy_into(Frame& f, const Tensor& result) {
  const Tensor target = f.outs[0];
  check_result_fits(f.name(), result.dtype(), target.dtype());
  Arg args[2] = {target, result};
  Frame write(ops::copy__op, args, 2);
  write.outs.resize(1);
  write.outs[0] = target;
  write.given = 1;
  call(write);
}

// The arguments of a call in place, with a copy of its target: the tape may need what is overwritten.
struct Kept {
  ArgRoom args;
  Tensor before;
  explicit Kept(const Frame& f) {
    for (int i = 0; i < f.count; i++) {
      args[i] = f.args[i];
      if (args[i].tag != Tag::Tensor || !(f.tensor(i) == f.outs[0])) continue;
      if (!before) before = clone(f.outs[0]);
      args[i] = Arg(before);
    }
  }
};
// A composite is the calls of its parts.
void call_parts(Frame& f) {
  if (!f.given) return run_body(f);
  Kept kept(f);
  Frame parts(f.op, kept.args, f.count);
  run_body(parts);
  copy_into(f, parts.outs[0]);
}

// In place: the result out of place, then a copy. What is left of the old value's tangent is in the result's.
void call_in_place(Frame& f) {
  MOKA_CHECK(f.given == 1 && f.count > 0 && f.args[0].tag == Tag::Tensor && f.tensor(0) == f.outs[0],
             f.name(),
             ": out= does not support forward mode AD; leave it away (Trying to use forward AD with ",
             f.name(), " that does not support it because it is an out= function)");
  Kept kept(f);
  Frame plain(f.op, kept.args, f.count);
  call(plain);
  const Tensor& result = plain.outs[0];
  std::span<const int64_t> have = result.sizes(), want = f.outs[0].sizes();
  MOKA_CHECK(std::equal(have.begin(), have.end(), want.begin(), want.end()), f.name(),
             ": the output given has shape ", want, " but the result has shape ", have);
  copy_into(f, result);
}

// copy_, zero_ and their like: nothing is left of the old value.
void call_overwriting(Frame& f, int level) {
  Tensor source;
  if (&f.op == &ops::copy__op && f.args[1].tag == Tag::Tensor) source = tangent_of(f.tensor(1), level);
  const Tensor target = f.args[0].as_tensor();
  BelowLevel below(level);
  call(f);
  if (!is_differentiable(target.dtype())) return;
  if (source) {
    if (source.dtype() != target.dtype()) source = to(source, target.dtype());
    source = expand(source, target.sizes());
  }
  write_tangent(target, level, source);
}

void call_view(Frame& f, int level) {
  Tensor tangent = tangent_of(f.tensor(0), level);
  const Tensor from = f.tensor(0);
  BelowLevel below(level);
  call(f);
  if (!tangent || f.op.derivative.rows.count == 0) return;
  if (f.outs.size() && f.outs[0] == from) return;  // handed back as it is
  ArgRoom args;
  std::copy(f.args, f.args + f.count, &args[0]);
  args[0] = Arg(tangent);
  Frame of_tangent(f.op, args, f.count);
  call(of_tangent);
  for (size_t i = 0; i < f.outs.size(); i++)
    if (is_differentiable(f.outs[i].dtype())) set_view_tangent(f.outs[i], from, level, of_tangent.outs[i]);
}

void call_with_tangents(Frame& f, int level) {
  ForwardCall c{f, {}, {}};
  bool any = false;
  for (int i = 0; i < f.count; i++) {
    if (f.args[i].tag == Tag::Tensor) {
      if (is_differentiable(f.tensor(i).dtype())) c.of[i] = tangent_of(f.tensor(i), level);
      any |= c.of[i].defined();
    } else if (f.args[i].tag == Tag::Tensors) {
      std::vector<Tensor> list;
      bool some = false;
      for (const Tensor& t : f.tensors(i)) {
        list.push_back(t && is_differentiable(t.dtype()) ? tangent_of(t, level) : Tensor());
        some |= list.back().defined();
      }
      if (some) c.lists[i] = std::move(list);
      any |= some;
    }
  }
  BelowLevel below(level);
  call(f);
  if (!any) return;
  std::vector<Tensor> tangents = output_tangents(c);
  for (size_t i = 0; i < tangents.size(); i++) {
    const Tensor& out = f.outs[i];
    if (!tangents[i] || !is_differentiable(out.dtype())) continue;
    bool handed_back = false;
    for (int k = 0; k < f.count; k++) handed_back |= f.args[k].tag == Tag::Tensor && f.tensor(k) == out;
    if (handed_back) continue;
    set_tangent(out, level, tangents[i]);
    if (Ref<GradNode> node = grad_fn(out))
      if (auto* recorded = dynamic_cast<OpNode*>(node.get()))
        recorded->keep_tangent(static_cast<int>(i), level, tangents[i]);
  }
}

void forward_handler(Frame& f, uint32_t rest) {
  // Autocast calls the operator again with operands of another type, vmap with whole batches.
  const bool converts = rest & layer::autocast && f.op.autocast != Autocast::None && !f.given;
  uint64_t levels = 0;
  bool batched = false;
  if (!converts && !inference_mode)
    each_tensor(f, [&](const Tensor& t) {
      batched |= is_batched(t);
      levels |= tangent_levels(t);
    });
  if (!levels || batched) return dispatch_layers(f, rest);
  const int level = 63 - std::countl_zero(levels);
  if (f.op.body && f.op.derivative.rows.count == 0) return call_parts(f);
  if (writes_its_first_argument(f.op)) return call_overwriting(f, level);
  if (f.given) return call_in_place(f);
  if (f.op.view) return call_view(f, level);
  call_with_tangents(f, level);
}
}  // namespace
#endif

void install_forward() {
#ifndef MOKA_PREDICTOR
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::forward, forward_handler); });
#endif
}

}  // namespace moka::autograd
