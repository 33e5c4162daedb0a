// Adapters of sequences and optional values: lists of the graph, and none.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/running_internal.h"
#include "moka/graph/graph.h"

namespace moka::onnx {

using graph::Type;
using graph::TypeKind;
using graph::Value;
using spelling::named;

namespace {

Value* list_value(NodeReader& n, std::vector<Value*> items) {
  if (items.empty()) return empty_list(n);
  graph::Node* list = n.build.graph.create(graph::NodeKind::List, n.build.at, items, 1);
  list->source = n.build.source;
  graph::infer_types(*list);
  return list->output();
}

bool sequence_empty(NodeReader& n) {
  Value* list = empty_list(n);
  DType dtype = DType::F32;
  if (!spelling::find_dtype_code(n.dialect, n.integer("dtype", 1), dtype)) return n.declines("dtype");
  Type element = Type::tensor();
  element.has_dtype = true;
  element.dtype = dtype;
  list->type = Type::list(element);
  n.out(list);
  return true;
}

bool sequence_construct(NodeReader& n) {
  std::vector<Value*> items;
  for (int i = 0; i < n.inputs(); i++) items.push_back(n[i]);
  n.out(list_value(n, items));
  return true;
}

bool sequence_at(NodeReader& n) {
  n.out(n.builtin("index", {n[0], int_value(n, whole_input(n, 1))}));
  return true;
}

bool sequence_length(NodeReader& n) {
  n.out(n.builtin("tensor", {n.builtin("len", {n[0]}), n.build.constant(Any(DType::I64))}));
  return true;
}

Value* list_slice(NodeReader& n, Value* list, Value* from, Value* to = nullptr) {
  std::vector<Value*> args{list, from};
  if (to) args.push_back(to);
  Value* out = n.builtin("slice", args);
  if (list->type.kind == TypeKind::List) out->type = list->type;
  return out;
}
Value* joined(NodeReader& n, Value* a, Value* b) {
  Value* out = n.builtin("concat", {a, b});
  if (a->type.kind == TypeKind::List) out->type = a->type;
  return out;
}

bool sequence_erase(NodeReader& n) {
  const Whole length = n.builtin("len", {n[0]});
  // From the front: behind -1 stands nothing, behind 0 everything else.
  const Whole at =
      n.has(1) ? arithmetic(n, "mod", whole_input(n, 1), length) : arithmetic(n, "sub", length, 1);
  Value* start = n.build.constant(Any(int64_t(0)));
  n.out(joined(n, list_slice(n, n[0], start, int_value(n, at)),
               list_slice(n, n[0], int_value(n, arithmetic(n, "add", at, 1)))));
  return true;
}

bool sequence_insert(NodeReader& n) {
  if (!n.has(2)) {
    n.out(n.builtin("append", {n[0], n[1]}));
    return true;
  }
  Value *at = int_value(n, whole_input(n, 2)), *start = n.build.constant(Any(int64_t(0)));
  Value* before = n.builtin("append", {list_slice(n, n[0], start, at), n[1]});
  n.out(joined(n, before, list_slice(n, n[0], at)));
  return true;
}

// Each part is a value of its own as soon as the model is read.
void check_parts(NodeReader& n, int64_t axis, int64_t each) {
  constexpr int64_t most = 65536;
  Dims sizes;
  if (!spelling::fixed_sizes(n[0], sizes) || axis < -static_cast<int64_t>(sizes.size()) ||
      axis >= static_cast<int64_t>(sizes.size()) || each <= 0)
    return;
  const int64_t size =
      sizes[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(sizes.size()) : axis)];
  MOKA_CHECK_KIND(File, size / each <= most, "a sequence of ", size / each, " parts, at most ", most,
                  " are possible");
}

bool split_to_sequence(NodeReader& n) {
  const int64_t axis = n.integer("axis", 0);
  if (!n.has(1)) check_parts(n, axis, 1);
  else if (auto each = n.known_number(1)) check_parts(n, axis, each->arg().as_int());
  if (!n.has(1)) {
    Value* parts = n.call("unbind", {n[0], axis});
    if (n.integer("keepdims", 1) != 0)
      parts = n.call("split_with_sizes",
                     {n[0],
                      n.builtin("ints", {n.call("full", {list_of(n, {size_of(n, n[0], axis)}), int64_t(1),
                                                         named("dtype", DType::I64)})}),
                      axis});
    n.out(parts);
    return true;
  }
  const int rank = rank_of(n[1], "the split");
  if (rank == 0) n.out(n.call("split", {n[0], list_of(n, {whole_input(n, 1)}), axis}));
  else n.out(n.call("split_with_sizes", {n[0], n.ints_argument(1), axis}));
  return true;
}

bool concat_from_sequence(NodeReader& n) {
  const int64_t axis = n.integer("axis", 0);
  n.out(n.call(n.integer("new_axis", 0) != 0 ? "stack" : "cat", {n[0], axis}));
  return true;
}

bool optional(NodeReader& n) {
  n.out(n.has(0) ? n[0] : n.build.constant(Any()));
  return true;
}

bool optional_has_element(NodeReader& n) {
  auto answer = [&](bool yes) {
    Tensor t = new_tensor({}, DType::Bool);
    *static_cast<bool*>(t.raw_data()) = yes;
    n.out(n.build.constant(Any(t)));
    return true;
  };
  if (!n.has(0)) return answer(false);
  const TypeKind kind = n[0]->type.kind;
  if (kind == TypeKind::Tensor || kind == TypeKind::List || kind == TypeKind::Tuple) return answer(true);
  if (kind == TypeKind::None) return answer(false);
  Value* missing = n.builtin("is_none", {n[0]});
  n.out(n.builtin("tensor", {n.builtin("not", {missing}), n.build.constant(Any(DType::Bool))}));
  return true;
}

bool optional_get_element(NodeReader& n) {
  Value* v = n[0];
  MOKA_CHECK_KIND(File, v->type.kind != TypeKind::None, "the optional value has no element");
  n.out(v->type.kind == TypeKind::Optional ? n.builtin("unwrap", {v}) : v);
  return true;
}

constexpr Adapter table[] = {
    {"SequenceEmpty", 11, 0, sequence_empty},
    {"SequenceConstruct", 11, 0, sequence_construct},
    {"SequenceAt", 11, 0, sequence_at},
    {"SequenceLength", 11, 0, sequence_length},
    {"SequenceErase", 11, 0, sequence_erase},
    {"SequenceInsert", 11, 0, sequence_insert},
    {"SplitToSequence", 11, 0, split_to_sequence},
    {"ConcatFromSequence", 11, 0, concat_from_sequence},
    {"Optional", 15, 0, optional},
    {"OptionalHasElement", 15, 0, optional_has_element},
    {"OptionalGetElement", 15, 0, optional_get_element},
};

}  // namespace

std::span<const Adapter> sequence_adapters() { return table; }

}  // namespace moka::onnx
