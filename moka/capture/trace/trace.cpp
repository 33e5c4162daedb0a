// The capture layer and the recording it fills.
// SPDX-License-Identifier: Apache-2.0
#include "moka/capture/trace/trace.h"

#include <mutex>
#include <unordered_map>

#include "moka/base/thread_local.h"
#include "moka/capture/trace/memory.h"
#include "moka/schema/body.h"

namespace moka::capture {

namespace {
SourceProvider source_provider = nullptr;
MOKA_THREAD_LOCAL Tracer* recording = nullptr;
}  // namespace

void set_source_provider(SourceProvider provider) { source_provider = provider; }
Tracer* Tracer::current() { return recording; }

struct Tracer::State {
  struct Slot {
    std::string name;
    graph::Value* read;
  };
  explicit State(std::string name) : graph(std::make_unique<graph::Graph>(std::move(name))), memory(*graph) {}
  std::unique_ptr<graph::Graph> graph;
  Memory memory;
  std::unordered_map<TensorImpl*, Slot> states;
  std::vector<Tensor> order;  // of the states
  std::vector<std::pair<std::string, std::shared_ptr<const Memory::Whole>>> given;  // inputs
  std::unordered_map<const graph::Value*, bool> varying;
  std::unordered_map<TensorImpl*, Tensor> own;     // made by the program, without an operator
  std::vector<std::pair<Tensor, Tensor>> restore;  // what was found and written, and what it held
  std::vector<std::string> scopes;
  ThreadLayers before;
  bool running = false;

  graph::Graph::Point at() { return {graph->main(), nullptr}; }
  graph::Source source() const {
    graph::Source s;
    if (source_provider) s = source_provider();
    if (!scopes.empty()) s.scope = scopes.back();
    return s;
  }

