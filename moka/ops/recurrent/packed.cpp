// A recurrent layer for inference: weights packed once, products and cell of some units in one sweep, and threads that
// share out the units and meet after every step.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "moka/base/parallel.h"
#include "moka/base/team.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/linear/gemm.h"
#include "moka/ops/number.h"
#include "moka/ops/recurrent/kernels.h"
#include "moka/ops/recurrent/recurrent.h"

namespace moka {

namespace {
constexpr int packed_gates(CellKind kind) {
  return kind == CellKind::Lstm ? 4 : kind == CellKind::Gru ? 3 : 1;
}
// Rows of one step, all of which follow rows that lie `before_row` apart.
struct PackedStepInputs {
  int64_t hidden, rows;
  const float *gates, *bias;  // bias may be null
  const float* before;  // h of the step before
  int64_t before_row;
  const float* cell;  // c of the step before, for an LSTM
  int64_t cell_row;
  float* after;  // h, and c beside it
  int64_t after_row;
};
}  // namespace
}  // namespace moka

#define MOKA_TARGET_PAGE "moka/ops/recurrent/packed_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
// Below this many multiply-adds a step, threads would wait for each other longer than they work.
constexpr double least_shared_step = 24000;

void run_packed(const RnnShape& s, const RnnInputs<float>& in, float* states) {
  auto run = s.kind == CellKind::Lstm   ? MOKA_BY_ISA(PackedStep<CellKind::Lstm>::run)
             : s.kind == CellKind::Gru  ? MOKA_BY_ISA(PackedStep<CellKind::Gru>::run)
             : s.kind == CellKind::Tanh ? MOKA_BY_ISA(PackedStep<CellKind::Tanh>::run)
                                        : MOKA_BY_ISA(PackedStep<CellKind::Relu>::run);
  const int64_t steps = static_cast<int64_t>(s.batch.size()), h = s.hidden;
  if (!steps || !h) return;
  const int64_t blocks = (h + packed_units - 1) / packed_units;
  const bool lstm = s.kind == CellKind::Lstm;
  const double work = double(s.rows()) / double(steps) * double(h) * double(h * s.gates());
  run_team(
      work < least_shared_step ? 1 : static_cast<int>(std::min<int64_t>(blocks, num_threads())),
      [&](Team& team) {
        const int64_t share = (blocks + team.members - 1) / team.members;
        const int64_t first = std::min(blocks, team.index * share), last = std::min(blocks, first + share);
        for (int64_t i = 0; i < steps; i++) {
          const size_t t = static_cast<size_t>(s.reverse ? steps - 1 - i : i),
                       earlier = s.reverse ? t + 1 : t - 1;
          const int64_t rows = s.batch[t], start = s.start[t],
                        continued = i ? std::min(rows, s.batch[earlier]) : 0;
          float* after = states + start * s.state();
          const float* gates = in.gates + start * h * s.gates();
          if (continued) {
            const float* before = states + s.start[earlier] * s.state();
            run({h, continued, gates, in.bias, before, s.state(), before + h, s.state(), after, s.state()},
                in.weight, first, last);
          }
          if (continued < rows)
            run({h, rows - continued, gates + continued * h * s.gates(), in.bias, in.h0 + continued * h, h,
                 lstm ? in.c0 + continued * h : nullptr, h, after + continued * s.state(), s.state()},
                in.weight, first, last);
          team.wait();
        }
      });
}
}  // namespace

namespace ops {

namespace {
void pack_shape(Frame& f) {
  const Tensor& w = tensor_argument(f, 0);
  const int64_t gates = f.integer(1);
  MOKA_CHECK_KIND(NotImplemented, w.dtype() == DType::F32, f.name(), ": weight must be float32, got ",
                  w.dtype());
  MOKA_CHECK_KIND(Value, gates == 1 || gates == 3 || gates == 4, f.name(), ": gates must be 1, 3 or 4, got ",
                  gates);
  MOKA_CHECK(w.dim() == 2 && w.size(0) == checked_mul(w.size(1), gates, "pack_recurrent"), f.name(),
             ": weight must have shape [", gates, " * hidden, hidden], got ", w.sizes());
  f.output(0, Dims{(w.size(1) + packed_units - 1) / packed_units, w.size(1), gates, packed_units}, w.dtype());
}
void pack_kernel(Frame& f) {
  const Tensor w = as_contiguous(f.tensor(0));
  const int64_t gates = f.integer(1), h = w.size(1), blocks = f.outs[0].size(0);
  const float* from = w.data<float>();
  float* to = f.outs[0].data<float>();
  parallel_for(0, blocks, 32768 / (gates * h * packed_units + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; block++) {
      const int64_t units = std::min(packed_units, h - block * packed_units);
      for (int64_t k = 0; k < h; k++)
        for (int64_t g = 0; g < gates; g++) {
          float* row = to + ((block * h + k) * gates + g) * packed_units;
          const float* column = from + (g * h + block * packed_units) * h + k;
          for (int64_t u = 0; u < packed_units; u++) row[u] = u < units ? column[u * h] : 0;
        }
    }
  });
}

void layer_output(Frame& f) {
  const RnnShape s = rnn_shape(f, 0, true);
  f.output(0, Dims{s.rows(), s.state()}, DType::F32);
}
void layer_kernel(Frame& f) {
  const RnnShape s = rnn_shape(f, 0, true);
  Tensor t[5];
  for (int i = 0; i < 5; i++)
    if (f.has(i)) t[i] = as_contiguous(f.tensor(i));
  const auto data = [&](int i) -> const float* { return t[i] ? t[i].data<float>() : nullptr; };
  run_packed(s, {data(0), data(1), data(2), data(3), data(4), nullptr}, f.outs[0].data<float>());
}

constexpr Sample without_cell(Sample s) {
  s.tensors.items[2] = missing_tensor;
  return s;
}
}  // namespace

constinit const Op pack_recurrent_op{
    .schema = "pack_recurrent(Tensor weight, int gates) -> Tensor",
    .doc =
        "Weights of a recurrent layer's state, [gates * hidden, hidden], as rnn_layer_packed reads them: "
        "[blocks, "
        "hidden, gates, unit in block], zeros behind the last unit.",
    .method = "none",
    .shape = pack_shape,
    .kernels = {KernelRow{"copy", pack_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shape(20, 5).with("gates", 4), shape(18, 18).with("gates", 1)},
};

constinit const Op rnn_layer_packed_op{
    .schema =
        "rnn_layer_packed(Tensor gates, Tensor h0, Tensor? c0, Tensor weight_hh, Tensor? bias_hh, int[] "
        "batch_sizes, "
        "str mode, bool reverse=False, Tensor? step_sizes=None) -> Tensor",
    .doc = "The states of rnn_layer without projection, with float32 weights of pack_recurrent.",
    .method = "none",
    .shape = layer_output,
    .kernels = {KernelRow{"steps", layer_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shapes({5, 8}, {2, 2}, {2, 2}, {1, 2, 4, 16}, {8})
                    .with("batch_sizes", {2, 2, 1})
                    .with("mode", "lstm"),
                without_cell(shapes({4, 54}, {2, 18}, {2, 18}, {2, 18, 3, 16}, {54}))
                    .with("batch_sizes", {2, 1, 1})
                    .with("mode", "gru")
                    .with("reverse", true),
                without_cell(shapes({3, 2}, {1, 2}, {1, 2}, {1, 2, 1, 16}, {2}))
                    .with("batch_sizes", {1})
                    .with("mode", "tanh")},
};

}  // namespace ops
}  // namespace moka
