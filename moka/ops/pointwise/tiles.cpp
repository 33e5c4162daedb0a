// Operands that lie contiguous in iteration order and in the compute type are read in place; the others are gathered and
// converted into tiles that stay in the first-level cache.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pointwise/tiles.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/pointwise/walk.h"
#include "moka/tensor/meta.h"

namespace moka {

void run_tiles(const Formula& f, const FormulaPlan& plan, std::span<const Arg> args,
               std::span<const Tensor> tensors, const Tensor& out, const Uniform* uniforms) {
  if (is_meta(out)) return;
  int count = static_cast<int>(args.size());
  Operand operands[most_streams];
  Operand target{Operand::Direct,
                 static_cast<char*>(out.raw_data()),
                 out.dtype(),
                 static_cast<int64_t>(item_size(out.dtype())),
                 {}};
  for (int k = 0; k < count; k++) {
    const Tensor& t = tensors[k];
    if (t)
      operands[k] = {Operand::Gather,
                     static_cast<char*>(t.raw_data()),
                     t.dtype(),
                     static_cast<int64_t>(item_size(t.dtype())),
                     {}};
    else operands[k] = {Operand::Constant, nullptr, plan.compute, 0, {}};
  }
  Loop loop = make_loop(out, tensors, {operands, static_cast<size_t>(count)}, target);
  if (loop.total == 0) return;

  DType tile_type = plan.mask ? DType::Bool : plan.written;  // of what the kernel writes
  int64_t compute_item = static_cast<int64_t>(item_size(plan.compute));
  bool all_direct = true;
  bool linear[most_streams] = {};  // read in order
  for (int k = 0; k < count; k++) {
    Operand& o = operands[k];
    linear[k] = o.mode == Operand::Gather && is_linear(loop, o);
    if (o.mode == Operand::Gather && is_constant(o)) o.mode = Operand::Constant;
    else if (linear[k] && o.dtype == plan.compute) o.mode = Operand::Direct;
    if (o.mode != Operand::Direct) all_direct = false;
  }
  const bool linear_target = is_linear(loop, target);
  bool direct_target = target.dtype == tile_type && linear_target;
  if (!direct_target) all_direct = false;

  // A tile holds fewer elements where they are wide.
  int64_t widest = std::max<int64_t>({8, compute_item, target.item});
  for (int k = 0; k < count; k++) widest = std::max(widest, operands[k].item);
  const int64_t tile_length = tile_elements * 8 / widest;

  // Long rows are read where they lie; what is one value along them fills a tile.
  const int64_t inner = loop.sizes.back();
  bool by_rows = direct_target && inner >= 128, bounded = false;
  for (int k = 0; k < count; k++) {
    const Operand& o = operands[k];
    if (o.mode == Operand::Gather)
      by_rows = by_rows && o.dtype == plan.compute && (o.strides.back() | 1) == 1;
    bounded = bounded || o.mode == Operand::Constant || (o.mode == Operand::Gather && o.strides.back() == 0);
  }

  // Short rows that some operand repeats: its tile stays as it is while they do.
  int64_t span = 0;
  const auto repeats = [&](const Operand& o) {
    return o.mode == Operand::Gather && o.strides[o.strides.size() - 2] == 0;
  };
  if (!by_rows && loop.sizes.size() >= 2 && inner <= tile_length)
    for (int k = 0; k < count; k++)
      if (repeats(operands[k])) span = inner * loop.sizes[loop.sizes.size() - 2];
  const int64_t whole_rows = inner <= tile_length ? tile_length / inner * inner : tile_length;

  int64_t grain = std::max<int64_t>(4096, 65536 / std::max<int>(f.cost, 1));
  parallel_for(0, loop.total, grain, [&](int64_t first, int64_t last) {
    const void* in[most_streams];
    if (all_direct) {
      for (int k = 0; k < count; k++) in[k] = operands[k].data + first * compute_item;
      plan.kernel(target.data + first * target.item, in, last - first, uniforms);
      return;
    }
    alignas(64) char tiles[most_streams + 2][tile_elements * 8];
    char* raw = tiles[most_streams];
    char* result = tiles[most_streams + 1];
    int64_t length = std::min<int64_t>(tile_length, last - first);
    for (int k = 0; k < count; k++) {
      if (operands[k].mode != Operand::Constant) continue;
      char value[16];
      // A number or 0-d tensor takes the operands' type before the wider one: -1 is 255 beside uint8.
      const DType own = tensors[k] ? operands[k].dtype : plan.common;
      const bool narrow = is_integral(plan.common) && is_integral(own) && (tensors[k] || !f.wide_numbers);
      const DType first = narrow ? plan.common : plan.compute;
      if (tensors[k]) convert_elements(operands[k].data, operands[k].dtype, value, first, 1);
      else write_number(args[k], first, value);
      if (first != plan.compute) {
        char given[16];
        std::memcpy(given, value, sizeof given);
        convert_elements(given, first, value, plan.compute, 1);
      }
      splat_item(tiles[k], value, compute_item, length);
      in[k] = tiles[k];
    }
    for (int64_t at = first, n = 0; by_rows && at < last; at += n) {
      n = std::min(inner - at % inner, last - at);
      if (bounded) n = std::min(n, tile_length);
      for (int k = 0; k < count; k++) {
        if (operands[k].mode == Operand::Direct) in[k] = operands[k].data + at * compute_item;
        if (operands[k].mode != Operand::Gather) continue;
        const char* from = operands[k].data + place_of(loop, operands[k], at) * compute_item;
        in[k] = from;
        if (operands[k].strides.back() == 1) continue;
        splat_item(tiles[k], from, compute_item, n);
        in[k] = tiles[k];
      }
      plan.kernel(target.data + at * target.item, in, n, uniforms);
    }
    int64_t kept_span = -1, kept = 0;  // what the tiles of repeating operands hold, from the start of a row
    for (int64_t at = first, n = 0; !by_rows && at < last; at += n) {
      n = std::min<int64_t>(tile_length, last - at);
      bool keeps = false;
      if (span) {
        const int64_t inside = at % span, phase = inside % whole_rows;
        n = std::min({n, span - inside, whole_rows - phase});
        keeps = phase == 0 && kept_span == at / span && n <= kept;
        if (!keeps) kept_span = phase == 0 ? at / span : -1, kept = n;
      }
      for (int k = 0; k < count; k++) {
        if (operands[k].mode == Operand::Direct) in[k] = operands[k].data + at * compute_item;
        else if (operands[k].mode == Operand::Gather) {
          const Operand& o = operands[k];
          if (keeps && repeats(o)) continue;
          if (linear[k]) convert_elements(o.data + at * o.item, o.dtype, tiles[k], plan.compute, n);
          else gather(loop, o, at, n, plan.compute, tiles[k], raw);
          in[k] = tiles[k];
        }
      }
      if (direct_target) {
        plan.kernel(target.data + at * target.item, in, n, uniforms);
      } else {
        plan.kernel(result, in, n, uniforms);
        if (linear_target)
          convert_elements(result, tile_type, target.data + at * target.item, target.dtype, n);
        else scatter(loop, target, at, n, tile_type, result, raw);
      }
    }
  });
}

}  // namespace moka
