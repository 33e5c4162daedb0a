// Making a context: tensors get their place in the arena, views and lists of them are made once, calls are filled in.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/runtime/context_internal.h"
#include "moka/schema/reading.h"

namespace moka::runtime {

using namespace graph;

Context::Context(const Plan& plan, StateTable& states, const Options& options)
    : plan_(plan),
      states_(states),
      options_(options),
      registers_(plan.sources.size()),
      fixed_(plan.sources.size()),
      constant_(plan.sources.size()),
      settled_(plan.sources.size()) {
  LayersOff off(~0u);
  if (plan.arena_bytes > 0) {
    const int64_t bytes[] = {plan.arena_bytes};
    arena_ = new_tensor(bytes, DType::U8);
  }
  for (size_t r = 0; r < plan.sources.size(); r++) {
    if (plan.sources[r] == Source::Constant) {
      fix(static_cast<int>(r), plan.constants[r]);
      constant_[r] = true;
    }
    settled_[r] = plan.sources[r] == Source::Input;  // strides belong to the signature
  }
  prepare(plan.main, main_);
  for (size_t r = 0; r < registers_.size(); r++)
    if (!fixed_[r]) moving_.push_back(static_cast<int>(r));
}

void Context::fix(int reg, Any value) {
  registers_[reg] = std::move(value);
  fixed_[reg] = settled_[reg] = true;
}

void Context::prepare(const Region& region, Body& body) {
  body.region = &region;
  body.calls.reserve(region.steps.size());
  for (const Step& step : region.steps) {
    if (step.kind == StepKind::View && show_views(step)) continue;
    bool passing = step.kind == StepKind::MakeList || step.kind == StepKind::MakeTuple ||
                   step.kind == StepKind::Unpack || step.kind == StepKind::Builtin;
    if (passing && evaluate(step)) continue;
    Call& call = body.calls.emplace_back();
    call.step = &step;
    if (step.kind == StepKind::Planned || step.kind == StepKind::View || step.kind == StepKind::Dynamic)
      prepare_op(step, call);
    for (const Region& inner : step.regions) prepare(inner, call.bodies.emplace_back());
    for (int r : step.drops)
      if (!is_fixed(r)) call.drops.push_back(r);
  }
}

// Views of memory that stays are made once. One that had to copy sees elements of a moment, unless they never change.
bool Context::show_views(const Step& step) {
  for (int r : step.inputs)
    if (!is_fixed(r)) return false;
  ArgRoom args;
  for (size_t i = 0; i < step.inputs.size(); i++) args[i] = registers_[step.inputs[i]].arg();
  Frame frame(*step.node->op, args, static_cast<int>(step.inputs.size()));
  try {
    check_args(*step.node->op, args, frame.count);
    step.node->op->view(frame);
  } catch (const Error&) {
    return false;  // said again if the step ever runs
  }
  bool constant = true;
  auto shares = [&](const Tensor& out) {
    for (int r : step.inputs) {
      const Any& in = registers_[r];
      if (in.is_tensor() && in.tensor().impl()->storage == out.impl()->storage) return true;
      if (in.tag() == Tag::Tensors)
        for (const Tensor& t : in.tensors())
          if (t && t.impl()->storage == out.impl()->storage) return true;
    }
    return false;
  };
  for (int r : step.inputs) constant &= constant_[r] != 0;
  for (size_t i = 0; i < frame.outs.size(); i++)
    if (!constant && !shares(frame.outs[i])) return false;
  const Schema& schema = info(*step.node->op).schema;
  if (schema.outs.size() == 1 && schema.outs[0].type.list) {
    std::vector<Tensor> list;
    for (size_t i = 0; i < frame.outs.size(); i++) list.push_back(frame.outs[i]);
    fix(step.outputs[0], Any(std::span<const Tensor>(list)));
    constant_[step.outputs[0]] = constant;
    return true;
  }
  for (size_t i = 0; i < step.outputs.size(); i++) {
    fix(step.outputs[i], Any(frame.outs[i]));
    constant_[step.outputs[i]] = constant;
  }
  return true;
}

// Lists of tensors that stay, and builtins that only hand them on.
bool Context::evaluate(const Step& step) {
  bool constant = true;
  for (int r : step.inputs) {
    if (!is_fixed(r)) return false;
    constant &= constant_[r] != 0;
  }
  bool handles_only = step.kind != StepKind::Builtin || step.builtin->reads != Reads::Data;
  if (!constant && !handles_only) return false;
  try {
    if (step.kind == StepKind::Unpack) {
      const Any& list = registers_[step.inputs[0]];
      if (list_length(list) != static_cast<int64_t>(step.outputs.size())) return false;
      for (size_t i = 0; i < step.outputs.size(); i++)
        fix(step.outputs[i], list_item(list, static_cast<int64_t>(i)));
    } else {
      fix(step.outputs[0], passed_on(step));
    }
  } catch (const Error&) {
    return false;
  }
  for (int r : step.outputs) constant_[r] = constant;
  return true;
}

void Context::prepare_op(const Step& step, Call& call) {
  size_t count = step.inputs.size();
  call.args = std::make_unique<Arg[]>(std::max<size_t>(count, 1));
  for (size_t i = 0; i < count; i++) {
    int r = step.inputs[i];
    if (is_fixed(r)) {
      call.args[i] = registers_[r].arg();
      continue;
    }
    call.patches.push_back({static_cast<int>(i), r});
    call.settled &= settled_[r] != 0;
  }
  call.frame.emplace(*step.node->op, call.args.get(), static_cast<int>(count));
  if (step.kind != StepKind::Planned) return;

  bool list = info(*step.node->op).schema.outs.size() == 1 && info(*step.node->op).schema.outs[0].type.list;
  call.frame->outs.resize(step.specs.size());
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < step.specs.size(); i++) {
    const OutputSpec& spec = step.specs[i];
    const Root& root = plan_.roots[spec.root];
    Tensor place;
    if (root.offset >= 0 && !root.escapes) {
      // Own storage for each: kernels ask by storage whether result and operands overlap.
      char* data = arena_ ? arena_.data<char>() + root.offset : nullptr;
      static char nothing[64];
      place = from_memory(
          data ? data : nothing, static_cast<size_t>(root.bytes), spec.sizes, contiguous_strides(spec.sizes),
          spec.dtype, Device{}, [](Storage*) {}, nullptr, false);
      call.frame->outs[i] = place;
      if (i < 8) call.frame->given |= static_cast<uint8_t>(1u << i);
    } else {
      call.fresh = true;
    }
    if (!list) {
      if (place) fix(step.outputs[i], Any(place));
      else settled_[step.outputs[i]] = true;
    }
    tensors.push_back(place);
    call.places.push_back(std::move(place));
  }
  if (list && !call.fresh) fix(step.outputs[0], Any(std::span<const Tensor>(tensors)));
  if (step.node->op->formula) prepare_direct(step, call);
}

