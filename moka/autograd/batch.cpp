// vmap: every call that meets a batched tensor is done for the whole batch, by the operator's rule or one by one.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/batch.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "moka/ops/creation/creation.h"
#include "moka/ops/operators.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/ops/random/generator.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/schema/batch.h"
#include "moka/schema/body.h"

namespace moka::autograd {

namespace {
struct Level {
  int64_t size;
  Randomness randomness;
  bool of_tangents;
};
thread_local std::vector<Level> levels;

struct BatchExtra final : TensorExtra {
  Tensor physical;  // the batch is dimension 0
  int level = 0;
};
const BatchExtra& extra_of(const Tensor& t) { return *static_cast<const BatchExtra*>(t.impl()->extra); }

Tensor wrap_batch(const Tensor& physical, int level) {
  Tensor t = shape_only(physical.sizes().subspan(1), physical.dtype());
  auto* extra = new BatchExtra;
  extra->physical = physical;
  extra->level = level;
  t.impl()->extra = extra;
  t.impl()->layers = layer::batch | (physical.impl()->layers & layer::autograd);
  return t;
}

int deepest(const Frame& f) {
  int level = 0;
  auto look = [&](const Tensor& t) {
    if (t && is_batched(t)) level = std::max(level, batch_level(t));
  };
  for (int i = 0; i < f.count; i++) {
    if (f.args[i].tag == Tag::Tensor) look(f.tensor(i));
    else if (f.args[i].tag == Tag::Tensors)
      for (const Tensor& t : f.tensors(i)) look(t);
  }
  for (size_t i = 0; i < Outputs::inline_limit; i++)
    if (f.given >> i & 1) look(f.outs[i]);
  return level;
}

Tensor expanded(const Tensor& t, int64_t size) {
  Dims sizes{size};
  for (int64_t n : t.sizes()) sizes.push_back(n);
  return expand(unsqueeze(t, 0), sizes);
}

// Replaces what is batched at `level` by what lies behind.
void open_arguments(BatchCall& c, int level) {
  auto here = [&](const Tensor& t) { return t && batch_level(t) == level; };
  for (int i = 0; i < c.count; i++) {
    const Arg& a = c.args[i];
    if (a.tag == Tag::Tensor && here(a.as_tensor())) {
      c.set(i, physical(a.as_tensor()));
      c.batched |= uint64_t(1) << i;
    } else if (a.tag == Tag::Tensors) {
      std::span<const Tensor> list = a.as_tensors();
      if (std::none_of(list.begin(), list.end(), here)) continue;
      std::vector<Tensor> all;
      for (const Tensor& t : list) all.push_back(!t ? t : here(t) ? physical(t) : expanded(t, c.size));
      c.set(i, std::move(all));
      c.batched |= uint64_t(1) << i;
    }
  }
}

// A formula broadcasts: batched operands get ones behind the batch until all have the same number of dimensions.
void call_formula(BatchCall& c, Tensor* target) {
  int rank = target ? target->dim() - 1 : 0;
  for (int i = 0; i < c.count; i++)
    if (c.args[i].tag == Tag::Tensor) rank = std::max(rank, c.rank(i));
  const bool mixed = c.op.formula.rule != DTypeRule::Condition;
  for (int i = 0; i < c.count; i++) {
    if (!c.is_batched(i)) continue;
    Tensor t = c.tensor(i);
    // What the program sees as a 0-d tensor must not outrank tensors with dimensions when types are promoted.
    if (mixed && c.rank(i) == 0 && rank > 0 && c.op.formula.streams > 1) {
      DType common = result_type(std::span<const Arg>(c.logical.args, c.op.formula.streams));
      if (promote(common, t.dtype()) != common) t = EagerReading::call(get_op("to"), t, common);
    }
    if (int missing = rank - c.rank(i); missing > 0) {
      Dims sizes{t.size(0)};
      for (int k = 0; k < missing; k++) sizes.push_back(1);
      for (int k = 1; k < t.dim(); k++) sizes.push_back(t.size(k));
      t = reshape(t, sizes);
    }
    c.set(i, t);
  }
  if (!target) return c.call();
  Frame frame(c.op, c.args, c.count);
  frame.outs.resize(1);
  frame.outs[0] = *target;
  frame.given = 1;
  moka::call(frame);
  c.outs = std::move(frame.outs);
}

Tensor element(const Tensor& batch, int64_t i) { return select(batch, 0, i); }

// The generator that a random call draws from.
Generator& generator_of(const Frame& f) {
  for (int i = 0; i < f.count; i++)
    if (f.args[i].tag == Tag::Object)
      if (auto* g = dynamic_cast<Generator*>(f.args[i].object)) return *g;
  return default_generator();
}

// One call for every element of the batch; with `same_numbers` each draws what the first one drew.
void call_one_by_one(BatchCall& c, bool same_numbers = false) {
  MOKA_CHECK(c.size > 0, "vmap: ", c.logical.name(),
             " has no batching rule, and an empty batch has no element to call it with");
  std::vector<Outputs> results(static_cast<size_t>(c.size));
  Generator& generator = generator_of(c.logical);
  const Generator::State state = generator.state();
  for (int64_t b = 0; b < c.size; b++) {
    if (same_numbers) generator.set_state(state);
    ArgRoom args;
    std::deque<Tensor> tensors;
    std::deque<std::vector<Tensor>> lists;
    for (int i = 0; i < c.count; i++) {
      args[i] = c.args[i];
      if (!c.is_batched(i)) continue;
      if (c.args[i].tag == Tag::Tensor) {
        tensors.push_back(element(c.tensor(i), b));
        args[i] = Arg(tensors.back());
      } else {
        lists.emplace_back();
        for (const Tensor& t : c.args[i].as_tensors()) lists.back().push_back(t ? element(t, b) : t);
        args[i] = Arg(std::span<const Tensor>(lists.back()));
      }
    }
    Frame frame(c.op, args, c.count);
    moka::call(frame);
    results[static_cast<size_t>(b)] = std::move(frame.outs);
  }
  c.outs.resize(results[0].size());
  for (size_t k = 0; k < results[0].size(); k++) {
    std::vector<Tensor> parts;
    for (const Outputs& r : results) parts.push_back(r[k]);
    c.outs[k] = EagerReading::call(ops::stack_op, std::span<const Tensor>(parts), int64_t(0));
  }
}

bool writes_its_first_argument(const Op& op) {
  const Schema& s = info(op).schema;
  return s.base.size() > 1 && s.base.back() == '_' && s.base[s.base.size() - 2] != '_';
}

// In-place calls write into what lies behind the batched tensor.
void call_in_place(BatchCall& c, int level) {
  Tensor target = c.logical.outs[0];
  MOKA_CHECK(batch_level(target) == level, "vmap: ", c.logical.name(),
             " would write values of a whole batch into a tensor that has no batch; clone() it inside the "
             "function, or make it an input with an in_dims entry");
  Tensor behind = physical(target);
  if (c.op.formula) {
    call_formula(c, &behind);
  } else if (writes_its_first_argument(c.op)) {
    for (int64_t b = 0; b < c.size; b++) {
      ArgRoom args;
      std::deque<Tensor> tensors;
      for (int i = 0; i < c.count; i++) {
        args[i] = c.args[i];
        if (!c.is_batched(i) || c.args[i].tag != Tag::Tensor) continue;
        tensors.push_back(element(c.tensor(i), b));
        args[i] = Arg(tensors.back());
      }
      Frame frame(c.op, args, c.count);
      frame.outs.resize(1);
      frame.outs[0] = args[0].as_tensor();
      frame.given = 1;
      moka::call(frame);
    }
  } else {
    fail_kind(ErrorKind::NotImplemented, "vmap: ", c.logical.name(),
              " cannot write into a batched tensor; use the form that returns a new one");
  }
  target.impl()->layers |= behind.impl()->layers & layer::autograd;
  c.logical.outs[0] = target;
}

// Random numbers: one draw for every element, or one for all, as vmap was told.
void call_random(Frame& f) {
  const Level here = levels.back();
  MOKA_CHECK(here.randomness != Randomness::Error, "vmap: ", f.name(),
             " draws random numbers; pass randomness='different' or randomness='same' to vmap");
  BatchCall c(f, here.size);
  const int level = batch_levels();
  open_arguments(c, level);
  struct Closed {  // the calls inside are made for one element
    Level level = levels.back();
    Closed() { levels.pop_back(); }
    ~Closed() { levels.push_back(level); }
  } closed;
  const bool same = here.randomness == Randomness::Same;
  if (same && !c.batched) {
    Frame frame(f.op, f.args, f.count);
    moka::call(frame);
    f.outs = std::move(frame.outs);
    return;
  }
  call_one_by_one(c, same);
  f.outs.resize(c.outs.size());
  for (size_t i = 0; i < c.outs.size(); i++) f.outs[i] = wrap_batch(c.outs[i], level);
}

// Uninitialised memory is random, but nothing is drawn for it.
bool draws(const Op& op) {
  return op.effect == Effect::Random &&
         op.schema.substr(0, op.schema.find('(')).find("empty") == std::string_view::npos;
}

void batch_layer(Frame& f, uint32_t rest) {
  const int level = deepest(f);
  const int open = batch_levels();
  if (draws(f.op) && open && !f.given) return call_random(f);
  if (!level) return dispatch_layers(f, rest);
  MOKA_CHECK(level <= open,
             "vmap: a tensor left the function that vmap called; return it from the function instead");
  BatchCall c(f, levels[static_cast<size_t>(level - 1)].size);
  open_arguments(c, level);
  if (f.given) return call_in_place(c, level);
  if (f.op.formula) call_formula(c, nullptr);
  else if (f.op.batch.rule && f.op.batch.rule(c, f.op.batch.names)) {
  } else if (f.op.body) return run_body(f);
  else {
    BatchCall again(f, c.size);  // a rule may have changed arguments before it declined
    open_arguments(again, level);
    call_one_by_one(again);
    c.outs = std::move(again.outs);
  }
  f.outs.resize(c.outs.size());
  for (size_t i = 0; i < c.outs.size(); i++)
    f.outs[i] = c.outs_are_logical ? c.outs[i] : wrap_batch(c.outs[i], level);
}

Tensor moved(const Tensor& t, int from, int to) {
  if (from == to) return t;
  Dims order;
  for (int i = 0; i < t.dim(); i++)
    if (i != from) order.push_back(i);
  order.insert(static_cast<size_t>(to), from);
  return permute(t, order);
}

Tensor with_batches(const Tensor& t, int level) {
  if (level == 0) return t;
  if (levels[static_cast<size_t>(level - 1)].of_tangents && batch_level(t) != level)
    return with_batches(t, level - 1);
  const int64_t size = levels[static_cast<size_t>(level - 1)].size;
  const bool here = batch_level(t) == level;
  return wrap_batch(with_batches(here ? physical(t) : expanded(t, size), level - 1), level);
}
}  // namespace

int open_batch_level(int64_t size, Randomness randomness, bool of_tangents) {
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::batch, batch_layer); });
  levels.push_back({size, randomness, of_tangents});
  thread_layers.forced |= layer::batch;  // random operators without a batched argument are batched too
  return static_cast<int>(levels.size());
}
void close_batch_level() {
  levels.pop_back();
  if (levels.empty()) thread_layers.forced &= ~layer::batch;
}
int batch_levels() { return static_cast<int>(levels.size()); }

