// Result types of nodes. Operators are asked through their shape functions; where sizes have names or are unknown, two
// probes with different numbers show which result sizes are fixed and which repeat a named one.
// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "moka/graph/builtins.h"
#include "moka/graph/expr.h"
#include "moka/graph/graph.h"
#include "moka/schema/reading.h"

namespace moka::graph {

namespace {
// Gives names and unknown sizes numbers. Large primes, so that arithmetic on sizes does not meet them by accident.
class Probe {
 public:
  // 0: names and unknown sizes all differ; 1: all are alike; 2: unknown sizes are 1 (they then broadcast).
  Probe(int mode, int64_t base, int64_t step) : mode_(mode), base_(base), step_(step) {}

  int64_t size(const Dim& d) {
    if (d.fixed()) return d.size;
    exact_ = false;
    if (d.symbol.empty()) return mode_ == 0 ? next() : mode_ == 1 ? base_ : 1;
    if (mode_ == 1) return base_;
    auto [at, fresh] = names_.emplace(d.symbol, 0);
    if (fresh) at->second = next();
    return at->second;
  }
  // Sizes of one value are the same wherever it is asked for.
  Dims sizes(const Value* v, const Type& type) {
    Dims out;
    if (auto at = seen_.find(v); v && at != seen_.end()) return at->second;
    for (const Dim& d : type.dims) out.push_back(size(d));
    if (v) seen_.emplace(v, out);
    return out;
  }
  bool exact() const { return exact_; }
  const std::map<std::string, int64_t>& names() const { return names_; }

 private:
  int64_t next() { return base_ + step_ * count_++; }
  int mode_;
  int64_t base_, step_;
  int64_t count_ = 0;
  bool exact_ = true;
  std::map<std::string, int64_t> names_;
  std::map<const Value*, Dims> seen_;
};

bool has_rank(const Type& t) { return t.kind == TypeKind::Tensor && t.has_dtype && t.has_dims; }

// An integer made of sizes: a product, a sum, a quotient. Not min and max: a probe is larger than real sizes.
bool probe_integer(const Value* v, Probe& probe, int64_t& out, int depth = 0) {
  if (const Any* c = v->constant()) {
    if (c->tag() != Tag::Int) return false;
    out = c->to_int();
    return true;
  }
  const Node* n = v->producer();
  if (!n || n->kind != NodeKind::Builtin || depth > 16) return false;
  if (n->name == "size") {
    const Any* d = n->input(1)->constant();
    const Type& type = n->input(0)->type;
    if (!d || d->tag() != Tag::Int || !has_rank(type)) return false;
    const int64_t rank = static_cast<int64_t>(type.dims.size());
    const int64_t at = d->to_int() < 0 ? d->to_int() + rank : d->to_int();
    if (at < 0 || at >= rank) return false;
    out = probe.sizes(n->input(0), type)[static_cast<size_t>(at)];
    return true;
  }
  int64_t a, b;
  if (n->data_inputs() != 2 ||
      (n->name != "mul" && n->name != "add" && n->name != "sub" && n->name != "floordiv") ||
      !probe_integer(n->input(0), probe, a, depth + 1) || !probe_integer(n->input(1), probe, b, depth + 1))
    return false;
  if (n->name == "mul") return !__builtin_mul_overflow(a, b, &out);
  if (n->name == "add") return !__builtin_add_overflow(a, b, &out);
  if (n->name == "sub") return !__builtin_sub_overflow(a, b, &out);
  if (b <= 0 || a < 0) return false;
  out = a / b;
  return true;
}

// Arguments that shape functions can look at; false when something they may need is not known.
class ProbeArgs {
 public:
  bool fill(const Op& op, std::span<Value* const> inputs, Probe& probe) {
    const Schema& schema = info(op).schema;
    for (size_t i = 0; i < schema.args.size(); i++)
      if (!add(inputs[i], i, probe)) return false;
    count_ = schema.args.size();
    return true;
  }
  std::span<const Arg> args() const { return {args_, count_}; }

 private:
  bool add(Value* v, size_t i, Probe& probe) {
    if (const Any* c = v->constant()) {
      args_[i] = c->arg();
      return true;
    }
    Tensor t;
    if (has_rank(v->type)) {
      if (!shape(v, v->type, probe, t)) return false;
      args_[i] = Arg(t);
      kept_.push_back(Any(std::move(t)));
      return true;
    }
    // A list that was put together here, or a value whose type says how many tensors it holds.
    std::vector<Type> elements;
    if (v->producer() && v->producer()->kind == NodeKind::List) {
      for (Value* e : v->producer()->inputs()) elements.push_back(e->type);
    } else if (v->type.kind == TypeKind::Tuple) {
      elements = v->type.elements;
    } else {
      return false;
    }
    std::vector<Any> items;
    for (size_t k = 0; k < elements.size(); k++) {
      const Value* e = v->type.kind == TypeKind::List ? v->producer()->input(static_cast<int>(k)) : nullptr;
      if (e && e->constant()) {
        items.push_back(*e->constant());
        continue;
      }
      if (e && e->type.kind == TypeKind::Int) {
        int64_t number;
        items.push_back(Any(probe_integer(e, probe, number) ? number : probe.size(Dim())));
        continue;
      }
      if (!has_rank(elements[k]) || !shape(e, elements[k], probe, t)) return false;
      items.push_back(Any(t));
    }
    const bool typed = v->type.kind == TypeKind::List && v->type.elements[0].kind != TypeKind::Any;
    kept_.push_back(make_list(items, typed ? v->type.elements[0] : Type::tensor()));
    args_[i] = kept_.back().arg();
    return true;
  }
  static bool shape(const Value* v, const Type& type, Probe& probe, Tensor& out) {
    if (type.dims.size() > static_cast<size_t>(max_dims)) return false;
    out = shape_only(probe.sizes(v, type), type.dtype);
    return true;
  }