void Context::prepare_direct(const Step& step, Call& call) {
  const Formula& f = step.node->op->formula;
  if (f.rule == DTypeRule::Condition || step.inputs.size() != size_t(f.streams) + f.uniforms ||
      step.specs.size() != 1)
    return;
  const OutputSpec& spec = step.specs[0];
  DirectFormula d{};
  for (int k = 0; k < f.streams; k++) {
    const Arg& a = call.args[k];
    // Operands that are not here yet are compared when they come.
    if (a.tag == Tag::None && !is_fixed(step.inputs[k])) continue;
    if (a.tag != Tag::Tensor) return;
    if (Dims(a.as_tensor().sizes()) != spec.sizes || !a.as_tensor().is_contiguous()) return;
  }
  DType dtype = f.mask_result ? DType::F32 : spec.dtype;
  int column = dtype == DType::F32 ? 0 : dtype == DType::F64 ? 1 : -1;
  if (column < 0 || !f.kernels[0][column]) return;
  for (int k = 0; k < f.streams; k++)
    if (call.args[k].tag == Tag::Tensor && call.args[k].as_tensor().dtype() != dtype) return;
  for (int u = 0; u < f.uniforms; u++) {
    const Arg& a = call.args[f.streams + u];
    if (!is_fixed(step.inputs[f.streams + u]) || !a.is_number()) return;
    d.uniforms[u] = {a.as_double(), 0};
  }
  d.kernel = f.kernels[static_cast<int>(isa())][column];
  d.count = 1;
  for (int64_t s : spec.sizes) d.count *= s;
  d.grain = std::max<int64_t>(4096, 65536 / std::max<int>(f.cost, 1));
  d.streams = f.streams;
  d.item = static_cast<int64_t>(item_size(dtype));
  d.result_item = f.mask_result ? 1 : d.item;
  call.direct = d;
}

}  // namespace moka::runtime