int batch_level(const Tensor& t) { return is_batched(t) ? extra_of(t).level : 0; }
const Tensor& physical(const Tensor& t) {
  MOKA_ASSERT(is_batched(t));
  return extra_of(t).physical;
}

Tensor add_batch(const Tensor& t, int dim, int level) { return wrap_batch(moved(t, dim, 0), level); }

Tensor remove_batch(const Tensor& t, int dim, int level) {
  const int own = batch_level(t);
  MOKA_CHECK(own <= level,
             "vmap: a tensor left the function that vmap called; return it from the function instead");
  const int64_t size = levels[static_cast<size_t>(level - 1)].size;
  return moved(own == level ? physical(t) : expanded(t, size), 0, wrap_dim(dim, t.dim() + 1, "vmap"));
}

Tensor label_batch(const Tensor& t, int level) {
  const int own = batch_level(t);
  if (own <= level) return wrap_batch(t, level);
  return wrap_batch(label_batch(moved(physical(t), 1, 0), level), own);
}
Tensor unlabel_batch(const Tensor& t, int level) {
  const int own = batch_level(t);
  if (own == level) return physical(t);
  if (own < level) return expanded(t, levels[static_cast<size_t>(level - 1)].size);
  return wrap_batch(moved(unlabel_batch(physical(t), level), 0, 1), own);
}

