// Frame: one call of one operator: borrowed arguments in, outputs out. All kernels, layers and plug-ins take it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moka/schema/op.h"
#include "moka/schema/schema.h"

namespace moka {

// What an Op needs at run time and cannot hold as a constant.
struct OpInfo {
  const Op* op = nullptr;
  Schema schema;
  std::vector<KernelRow> rows;  // rows added at run time (plug-ins, back ends) before those of the Op
  int id = 0;
  void* python = nullptr;  // interned names, kept by the bindings
  void* autograd = nullptr;  // resolved derivative rows, kept by the autograd layer
};
OpInfo& make_info(const Op& op);
inline OpInfo& info(const Op& op) {
  OpInfo* i = op.info.load(std::memory_order_acquire);
  return __builtin_expect(i != nullptr, 1) ? *i : make_info(op);
}

// Outputs of a call: up to four inline, more (split, unbind) in a vector.
class Outputs {
 public:
  static constexpr int inline_limit = 4;
  Tensor& operator[](size_t i) { return i < inline_limit ? few_[i] : many_[i - inline_limit]; }
  const Tensor& operator[](size_t i) const { return i < inline_limit ? few_[i] : many_[i - inline_limit]; }
  size_t size() const { return size_; }
  // All of them as one value.
  Any list() const;
  void resize(size_t n) {
    if (n > inline_limit) many_.resize(n - inline_limit);
    size_ = static_cast<uint32_t>(n);
  }

 private:
  Tensor few_[inline_limit];
  uint32_t size_ = 0;
  std::vector<Tensor> many_;
};

struct Frame {
  const Op& op;
  const Arg* args;
  int count;  // all arguments of the schema, defaults filled in
  Outputs outs;
  uint8_t given = 0;  // bit i: outs[i] came with the call (out=, in-place); the result goes there
  bool infer = false;  // shape functions make shape-only outputs
  uint16_t of_values = 0;  // bit d: dimension d of the results has a size that depends on values

  Frame(const Op& op, const Arg* args, int count) : op(op), args(args), count(count) {}

  const Tensor& tensor(int i) const { return args[i].as_tensor(); }
  bool has(int i) const { return args[i].tag != Tag::None; }
  // An optional tensor; undefined where it is None.
  const Tensor& maybe(int i) const {
    static const Tensor none;
    return args[i].tag == Tag::Tensor ? args[i].as_tensor() : none;
  }
  std::span<const Tensor> tensors(int i) const { return args[i].as_tensors(); }
  int64_t integer(int i) const { return args[i].as_int(); }
  double number(int i) const { return args[i].as_double(); }
  bool flag(int i) const { return args[i].as_double() != 0; }
  std::span<const int64_t> ints(int i) const { return args[i].as_ints(); }
  std::string_view string(int i) const { return args[i].as_string(); }
  std::string_view name() const { return info(op).schema.name; }

  // Declares output i; only shape functions and view functions call it. Allocates it, or checks the one given.
  void output(int i, std::span<const int64_t> sizes, DType dtype);
  void output(int i, std::span<const int64_t> sizes, DType dtype, Device device);
  // What comes depends on values: it cannot be inferred, and recordings leave the size of this dimension (-1: of all)
  // open.
  void sizes_of_values(int dim = 0);
};

// ---- dispatch

// The layers of this thread: which may act (enabled) and which act on every call (forced).
struct ThreadLayers {
  uint32_t enabled = layer::autograd | layer::batch;
  uint32_t forced = 0;
};
extern thread_local ThreadLayers thread_layers __attribute__((tls_model("initial-exec")));

using LayerHandler = void (*)(Frame& frame, uint32_t rest);  // calls dispatch_layers(frame, rest) to go on
void set_layer_handler(uint32_t layer, LayerHandler handler);
void dispatch_layers(Frame& frame, uint32_t layers);
// Below all layers: formula, view, body or kernels. Raises the version of outputs that came with the call.
void run_op(Frame& frame);

inline uint32_t layers_of(const TensorImpl* t) {
  // A view answers for its base too: a write in place may have given that one a history since.
  return t->base ? t->layers | (t->base->layers & layer::autograd) : t->layers;
}
inline uint32_t active_layers(const Frame& frame) {
  uint32_t layers = 0;
  for (int i = 0; i < frame.count; i++) {
    const Arg& a = frame.args[i];
    if (a.tag == Tag::Tensor) layers |= layers_of(a.tensor);
    else if (a.tag == Tag::Tensors)
      for (const Tensor& t : a.as_tensors())
        if (t) layers |= layers_of(t.impl());
  }
  for (size_t i = 0; i < 4; i++)
    if (frame.given >> i & 1) layers |= layers_of(frame.outs[i].impl());
  return (layers & thread_layers.enabled) | thread_layers.forced;
}
inline void call(Frame& frame) {
  uint32_t layers = active_layers(frame);
  if (__builtin_expect(layers != 0, 0)) dispatch_layers(frame, layers);
  else run_op(frame);
}

// Switches layers off for a scope: below(layer::autograd) is what no_grad does for the calls inside it.
class LayersOff {
 public:
  explicit LayersOff(uint32_t layers) : saved_(thread_layers) {
    thread_layers.enabled &= ~layers;
    thread_layers.forced &= ~layers;
  }
  ~LayersOff() { thread_layers = saved_; }
  LayersOff(const LayersOff&) = delete;

 private:
  ThreadLayers saved_;
};

// ---- registry

// Makes a table of operators findable by name; a table may be given twice.
void register_ops(const Op* const* table, size_t count);
const Op* find_op(std::string_view schema_name);  // "max.dim"; null when there is none
const Op& get_op(std::string_view schema_name);  // an error names near misses
std::vector<const Op*> all_ops();  // in registration order
// Adds a row before the Op's own ones (later additions first).
void add_kernel(std::string_view schema_name, const KernelRow& row);
// Fills defaults for arguments not given and checks types; errors name op, argument, wanted, got.
void check_args(const Op& op, Arg* args, int count);

// Calls by name of schema with boxed values: interpreters, tools, plug-ins. Missing trailing arguments take defaults.
std::vector<Tensor> call_boxed(const Op& op, std::span<const Arg> args);
// Shapes and dtypes of the outputs, nothing computed.
std::vector<Tensor> infer_shapes(const Op& op, std::span<const Arg> args);

// The kernel row that would run, null for formulas, views and bodies; `why` gets a line for every row that declined.
const KernelRow* choose_kernel(const Frame& frame, std::string* why);

}  // namespace moka
