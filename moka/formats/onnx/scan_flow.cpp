// Scan, SequenceMap and FlexAttention of ONNX: operators whose graphs run in loops or in place.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"
#include "moka/graph/expr.h"

namespace moka::onnx {

using graph::Type;
using graph::TypeKind;
using graph::Value;
using spelling::Dialect;
using spelling::named;

namespace {

Value* appended(NodeReader& n, Value* list, Value* item) {
  Value* longer = n.builtin("append", {list, item});
  longer->type = list->type;
  return longer;
}

// The type of one element along `axis`.
Value* step_of(NodeReader& n, Value* x, int64_t axis, spelling::Argument at) {
  Value* v = n.call("select", {x, axis, at});
  DType dtype;
  if (!spelling::has_dtype(x, &dtype) || spelling::rank(x) < 1) return v;
  Wholes sizes;
  for (const graph::Dim& d : x->type.dims) sizes.push_back(d.fixed() ? d.size : -1);
  sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(axis < 0 ? axis + spelling::rank(x) : axis));
  return promise(v, dtype, sizes);
}

}  // namespace

// The graph of an attribute where the builder stands; its results.
std::vector<Value*> Importer::inlined(const GraphProto& graph, std::span<Value* const> params,
                                      const Context& c) {
  return block(build_.at.block, graph, params, c);
}

// States go from step to step; of the other inputs each step gets an element, and what it gives for the other outputs
// is stacked.
std::vector<Value*> Importer::scan(NodeReader& n, const GraphProto& body, const ScanPlan& plan,
                                   std::vector<Value*> states, const std::vector<Value*>& inputs,
                                   const Context& c) {
  const size_t kept = states.size(), outputs = body.outputs.size() - kept;
  Whole length = size_of(n, inputs[0], plan.input_axes[0]);
  std::vector<Value*> carried = states;
  for (size_t i = 0; i < outputs; i++) carried.push_back(empty_list(n));
  std::vector<Value*> last = loop(n, length, carried, [&](Value* turn, std::span<Value* const> now) {
    std::vector<Value*> params(now.begin(), now.begin() + static_cast<std::ptrdiff_t>(kept));
    for (size_t i = 0; i < inputs.size(); i++) {
      Whole at = turn;
      if (plan.input_backwards[i]) at = arithmetic(n, "sub", arithmetic(n, "sub", length, 1), turn);
      params.push_back(step_of(n, inputs[i], plan.input_axes[i], at.argument()));
    }
    std::vector<Value*> results = inlined(body, params, c);
    for (size_t i = 0; i < outputs; i++) results[kept + i] = appended(n, now[kept + i], results[kept + i]);
    return results;
  });
  for (size_t i = 0; i < outputs; i++) {
    Value* list = last[kept + i];
    Type element = body.outputs[kept + i].type;
    int64_t axis = plan.output_axes[i];
    Value* y = n.call("stack", {list, axis});
    if (element.kind == TypeKind::Tensor && element.has_dtype && element.has_dims)
      promise(y, element.dtype, static_cast<int>(element.dims.size()) + 1);
    if (plan.output_backwards[i]) y = n.call("flip", {y, Dims{axis}});
    last[kept + i] = y;
  }
  return last;
}

void Importer::scan_node(const NodeProto& node, const Context& c) {
  const GraphProto body = subgraph(node, "body", c);
  const spelling::ForeignNode foreign = foreign_node(node, c);
  const int version = static_cast<int>(c.opsets->find("")->second);
  NodeReader n(build_, foreign, Dialect::Onnx, version);
  const bool batched = version < 9;  // the first form ran over batches, with lengths for each
  const size_t first = batched ? 1 : 0;
  const int64_t count = n.integer("num_scan_inputs", 0);
  MOKA_CHECK_KIND(File, count > 0 && static_cast<size_t>(count) + first <= foreign.inputs.size(),
                  "num_scan_inputs ", count, " does not fit ", foreign.inputs.size(), " inputs");
  MOKA_CHECK_KIND(NotImplemented, !batched || !n.has(0), "sequences of different lengths (sequence_lens)");
  const size_t scanned = static_cast<size_t>(count), kept = foreign.inputs.size() - first - scanned;
  MOKA_CHECK_KIND(File, body.inputs.size() == kept + scanned, "the body has ", body.inputs.size(),
                  " inputs, ", kept + scanned, " were expected");
  MOKA_CHECK_KIND(File, body.outputs.size() >= kept && body.outputs.size() == node.outputs.size(),
                  "the body has ", body.outputs.size(), " outputs, the node ", node.outputs.size());
  const size_t outputs = body.outputs.size() - kept;
  std::vector<Value*> states, inputs;
  for (size_t i = 0; i < kept; i++) states.push_back(n[static_cast<int>(first + i)]);
  for (size_t i = 0; i < scanned; i++) inputs.push_back(n[static_cast<int>(first + kept + i)]);
  auto numbers = [&](const char* name, size_t size) {
    Dims out = n.ints(name).value_or(Dims(size, int64_t(0)));
    MOKA_CHECK_KIND(File, out.size() == size, "attribute '", name, "' has ", out.size(), " elements, ", size,
                    " were expected");
    return out;
  };
  ScanPlan plan{numbers("scan_input_axes", scanned),
                numbers(batched ? "directions" : "scan_input_directions", scanned),
                numbers("scan_output_axes", outputs), numbers("scan_output_directions", outputs)};
  std::vector<Value*> results;
  if (batched) {
    std::vector<Value*> lists;
    for (size_t i = 0; i < kept + outputs; i++) lists.push_back(empty_list(n));
    results = loop(n, size_of(n, inputs[0], 0), lists, [&](Value* turn, std::span<Value* const> now) {
      std::vector<Value*> own_states, own_inputs;
      for (Value* v : states) own_states.push_back(step_of(n, v, 0, turn));
      for (Value* v : inputs) own_inputs.push_back(step_of(n, v, 0, turn));
      std::vector<Value*> last = scan(n, body, plan, own_states, own_inputs, c);
      for (size_t i = 0; i < last.size(); i++) last[i] = appended(n, now[i], last[i]);
      return last;
    });
    for (Value*& v : results) v = n.call("stack", {v, int64_t(0)});
  } else {
    results = scan(n, body, plan, states, inputs, c);
  }
  bind(node, results, c);
}

