// The capture layer and the recording it fills.
// SPDX-License-Identifier: Apache-2.0
#include "moka/capture/trace/trace.h"
#include "moka/schema/body.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace moka::capture {

namespace {
SourceProvider source_provider = nullptr;
thread_local Tracer* recording = nullptr;
}  // namespace

void set_source_provider(SourceProvider provider) { source_provider = provider; }
Tracer* Tracer::current() { return recording; }

struct Tracer::State {
  struct Known {
    Tensor keep;  // the address stays taken while it is a key
    graph::Value* value;
    bool stale = false;  // its memory was written through another tensor
  };
  struct Slot {
    std::string name;
    graph::Value* read;
  };
  std::unique_ptr<graph::Graph> graph;
  std::unordered_map<TensorImpl*, Known> known;
  std::unordered_map<TensorImpl*, Slot> states;
  std::vector<std::string> scopes;
  ThreadLayers before;
  bool running = false;

  graph::Graph::Point at() { return {graph->main(), nullptr}; }

  void bind(const Tensor& t, graph::Value* v) {
    v->type = graph::type_of(Arg(t));
    known[t.impl()] = {t, v, false};
  }
  graph::Value* value_of(const Tensor& t, std::string_view op) {
    auto it = known.find(t.impl());
    if (it == known.end()) {
      graph::Value* v = graph->constant(Any(t), at());
      known[t.impl()] = {t, v, false};
      return v;
    }
    if (it->second.stale)
      fail_kind(ErrorKind::NotImplemented, "trace: ", op, " reads ", t,
                ", a view or alias of memory that was written in place after it was made; trace the program "
                "without that in-place "
                "write (x = x + y instead of x += y)");
    return it->second.value;
  }
  graph::Value* argument(const Arg& a, std::string_view op) {
    if (a.tag == Tag::Tensor) return value_of(a.as_tensor(), op);
    if (a.tag != Tag::Tensors) return graph->constant(Any::copy(a), at());
    std::vector<graph::Value*> items;
    for (const Tensor& t : a.as_tensors())
      items.push_back(t ? value_of(t, op) : graph->constant(Any(), at()));
    graph::Node* list = graph->create(graph::NodeKind::List, at(), items, 1);
    list->output()->type = graph::Type::list(graph::Type::tensor());
    return list->output();
  }
  // All other tensors on the memory of `t` show values that the graph does not know.
  void written(const Tensor& t) {
    for (auto& [impl, k] : known)
      if (impl != t.impl() && impl->storage == t.impl()->storage) k.stale = true;
  }
};

Tracer::Tracer(std::string name) : state_(std::make_unique<State>()) {
  state_->graph = std::make_unique<graph::Graph>(std::move(name));
}
Tracer::~Tracer() {
  if (!state_->running) return;
  thread_layers = state_->before;
  recording = nullptr;
}

void Tracer::add_input(const Tensor& t, std::string name) {
  MOKA_CHECK(!state_->known.count(t.impl()), "trace: the same tensor is given twice as an input ('", name,
             "')");
  graph::Value* v = state_->graph->add_input(std::move(name), graph::type_of(Arg(t)));
  state_->bind(t, v);
}

void Tracer::add_state(const Tensor& t, std::string name, bool parameter) {
  if (state_->known.count(t.impl())) return;  // a shared parameter keeps its first name
  graph::State s;
  s.name = name;
  s.value = Any(t);
  s.type = graph::type_of(Arg(t));
  s.parameter = parameter;
  graph::Node* get = state_->graph->create_named(graph::NodeKind::Get, name, state_->at(), {}, 1);
  state_->graph->states[name] = std::move(s);
  state_->bind(t, get->output());
  state_->states[t.impl()] = {std::move(name), get->output()};
}

void Tracer::push_scope(std::string name) { state_->scopes.push_back(std::move(name)); }
void Tracer::pop_scope() {
  if (!state_->scopes.empty()) state_->scopes.pop_back();
}

void Tracer::begin() {
  MOKA_CHECK(!recording, "trace: a trace is recording in this thread already");
  state_->before = thread_layers;
  state_->running = true;
  thread_layers.forced |= layer::capture;
  recording = this;
}

std::unique_ptr<graph::Graph> Tracer::finish(std::span<const Tensor> outputs,
                                             const std::vector<std::string>& names) {
  MOKA_CHECK(recording == this, "trace: finish() without begin()");
  thread_layers = state_->before;
  state_->running = false;
  recording = nullptr;
  State& s = *state_;
  for (auto& [impl, slot] : s.states) {
    graph::Value* now = s.known[impl].value;
    if (now == slot.read) continue;
    graph::Value* in[] = {now};
    s.graph->create_named(graph::NodeKind::Set, slot.name, s.at(), in, 0);
    s.graph->states[slot.name].written = true;
  }
  for (size_t i = 0; i < outputs.size(); i++)
    s.graph->add_output(s.value_of(outputs[i], "the result"), i < names.size() ? names[i] : std::string());
  // States that nothing reads or writes are not part of the program.
  for (auto& [impl, slot] : s.states)
    if (slot.read->uses().empty() && !s.graph->states[slot.name].written) {
      slot.read->producer()->destroy();
      s.graph->states.erase(slot.name);
    }
  graph::verify(*s.graph);
  return std::move(s.graph);
}

