// The layer that times operators, and how contexts time their steps.
// SPDX-License-Identifier: Apache-2.0
#include "moka/runtime/watch.h"

#include <mutex>

#include "moka/runtime/context_internal.h"
#include "moka/runtime/work.h"
#include "moka/tensor/allocator.h"

namespace moka::runtime {

namespace {
thread_local Watch* watching = nullptr;

int64_t result_bytes(const Frame& f) {
  int64_t bytes = 0;
  for (size_t i = 0; i < f.outs.size(); i++)
    if (f.outs[i]) bytes += static_cast<int64_t>(f.outs[i].bytes());
  return bytes;
}

void finish(Trace& trace, Trace::Event& event, bool memory) {
  if (memory) event.in_use = static_cast<int64_t>(cpu_allocator().stats().bytes_in_use);
  trace.add(std::move(event));
}

void watch_call(Frame& f, uint32_t rest) {
  const Watch* watch = watching;
  if (!watch) return dispatch_layers(f, rest);
  Trace::Event event;
  event.name = f.name();
  if (watch->shapes) event.shapes = shapes_text({f.args, static_cast<size_t>(f.count)});
  if (watch->place) event.place = watch->place();
  event.begin = trace_clock();
  dispatch_layers(f, rest);
  event.end = trace_clock();
  event.kernel = kernel_name(f);
  if (event.kernel != "composite") {  // its parts count
    const Work work = measure_work(f);
    event.flop = work.flop;
    event.bytes = work.bytes;
    if (!f.op.view && !f.given) event.made = result_bytes(f);
  }
  finish(watch->trace, event, watch->memory);
}
}  // namespace

std::string kernel_name(const Frame& f) {
  if (f.op.formula) return "formula";
  if (f.op.view) return "view";
  const KernelRow* row = choose_kernel(f, nullptr);
  return row ? std::string(row->name) : f.op.body ? "composite" : "";
}

std::string shapes_text(std::span<const Arg> args) {
  std::string out;
  auto add = [&](const Tensor& t) {
    if (t) out += cat(out.empty() ? "" : ", ", info(t.dtype()).name, t.sizes());
  };
  for (const Arg& a : args) {
    if (a.tag == Tag::Tensor) add(a.as_tensor());
    else if (a.tag == Tag::Tensors)
      for (const Tensor& t : a.as_tensors()) add(t);
  }
  return out;
}

Watch::Watch(Trace& trace, bool shapes, bool memory, std::string (*place)())
    : trace(trace), shapes(shapes), memory(memory), place(place) {
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::profile, watch_call); });
  MOKA_CHECK(!watching, "profile: this thread is profiled already");
  watching = this;
  thread_layers.forced |= layer::profile;
}

Watch::~Watch() {
  if (watching != this) return;
  watching = nullptr;
  thread_layers.forced &= ~layer::profile;
}

Watch* Watch::current() { return watching; }

void Context::traced(Call& call) {
  const Step& step = *call.step;
  const graph::Node& node = *step.node;
  Trace::Event event;
  event.name = node.op_name();
  event.place = node_place(node);
  event.step = step.position;
  std::vector<Arg> args;  // what a loop carries is dropped while it runs
  if (node.kind == graph::NodeKind::Op)
    for (int r : step.inputs) args.push_back(registers_[r].arg());
  event.shapes = shapes_text(args);
  event.begin = trace_clock();
  run_call(call);
  event.end = trace_clock();
  if (node.kind == graph::NodeKind::Op) {
    Frame frame(*node.op, args.data(), static_cast<int>(args.size()));
    frame.outs.resize(step.outputs.size());
    for (size_t i = 0; i < step.outputs.size(); i++)
      if (registers_[step.outputs[i]].is_tensor()) frame.outs[i] = registers_[step.outputs[i]].tensor();
    event.kernel = call.row ? std::string(call.row->name) : kernel_name(frame);
    const Work work = measure_work(frame);
    event.flop = work.flop;
    event.bytes = work.bytes;
    if (!node.op->view) event.made = result_bytes(frame);
  }
  finish(*run_->trace, event, true);
}

}  // namespace moka::runtime