// The body for every element of the first sequence; others give their elements too, tensors are the same every time.
void Importer::sequence_map(const NodeProto& node, const Context& c) {
  const GraphProto body = subgraph(node, "body", c);
  const spelling::ForeignNode foreign = foreign_node(node, c);
  NodeReader n(build_, foreign, Dialect::Onnx, static_cast<int>(c.opsets->find("")->second));
  MOKA_CHECK_KIND(File, body.outputs.size() == node.outputs.size(), "the body has ", body.outputs.size(),
                  " outputs, the node ", node.outputs.size());
  std::vector<Value*> lists;
  for (const ValueInfo& o : body.outputs) {
    Value* list = empty_list(n);
    if (o.type.kind == TypeKind::Tensor) list->type = Type::list(o.type);
    lists.push_back(list);
  }
  const Whole length = n.builtin("len", {n[0]});
  const std::vector<Value*> results = loop(n, length, lists, [&](Value* turn, std::span<Value* const> now) {
    std::vector<Value*> params;
    for (int i = 0; i < n.inputs(); i++) {
      const TypeKind kind = n[i]->type.kind;
      params.push_back(kind == TypeKind::List || kind == TypeKind::Tuple ? n.builtin("index", {n[i], turn})
                                                                         : n[i]);
    }
    std::vector<Value*> out = inlined(body, params, c);
    for (size_t i = 0; i < out.size(); i++) out[i] = appended(n, now[i], out[i]);
    return out;
  });
  bind(node, results, c);
}

// Attention whose scores and probabilities a graph may change.
void Importer::flex_attention(const NodeProto& node, const Context& c) {
  const spelling::ForeignNode foreign = foreign_node(node, c);
  NodeReader n(build_, foreign, Dialect::Onnx, static_cast<int>(c.opsets->find(node.domain)->second));
  for (int i = 0; i < 3; i++)
    MOKA_CHECK_KIND(File, rank_of(n[i], "an input") == 4, "query, key and value must have 4 dimensions");
  const DType dtype = dtype_of(n[0], "the query");
  DType exact = dtype == DType::F16 || dtype == DType::BF16 ? DType::F32 : dtype;
  if (n.attribute("softmax_precision"))
    MOKA_CHECK_KIND(NotImplemented,
                    spelling::find_dtype_code(Dialect::Onnx, n.integer("softmax_precision", 1), exact),
                    "softmax_precision ", n.integer("softmax_precision", 1));
  auto changed = [&](const char* name, Value* v) {
    if (!node.attribute(name)) return v;
    const GraphProto graph = subgraph(node, name, c);
    const std::vector<Value*> out = inlined(graph, std::vector<Value*>{v}, c);
    MOKA_CHECK_KIND(File, out.size() == 1, "graph '", name, "' has ", out.size(),
                    " outputs, one was expected");
    return cast_to(n, promise(out[0], exact, 4), exact);
  };
  auto heads = [&](Value* x) {  // each as often as queries need it
    const Whole times = arithmetic(n, "floordiv", size_of(n, n[0], 1), size_of(n, x, 1));
    if (times.fixed() && times.number == 1) return x;
    const Wholes s = sizes_of(n, x);
    Value* wide = expanded_to(n, n.call("unsqueeze", {x, int64_t(2)}), {s[0], s[1], times, s[2], s[3]});
    return reshaped(n, wide, {s[0], arithmetic(n, "mul", s[1], times), s[2], s[3]});
  };
  const Whole size = size_of(n, n[0], 3);
  Value* root = n.attribute("scale") ? constant_number(n, std::sqrt(n.number("scale", 1)), dtype)
                : size.fixed() ? constant_number(n, std::pow(double(size.number), -0.25), dtype)
                               : cast_to(n, n.call("pow", {number_of(n, size, DType::F64), -0.25}), dtype);
  Value *keys = n.call("mul", {heads(n[1]), root}), *values = heads(n[2]);
  Value* scores =
      n.call("matmul", {n.call("mul", {n[0], root}), n.call("transpose", {keys, int64_t(2), int64_t(3)})});
  scores = changed("score_mod", cast_to(n, scores, exact));
  Value* p = changed("prob_mod", n.call("softmax", {scores, int64_t(-1)}));
  Value* y = cast_to(n, n.call("matmul", {p, cast_to(n, values, exact)}), dtype);
  bind(node, std::vector<Value*>{y}, c);
}

}  // namespace moka::onnx