void record_call(Frame& f, uint32_t rest) {
  // A composite whose form depends on ranks or settings: the graph holds its parts.
  if (f.op.body && !f.op.body.graph && !has_kernels(f.op)) return run_op(f);
  Tracer* tracer = recording;
  MOKA_ASSERT(tracer != nullptr);
  Tracer::State& s = *tracer->state_;
  std::string_view name = f.name();
  std::vector<graph::Value*> inputs;
  for (int i = 0; i < f.count; i++) inputs.push_back(s.argument(f.args[i], name));
  Tensor targets[Outputs::inline_limit];
  for (size_t i = 0; i < Outputs::inline_limit; i++)
    if (f.given >> i & 1) {
      targets[i] = f.outs[i];
      if (targets[i].impl()->base)
        fail_kind(ErrorKind::NotImplemented, "trace: ", name,
                  " writes in place into a view; a graph has no memory to share. Build the result with cat, "
                  "stack, where or scatter");
    }
  {
    LayersOff off(layer::capture);
    dispatch_layers(f, rest);
  }
  graph::Node* node = s.graph->create_op(f.op, s.at(), inputs);
  if (source_provider) node->source = source_provider();
  if (!s.scopes.empty()) node->source.scope = s.scopes.back();
  const Schema& schema = info(f.op).schema;
  if (schema.outs.size() == 1 && schema.outs[0].type.list) {
    node->output()->type = graph::Type::list(graph::Type::tensor());
    graph::Value* list[] = {node->output()};
    graph::Node* unpack =
        s.graph->create(graph::NodeKind::Unpack, s.at(), list, static_cast<int>(f.outs.size()));
    unpack->source = node->source;
    for (size_t i = 0; i < f.outs.size(); i++) s.bind(f.outs[i], unpack->output(static_cast<int>(i)));
    return;
  }
  for (size_t i = 0; i < f.outs.size() && i < schema.outs.size(); i++) {
    bool in_place = f.given >> i & 1;
    // An operator may hand an input back (contiguous, to): the same tensor then has a newer value of equal contents.
    s.bind(f.outs[i], node->output(static_cast<int>(i)));
    if (in_place) s.written(targets[i]);
  }
}

namespace {
void differs(const graph::Node& node, std::string_view what) {
  fail("trace: the program depends on a size that was declared dynamic: ", what, " of ", graph::print(node),
       "\n  at ", node.source.file, ":", node.source.line, node.source.scope.empty() ? "" : " in ",
       node.source.scope,
       ". Use operators that keep sizes open (flatten(1), -1 in view and reshape) instead of numbers read "
       "from x.shape");
}

bool same_constant(const Any& a, const Any& b) {
  if (a.is_tensor() && b.is_tensor()) {
    const Tensor &x = a.tensor(), &y = b.tensor();
    if (x == y) return true;
    if (x.dtype() != y.dtype() ||
        !std::equal(x.sizes().begin(), x.sizes().end(), y.sizes().begin(), y.sizes().end()))
      return false;
    Tensor p = as_contiguous(x), q = as_contiguous(y);
    return std::memcmp(p.raw_data(), q.raw_data(), p.bytes()) == 0;
  }
  return a == b;
}
}  // namespace

void generalize(graph::Graph& graph, const graph::Graph& other) {
  graph::Node *a = graph.main()->first(), *b = other.main()->first();
  for (; a && b; a = a->next(), b = b->next()) {
    if (a->kind != b->kind || a->op != b->op || a->inputs().size() != b->inputs().size() ||
        a->outputs().size() != b->outputs().size())
      differs(*a, "the operation");
    if (a->kind == graph::NodeKind::Constant && !same_constant(a->constant, b->constant)) {
      graph::Node* user = a->output()->uses().empty() ? nullptr : a->output()->uses()[0].node;
      differs(user ? *user : *a,
              cat("an argument (", a->constant, " for one size, ", b->constant, " for another)"));
    }
    for (size_t i = 0; i < a->outputs().size(); i++)
      a->outputs()[i]->type = graph::join(a->outputs()[i]->type, b->outputs()[i]->type);
  }
  if (a || b) differs(a ? *a : *b, "the number of operations");
}

void install() {
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::capture, record_call); });
}

}  // namespace moka::capture
