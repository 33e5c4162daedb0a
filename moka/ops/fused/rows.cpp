// Regions that work on rows: some rows at a time go through all steps, by the operators' own kernels or by compiled code.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <optional>
#include <ranges>

#include "moka/base/parallel.h"
#include "moka/ops/fused/region.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/normalization/kernels.h"
#include "moka/ops/pointwise/walk.h"
#include "moka/ops/reduction/kernels.h"

namespace moka {

namespace {
constexpr int64_t tile_bytes = 32 << 10;  // of all tiles of one thread, where rows are not longer
constexpr int64_t number_elements = 512;  // how often numbers are repeated
constexpr int64_t longest_compiled = 65536;  // sums of longer rows want more than one level

struct RowInput {
  enum Mode { Linear, Rows, Repeated, Gathered, Line } mode = Linear;
  Operand operand;
  bool walked = false;  // its operand has strides
};
struct RowWalk {
  Loop elements, lines;
  RowInput inputs[most_region_inputs];
  int64_t rows = 1, n = 1;
};

// How often an input of the whole shape, or of the last dimension alone, is read: both lie as the result does.
std::optional<RowInput::Mode> plain_mode(const Tensor& t, const Dims& whole, bool line) {
  if (line || !t.is_contiguous()) return std::nullopt;
  if (t.numel() == whole.back() && t.dim() > 0 && t.size(t.dim() - 1) == whole.back())
    return RowInput::Repeated;
  if (std::ranges::equal(t.sizes(), whole)) return RowInput::Linear;
  return std::nullopt;
}

RowWalk make_walk(std::span<const Tensor> inputs, const RegionPlan& plan) {
  RowWalk w;
  Dims whole(inputs[0].sizes());
  for (const Tensor& t : inputs.subspan(1))
    if (!std::ranges::equal(t.sizes(), whole)) whole = broadcast_shape(whole, t.sizes(), "fused_region");
  w.n = whole.back();
  for (size_t d = 0; d + 1 < whole.size(); d++) w.rows *= whole[d];
  bool others[2] = {};  // elements, lines
  for (size_t k = 0; k < inputs.size(); k++) {
    const Tensor& t = inputs[k];
    RowInput& input = w.inputs[k];
    input.operand = {Operand::Gather,
                     static_cast<char*>(t.raw_data()),
                     t.dtype(),
                     static_cast<int64_t>(item_size(t.dtype())),
                     {}};
    if (const auto mode = plain_mode(t, whole, plan.values[k].line); mode && w.rows > 1) input.mode = *mode;
    else others[plan.values[k].line] = input.walked = true;
  }
  for (const bool line : {false, true}) {
    if (!others[line]) continue;
    Tensor tensors[most_region_inputs];
    Operand operands[most_region_inputs];
    size_t count = 0;
    for (size_t k = 0; k < inputs.size(); k++) {
      if (!w.inputs[k].walked || plan.values[k].line != line) continue;
      tensors[count] = inputs[k];
      operands[count++] = w.inputs[k].operand;
    }
    Dims sizes = whole;
    if (line) sizes.back() = 1;
    const Tensor shape = shape_only(sizes, DType::F32);
    Operand target{Operand::Direct, nullptr, DType::F32, 4, {}};
    Loop& loop = line ? w.lines : w.elements;
    loop = make_loop(shape, {tensors, count}, {operands, count}, target);
    for (size_t k = 0, at = 0; k < inputs.size(); k++) {
      RowInput& input = w.inputs[k];
      if (!input.walked || plan.values[k].line != line) continue;
      Operand& o = input.operand = std::move(operands[at++]);
      const bool one_row =
          std::all_of(o.strides.begin(), o.strides.end() - 1, [](int64_t s) { return s == 0; });
      if (line) input.mode = RowInput::Line;
      else if (is_linear(loop, o)) input.mode = RowInput::Linear;
      else if (one_row && loop.sizes.back() == w.n && o.strides.back() == 1) input.mode = RowInput::Repeated;
      else
        input.mode = w.n && o.strides.back() == 1 && loop.sizes.back() % w.n == 0 ? RowInput::Rows
                                                                                  : RowInput::Gathered;
    }
  }
  return w;
}

template <class T>
void divide(T* p, int64_t n, T by) {
  for (int64_t i = 0; i < n; i++) p[i] /= by;
}
template <class T>
void run_work(const RegionPlan::Step& s, char* const* at, int64_t rows, int64_t n) {
  const T* in = reinterpret_cast<const T*>(at[s.operands[0]]);
  T* out = reinterpret_cast<T*>(at[s.result]);
  const auto parameter = [&](size_t k) {
    const int value = k < s.operands.size() ? s.operands[k] : -1;
    return value < 0 ? nullptr : reinterpret_cast<const T*>(at[value]);
  };
  switch (s.work) {
    case RowWork::Maximum: return reduce(Reduce::Maximum, rows, n, 1, in, out);
    case RowWork::Minimum: return reduce(Reduce::Minimum, rows, n, 1, in, out);
    case RowWork::Sum: return reduce(Reduce::Sum, rows, n, 1, in, out);
    case RowWork::Mean: reduce(Reduce::Sum, rows, n, 1, in, out); return divide(out, rows, static_cast<T>(n));
    default: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (n == 0) return;
    switch (s.work) {
      case RowWork::Softmax: return softmax_forward(false, rows, n, 1, in, out);
      case RowWork::LogSoftmax: return softmax_forward(true, rows, n, 1, in, out);
      case RowWork::LayerNorm:
        return layer_normalize(rows, n, in, parameter(1), parameter(2), s.epsilon, out);
      case RowWork::RmsNorm: return rms_normalize(rows, n, in, parameter(1), s.epsilon, out);
      default: MOKA_ASSERT(!"work on rows of this type");
    }
  }
}

// Every step over some rows.
void run_row_steps(const RegionPlan& plan, char* const* at, int64_t rows, int64_t n) {
  const auto item = [&](int v) {
    return static_cast<int64_t>(item_size(plan.values[static_cast<size_t>(v)].dtype));
  };
  for (const RegionPlan::Step& s : plan.steps) {
    const int64_t count = plan.values[static_cast<size_t>(s.result)].line ? rows : rows * n;
    if (s.work == RowWork::Spread) {
      const int64_t bytes = item(s.result);
      for (int64_t r = 0; r < rows; r++)
        splat_item(at[s.result] + r * n * bytes, at[s.operands[0]] + r * bytes, bytes, n);
    } else if (s.work != RowWork::None) {
      if (s.compute == DType::F32) run_work<float>(s, at, rows, n);
      else if (s.compute == DType::F64) run_work<double>(s, at, rows, n);
      else run_work<int64_t>(s, at, rows, n);
    } else if (!s.op) {
      const int from = s.operands[0];
      convert_elements(at[from], plan.values[static_cast<size_t>(from)].dtype, at[s.result], s.compute,
                       count);
    } else {
      bool numbers = false;
      for (int o : s.operands)
        numbers = numbers || plan.values[static_cast<size_t>(o)].kind == RegionPlan::Value::Number;
      const int64_t step = numbers ? number_elements : count;
      for (int64_t done = 0; done < count; done += step) {
        const void* in[most_region_inputs];
        for (size_t k = 0; k < s.operands.size(); k++) {
          const int o = s.operands[k];
          const bool number = plan.values[static_cast<size_t>(o)].kind == RegionPlan::Value::Number;
          in[k] = at[o] + (number ? 0 : done * item(o));
        }
        s.kernel(at[s.result] + done * item(s.result), in, std::min(step, count - done), s.uniforms);
      }
    }
  }
}

class RowRunner {
 public:
  RowRunner(const RegionPlan& plan, const RowWalk& walk, std::span<Tensor> outs, RegionPlan::Code code)
      : plan_(plan), walk_(walk), outs_(outs), code_(code), n_(walk.n) {
    int64_t whole = 0;
    for (int v = 0; v < tiled(); v++) whole += in_tiles(v) && !value(v).line;
    const int64_t row_bytes = std::max<int64_t>(whole * n_ * plan.widest, 1);
    tile_ = std::clamp<int64_t>(tile_bytes / row_bytes, 1, 512);
    // Rows that lie apart come one by one, so that they need not be gathered.
    for (int k = 0; k < plan.inputs && tile_ > 1; k++)
      if (code && walk.inputs[k].mode == RowInput::Rows) tile_ = 1;
  }