Tensor add_all_batches(const Tensor& t) { return with_batches(t, batch_levels()); }

const Tensor& behind_batches(const Tensor& t) { return is_batched(t) ? behind_batches(physical(t)) : t; }
Tensor detach_batched(const Tensor& t) { return wrap_batch(detach(physical(t)), batch_level(t)); }

std::vector<Tensor> gradients_of_batches(std::span<const Tensor> outputs, std::span<const Tensor> grads,
                                         std::span<const Tensor> inputs, BackwardOptions options) {
  int level = 0;
  for (const Tensor& t : outputs) level = std::max(level, batch_level(t));
  for (const Tensor& t : inputs) level = std::max(level, batch_level(t));
  if (!level) {
    std::vector<Root> roots;
    std::vector<Edge> edges;
    for (size_t i = 0; i < outputs.size(); i++) roots.push_back(root_of(outputs[i], grads[i]));
    for (const Tensor& t : inputs) edges.push_back(gradient_edge(t));
    return gradients(roots, edges, options);
  }
  const int64_t size = levels[static_cast<size_t>(level - 1)].size;
  auto behind = [&](const Tensor& t) { return batch_level(t) == level ? physical(t) : expanded(t, size); };
  std::vector<Tensor> open_outputs, open_grads, open_inputs;
  for (size_t i = 0; i < outputs.size(); i++) {
    MOKA_CHECK(grads[i] || outputs[i].numel() == 1,
               "grad: a gradient must be given unless the root has one element; it has shape ",
               outputs[i].sizes());
    open_outputs.push_back(behind(outputs[i]));
    open_grads.push_back(grads[i] ? behind(grads[i]) : ones_like(detach(open_outputs[i])));
  }
  for (const Tensor& t : inputs) {
    MOKA_CHECK(batch_level(t) == level, "grad: an input of shape ", t.sizes(),
               " has no batch inside vmap, so its gradient would mix the elements; use moka.func.grad");
    open_inputs.push_back(physical(t));
  }
  std::vector<Tensor> out = gradients_of_batches(open_outputs, open_grads, open_inputs, options);
  for (Tensor& t : out)
    if (t) t = label_batch(t, level);
  return out;
}

}  // namespace moka::autograd