  Arg args_[max_args];
  size_t count_ = 0;
  std::vector<Any> kept_;
};

std::vector<Type> unknown_types(const Op& op) {
  std::vector<Type> out;
  for (const ArgDef& o : info(op).schema.outs)
    out.push_back(o.type.list ? Type::list(Type::tensor()) : Type::tensor());
  return out;
}

// Types of what a shape function declared; several tensors for one list output.
std::vector<Type> as_types(const Op& op, const std::vector<Tensor>& results, Device device) {
  const Schema& schema = info(op).schema;
  std::vector<Type> out;
  for (const Tensor& t : results) {
    out.push_back(t ? Type::tensor(t.dtype(), t.sizes()) : Type(TypeKind::None));
    if (t) out.back().device = device;
  }
  if (schema.outs.size() == 1 && schema.outs[0].type.list) {
    Type tuple(TypeKind::Tuple);
    tuple.elements = std::move(out);
    return {tuple};
  }
  return out;
}

// Where two probes differ the size is unknown, or that of the name that both probes gave it.
void unify(Type& a, const Type& b, const Probe& first, const Probe& second) {
  for (size_t i = 0; i < a.elements.size() && i < b.elements.size(); i++)
    unify(a.elements[i], b.elements[i], first, second);
  if (a.kind != TypeKind::Tensor) return;
  if (a.dims.size() != b.dims.size()) {
    a.has_dims = false;
    a.dims.clear();
    return;
  }
  for (size_t i = 0; i < a.dims.size(); i++) {
    if (a.dims[i] == b.dims[i]) continue;
    Dim d;
    for (const auto& [name, size] : first.names())
      if (size == a.dims[i].size && second.names().at(name) == b.dims[i].size) d.symbol = name;
    a.dims[i] = d;
  }
}

// A size that smaller operands would change was cut to fit (a slice up to 5): nothing is known of it.
void forget_cuts(Type& a, const Type& smaller) {
  for (size_t i = 0; i < a.elements.size() && i < smaller.elements.size(); i++)
    forget_cuts(a.elements[i], smaller.elements[i]);
  if (a.kind != TypeKind::Tensor || a.dims.size() != smaller.dims.size()) return;
  for (size_t i = 0; i < a.dims.size(); i++)
    if (a.dims[i].fixed() && a.dims[i].size != smaller.dims[i].size) a.dims[i] = {};
}

// A view that drops dimensions of size 1 has as many as the run decides.
void forget_ranks(const Op& op, std::span<Value* const> inputs, std::vector<Type>& types) {
  Probe ones(1, 1, 0);  // every size that is not known is 1
  ProbeArgs args;
  if (!args.fill(op, inputs, ones)) return;
  try {
    const std::vector<Type> narrow = as_types(op, infer_shapes(op, args.args()), {});
    for (size_t i = 0; i < types.size() && i < narrow.size(); i++) {
      if (types[i].kind != TypeKind::Tensor || types[i].dims.size() == narrow[i].dims.size()) continue;
      types[i].has_dims = false;
      types[i].dims.clear();
    }
  } catch (const Error&) {  // it cannot work on them
  }
}

void forget_dims(Type& t) {
  for (Type& e : t.elements) forget_dims(e);
  for (Dim& d : t.dims) d = {};
}

// The integers of a list of sizes, 0 where one is not known; empty where it is no such list.
Dims listed_sizes(const Value* v) {
  Dims out;
  if (const Any* c = v->constant()) {
    if (c->tag() == Tag::Ints)
      for (int64_t i : c->ints()) out.push_back(i);
    return out;
  }
  if (!v->producer() || v->producer()->kind != NodeKind::List) return out;
  for (const Value* e : v->producer()->inputs()) {
    const Any* c = e->constant();
    if (e->type.kind != TypeKind::Int && !(c && c->tag() == Tag::Int)) return {};
    out.push_back(c && c->tag() == Tag::Int ? c->to_int() : 0);
  }
  return out;
}

// Where different sizes were taken to be alike, what -1 stands for in a list of sizes (a reshape) is a guess.
void forget_guesses(Type& t, std::span<Value* const> inputs) {
  for (Type& e : t.elements) forget_guesses(e, inputs);
  for (const Value* v : inputs) {
    const Dims sizes = listed_sizes(v);
    const bool same = sizes.size() == t.dims.size();
    for (size_t i = 0; i < sizes.size(); i++)
      for (size_t d = 0; sizes[i] == -1 && d < t.dims.size(); d++)
        if (!same || d == i) t.dims[d] = {};
  }
}

Device device_of(std::span<Value* const> inputs) {
  for (Value* v : inputs)
    if (v->type.kind == TypeKind::Tensor) return v->type.device;
  return {};
}

// A composite: its parts are built in a graph of their own and say.
std::vector<Type> infer_body(const Op& op, std::span<Value* const> inputs) {
  Graph scratch("infer");
  Building building(scratch, {scratch.main()});
  const Schema& schema = info(op).schema;
  std::vector<Expr> in(schema.args.size()), out(schema.outs.size());
  for (size_t i = 0; i < in.size(); i++) {
    if (const Any* c = inputs[i]->constant()) in[i] = Expr(*c);
    else in[i] = Expr(scratch.add_input("", inputs[i]->type));
  }
  op.body.graph(in.data(), out.data());
  std::vector<Type> types;
  for (const Expr& e : out) types.push_back(e.value ? e.value->type : Type(TypeKind::None));
  return types;
}
}  // namespace

std::vector<Type> infer_types(const Op& op, std::span<Value* const> inputs) {
  if (!op.formula && !op.view && !op.shape) {
    if (op.body && op.body.graph) return infer_body(op, inputs);
    return unknown_types(op);
  }
  Device device = device_of(inputs);
  for (int mode = 0; mode < 3; mode++) {
    Probe first(mode, 1009, 94), second(mode, 1201, 166);
    ProbeArgs args;
    if (!args.fill(op, inputs, first)) return unknown_types(op);
    std::vector<Type> a;
    try {
      a = as_types(op, infer_shapes(op, args.args()), device);
      if (first.exact()) return a;
      ProbeArgs again;
      again.fill(op, inputs, second);
      std::vector<Type> b = as_types(op, infer_shapes(op, again.args()), device);
      if (a.size() != b.size()) return unknown_types(op);
      for (size_t i = 0; i < a.size(); i++) {
        // With unknown sizes taken for 1 only dtype and rank can be believed.
        if (mode == 2) forget_dims(a[i]);
        else unify(a[i], b[i], first, second);
        if (mode == 1) forget_guesses(a[i], inputs);
      }
      if (mode == 2) return a;
      try {
        Probe small(mode, 2, 1);
        ProbeArgs less;
        less.fill(op, inputs, small);
        const std::vector<Type> c = as_types(op, infer_shapes(op, less.args()), device);
        for (size_t i = 0; i < a.size() && i < c.size(); i++) forget_cuts(a[i], c[i]);
      } catch (const Error&) {  // too small for the operator: it cuts nothing
      }
      if (op.view) forget_ranks(op, inputs, a);
      return a;
    } catch (const Error& e) {
      // Sizes that are all known and do not fit are the user's error; a probe that does not fit is ours.
      if (e.kind() == ErrorKind::NotImplemented) return unknown_types(op);
      if (first.exact()) throw;
    }
  }
  return unknown_types(op);
}

void infer_types(Node& node) {
  switch (node.kind) {
    case NodeKind::Op: {
      std::vector<Type> types = infer_types(*node.op, node.inputs());
      for (size_t i = 0; i < types.size() && i < node.outputs().size(); i++)
        node.outputs()[i]->type = std::move(types[i]);
      break;
    }
    case NodeKind::Builtin: {
      const Builtin& b = get_builtin(node.name);
      int n = node.data_inputs();
      MOKA_CHECK(n >= b.least && n <= b.most, b.name, ": takes ", b.least,
                 b.most > b.least ? cat(" to ", b.most) : "", " arguments, got ", n);
      node.output()->type = b.result(node.inputs().first(static_cast<size_t>(n)));
      break;
    }
    case NodeKind::List: {
      if (node.inputs().empty()) break;  // what it shall hold is for its maker to say
      Type element = node.input(0)->type;
      for (Value* v : node.inputs()) element = join(element, v->type);
      node.output()->type = Type::list(element);
      break;
    }
    case NodeKind::Tuple: {
      Type tuple(TypeKind::Tuple);
      for (Value* v : node.inputs()) tuple.elements.push_back(v->type);
      node.output()->type = tuple;
      break;
    }
    case NodeKind::Unpack: {
      const Type& t = node.input(0)->type;
      for (size_t i = 0; i < node.outputs().size(); i++) {
        if (t.kind == TypeKind::Tuple && i < t.elements.size()) node.outputs()[i]->type = t.elements[i];
        else if (t.kind == TypeKind::List) node.outputs()[i]->type = t.elements[0];
      }
      break;
    }
    case NodeKind::Constant: node.output()->type = type_of(node.constant); break;
    default: break;
  }
}

}  // namespace moka::graph