  // False where the code leaves it to the formulas.
  bool run(int64_t first, int64_t last) {
    const int64_t tile = std::min(tile_, last - first);
    int64_t places[most_region_values], bytes = 0;
    std::fill_n(places, plan_.slots, 0);
    for (int v = 0; v < tiled(); v++)
      if (in_tiles(v)) {
        const bool number = value(v).kind == RegionPlan::Value::Number;
        const int64_t elements = number ? number_elements : value(v).line ? tile : tile * n_;
        int64_t& size = places[value(v).slot];
        size = std::max(size, (elements * static_cast<int64_t>(item_size(value(v).dtype)) + 63) / 64 * 64);
      }
    for (int s = 0; s < plan_.slots; s++) bytes += std::exchange(places[s], bytes);
    const int64_t spare = (n_ * 8 + 63) / 64 * 64;
    const int spare_rows = code_ ? plan_.spare_rows.load(std::memory_order_relaxed) : 0;
    alignas(64) char few[16 << 10];
    const int64_t needed = bytes + spare * spare_rows;
    std::optional<Scratch<char>> many;
    if (needed > static_cast<int64_t>(sizeof few)) many.emplace(needed);
    char* const memory = many ? many->data() : few;
    char* at[most_region_values];
    std::fill_n(at, count(), nullptr);
    for (int v = 0; v < tiled(); v++)
      if (in_tiles(v)) {
        at[v] = memory + places[value(v).slot];
        if (value(v).kind == RegionPlan::Value::Number)
          splat_item(at[v], value(v).number, static_cast<int64_t>(item_size(value(v).dtype)),
                     number_elements);
      }
    void* results[most_region_results + most_spare_rows];
    for (int s = 0; s < spare_rows; s++)
      results[plan_.results.size() + static_cast<size_t>(s)] = memory + bytes + spare * s;
    for (int64_t row = first; row < last; row += tile) {
      const int64_t rows = std::min(tile, last - row);
      for (int k = 0; k < plan_.inputs; k++) at[k] = place(k, at[k], row, rows, row == first);
      for (size_t r = 0; r < plan_.results.size(); r++) {
        const int v = plan_.results[r];
        at[v] = static_cast<char*>(outs_[r].raw_data()) + row * step_of(v);
      }
      if (!code_) run_row_steps(plan_, at, rows, n_);
      else if (!run_code(at, rows, results)) return false;
    }
    return true;
  }

