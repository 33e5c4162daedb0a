// The pieces that rules are written with, and formulas as operators.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/rewriting.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "moka/formats/spelling/conversions.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Node;
using graph::NodeKind;
using graph::Value;

namespace {
// A size as far as it is known: a number, or what the input calls it.
graph::Dim named_size(const Value* v) {
  if (const Any* c = v->constant(); c && c->tag() == Tag::Int && c->arg().i >= 0) return {c->arg().i, {}};
  const Node* n = v->producer();
  if (!n || n->kind != NodeKind::Builtin || n->name != "size" || !has_rank(n->input(0))) return {};
  const Any* dim = n->input(1)->constant();
  const int rank = spelling::rank(n->input(0));
  if (!dim || dim->to_int() >= rank || dim->to_int() < -rank) return {};
  return n->input(0)->type.dims[static_cast<size_t>(wrap(dim->to_int(), rank))];
}
}  // namespace

bool Rewriting::is(std::string_view arg, double number) const {
  const Any* c = constant(arg);
  return c && c->arg().is_number() && c->arg().as_double() == number;
}
bool Rewriting::integer(std::string_view arg, int64_t& out) const {
  const Any* c = constant(arg);
  if (!c || c->tag() != Tag::Int) return false;
  out = c->arg().i;
  return true;
}
bool Rewriting::ints(std::string_view arg, Dims& out) const {
  const Any* c = constant(arg);
  return c && to_ints(*c, out);
}
bool Rewriting::flag(std::string_view arg) const {
  const Any* c = constant(arg);
  return c && c->arg().is_number() && c->arg().as_double() != 0;
}
double Rewriting::number(std::string_view arg, double otherwise) const {
  const Any* c = constant(arg);
  return c && c->arg().is_number() ? c->arg().as_double() : otherwise;
}
std::string_view Rewriting::text(std::string_view arg) const {
  const Any* c = constant(arg);
  return c && c->tag() == Tag::String ? c->string() : std::string_view();
}
int Rewriting::rank(std::string_view arg) const { return spelling::rank(node.argument(arg)); }
int Rewriting::rank(const Value* v) const { return spelling::rank(v); }

Term Rewriting::cast(Value* v, DType dtype) const {
  DType have;
  if (has_dtype(v, &have) && have == dtype) return {this, v};
  return call("to", {v, dtype});
}

Value* Rewriting::builtin(std::string_view name, std::vector<Value*> args) const {
  Node* n = build.graph.create_named(NodeKind::Builtin, std::string(name), build.at, args, 1);
  n->source = build.source;
  graph::infer_types(*n);
  return n->output();
}

Term Rewriting::call(std::string_view op, std::initializer_list<Argument> args) const {
  Value* out = build.call(op, args);
  // A shape that is computed when running has as many sizes as its list.
  if ((op == "reshape" || op == "expand") && !has_rank(out) && args.size() > 1 && args.begin()[1].slot.value)
    if (const Node* list = args.begin()[1].slot.value->producer(); list && list->kind == NodeKind::List) {
      out->type.has_dims = true;
      out->type.dims.clear();
      for (const Value* v : list->inputs()) out->type.dims.push_back(named_size(v));
    }
  return {this, out};
}

Size Rewriting::size(Value* x, int64_t dim) const {
  if (spelling::rank(x) == 0) return 1;  // reductions take a single value as one row
  const graph::Dim& d = x->type.dims.at(static_cast<size_t>(wrap(dim, spelling::rank(x))));
  if (d.fixed()) return d.size;
  return builtin("size", {x, build.constant(Any(dim))});
}
std::vector<Size> Rewriting::sizes(Value* x) const {
  std::vector<Size> out;
  for (int d = 0; d < spelling::rank(x); d++) out.push_back(size(x, d));
  return out;
}
Size Rewriting::times(Size a, Size b) const {
  if (!a.value && !b.value) return a.number * b.number;
  auto value = [&](Size s) { return s.value ? s.value : build.constant(Any(s.number)); };
  return builtin("mul", {value(a), value(b)});
}

Argument Rewriting::list(const std::vector<Size>& all) const {
  Dims numbers;
  bool known = true;
  for (const Size& s : all) {
    known &= !s.value;
    numbers.push_back(s.number);
  }
  if (known) return Argument(numbers);
  std::vector<Value*> values;
  for (const Size& s : all) values.push_back(s.value ? s.value : build.constant(Any(s.number)));
  Node* list = build.graph.create(NodeKind::List, build.at, values, 1);
  list->source = build.source;
  list->output()->type = graph::Type::list(graph::TypeKind::Int);
  return Argument(list->output());
}
Term Rewriting::reshape(Value* x, const std::vector<Size>& sizes) const {
  // One size that is known only when running can be left to the reader.
  int open = 0;
  Dims dims;
  bool zero = false;
  for (const Size& s : sizes) {
    open += s.value != nullptr;
    zero |= !s.value && s.number == 0;
    dims.push_back(s.value ? -1 : s.number);
  }
  if (open <= 1 && !(open && zero)) {
    Term out = call("reshape", {x, dims});
    return out;
  }
  return call("reshape", {x, list(sizes)});
}
Term Rewriting::select(Value* x, int64_t dim, std::span<const int64_t> indices) const {
  return call("index_select", {x, dim, constant_ints(indices)});
}
Term Rewriting::dim_last(Value* x, int64_t dim) const {
  const int rank = spelling::rank(x);
  dim = wrap(dim, rank);
  if (dim == rank - 1) return {this, x};
  Dims order;
  for (int i = 0; i < rank; i++)
    if (i != dim) order.push_back(i);
  order.push_back(dim);
  return call("permute", {x, order});
}
Term Rewriting::squeezed(Value* x, Dims dims) const {
  for (int64_t& d : dims) d = wrap(d, spelling::rank(x));
  std::sort(dims.begin(), dims.end(), std::greater<>());
  Term out{this, x};
  for (int64_t d : dims) out = call("squeeze.dim", {out, Dims{d}});
  return out;
}
Term Rewriting::last_to(Value* x, int64_t dim) const {
  const int rank = spelling::rank(x);
  dim = wrap(dim, rank);
  if (dim == rank - 1) return {this, x};
  Dims order;
  for (int i = 0; i < rank; i++) order.push_back(i < dim ? i : i == dim ? rank - 1 : i - 1);
  return call("permute", {x, order});
}

