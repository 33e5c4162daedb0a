// Recurrent layers as LSTM, GRU and RNN, over padded sequences or packed ones.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/passes/constants.h"

namespace moka::onnx {

using graph::Node;
using graph::NodeKind;
using graph::Value;
using passes::is_none;
using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

// The rows of one step, which all steps share: a number, or the size of a tensor.
struct Rows {
  int64_t number = -1;
  Value* value = nullptr;  // known only when running
  const Value* of = nullptr;
  int64_t dim = 0;
  bool same(const Value* v) const {
    if (const Any* c = v->constant()) return number >= 0 && c->to_int() == number;
    const Node* n = v->producer();
    return of && n && n->kind == NodeKind::Builtin && n->name == "size" && n->input(0) == of &&
           n->input(1)->constant() && n->input(1)->constant()->to_int() == dim;
  }
  // [start, end) are the rows of the first or the last step; `total` rows there are, -1: known only when running.
  bool is_step(const Value* start, const Value* end, bool last, int64_t total) const {
    const Any *from = start->constant(), *to = end->constant();
    if (!last) return from && (from->is_none() || from->to_int() == 0) && same(end);
    if (from && to)
      return total >= 0 && number >= 0 && !from->is_none() && from->to_int() == total - number &&
             (to->is_none() || to->to_int() >= total);
    const Node *difference = start->producer(), *all = end->producer();
    if (from || to || difference->kind != NodeKind::Builtin || difference->name != "sub" ||
        difference->input(0) != end || !same(difference->input(1)) || all->kind != NodeKind::Builtin)
      return false;
    if (all->name == "size") return true;
    return all->name == "mul" && (same(all->input(0)) || same(all->input(1)));
  }
};

bool is_whole(const Value* start, const Value* end) {
  const Any *from = start->constant(), *to = end->constant();
  return from && to && (from->is_none() || from->to_int() == 0) &&
         (to->is_none() || to->to_int() == INT64_MAX);
}

// `states` of an LSTM holds h and, beside it, c of every step; ONNX gives c of the last step alone. Uses that ask for
// no other are slices of the rows of that step, then of the columns.
bool reads_last_cell_only(const Value* v, int64_t hidden, const Rows& rows, bool last, int64_t total,
                          bool rows_known) {
  for (const Value::Use& use : v->uses()) {
    const Node* n = use.node;
    if (!n || n->kind != NodeKind::Op || n->op_name() != "slice") return false;
    const Value *start = n->argument("start"), *end = n->argument("end");
    const Any *dim = n->argument("dim")->constant(), *step = n->argument("step")->constant();
    if (!dim || !step || step->to_int() != 1) return false;
    if (dim->to_int() == 0 || is_whole(start, end)) {
      const bool known = rows_known || (!is_whole(start, end) && rows.is_step(start, end, last, total));
      if (!reads_last_cell_only(n->output(), hidden, rows, last, total, known)) return false;
      continue;
    }
    const Any *from = start->constant(), *to = end->constant();
    if (!rows_known &&
        (!from || !to || from->is_none() || to->is_none() || from->to_int() < 0 || to->to_int() > hidden))
      return false;
  }
  return true;
}

// The same of packed sequences, whose last rows packed_last_rows names, or that are the first ones in reverse.
bool reads_last_cells_only(const Value* v, int64_t hidden, const Value& step_sizes, const Value& h0,
                           bool reverse, bool rows_known = false) {
  auto is_batch = [&](const Value* end) {
    if (!spelling::has_rank(&h0)) return false;
    const graph::Dim& batch = h0.type.dims[0];
    if (const Any* c = end->constant()) return batch.fixed() && !c->is_none() && c->to_int() == batch.size;
    const Node* size = end->producer();
    if (!size || size->kind != NodeKind::Builtin || size->name != "size" || !size->input(1)->constant() ||
        !spelling::has_rank(size->input(0)) || batch.symbol.empty())
      return false;
    const auto& dims = size->input(0)->type.dims;
    return dims[static_cast<size_t>(size->input(1)->constant()->to_int())].symbol == batch.symbol;
  };
  for (const Value::Use& use : v->uses()) {
    const Node* n = use.node;
    if (!n || n->kind != NodeKind::Op) return false;
    if (n->op_name() == "index_select" && use.index == 0 && !reverse && !rows_known) {
      const Node* rows = n->argument("index")->producer();
      if (!rows || rows->op_name() != "packed_last_rows" || rows->input(0) != &step_sizes) return false;
      if (!reads_last_cells_only(n->output(), hidden, step_sizes, h0, reverse, true)) return false;
      continue;
    }
    if (n->op_name() != "slice") return false;
    const Value *start = n->argument("start"), *end = n->argument("end");
    const Any *dim = n->argument("dim")->constant(), *step = n->argument("step")->constant();
    if (!dim || !step || step->to_int() != 1) return false;
    const Any *from = start->constant(), *to = end->constant();
    if (dim->to_int() == 0) {
      const bool first = reverse && from && (from->is_none() || from->to_int() == 0) && is_batch(end);
      if (!first && !is_whole(start, end)) return false;
      if (!reads_last_cells_only(n->output(), hidden, step_sizes, h0, reverse, rows_known || first))
        return false;
      continue;
    }
    if (!rows_known &&
        (!from || !to || from->is_none() || to->is_none() || from->to_int() < 0 || to->to_int() > hidden))
      return false;
  }
  return true;
}

struct Recurrent {
  Value* step_sizes = nullptr;  // of packed sequences of different lengths
  int64_t steps = 0;
  Rows rows;
  int64_t hidden;  // size of h
  int gates;  // 4 for an LSTM, 3 for a GRU
  const Node* linear = nullptr;  // that made the gates, when nothing else reads them
};
// One number stands for all steps, else there is one for each.
bool steps_of(const Value* sizes, int64_t total, Recurrent& out) {
  Dims all;
  if (const Any* c = sizes->constant()) {
    if (!spelling::to_ints(*c, all) || all.empty() || all[0] <= 0) return false;
    out.rows.number = all[0];
    for (int64_t b : all)
      if (b != all[0]) return false;
    out.steps = all.size() > 1 ? static_cast<int64_t>(all.size()) : total < 0 ? -1 : total / all[0];
    return true;
  }
  const Node* list = sizes->producer();
  if (!list || list->kind != NodeKind::List || list->inputs().empty()) return false;
  const Node* size = list->input(0)->producer();
  if (!size || size->kind != NodeKind::Builtin || size->name != "size" || !size->input(1)->constant())
    return false;
  out.rows.of = size->input(0);
  out.rows.dim = size->input(1)->constant()->to_int();
  out.rows.value = list->input(0);
  out.steps = list->inputs().size() > 1 ? static_cast<int64_t>(list->inputs().size()) : -1;
  for (const Value* v : list->inputs())
    if (!out.rows.same(v)) return false;
  return true;
}
bool recurrent(const Node& n, Recurrent& out, std::string& why) {
  const Any* mode = n.argument("mode")->constant();
  Dims weight;
  auto no = [&](std::string_view text) {
    why = std::string(text);
    return false;
  };
  const Value* gates = n.argument("gates");
  const int64_t total =
      spelling::rank(gates) == 2 && gates->type.dims[0].fixed() ? gates->type.dims[0].size : -1;
  if (!mode) return no("the mode is known only when running");
  if (!is_none(n.argument("step_sizes"))) out.step_sizes = n.argument("step_sizes");
  else if (!steps_of(n.argument("batch_sizes"), total, out)) return no("packed sequences of several lengths");
  if (!is_none(n.argument("weight_hr"))) return no("a projection of the state");
  if (!spelling::fixed_sizes(n.argument("weight_hh"), weight))
    return no("the sizes of the weight are not known");
  out.hidden = weight[1];
  out.gates = mode->string() == "lstm" ? 4 : mode->string() == "gru" ? 3 : 1;
  const Node* maker = n.argument("gates")->producer();
  if (maker && maker->kind == NodeKind::Op && maker->op_name() == "linear" &&
      n.argument("gates")->uses().size() == 1 && spelling::rank(maker->argument("input")) == 2)
    out.linear = maker;
  const bool reverse = n.argument("reverse")->constant() && n.argument("reverse")->constant()->to_bool();
  if (!n.output(1)->uses().empty()) return no("what the gradient keeps is used");
  if (out.gates != 4) return true;
  const bool last_alone =
      out.step_sizes
          ? reads_last_cells_only(n.output(), out.hidden, *out.step_sizes, *n.argument("h0"), reverse)
          : reads_last_cell_only(n.output(), out.hidden, out.rows, !reverse, total, out.steps == 1);
  return last_alone || no("cells of other steps than the last are used");
}

// The linear layer that makes the gates is part of the recurrent operator.
bool linear_of_gates(NodeWriter& n) {
  const Value* y = n.node.output();
  if (y->uses().size() != 1 || !y->uses()[0].node) return false;
  const Node& user = *y->uses()[0].node;
  if (user.kind != NodeKind::Op || user.op_name() != "rnn_layer" || user.argument("gates") != y) return false;
  Recurrent layer;
  std::string why;
  return recurrent(user, layer, why) && layer.linear == &n.node;
}

// Rows of gates in the file's order, computed now where they are known.
std::string reordered(NodeWriter& n, const std::string& rows, const Recurrent& layer) {
  if (layer.gates == 1) return rows;
  Dims order;
  for (int64_t gate : layer.gates == 4 ? Dims{0, 3, 1, 2} : Dims{1, 0, 2})
    for (int64_t i = 0; i < layer.hidden; i++) order.push_back(gate * layer.hidden + i);
  return n.add("Gather", {rows, n.ints_input(order)}, {{"axis", Any(int64_t(0))}});
}
std::string leading_one(NodeWriter& n, const std::string& name) {
  return n.add("Unsqueeze", {name, n.ints_input(Dims{0})});
}

// ---- packed sequences: int64 vectors of the graph's names

std::string range_to(NodeWriter& n, const std::string& end) {
  auto number = [&](int64_t v) { return n.tensor(spelling::number_tensor(Any(v), DType::I64)); };
  return n.add("Range", {number(0), end, number(1)});
}
std::string largest(NodeWriter& n, const std::string& x) {  // older forms take the axes as an attribute
  return n.add("ReduceMax", {x}, {{"keepdims", Any(int64_t(0))}});
}
std::string row(NodeWriter& n, const std::string& x) {
  return n.add("Unsqueeze", {x, n.ints_input(Dims{0})});
}
std::string column(NodeWriter& n, const std::string& x) {
  return n.add("Unsqueeze", {x, n.ints_input(Dims{1})});
}
// How many of a falling list are above each of 0, 1, ...: lengths from the rows of the steps, and back.
std::string transposed(NodeWriter& n, const std::string& falling) {
  const std::string above = n.add("Less", {column(n, range_to(n, largest(n, falling))), row(n, falling)});
  return n.add("ReduceSum", {cast(n, above, DType::I64), n.ints_input(Dims{1})},
               {{"keepdims", Any(int64_t(0))}});
}
std::string starts(NodeWriter& n, const std::string& sizes) {
  return n.add("CumSum", {sizes, n.tensor(spelling::number_tensor(Any(int64_t(0)), DType::I64))},
               {{"exclusive", Any(int64_t(1))}});
}
std::string last_rows(NodeWriter& n, const std::string& sizes) {
  const std::string one = n.tensor(spelling::number_tensor(Any(int64_t(1)), DType::I64));
  const std::string steps = n.add("Sub", {transposed(n, sizes), one});
  const std::string begin = n.add("Gather", {starts(n, sizes), steps}, {{"axis", Any(int64_t(0))}});
  return n.add("Add", {begin, range_to(n, largest(n, sizes))});
}
// Which of `batch` sequences take part in each step: [steps, batch].
std::string parts(NodeWriter& n, const std::string& sizes, const std::string& batch) {
  return n.add("Less", {row(n, range_to(n, batch)), column(n, sizes)});
}
// The row of every place, [steps, batch]; `count` behind the end of a sequence.
std::string places(NodeWriter& n, const std::string& sizes, const std::string& count) {
  const std::string batch = largest(n, sizes);
  const std::string all = n.add("Add", {column(n, starts(n, sizes)), row(n, range_to(n, batch))});
  return n.add("Where", {parts(n, sizes, batch), all, count});
}
std::string count_of(NodeWriter& n, const std::string& sizes) {
  return n.add("ReduceSum", {sizes, n.ints_input(Dims{0})}, {{"keepdims", Any(int64_t(0))}});
}
// t * first + i * second of every row.
std::string rows_of(NodeWriter& n, const std::string& sizes, const std::string& batch,
                    const std::string& first, const std::string& second) {
  const std::string both = n.add("NonZero", {parts(n, sizes, batch)});
  auto times = [&](int64_t which, const std::string& by) {
    const std::string at = n.tensor(spelling::number_tensor(Any(which), DType::I64));
    const std::string part = n.add("Gather", {both, at}, {{"axis", Any(int64_t(0))}});
    return by.empty() ? part : n.add("Mul", {part, by});
  };
  return n.add("Add", {times(0, first), times(1, second)});
}

bool same_name(NodeWriter& n, const std::string& made) { return n.finish("Identity", {made}); }
bool packed_transposed(NodeWriter& n) {
  return same_name(n, transposed(n, n.model.name_of(n.node.input(0))));
}
bool packed_last_rows(NodeWriter& n) { return same_name(n, last_rows(n, n.name("step_sizes"))); }
bool packed_rows(NodeWriter& n) {
  const bool batch_first = n.constant("batch_first") && n.constant("batch_first")->to_bool();
  const std::string steps = n.name("steps"), batch = n.name("batch");
  return same_name(
      n, rows_of(n, n.name("step_sizes"), batch, batch_first ? "" : batch, batch_first ? steps : ""));
}
bool packed_places(NodeWriter& n) {
  const std::string sizes = n.name("step_sizes"), count = count_of(n, sizes);
  const bool batch_first = n.constant("batch_first") && n.constant("batch_first")->to_bool();
  std::string all = places(n, sizes, count);
  if (!is_none(n.value("total_length"))) {
    const std::string have = n.add("Shape", {sizes});
    const std::string more = n.add("Sub", {n.one_name("total_length"), have});
    const std::string pads =
        n.add("Concat", {n.ints_input(Dims{0, 0}), more, n.ints_input(Dims{0})}, {{"axis", Any(int64_t(0))}});
    all = n.add("Pad", {all, pads, count});
  }
  if (!batch_first) return same_name(n, all);
  return n.finish("Transpose", {all}, {{"perm", Any(Dims{1, 0})}});
}

// The packed rows of what an operator gave for padded sequences.
bool packed_states(NodeWriter& n, const Recurrent& layer, const std::vector<std::string>& outputs,
                   bool reverse) {
  const std::string sizes = n.name("step_sizes"), batch = largest(n, sizes);
  const std::string flat = n.add("Reshape", {outputs[0], n.ints_input(Dims{-1, layer.hidden})});
  const std::string rows = rows_of(n, sizes, batch, batch, "");
  if (layer.gates != 4) return n.finish("Gather", {flat, rows}, {{"axis", Any(int64_t(0))}});
  const std::string hs = n.add("Gather", {flat, rows}, {{"axis", Any(int64_t(0))}});
  std::string cells = n.add("Reshape", {outputs[2], n.ints_input(Dims{-1, layer.hidden})});
  if (reverse) {  // nothing reads the cells of other rows
    const std::string first = n.add("Reshape", {batch, n.ints_input(Dims{1})});
    const std::string unread =
        n.add("Slice", {hs, first, n.ints_input(Dims{INT64_MAX}), n.ints_input(Dims{0})});
    cells = n.add("Concat", {cells, unread}, {{"axis", Any(int64_t(0))}});
  } else {
    cells = n.add("ScatterND", {hs, column(n, last_rows(n, sizes)), cells});
  }
  return n.finish("Concat", {hs, cells}, {{"axis", Any(int64_t(1))}});
}

// The same of sequences of one length.
bool whole_states(NodeWriter& n, const Recurrent& layer, const std::vector<std::string>& outputs,
                  bool reverse) {
  auto rows = [&](const std::string& x) {
    return n.add("Reshape", {x, n.ints_input(Dims{-1, layer.hidden})});
  };
  if (layer.gates != 4)  // [steps, 1, rows, h]
    return n.finish("Reshape", {outputs[0], n.ints_input(Dims{-1, layer.hidden})});
  const std::string hs = rows(outputs[0]);
  std::string cells = rows(outputs[2]);
  if (layer.steps != 1) {  // nothing reads the cells of other steps
    const std::string unread = rows(n.add(
        "Slice", {outputs[0], n.ints_input(Dims{1}), n.ints_input(Dims{INT64_MAX}), n.ints_input(Dims{0})}));
    cells = n.add("Concat", reverse ? std::vector{cells, unread} : std::vector{unread, cells},
                  {{"axis", Any(int64_t(0))}});
  }
  return n.finish("Concat", {hs, cells}, {{"axis", Any(int64_t(1))}});
}

std::string zeros(NodeWriter& n, Dims sizes, DType type) {
  Tensor t = new_tensor(sizes, type);
  copy_elements(spelling::number_tensor(Any(int64_t(0)), type), t);
  return n.tensor(t);
}
// The layer's input, [steps, sequences, size]; packed sequences padded again.
std::string padded_input(NodeWriter& n, const Recurrent& layer, Value* input, DType type) {
  const std::string rows = n.model.name_of(input);
  const int64_t inside = input->type.dims.back().size;
  if (layer.step_sizes) {
    const std::string sizes = n.name("step_sizes"), behind = zeros(n, Dims{1, inside}, type);
    const std::string data = n.add("Concat", {rows, behind}, {{"axis", Any(int64_t(0))}});
    return n.add("Gather", {data, places(n, sizes, count_of(n, sizes))}, {{"axis", Any(int64_t(0))}});
  }
  const int64_t number = layer.rows.number;
  if (number >= 0 || layer.steps >= 0)
    return n.add("Reshape", {rows, n.ints_input(Dims{number < 0 ? layer.steps : -1, number, inside})});
  const std::string one = n.add("Reshape", {n.model.name_of(layer.rows.value), n.ints_input(Dims{1})});
  const std::string shape =
      n.add("Concat", {n.ints_input(Dims{-1}), one, n.ints_input(Dims{inside})}, {{"axis", Any(int64_t(0))}});
  return n.add("Reshape", {rows, shape});
}
// Weights of the input; where the gates come ready, the identity hands them on.
std::string input_weight(NodeWriter& n, const Recurrent& layer, DType type) {
  if (layer.linear) return reordered(n, n.model.name_of(layer.linear->argument("weight")), layer);
  const int64_t width = layer.gates * layer.hidden, square[] = {width, width};
  Tensor unit = new_tensor(square, DType::F64);
  for (int64_t i = 0; i < width * width; i++) unit.data<double>()[i] = i % (width + 1) == 0;
  return reordered(n, n.tensor(to_dtype(unit, type)), layer);
}

bool rnn_layer(NodeWriter& n) {
  Recurrent layer;
  if (!recurrent(n.node, layer, n.why)) return false;
  if (layer.step_sizes && n.model.version() < 11) return n.declines("packed sequences before opset 11");
  DType type;
  if (!spelling::has_dtype(n.value("h0"), &type)) return n.declines("the element type is not known");
  Value* input = layer.linear ? layer.linear->argument("input") : n.value("gates");
  if (!spelling::has_rank(input) || !input->type.dims.back().fixed())
    return n.declines("the input's size is not known");
  const bool reverse = n.constant("reverse")->to_bool();
  auto bias = [&](Value* v) {
    return v && !is_none(v) ? reordered(n, n.model.name_of(v), layer)
                            : zeros(n, Dims{layer.gates * layer.hidden}, type);
  };
  const std::string biases = n.add(
      "Concat", {bias(layer.linear ? layer.linear->argument("bias") : nullptr), bias(n.value("bias_hh"))},
      {{"axis", Any(int64_t(0))}});
  std::vector<std::string> inputs{
      padded_input(n, layer, input, type),
      leading_one(n, input_weight(n, layer, type)),
      leading_one(n, reordered(n, n.name("weight_hh"), layer)),
      leading_one(n, biases),
      layer.step_sizes ? cast(n, transposed(n, n.name("step_sizes")), DType::I32) : std::string(),
      leading_one(n, n.name("h0"))};
  std::vector<spelling::Attribute> attributes{{"hidden_size", Any(layer.hidden)}};
  if (reverse) attributes.push_back({"direction", Any("reverse")});
  std::string op = "RNN";
  if (layer.gates == 4) op = "LSTM", inputs.push_back(leading_one(n, n.name("c0")));
  else if (layer.gates == 3) op = "GRU", attributes.push_back({"linear_before_reset", Any(int64_t(1))});
  else {
    const Any name(n.constant("mode")->string() == "relu" ? "Relu" : "Tanh");
    attributes.push_back({"activations", Any(std::span<const Any>(&name, 1))});
  }
  std::vector<std::string> outputs{n.model.unique(n.model.scoped(n.node, cat(op, "_output_0")))};
  if (layer.gates == 4) {
    outputs.push_back("");
    outputs.push_back(n.model.unique(n.model.scoped(n.node, cat(op, "_output_2"))));
  }
  n.model.add_node(n.node, op, "", inputs, outputs, attributes);
  return (layer.step_sizes ? packed_states : whole_states)(n, layer, outputs, reverse);
}

constexpr WritingAdapter table[] = {
    {"linear", 7, 0, linear_of_gates},
    {"rnn_layer", 7, 0, rnn_layer},
    {"packed_step_sizes", 11, 0, packed_transposed},
    {"packed_lengths", 11, 0, packed_transposed},
    {"packed_rows", 11, 0, packed_rows},
    {"packed_places", 11, 0, packed_places},
    {"packed_last_rows", 11, 0, packed_last_rows},
};

}  // namespace

std::span<const WritingAdapter> recurrent_writers() { return table; }

}  // namespace moka::onnx
