// One direction of one recurrent layer.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/recurrent/recurrent.h"

#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/recurrent/kernels.h"
#include "moka/ops/recurrent/parts.h"

namespace moka {

RnnShape rnn_shape(const Frame& f, int first, bool packed) {
  const int rest = first + (packed ? 5 : 6);  // batch_sizes
  std::string_view op = f.name(), mode = f.string(rest + 1);
  RnnShape s;
  MOKA_CHECK_KIND(Value, mode == "lstm" || mode == "gru" || mode == "tanh" || mode == "relu", op,
                  ": mode must be 'lstm', 'gru', 'tanh' or 'relu', got '", mode, "'");
  s.kind = mode == "lstm"   ? CellKind::Lstm
           : mode == "gru"  ? CellKind::Gru
           : mode == "tanh" ? CellKind::Tanh
                            : CellKind::Relu;
  s.reverse = f.flag(rest + 2);
  const bool lstm = s.kind == CellKind::Lstm;
  const Tensor &gates = floating_argument(f, first), &h0 = floating_argument(f, first + 1);
  MOKA_CHECK_KIND(NotImplemented, !packed || gates.dtype() == DType::F32, op, ": gates must be float32, got ",
                  gates.dtype());
  for (int i = first + 1; i < rest; i++)
    if (f.has(i)) {
      floating_argument(f, i);
      check_same_dtype(f, i, first);
    }
  MOKA_CHECK(f.has(first + 2) == lstm, op, ": c0 belongs to mode 'lstm', got mode '", mode, "'",
             lstm ? " without it" : "");
  MOKA_CHECK(gates.dim() == 2 && gates.size(1) % s.gates() == 0, op, ": gates must have shape [rows, ",
             s.gates(), " * hidden], got ", gates.sizes());
  s.hidden = gates.size(1) / s.gates();
  s.project = !packed && f.has(first + 5);
  MOKA_CHECK(!s.project || lstm, op, ": weight_hr belongs to mode 'lstm', got mode '", mode, "'");
  MOKA_CHECK(h0.dim() == 2, op, ": h0 must have shape [batch, size], got ", h0.sizes());
  s.projected = s.project ? h0.size(1) : s.hidden;
  s.start.push_back(0);
  Dims sizes = ints_argument(f, rest);
  bool known = true;  // how many rows there are in each step
  if (f.has(rest + 3)) {
    const Tensor& given = f.tensor(rest + 3);
    MOKA_CHECK(given.dtype() == DType::I64 && given.dim() == 1 && sizes.empty(), op,
               ": step_sizes must be int64 of one dimension and batch_sizes empty, got ", given.dtype(), " ",
               given.sizes(), " and ", sizes);
    known = given.has_storage();
    if (known)
      sizes = Dims(std::span(as_contiguous(given).data<int64_t>(), static_cast<size_t>(given.numel())));
    else s.batch.push_back(h0.size(0)), s.start.push_back(gates.size(0));
  }
  if (sizes.size() == 1 && sizes[0] > 0 && gates.size(0) % sizes[0] == 0) {  // the same in every step
    const int64_t batch = sizes[0];
    for (int64_t rows = gates.size(0) - batch; rows > 0; rows -= batch) sizes.push_back(batch);
  }
  if (sizes.size() == 1 && sizes[0] == 0 && gates.size(0) == 0) sizes = {};  // no sequences
  for (int64_t b : sizes) {
    MOKA_CHECK(b > 0 && b <= h0.size(0) && (s.batch.empty() || b <= s.batch.back()), op,
               ": batch_sizes must be positive, not increasing and at most the batch of h0 (", h0.size(0),
               "), got ", sizes);
    s.batch.push_back(b);
    s.start.push_back(checked_add(s.start.back(), b, "rnn_layer"));
  }
  MOKA_CHECK(!known || s.rows() == gates.size(0), op, ": batch_sizes add up to ", s.rows(),
             " rows but gates has shape ", gates.sizes());
  MOKA_CHECK(s.batch.empty() || s.batch[0] == h0.size(0), op, ": the first step has ",
             s.batch.empty() ? 0 : s.batch[0], " rows but h0 has shape ", h0.sizes());
  check_shape(f, first + 1, Dims{h0.size(0), s.projected});
  if (lstm) check_shape(f, first + 2, Dims{h0.size(0), s.hidden});
  if (packed)
    check_shape(f, first + 3,
                Dims{(s.hidden + packed_units - 1) / packed_units, s.hidden, s.gates(), packed_units});
  else check_shape(f, first + 3, Dims{gates.size(1), s.projected});
  if (f.has(first + 4)) check_shape(f, first + 4, Dims{gates.size(1)});
  if (s.project) check_shape(f, first + 5, Dims{s.projected, s.hidden});
  return s;
}

namespace ops {

namespace {
Tensor operand(const Frame& f, int i) {
  return f.has(i) ? as_contiguous(in_kernel_dtype(f.tensor(i))) : Tensor();
}
template <class T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}
// The operands, kept alive.
struct Operands {
  Tensor t[6];
  Operands(const Frame& f, int first) {
    for (int i = 0; i < 6; i++) t[i] = operand(f, first + i);
  }
  template <class T>
  RnnInputs<T> inputs() const {
    return {t[0].data<T>(), t[1].data<T>(),        data_or_null<T>(t[2]),
            t[3].data<T>(), data_or_null<T>(t[4]), data_or_null<T>(t[5])};
  }
};

void layer_output(Frame& f) {
  RnnShape s = rnn_shape(f, 0);
  f.output(0, Dims{s.rows(), s.state()}, f.tensor(0).dtype());
  f.output(1, Dims{s.rows(), s.kept()}, kernel_dtype(f.tensor(0).dtype()));
}
void layer_kernel(Frame& f) {
  RnnShape s = rnn_shape(f, 0);
  Operands in(f, 0);
  KernelOutput states(f, 0);
  if (in.t[0].dtype() == DType::F64)
    run_layer<double>(s, in.inputs<double>(), states.data<double>(), f.outs[1].data<double>());
  else run_layer<float>(s, in.inputs<float>(), states.data<float>(), f.outs[1].data<float>());
  states.finish();
}

// Arguments: grad, states, kept, and those of the layer.
RnnShape check_backward(const Frame& f) {
  RnnShape s = rnn_shape(f, 3);
  for (int i = 0; i < 2; i++) {
    floating_argument(f, i);
    check_same_dtype(f, i, 3);
    check_shape(f, i, Dims{s.rows(), s.state()});
  }
  MOKA_CHECK(tensor_argument(f, 2).dtype() == kernel_dtype(f.tensor(3).dtype()), f.name(), ": kept has type ",
             f.tensor(2).dtype(), ", expected ", kernel_dtype(f.tensor(3).dtype()));
  check_shape(f, 2, Dims{s.rows(), s.kept()});
  return s;
}
void backward_output(Frame& f) {
  check_backward(f);
  for (int i = 0; i < 6; i++)
    f.output(i, f.has(3 + i) ? Dims(f.tensor(3 + i).sizes()) : Dims{0}, f.tensor(3).dtype());
}
template <class T>
void backward(Frame& f) {
  RnnShape s = check_backward(f);
  Tensor grad = operand(f, 0), states = operand(f, 1), kept = as_contiguous(f.tensor(2));
  Operands in(f, 3);
  KernelOutput gates(f, 0), h0(f, 1), c0(f, 2), weight(f, 3), bias(f, 4), projection(f, 5);
  KernelOutput* all[6] = {&gates, &h0, &c0, &weight, &bias, &projection};
  auto to = [&](int i) { return f.has(3 + i) ? all[i]->data<T>() : nullptr; };
  run_layer_backward<T>(s, in.inputs<T>(), grad.data<T>(), states.data<T>(), kept.data<T>(),
                        {to(0), to(1), to(2), to(3), to(4), to(5)});
  for (KernelOutput* o : all) o->finish();
}
void backward_kernel(Frame& f) {
  if (kernel_dtype(f.tensor(3).dtype()) == DType::F64) backward<double>(f);
  else backward<float>(f);
}

// A call without weight_hr, and without c0 where the mode has none.
constexpr Sample without_projection(Sample s, bool without_cell) {
  if (without_cell) s.tensors.items[2] = missing_tensor;
  s.tensors.add(missing_tensor);
  return s;
}
}  // namespace

constinit const Op rnn_layer_op{
    .schema =
        "rnn_layer(Tensor gates, Tensor h0, Tensor? c0, Tensor weight_hh, Tensor? bias_hh, Tensor? "
        "weight_hr, int[] "
        "batch_sizes, str mode, bool reverse=False, Tensor? step_sizes=None) -> (Tensor states, Tensor kept)",
    .doc =
        "One direction of one recurrent layer of mode 'lstm', 'gru', 'tanh' or 'relu'. gates is the input's "
        "part of "
        "all gates, [rows, gates * hidden], step after step with batch_sizes rows each (one number: the "
        "same in every step; `step_sizes`, int64, where they are known only when running, with batch_sizes "
        "empty), "
        "longest sequences first; the "
        "state's part h weight_hh^T + bias_hh is added step by step. states holds h of every row, for an "
        "LSTM with c "
        "beside it; `kept` is for the gradient.",
    .method = "function",
    .shape = layer_output,
    .kernels = {KernelRow{.name = "steps", .run = layer_kernel}},
    .derivative = {wrt("gates h0 c0 weight_hh bias_hh weight_hr",
                       [](auto dy, auto gates, auto h0, auto c0, auto weight_hh, auto bias_hh, auto weight_hr,
                          auto batch_sizes, auto mode, auto reverse, auto step_sizes, auto states,
                          auto kept) {
                         auto g = op_results(rnn_layer_backward, dy, states, kept, gates, h0, c0, weight_hh,
                                             bias_hh, weight_hr, batch_sizes, mode, reverse, step_sizes);
                         return results(g[0], g[1], g[2], g[3], g[4], g[5]);
                       }),
                   constants("kept", "kept for the gradient")},
    .onnx = none("LSTM, GRU and RNN of ONNX hold the input's product too: read by an adapter"),
    .netdef = none("Caffe2 spells recurrence as a net of steps"),
    .samples = {without_projection(shapes({5, 8}, {2, 2}, {2, 2}, {8, 2}, {8}), false)
                    .with("batch_sizes", {2, 2, 1})
                    .with("mode", "lstm"),
                without_projection(shapes({4, 6}, {2, 2}, {2, 2}, {6, 2}, {6}), true)
                    .with("batch_sizes", {2, 2})
                    .with("mode", "gru")
                    .with("reverse", true),
                without_projection(shapes({3, 2}, {1, 2}, {1, 2}, {2, 2}, {2}), true)
                    .with("batch_sizes", {1, 1, 1})
                    .with("mode", "tanh")},
};
constinit const Op rnn_layer_backward_op{
    .schema =
        "rnn_layer_backward(Tensor grad, Tensor states, Tensor kept, Tensor gates, Tensor h0, Tensor? c0, "
        "Tensor "
        "weight_hh, Tensor? bias_hh, Tensor? weight_hr, int[] batch_sizes, str mode, bool reverse=False, "
        "Tensor? "
        "step_sizes=None) -> "
        "(Tensor "
        "gates_grad, Tensor h0_grad, Tensor c0_grad, Tensor weight_hh_grad, Tensor bias_hh_grad, Tensor "
        "weight_hr_grad)",
    .doc = "Gradients of rnn_layer; empty for inputs that are None.",
    .method = "none",
    .shape = backward_output,
    .kernels = {KernelRow{.name = "steps", .run = backward_kernel}},
    .body = eager_body(rnn_gradient_parts),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {},
};

}  // namespace ops
}  // namespace moka

MOKA_OP_TABLE(recurrent, MOKA_RECURRENT_OPS)