Term arithmetic(std::string_view op, Term a, Argument b) { return a.in->call(op, {a, b}); }

namespace {

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    if (end) out.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return out;
}

// An operation whose operands are all numbers.
bool of_numbers(std::string_view op, std::span<const Argument> args, double& out) {
  double x[3] = {};
  if (args.empty() || args.size() > 3) return false;
  for (size_t i = 0; i < args.size(); i++) {
    const Any* c = args[i].slot.value ? args[i].slot.value->constant() : &args[i].slot.constant;
    if (!c || !c->arg().is_number()) return false;
    x[i] = c->arg().as_double();
  }
  if (op == "add") out = x[0] + x[1];
  else if (op == "sub") out = x[0] - x[1];
  else if (op == "mul") out = x[0] * x[1];
  else if (op == "div") out = x[0] / x[1];
  else if (op == "neg") out = -x[0];
  else if (op == "abs") out = std::fabs(x[0]);
  else if (op == "exp") out = std::exp(x[0]);
  else if (op == "log") out = std::log(x[0]);
  else if (op == "sqrt") out = std::sqrt(x[0]);
  else if (op == "minimum") out = std::min(x[0], x[1]);
  else if (op == "maximum") out = std::max(x[0], x[1]);
  else return false;
  return true;
}

std::string_view operator_of(std::string_view word) {
  if (word == "and") return "logical_and";
  if (word == "or") return "logical_or";
  if (word == "xor") return "logical_xor";
  return word;
}

}  // namespace

Value* write_out_formula(const Rewriting& r) {
  const Op& op = *r.node.op;
  if (!op.formula || !op.formula.text) return nullptr;
  const std::string_view text = op.formula.text();
  std::vector<std::vector<std::string_view>> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) lines.push_back(words(text.substr(at, end - at)));
    at = end + 1;
  }
  for (const auto& line : lines)
    if (line.size() > 2 && line[0] != "return") {
      const Op* part = find_op(operator_of(line[2]));
      // An operation that only this operator is made of would be written out for ever.
      if (!part || part == &op) return nullptr;
    }
  std::map<std::string_view, Argument> made;
  auto argument = [&](std::string_view word, Argument& out) {
    if (auto i = made.find(word); i != made.end()) {
      out = i->second;
      return true;
    }
    if (word.size() > 1 && (word[0] == 'x' || word[0] == 'u')) {
      size_t k = 0;
      if (std::from_chars(word.data() + 1, word.data() + word.size(), k).ec != std::errc()) return false;
      if (word[0] == 'u') k += op.formula.streams;
      if (k >= r.node.inputs().size()) return false;
      Value* v = r.node.inputs()[k];
      const Any* c = v->constant();
      // The integers of a schema are numbers like others in a formula, and bools compare as the integers 0 and 1.
      DType own;
      if (op.formula.rule == DTypeRule::Comparing && has_dtype(v, &own) && own == DType::Bool)
        v = r.cast(v, DType::I64);
      out = c && c->tag() == Tag::Bool ? Argument(int64_t(c->to_bool())) : Argument(v);
      return true;
    }
    if (word == "inf") out = Argument(INFINITY);
    else if (word == "-inf") out = Argument(-INFINITY);
    else if (word == "nan") out = Argument(double(NAN));
    else {
      double number = 0;
      if (std::from_chars(word.data(), word.data() + word.size(), number).ec != std::errc()) return false;
      out = Argument(number);
    }
    return true;
  };
  Value* last = nullptr;
  for (const auto& line : lines) {
    if (line.empty()) continue;
    if (line[0] == "return") {
      Argument result(int64_t(0));
      if (line.size() != 2 || !argument(line[1], result) || !result.slot.value) return nullptr;
      last = result.slot.value;
      continue;
    }
    std::vector<Argument> args;
    for (size_t i = 3; i < line.size(); i++) {
      Argument a(int64_t(0));
      if (!argument(line[i], a)) return nullptr;
      args.push_back(std::move(a));
    }
    double number = 0;
    if (of_numbers(line[2], args, number)) {
      made.insert_or_assign(line[0], Argument(number));
      continue;
    }
    Value* v = r.build.call_all(operator_of(line[2]), args)[0];
    made.insert_or_assign(line[0], Argument(v));
  }
  DType wanted, have;
  if (last && has_dtype(r.node.output(), &wanted) && has_dtype(last, &have) && wanted != have)
    last = r.cast(last, wanted);
  return last;
}

}  // namespace moka::spelling