 private:
  int count() const { return static_cast<int>(plan_.values.size()); }
  int tiled() const { return code_ ? plan_.inputs : count(); }  // values that may have a tile
  const RegionPlan::Value& value(int v) const { return plan_.values[static_cast<size_t>(v)]; }
  // Values in memory of the tile; code has the others in registers.
  bool in_tiles(int v) const {
    if (value(v).slot < 0) return false;
    if (value(v).kind != RegionPlan::Value::Input) return !code_;
    const RowInput::Mode mode = walk_.inputs[v].mode;
    return mode == RowInput::Gathered || mode == RowInput::Line || (!code_ && mode != RowInput::Linear);
  }
  int64_t step_of(int v) const {
    return static_cast<int64_t>(item_size(value(v).dtype)) * (value(v).line ? 1 : n_);
  }
  bool repeats(int k) const { return code_ && walk_.inputs[k].mode == RowInput::Repeated; }

  char* place(int k, char* tile, int64_t row, int64_t rows, bool first) const {
    const RowInput& input = walk_.inputs[k];
    const Operand& o = input.operand;
    if (n_ == 0 && input.mode != RowInput::Line) return tile;
    switch (input.mode) {
      case RowInput::Linear: return o.data + row * n_ * o.item;
      case RowInput::Rows:
        if (code_) return o.data + place_of(walk_.elements, o, row * n_) * o.item;
        break;
      case RowInput::Repeated:
        if (code_) return o.data;
        if (!first) return tile;
        break;
      case RowInput::Line: gather(walk_.lines, o, row, rows, o.dtype, tile, nullptr); return tile;
      case RowInput::Gathered: break;
    }
    if (!input.walked) {  // one row for all
      for (int64_t r = 0; r < rows; r++)
        std::memcpy(tile + r * n_ * o.item, o.data, static_cast<size_t>(n_ * o.item));
      return tile;
    }
    gather(walk_.elements, o, row * n_, rows * n_, o.dtype, tile, nullptr);
    return tile;
  }

  bool run_code(char* const* at, int64_t rows, void** results) const {
    const void* in[most_region_inputs];
    for (int64_t r = 0; r < rows; r++) {
      for (int k = 0; k < plan_.inputs; k++) in[k] = at[k] + (repeats(k) ? 0 : r * step_of(k));
      for (size_t i = 0; i < plan_.results.size(); i++)
        results[i] = at[plan_.results[i]] + r * step_of(plan_.results[i]);
      if (code_(results, in, n_)) return false;
    }
    return true;
  }

  const RegionPlan& plan_;
  const RowWalk& walk_;
  std::span<Tensor> outs_;
  RegionPlan::Code code_;
  int64_t n_, tile_ = 1;
};
}  // namespace

void run_rows(Frame& f, const RegionPlan& plan, bool compiled) {
  const RowWalk walk = make_walk(f.tensors(0), plan);
  if (walk.rows == 0) return;
  const RegionPlan::Code code = compiled && walk.n >= most_lanes && walk.n <= longest_compiled
                                    ? plan.code.load(std::memory_order_acquire)
                                    : nullptr;
  const std::span<Tensor> outs(&f.outs[0], f.outs.size());
  const auto run = [&](int64_t first, int64_t last) {
    if (!RowRunner(plan, walk, outs, code).run(first, last))
      RowRunner(plan, walk, outs, nullptr).run(first, last);
  };
  const int64_t grain = 65536 / (std::max<int64_t>(plan.cost, 4) * std::max<int64_t>(walk.n, 1)) + 1;
  if (walk.rows <= grain) return run(0, walk.rows);
  parallel_for(0, walk.rows, grain, run);
}

}  // namespace moka
