// fused_region: pointwise operators in one pass over memory.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/fused/region.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/fused/fused.h"
#include "moka/ops/pointwise/walk.h"

namespace moka {

namespace {
constexpr int64_t tile_bytes = 24 << 10;  // of all tiles of one thread, where they are not too many

struct Walk {
  Operand operands[most_region_inputs];
  Loop loop;
  char* results[most_region_results];
  int64_t result_items[most_region_results];
};

Walk make_walk(const Frame& f, std::span<const Tensor> inputs) {
  Walk w;
  const Tensor& out = f.outs[0];
  bool alike = true;
  for (size_t k = 0; k < inputs.size(); k++) {
    const Tensor& t = inputs[k];
    const bool one = t.numel() == 1;
    w.operands[k] = {one ? Operand::Constant : Operand::Direct,
                     static_cast<char*>(t.raw_data()),
                     t.dtype(),
                     static_cast<int64_t>(item_size(t.dtype())),
                     {}};
    alike = alike && (one || (t.numel() == out.numel() && t.is_contiguous()));
  }
  w.loop.total = out.numel();
  for (size_t r = 0; r < f.outs.size(); r++) {
    w.results[r] = static_cast<char*>(f.outs[r].raw_data());
    w.result_items[r] = static_cast<int64_t>(item_size(f.outs[r].dtype()));
  }
  if (alike) return w;
  for (size_t k = 0; k < inputs.size(); k++) w.operands[k].mode = Operand::Gather;
  Operand target{Operand::Direct, w.results[0], out.dtype(), w.result_items[0], {}};
  w.loop = make_loop(out, inputs, {w.operands, inputs.size()}, target);
  for (size_t k = 0; k < inputs.size(); k++) {
    Operand& o = w.operands[k];
    if (is_constant(o)) o.mode = Operand::Constant;
    else if (is_linear(w.loop, o)) o.mode = Operand::Direct;
  }
  return w;
}

// One tile: every step over n elements.
void run_steps(const RegionPlan& plan, char* const* at, int64_t n) {
  for (const RegionPlan::Step& s : plan.steps) {
    if (!s.op) {
      const int from = s.operands[0];
      convert_elements(at[from], plan.values[static_cast<size_t>(from)].dtype, at[s.result], s.compute, n);
      continue;
    }
    const void* in[most_region_inputs];
    for (size_t k = 0; k < s.operands.size(); k++) in[k] = at[s.operands[k]];
    s.kernel(at[s.result], in, n, s.uniforms);
  }
}

// Code takes most_lanes elements at least: fewer are computed with whatever stands behind them.
int run_few(const RegionPlan& plan, const Walk& w, RegionPlan::Code code, void* const* results,
            const void* const* in, int64_t n) {
  alignas(64) char memory[most_region_inputs + most_region_results][most_lanes * 8] = {};
  const void* from[most_region_inputs];
  void* to[most_region_results];
  for (int k = 0; k < plan.inputs; k++)
    from[k] = std::memcpy(memory[k], in[k], static_cast<size_t>(n * w.operands[k].item));
  for (size_t r = 0; r < plan.results.size(); r++) to[r] = memory[most_region_inputs + r];
  if (const int left = code(to, from, most_lanes)) return left;
  for (size_t r = 0; r < plan.results.size(); r++)
    std::memcpy(results[r], to[r], static_cast<size_t>(n * w.result_items[r]));
  return 0;
}

// False where the code leaves it to the formulas.
bool run_range(const RegionPlan& plan, const Walk& w, RegionPlan::Code code, int64_t first, int64_t last) {
  alignas(64) char memory[most_region_values * 256];
  char* at[most_region_values];
  const int inputs = plan.inputs;
  const int64_t slot_elements = std::max<int64_t>(tile_bytes / (plan.slots * plan.widest) / 32 * 32, 32);
  const int64_t slot_bytes = slot_elements * plan.widest;
  bool direct = code != nullptr;
  for (size_t v = 0; v < plan.values.size(); v++) {
    const RegionPlan::Value& value = plan.values[v];
    if (value.slot >= 0) at[v] = memory + value.slot * slot_bytes;
    if (value.kind == RegionPlan::Value::Number && !code)
      splat_item(at[v], value.number, static_cast<int64_t>(item_size(value.dtype)),
                 std::min(slot_elements, last - first));
  }
  for (int k = 0; k < inputs; k++) {
    const Operand& o = w.operands[k];
    if (o.mode == Operand::Constant) splat_item(at[k], o.data, o.item, std::min(slot_elements, last - first));
    direct = direct && o.mode == Operand::Direct;
  }
  const int64_t step = direct ? last - first : slot_elements;
  for (int64_t begin = first; begin < last; begin += step) {
    const int64_t n = std::min(step, last - begin);
    for (int k = 0; k < inputs; k++) {
      const Operand& o = w.operands[k];
      if (o.mode == Operand::Direct) at[k] = o.data + begin * o.item;
      else if (o.mode == Operand::Gather) gather(w.loop, o, begin, n, o.dtype, at[k], nullptr);
    }
    void* results[most_region_results];
    for (size_t r = 0; r < plan.results.size(); r++)
      results[r] = at[plan.results[r]] = w.results[r] + begin * w.result_items[r];
    if (code) {
      const void* in[most_region_inputs];
      std::copy(at, at + inputs, in);
      if (n < most_lanes ? run_few(plan, w, code, results, in, n) : code(results, in, n)) return false;
    } else {
      run_steps(plan, at, n);
    }
  }
  return true;
}
}  // namespace

void run_region(Frame& f, const RegionPlan& plan, bool compiled) {
  if (plan.rows) return run_rows(f, plan, compiled);
  const Walk w = make_walk(f, f.tensors(0));
  if (w.loop.total == 0) return;
  const RegionPlan::Code code = compiled ? plan.code.load(std::memory_order_acquire) : nullptr;
  const int64_t grain = std::max<int64_t>(4096, 65536 / std::max(plan.cost, 1));
  const auto run = [&](int64_t first, int64_t last) {
    if (!run_range(plan, w, code, first, last)) run_range(plan, w, nullptr, first, last);
  };
  if (w.loop.total <= grain) return run(0, w.loop.total);
  parallel_for(0, w.loop.total, grain, run);
}

namespace ops {

namespace {
void check_parameter(Frame& f, const Dims& shape, int64_t n, std::string_view name) {
  MOKA_CHECK(shape.size() == 1 && shape[0] == n, f.name(), ": ", name, " takes weight and bias of shape [", n,
             "], got ", shape);
}
// What the values of a program are: as many elements as the whole, one a row, or one a row without the last dimension.
// Smaller values are made of smaller inputs alone.
Dims value_shape(Frame& f, const RegionProgram::Node& n, std::span<const Dims> shapes, const Dims& whole) {
  Dims own;
  const std::string_view name = info(*n.op).schema.name;
  for (const RegionProgram::Operand& o : n.operands)
    if (o.value >= 0) own = broadcast_shape(own, shapes[static_cast<size_t>(o.value)], f.name());
  if (n.work == RowWork::None) return own;
  const Dims& input = shapes[static_cast<size_t>(n.operands[0].value)];
  Dims line = whole;
  line.back() = 1;
  const bool of_line = reduces(n.work) && input == line;
  MOKA_CHECK(input == whole || of_line, "fused_region: ", name, " of shape ", input,
             " where the inputs broadcast to ", whole);
  for (size_t k = 1; k < n.operands.size(); k++)
    if (n.operands[k].value >= 0)
      check_parameter(f, shapes[static_cast<size_t>(n.operands[k].value)], whole.back(), name);
  MOKA_CHECK(n.normalized < 0 || n.normalized == whole.back(), "fused_region: ", name, ": normalized_shape [",
             n.normalized, "] where rows have ", whole.back(), " elements");
  MOKA_CHECK_KIND(Index, whole.back() > 0 || (n.work != RowWork::Maximum && n.work != RowWork::Minimum), name,
                  "(): Expected reduction dim ", whole.size() - 1,
                  " to have non-zero size: there is no result for no elements (shape ", whole, ")");
  if (!reduces(n.work)) return whole;
  if (!n.keeps_dim) line.resize(line.size() - 1);
  return line;
}
// Values that lost the last dimension meet nothing but each other and numbers: to others they would be no lines.
void check_lines(const RegionProgram& program) {
  std::vector<char> dropped(static_cast<size_t>(program.inputs));
  for (const RegionProgram::Node& n : program.nodes) {
    int with = 0, without = 0;
    for (const RegionProgram::Operand& o : n.operands)
      if (o.value >= 0) (dropped[static_cast<size_t>(o.value)] ? without : with)++;
    MOKA_CHECK(!without || (!with && n.work == RowWork::None), "fused_region: ", info(*n.op).schema.name,
               " takes a reduction without keepdim beside other values");
    dropped.push_back(without || (reduces(n.work) && !n.keeps_dim));
  }
}
void region_shape(Frame& f) {
  const std::span<const Tensor> inputs = f.tensors(0);
  const std::shared_ptr<const RegionPlan> plan = region_plan(f.string(1), inputs);
  Dims shape(inputs[0].sizes());
  for (const Tensor& t : inputs.subspan(1)) shape = broadcast_shape(shape, t.sizes(), f.name());
  const RegionProgram program = read_region(f.string(1));
  if (program.rows) {
    MOKA_CHECK(shape.size() >= 2, "fused_region: rows are those of tensors with 2 dimensions or more, got ",
               shape);
    check_lines(program);
  }
  std::vector<Dims> shapes;
  for (const Tensor& t : inputs) shapes.emplace_back(t.sizes());
  for (const RegionProgram::Node& n : program.nodes) shapes.push_back(value_shape(f, n, shapes, shape));
  Dims line = shape, dropped = shape;
  if (program.rows) {
    line.back() = 1;
    dropped.resize(dropped.size() - 1);
  }
  for (size_t r = 0; r < plan->results.size(); r++) {
    const Dims& own = shapes[static_cast<size_t>(program.results[r])];
    const bool one_a_row = plan->values[static_cast<size_t>(plan->results[r])].line;
    MOKA_CHECK(one_a_row ? own == line || own == dropped : own == shape, "fused_region: a result has shape ",
               own, " but the inputs broadcast to ", shape);
    f.output(static_cast<int>(r), own, plan->values[static_cast<size_t>(plan->results[r])].dtype);
  }
}
void one_shape(Frame& f) {
  region_shape(f);
  MOKA_CHECK(f.outs.size() == 1, "fused_region: the program has ", f.outs.size(),
             " results; fused_region_all takes such programs");
}
void by_code(Frame& f) { run_region(f, *region_plan(f.string(1), f.tensors(0)), true); }
std::string_view without_code(const Frame& f) {
  return region_plan(f.string(1), f.tensors(0))->code.load(std::memory_order_relaxed)
             ? ""
             : "no code was made for it";
}
void in_tiles(Frame& f) { run_region(f, *region_plan(f.string(1), f.tensors(0)), false); }
}  // namespace

constinit const Op fused_region_op{
    .schema = "fused_region(Tensor[] inputs, str program) -> Tensor",
    .doc =
        "What the program makes of the inputs in one pass over memory; made by the fusion pass. The program "
        "is a block of pointwise operators in the graph's text form, '(%0, %1) { %2 = mul(%0, %1) return %2 "
        "}'; its result has the shape to which the inputs broadcast.",
    .method = "none",
    .shape = one_shape,
    .kernels = {KernelRow{.name = "code", .run = by_code, .declines = without_code},
                KernelRow{.name = "tiles", .run = in_tiles}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("written as its parts: graphs are exported before they are fused"),
    .netdef = none("written as its parts: graphs are exported before they are fused"),
    .samples = {shapes({3, 4}, {4})
                    .as_list()
                    .with("program",
                          "(%0, %1) { %2 = mul(%0, %1) %3 = tanh(%2) %4 = add(%3, %0, 2.0) return %4 }"),
                shapes({2, 1, 5}, {4, 1})
                    .as_list()
                    .with("program", "(%0, %1) { %2 = gt(%0, %1) %3 = where(%2, %0, 1.0) return %3 }"),
                shapes({0, 3}, {1}).as_list().with("program", "(%0, %1) { %2 = sub(%0, %1) return %2 }"),
                shapes({2, 3, 4}, {4})
                    .as_list()
                    .with("program", "(%0, %1) { %2 = mul(%0, %1) %3 = softmax(%2, -1) return %3 }")},
};

constinit const Op fused_region_all_op{
    .schema = "fused_region_all(Tensor[] inputs, str program) -> Tensor[]",
    .doc = "fused_region for programs with several results.",
    .method = "none",
    .shape = region_shape,
    .kernels = {KernelRow{.name = "code", .run = by_code, .declines = without_code},
                KernelRow{.name = "tiles", .run = in_tiles}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("written as its parts: graphs are exported before they are fused"),
    .netdef = none("written as its parts: graphs are exported before they are fused"),
    .samples =
        {shapes({3, 4}, {3, 4})
             .as_list()
             .with("program", "(%0, %1) { %2 = exp(%0) %3 = mul(%2, %1) return %2, %3 }"),
         shapes({0}, {1}).as_list().with("program", "(%0, %1) { %2 = sub(%0, %1) return %2, %2 }"),
         shapes({3, 4}, {4})
             .as_list()
             .with("program",
                   "(%0, %1) { %2 = mean(%0, [-1], true) %3 = sub(%0, %2) %4 = rms_norm(%3, [4], %1) %5 = "
                   "sum(%4, [-1]) return %4, %5, %2 }")},
};

}  // namespace ops
}  // namespace moka
