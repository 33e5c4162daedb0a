// Sizes, numbers and loops of a graph that is being built, known now or when it runs.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/running_internal.h"

#include "moka/graph/builtins.h"

namespace moka::onnx {

using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::TypeKind;
using graph::Value;

int rank_of(Value* x, const char* what) {
  const int rank = spelling::rank(x);
  MOKA_CHECK_KIND(NotImplemented, rank >= 0, "the number of dimensions of ", what,
                  " is not known when the model is read");
  return rank;
}

int64_t wrapped(int64_t axis, int rank, const char* what) {
  MOKA_CHECK_KIND(File, axis >= -rank && axis < rank, what, " ", axis, " is out of range for ", rank,
                  " dimensions");
  return axis < 0 ? axis + rank : axis;
}

DType dtype_of(Value* v, const char* what) {
  DType dtype = DType::F32;
  MOKA_CHECK_KIND(NotImplemented, spelling::has_dtype(v, &dtype), "the element type of ", what,
                  " is not known when the model is read");
  return dtype;
}

Whole size_of(NodeReader& n, Value* x, int64_t dim) {
  const int rank = spelling::rank(x);
  if (rank >= 0) {
    MOKA_CHECK_KIND(File, dim >= -rank && dim < rank, "dimension ", dim, " is out of range for ", rank,
                    " dimensions");
    const graph::Dim& d = x->type.dims[static_cast<size_t>(dim < 0 ? dim + rank : dim)];
    if (d.fixed()) return d.size;
  }
  return n.builtin("size", {x, n.build.constant(Any(dim))});
}

Whole whole_of(Value* v) {
  const Any* known = v->constant();
  return known && known->tag() == Tag::Int ? Whole(known->to_int()) : Whole(v);
}

Wholes sizes_of(NodeReader& n, Value* x) {
  Wholes out;
  const int rank = rank_of(x, "an input");
  for (int d = 0; d < rank; d++) out.push_back(size_of(n, x, d));
  return out;
}

Whole whole_input(NodeReader& n, int input) {
  if (auto known = n.known_number(input)) return known->arg().as_int();
  if (const auto* elements = n.build.elements(n[input]); elements && elements->size() == 1)
    return whole_of((*elements)[0]);
  return n.builtin("int", {n[input]});
}

Whole whole_element(NodeReader& n, int input, int64_t element) {
  const spelling::Argument a = n.int_argument(input, element);
  return a.slot.value ? whole_of(a.slot.value) : Whole(a.slot.constant.arg().as_int());
}

Value* int_value(NodeReader& n, Whole w) { return w.fixed() ? n.build.constant(Any(w.number)) : w.value; }

Whole arithmetic(NodeReader& n, const char* name, Whole a, Whole b) {
  if (a.fixed() && b.fixed()) {
    const std::vector<Any> args{Any(a.number), Any(b.number)};
    return graph::get_builtin(name).run(args).to_int();
  }
  return n.builtin(name, {int_value(n, a), int_value(n, b)});
}

spelling::Argument list_of(NodeReader& n, const Wholes& all) {
  Dims known;
  for (const Whole& w : all)
    if (w.fixed()) known.push_back(w.number);
  if (known.size() == all.size()) return known;
  std::vector<Value*> items;
  for (const Whole& w : all) items.push_back(int_value(n, w));
  return n.list(items);
}

Value* constant_number(NodeReader& n, double v, DType dtype) {
  return n.build.constant(Any(spelling::number_tensor(Any(v), dtype)));
}

Value* number_of(NodeReader& n, Whole w, DType dtype) {
  if (w.fixed()) return n.build.constant(Any(spelling::number_tensor(Any(w.number), dtype)));
  return n.builtin("tensor", {w.value, n.build.constant(Any(dtype))});
}

Value* promise(Value* v, DType dtype, int rank) {
  if (v->type.kind == TypeKind::Tensor && v->type.has_dtype && v->type.has_dims) return v;
  MOKA_CHECK_KIND(File, rank <= max_dims, "a tensor of ", rank, " dimensions, at most ", max_dims,
                  " are possible");
  Type t = Type::tensor();
  t.device = v->type.device;
  t.has_dtype = t.has_dims = true;
  t.dtype = dtype;
  t.dims.resize(static_cast<size_t>(rank));
  if (!v->constant()) v->type = t;
  return v;
}

Value* promise(Value* v, DType dtype, const Wholes& sizes) {
  promise(v, dtype, static_cast<int>(sizes.size()));
  for (size_t i = 0; i < sizes.size() && i < v->type.dims.size(); i++)
    if (sizes[i].fixed() && sizes[i].number >= 0 && !v->type.dims[i].fixed()) {
      v->type.dims[i].size = sizes[i].number;
      v->type.dims[i].symbol.clear();
    }
  return v;
}

Value* count_to(NodeReader& n, Whole end, DType dtype) {
  Value* v =
      n.call("arange.start_step", {int64_t(0), end.argument(), int64_t(1), spelling::named("dtype", dtype)});
  return promise(v, dtype, Wholes{end});
}

Value* reshaped(NodeReader& n, Value* x, const Wholes& sizes) {
  Value* v = n.call("reshape", {x, list_of(n, sizes)});
  DType dtype;
  return spelling::has_dtype(x, &dtype) ? promise(v, dtype, sizes) : v;
}

Value* expanded_to(NodeReader& n, Value* x, const Wholes& sizes) {
  Value* v = n.call("expand", {x, list_of(n, sizes)});
  DType dtype;
  return spelling::has_dtype(x, &dtype) ? promise(v, dtype, sizes) : v;
}

Value* part_of(NodeReader& n, Value* x, int64_t dim, Whole start, Whole length) {
  const int rank = spelling::rank(x);
  MOKA_CHECK_KIND(File, rank < 0 || (dim >= -rank && dim < rank), "dimension ", dim, " is out of range for ",
                  rank, " dimensions");
  Value* v = n.call("narrow", {x, dim, start.argument(), length.argument()});
  DType dtype;
  if (!spelling::has_dtype(x, &dtype) || rank < 0) return v;
  Wholes sizes;
  for (const graph::Dim& d : x->type.dims) sizes.push_back(d.fixed() ? d.size : -1);
  sizes[static_cast<size_t>(dim < 0 ? dim + rank : dim)] = length.fixed() ? length.number : -1;
  return promise(v, dtype, sizes);
}

Value* product(NodeReader& n, Value* a, Value* b) {
  Value* y = n.call("matmul", {a, b});
  const int first = spelling::rank(a), second = spelling::rank(b);
  DType dtype;
  if (y->constant() || (spelling::has_rank(y) && spelling::has_dtype(y)) || !spelling::has_dtype(a, &dtype) ||
      first < 1 || second < 1)
    return y;
  const int most = std::max(first, second);
  promise(y, dtype, first == 1 || second == 1 ? most - 1 - (first == second) : most);
  if (second > 1 && b->type.dims.back().fixed()) y->type.dims.back() = b->type.dims.back();
  return y;
}

Value* cast_to(NodeReader& n, Value* x, DType dtype) {
  DType has;
  return spelling::has_dtype(x, &has) && has == dtype ? x : n.call("to", {x, dtype});
}

Value* spread(NodeReader& n, Value* x, std::initializer_list<int> places, int rank) {
  size_t next = 0;
  const std::vector<int> at(places);
  for (int d = 0; d < rank; d++) {
    if (next < at.size() && at[next] == d) next++;
    else x = n.call("unsqueeze", {x, int64_t(d)});
  }
  return x;
}

Value* from_the_front(NodeReader& n, Value* indices, Whole size) {
  if (const Any* known = n.build.known(indices); known && known->is_tensor()) {
    const Tensor& t = known->tensor();
    bool negative = t.numel() > 65536;
    for (int64_t i = 0; !negative && i < t.numel(); i++) negative = element_as_int(t, i) < 0;
    if (!negative) return cast_to(n, indices, DType::I64);
  }
  Value* wide = cast_to(n, indices, DType::I64);
  return n.call("where", {n.call("lt", {wide, int64_t(0)}),
                          n.call("add", {wide, number_of(n, size, DType::I64)}), wide});
}

Value* empty_list(NodeReader& n) {
  Node* list = n.build.graph.create(NodeKind::List, n.build.at, {}, 1);
  list->source = n.build.source;
  list->output()->type = Type::list(Type::tensor());
  return list->output();
}

Value* split_heads(NodeReader& n, Value* x, int64_t heads) {
  const Whole hidden = size_of(n, x, 2);
  MOKA_CHECK_KIND(File, heads > 0 && (!hidden.fixed() || hidden.number % heads == 0),
                  "the last dimension has ", hidden.number, " elements, which ", heads,
                  " heads do not divide");
  Value* parts =
      reshaped(n, x, {size_of(n, x, 0), size_of(n, x, 1), heads, arithmetic(n, "floordiv", hidden, heads)});
  return n.call("transpose", {parts, int64_t(1), int64_t(2)});
}
Value* join_heads(NodeReader& n, Value* x) {
  Value* y = n.call("transpose", {x, int64_t(1), int64_t(2)});
  return reshaped(
      n, y, {size_of(n, y, 0), size_of(n, y, 1), arithmetic(n, "mul", size_of(n, y, 2), size_of(n, y, 3))});
}
Value* repeat_heads(NodeReader& n, Value* x, Whole times) {
  if (times.fixed() && times.number == 1) return x;
  Wholes s = sizes_of(n, x);
  MOKA_CHECK_KIND(File, s.size() == 4, "keys and values must have 4 dimensions, or 3 like the query, got ",
                  s.size());
  Value* wide = expanded_to(n, n.call("unsqueeze", {x, int64_t(2)}), {s[0], s[1], times, s[2], s[3]});
  return reshaped(n, wide, {s[0], arithmetic(n, "mul", s[1], times), s[2], s[3]});
}

std::vector<Value*> loop(NodeReader& n, Whole count, std::vector<Value*> carried, const LoopBody& body) {
  std::vector<Value*> inputs{int_value(n, count), n.build.constant(Any(true))};
  inputs.insert(inputs.end(), carried.begin(), carried.end());
  Node* node = n.build.graph.create(NodeKind::Loop, n.build.at, inputs, static_cast<int>(carried.size()));
  node->source = n.build.source;
  graph::Block* block = node->add_block();
  Value* turn = block->add_param(TypeKind::Int);
  std::vector<Value*> params;
  for (Value* v : carried) params.push_back(block->add_param(v->type));
  const graph::Graph::Point before = n.build.at;
  n.build.at = {block};
  const std::vector<Value*> next = body(turn, params);
  block->add_result(n.build.constant(Any(true)));
  n.build.at = before;
  MOKA_ASSERT(next.size() == carried.size());
  std::vector<Value*> out;
  for (size_t i = 0; i < next.size(); i++) {
    block->add_result(next[i]);
    Value* v = node->output(static_cast<int>(i));
    v->type = params[i]->type;
    out.push_back(v);
  }
  return out;
}

}  // namespace moka::onnx