  // What the recording did not make is a constant of the graph.
  void know(const Tensor& t) {
    if (memory.knows(t)) return;
    memory.bind(t, graph->constant(Any(t), at()));
    if (!own.count(t.impl())) memory.whole_of(t).outer = t;
  }
  // What the program found and writes is a state of the graph from the beginning.
  void make_state(Memory::Whole& whole) {
    const Tensor t = std::move(whole.outer);
    whole.outer = Tensor();
    Tensor saved = new_tensor(t.sizes(), t.dtype());
    copy_elements(t, saved);
    restore.emplace_back(t, saved);
    graph::State s;
    s.name = cat("outside", restore.size() - 1);
    s.value = Any(t);
    s.type = graph::type_of(Arg(t));
    graph::Node* get =
        graph->create_named(graph::NodeKind::Get, s.name, {graph->main(), graph->main()->first()}, {}, 1);
    get->output()->type = s.type;
    graph::Node* constant = whole.value->producer();
    memory.replace(whole.value, get->output());
    constant->destroy();
    states[t.impl()] = {s.name, get->output()};
    order.push_back(t);
    graph->states[s.name] = std::move(s);
  }
  graph::Value* value_of(const Tensor& t, std::string_view reader, const graph::Source& source) {
    know(t);
    return memory.value(t, reader, source);
  }
  graph::Value* argument(const Arg& a, Kind kind, bool wide, std::string_view op,
                         const graph::Source& source) {
    if (a.tag == Tag::Tensor) return value_of(a.as_tensor(), op, source);
    if (a.tag == Tag::Floats && kind == Kind::Operand) {  // a complex number
      Tensor number = new_tensor({}, wide ? DType::C128 : DType::C64);
      convert_elements(a.floats, DType::C128, number.raw_data(), number.dtype(), 1);
      return graph->constant(Any(number), at());
    }
    if (a.tag != Tag::Tensors) return graph->constant(Any::copy(a), at());
    std::vector<graph::Value*> items;
    graph::Type element = graph::Type::tensor();
    for (const Tensor& t : a.as_tensors()) {
      items.push_back(t ? value_of(t, op, source) : graph->constant(Any(), at()));
      if (!t) element = graph::join(element, graph::TypeKind::None);
    }
    graph::Node* list = graph->create(graph::NodeKind::List, at(), items, 1);
    list->output()->type = graph::Type::list(element);
    return list->output();
  }
  // Constants keep what their tensors hold now, although the program is about to write there.
  void keep_constants(const Tensor& target) {
    know(target);
    if (Memory::Whole& whole = memory.whole_of(target); whole.outer) make_state(whole);
    for (graph::Node* n : *graph->main())
      if (n->kind == graph::NodeKind::Constant && n->constant.is_tensor() &&
          n->constant.tensor().impl()->storage == target.impl()->storage) {
        Tensor copy = new_tensor(n->constant.tensor().sizes(), n->constant.tensor().dtype());
        copy_elements(n->constant.tensor(), copy);
        n->constant = Any(copy);
      }
  }
  // Operators that read how memory lies: they are recorded as views of all of it.
  bool bind_strided(Frame& f, std::span<graph::Value* const> inputs, const graph::Source& source);
  void bind_results(Frame& f, graph::Node& node, const Tensor* targets, const graph::Source& source);
  // Sizes of results that the next run may find others: they depend on values (the dimensions in of_values) or on sizes
  // that do.
  void leave_sizes_open(graph::Node& node, uint16_t of_values);
  bool has_open_sizes = false;
  void bind(const Frame& f, const Tensor& t, graph::Node& node, int output, graph::Value* value);
};

Tracer::Tracer(std::string name) : state_(std::make_unique<State>(std::move(name))) {}
Tracer::~Tracer() {
  if (!state_->running) return;
  thread_layers = state_->before;
  recording = nullptr;
}

void Tracer::add_input(const Tensor& t, std::string name) {
  MOKA_CHECK(!state_->memory.knows(t), "trace: the same tensor is given twice as an input ('", name, "')");
  graph::Value* v = state_->graph->add_input(std::move(name), graph::type_of(Arg(t)));
  state_->memory.bind(t, v);
  state_->given.emplace_back(v->name, state_->memory.whole(t));
}

void Tracer::add_state(const Tensor& t, std::string name, bool parameter) {
  if (state_->memory.knows(t)) return;  // a shared parameter keeps its first name
  graph::State s;
  s.name = name;
  s.value = Any(t);
  s.type = graph::type_of(Arg(t));
  s.parameter = parameter;
  graph::Node* get = state_->graph->create_named(graph::NodeKind::Get, name, state_->at(), {}, 1);
  state_->graph->states[name] = std::move(s);
  state_->memory.bind(t, get->output());
  state_->states[t.impl()] = {std::move(name), get->output()};
  state_->order.push_back(t);
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

namespace {
graph::Value* builtin(graph::Graph& g, const std::string& name, std::vector<graph::Value*> inputs,
                      const graph::Source& source, Any is) {
  graph::Node* n = g.create_named(graph::NodeKind::Builtin, name, {g.main(), nullptr}, inputs, 1);
  n->source = source;
  n->notes["is"] = std::move(is);
  graph::infer_types(*n);
  return n->output();
}
}  // namespace

graph::Value* Tracer::size(const Tensor& t, int dim) {
  State& s = *state_;
  if (!follows_sizes || !s.memory.knows(t)) return nullptr;
  const graph::Source source = s.source();
  graph::Value* of = s.memory.value(t, "shape", source);
  return builtin(*s.graph, "size", {of, literal(dim)}, source, Any(t.size(dim)));
}
graph::Value* Tracer::literal(int64_t number) { return state_->graph->constant(Any(number), state_->at()); }
graph::Value* Tracer::compute(const std::string& name, graph::Value* a, graph::Value* b, int64_t is) {
  return builtin(*state_->graph, name, {a, b}, state_->source(), Any(is));
}
void Tracer::answer(const std::string& name, graph::Value* a, graph::Value* b, bool is) {
  State& s = *state_;
  const graph::Source source = s.source();
  graph::Value* condition = builtin(*s.graph, name, {a, b}, source, Any(is));
  builtin(*s.graph, "check",
          {condition, s.graph->constant(Any(is), s.at()), s.graph->constant(Any(""), s.at())}, source, Any());
}

graph::Source Tracer::here() const { return state_->source(); }

namespace {
// Nodes stand in order, so that the walk back ends; `known` keeps it short.
bool is_varying(const graph::Value* v, std::unordered_map<const graph::Value*, bool>& known) {
  std::vector<const graph::Value*> open{v};
  while (!open.empty()) {
    const graph::Value* now = open.back();
    const graph::Node* n = now->producer();
    bool varies = !n || n->has_effects() || n->kind == graph::NodeKind::Get;
    size_t waiting = open.size();
    for (const graph::Value* in : n ? n->inputs() : std::span<graph::Value* const>()) {
      auto found = known.find(in);
      if (found == known.end()) open.push_back(in);
      else varies |= found->second;
    }
    if (varies || open.size() == waiting) {
      open.resize(waiting - 1);
      known[now] = varies;
    }
  }
  return known[v];
}
}  // namespace

bool Tracer::varies(const Tensor& t) {
  State& s = *state_;
  if (!s.memory.knows(t)) return s.memory.shares(t);
  return is_varying(s.memory.value(t, "a question for its elements", s.source()), s.varying);
}

graph::Value* Tracer::value(const Tensor& t) { return state_->value_of(t, "python", state_->source()); }

void Tracer::call_python(const std::string& name, std::span<graph::Value* const> inputs,
                         std::span<const Tensor> results) {
  State& s = *state_;
  graph::Node* n =
      s.graph->create_named(graph::NodeKind::Python, name, s.at(), inputs, static_cast<int>(results.size()));
  n->source = s.source();
  for (size_t i = 0; i < results.size(); i++) {
    n->output(static_cast<int>(i))->type = graph::type_of(Arg(results[i]));
    if (!s.memory.knows(results[i])) s.memory.bind(results[i], n->output(static_cast<int>(i)));
  }
}

void Tracer::own(const Tensor& t) {
  if (!state_->memory.knows(t)) state_->own.emplace(t.impl(), t);
}

void Tracer::become(const Tensor& t, const Tensor& other) {
  state_->know(other);
  state_->memory.become(t, other);
}

Tracer::Paused::Paused() : tracer_(recording), off_(layer::capture) { recording = nullptr; }
Tracer::Paused::~Paused() { recording = tracer_; }

std::unique_ptr<graph::Graph> Tracer::finish(std::span<const Result> outputs,
                                             const std::vector<std::string>& names) {
  MOKA_CHECK(recording == this, "trace: finish() without begin()");
  thread_layers = state_->before;
  state_->running = false;
  recording = nullptr;
  State& s = *state_;
  for (const auto& [found, held] : s.restore) copy_elements(held, found);
  for (const Tensor& state : s.order) {
    const State::Slot& slot = s.states[state.impl()];
    graph::Value* now = s.memory.value(state, "the end of the program", {});
    if (now == slot.read) continue;
    graph::Value* in[] = {now};
    s.graph->create_named(graph::NodeKind::Set, slot.name, s.at(), in, 0);
    s.graph->states[slot.name].written = true;
  }
  for (size_t i = 0; i < outputs.size(); i++)
    s.graph->add_output(
        outputs[i].number ? outputs[i].number : s.value_of(outputs[i].tensor, "the result", {}),
        i < names.size() ? names[i] : std::string());
  for (const auto& [name, whole] : s.given) {
    if (!whole->version) continue;
    if (whole->lost)
      fail_kind(ErrorKind::NotImplemented, "trace: input '", name,
                "' is written in place in a way that the recording cannot follow");
    const std::string after = cat(name, ".after");
    s.graph->add_output(whole->value, after);
    s.graph->metadata[cat("writes ", after)] = name;
  }
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
  const graph::Source source = s.source();
  Tensor targets[Outputs::inline_limit];
  for (size_t i = 0; i < Outputs::inline_limit; i++)
    if (f.given >> i & 1) {
      targets[i] = f.outs[i];
      s.keep_constants(targets[i]);
    }
  std::vector<graph::Value*> inputs;
  const Schema& schema = info(f.op).schema;
  bool wide = false;  // numbers of 64 bits take part
  for (int i = 0; i < f.count; i++)
    if (f.args[i].tag == Tag::Tensor) {
      const DType d = f.args[i].as_tensor().dtype();
      wide |= d == DType::F64 || d == DType::C128;
    }
  for (int i = 0; i < f.count; i++)
    inputs.push_back(
        s.argument(f.args[i], schema.args[static_cast<size_t>(i)].type.kind, wide, name, source));
  {
    LayersOff off(layer::capture);
    dispatch_layers(f, rest);
  }
  if (s.bind_strided(f, inputs, source)) return;
  graph::Node* node = s.graph->create_op(f.op, s.at(), inputs);
  node->source = source;
  s.bind_results(f, *node, targets, source);
  s.leave_sizes_open(*node, f.of_values);
}

namespace {
bool is_open(const graph::Type& type) {
  return std::any_of(type.dims.begin(), type.dims.end(), [](const graph::Dim& d) { return !d.fixed(); });
}
}  // namespace

void Tracer::State::leave_sizes_open(graph::Node& node, uint16_t of_values) {
  has_open_sizes |= of_values != 0;
  if (!has_open_sizes) return;
  bool follows = false;  // sizes that follow from those of an operand are as open as they are
  for (const graph::Value* v : node.inputs()) {
    follows |= is_open(v->type);
    if (const graph::Node* list = v->producer(); list && list->kind == graph::NodeKind::List)
      for (const graph::Value* e : list->inputs()) follows |= is_open(e->type);
  }
  if (!of_values && !follows) return;
  const std::vector<graph::Type> inferred =
      of_values ? std::vector<graph::Type>() : graph::infer_types(*node.op, node.inputs());
  auto open = [&](graph::Value* v, const graph::Type* known) {
    for (size_t d = 0; d < v->type.dims.size(); d++) {
      const bool fixed = known && known->dims.size() == v->type.dims.size() && known->dims[d].fixed();
      if (of_values ? of_values >> d & 1 : !fixed) v->type.dims[d] = {};
    }
  };
  for (size_t i = 0; i < node.outputs().size(); i++)
    open(node.outputs()[i], i < inferred.size() ? &inferred[i] : nullptr);
  for (const graph::Value::Use& use :
       node.outputs().empty() ? std::vector<graph::Value::Use>() : node.output()->uses())
    if (use.node && use.node->kind == graph::NodeKind::Unpack)
      for (graph::Value* v : use.node->outputs()) open(v, nullptr);
}

bool Tracer::State::bind_strided(Frame& f, std::span<graph::Value* const> inputs,
                                 const graph::Source& source) {
  const std::string_view name = f.name();
  if (name == "as_strided") {
    memory.bind_strided(f.outs[0], f.tensor(0), inputs[1], inputs[2], source);
    return true;
  }
  if (name != "as_strided_scatter" || f.given) return false;
  const int64_t offset = f.has(4) ? f.integer(4) : f.tensor(0).impl()->offset;
  memory.bind(f.outs[0],
              memory.strided_scatter(f.tensor(0), inputs[1], inputs[2], inputs[3], offset, source));
  return true;
}

void Tracer::State::bind_results(Frame& f, graph::Node& node, const Tensor* targets,
                                 const graph::Source& source) {
  const Schema& schema = info(f.op).schema;
  if (schema.outs.size() == 1 && schema.outs[0].type.list) {
    node.output()->type = graph::Type::list(graph::Type::tensor());
    graph::Value* list[] = {node.output()};
    graph::Node* unpack = graph->create(graph::NodeKind::Unpack, at(), list, static_cast<int>(f.outs.size()));
    unpack->source = source;
    for (size_t i = 0; i < f.outs.size(); i++)
      bind(f, f.outs[i], node, static_cast<int>(i), unpack->output(static_cast<int>(i)));
    return;
  }
  for (size_t i = 0; i < f.outs.size() && i < schema.outs.size(); i++) {
    const int output = static_cast<int>(i);
    graph::Value* value = node.output(output);
    const bool written = f.given >> i & 1;
    if (!written || f.outs[i].impl()->storage != targets[i].impl()->storage) {
      bind(f, f.outs[i], node, output, value);
      continue;
    }
    graph::infer_types(node);
    const DType dtype = f.outs[i].dtype();
    if (value->type.has_dtype && value->type.dtype != dtype) {
      std::vector<graph::Value*> arguments{value};
      for (const Any& a : {Any(dtype), Any(), Any(false), Any()})
        arguments.push_back(graph->constant(a, at()));
      graph::Node* to = graph->create_op(get_op("to"), at(), arguments);
      to->source = source;
      value = to->output();
    }
    memory.write(f.outs[i], value, f.name(), source);
  }
}

void Tracer::State::bind(const Frame& f, const Tensor& t, graph::Node& node, int output,
                         graph::Value* value) {
  for (int i = 0; i < f.count; i++)
    if (f.args[i].tag == Tag::Tensor && f.args[i].tensor == t.impl()) return;  // an input, handed back
  const bool view = f.count && f.args[0].tag == Tag::Tensor && memory.shows(t, f.args[0].as_tensor());
  if (view) memory.bind_view(t, f.args[0].as_tensor(), node, output, value);
  else memory.bind(t, value);
}

void install() {
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::capture, record_call); });
}

}  // namespace moka::capture
