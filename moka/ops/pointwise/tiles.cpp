// Operands that lie contiguous in iteration order and in the compute type are read in place; the others are gathered and
// converted into tiles that stay in the first-level cache.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pointwise/tiles.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/complex/scalar.h"

namespace moka {

namespace {
constexpr int tile_elements = 512;

// One operand in iteration order: sizes of the loop are shared, strides in elements.
struct Operand {
  enum Mode { Direct, Constant, Gather } mode;
  char* data;
  DType dtype;
  int64_t item;
  Dims strides;
};

struct Loop {
  Dims sizes;  // outermost first
  int64_t total = 1;
};

struct Word16 {
  uint64_t low, high;
};

void write_number(const Arg& a, DType compute, void* to) {
  if (is_complex_number(a)) return convert_elements(a.floats, DType::C128, to, compute, 1);
  if (a.tag == Tag::Float) convert_elements(&a.f, DType::F64, to, compute, 1);
  else {
    int64_t v = a.tag == Tag::Bool ? a.b : a.i;
    convert_elements(&v, DType::I64, to, compute, 1);
  }
}

template <class Word>
void splat(void* to, const void* value, int64_t n) {
  constexpr int64_t block = 64 / sizeof(Word);
  Word words[block];
  for (Word& w : words) std::memcpy(&w, value, sizeof w);
  Word* p = static_cast<Word*>(to);
  int64_t i = 0;
  for (; i + block <= n; i += block) std::memcpy(p + i, words, sizeof words);
  for (; i < n; i++) p[i] = words[0];
}
void splat_item(void* to, const void* value, int64_t item, int64_t n) {
  if (item == 4) splat<uint32_t>(to, value, n);
  else if (item == 8) splat<uint64_t>(to, value, n);
  else if (item == 2) splat<uint16_t>(to, value, n);
  else if (item == 16) splat<Word16>(to, value, n);
  else splat<uint8_t>(to, value, n);
}

template <class Word>
void gather_run(char* to, const char* from, int64_t step, int64_t n) {
  const Word* a = reinterpret_cast<const Word*>(from);
  Word* b = reinterpret_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) b[i] = a[i * step];
}
template <class Word>
void scatter_run(char* to, const char* from, int64_t step, int64_t n) {
  const Word* a = reinterpret_cast<const Word*>(from);
  Word* b = reinterpret_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) b[i * step] = a[i];
}

// Calls f(offset in elements, run start, run length) for the runs along the innermost dimension of [first, first + n).
template <class F>
void for_runs(const Loop& loop, const Operand& o, int64_t first, int64_t n, F f) {
  int last = static_cast<int>(loop.sizes.size()) - 1;
  int64_t index[max_dims];
  int64_t rest = first, offset = 0;
  for (int d = last; d >= 0; d--) {
    index[d] = rest % loop.sizes[d];
    rest /= loop.sizes[d];
    offset += index[d] * o.strides[d];
  }
  int64_t done = 0;
  while (done < n) {
    int64_t run = std::min(n - done, loop.sizes[last] - index[last]);
    f(offset, done, run);
    done += run;
    if (done == n) break;
    offset += run * o.strides[last];
    index[last] += run;
    for (int d = last; d > 0 && index[d] == loop.sizes[d]; d--) {
      offset += o.strides[d - 1] - o.strides[d] * loop.sizes[d];
      index[d] = 0;
      index[d - 1]++;
    }
  }
}

// In elements from the operand's start.
int64_t place_of(const Loop& loop, const Operand& o, int64_t linear) {
  int64_t at = 0;
  for (size_t d = loop.sizes.size(); d-- > 0; linear /= loop.sizes[d])
    at += linear % loop.sizes[d] * o.strides[d];
  return at;
}

void gather(const Loop& loop, const Operand& o, int64_t first, int64_t n, DType compute, char* tile,
            char* raw) {
  int last = static_cast<int>(loop.sizes.size()) - 1;
  char* to = o.dtype == compute ? tile : raw;
  int64_t step = o.strides[last];
  if (to == raw && step == 1 && loop.sizes[last] >= 32) {
    const int64_t wide = static_cast<int64_t>(item_size(compute));
    return for_runs(loop, o, first, n, [&](int64_t offset, int64_t at, int64_t run) {
      convert_elements(o.data + offset * o.item, o.dtype, tile + at * wide, compute, run);
    });
  }
  for_runs(loop, o, first, n, [&](int64_t offset, int64_t at, int64_t run) {
    const char* from = o.data + offset * o.item;
    char* target = to + at * o.item;
    if (step == 1) std::memcpy(target, from, static_cast<size_t>(run * o.item));
    else if (step == 0) splat_item(target, from, o.item, run);
    else if (o.item == 4) gather_run<uint32_t>(target, from, step, run);
    else if (o.item == 8) gather_run<uint64_t>(target, from, step, run);
    else if (o.item == 2) gather_run<uint16_t>(target, from, step, run);
    else if (o.item == 16) gather_run<Word16>(target, from, step, run);
    else gather_run<uint8_t>(target, from, step, run);
  });
  if (to == raw) convert_elements(raw, o.dtype, tile, compute, n);
}

void scatter(const Loop& loop, const Operand& o, int64_t first, int64_t n, DType from_type, const char* tile,
             char* raw) {
  const char* from = tile;
  if (o.dtype != from_type && o.strides.back() == 1 && loop.sizes.back() >= 32) {
    const int64_t wide = static_cast<int64_t>(item_size(from_type));
    return for_runs(loop, o, first, n, [&](int64_t offset, int64_t at, int64_t run) {
      convert_elements(tile + at * wide, from_type, o.data + offset * o.item, o.dtype, run);
    });
  }
  if (o.dtype != from_type) {
    convert_elements(tile, from_type, raw, o.dtype, n);
    from = raw;
  }
  int last = static_cast<int>(loop.sizes.size()) - 1;
  int64_t step = o.strides[last];
  for_runs(loop, o, first, n, [&](int64_t offset, int64_t at, int64_t run) {
    char* target = o.data + offset * o.item;
    const char* source = from + at * o.item;
    if (step == 1) std::memcpy(target, source, static_cast<size_t>(run * o.item));
    else if (o.item == 4) scatter_run<uint32_t>(target, source, step, run);
    else if (o.item == 8) scatter_run<uint64_t>(target, source, step, run);
    else if (o.item == 2) scatter_run<uint16_t>(target, source, step, run);
    else if (o.item == 16) scatter_run<Word16>(target, source, step, run);
    else scatter_run<uint8_t>(target, source, step, run);
  });
}

// Merges and orders dimensions so that the output is walked in memory order.
Loop make_loop(const Tensor& out, std::span<const Tensor> tensors, std::span<Operand> operands,
               Operand& target) {
  Loop loop;
  int ndim = out.dim();
  size_t count = operands.size();
  SmallVector<int, 8> order;
  for (int d = 0; d < ndim; d++)
    if (out.size(d) != 1) order.push_back(d);
  for (size_t i = 1; i < order.size(); i++)
    for (size_t j = i; j > 0 && out.stride(order[j - 1]) < out.stride(order[j]); j--)
      std::swap(order[j - 1], order[j]);
  auto stride_of = [&](size_t k, int d) -> int64_t {
    if (!tensors[k]) return 0;
    int own = d - (ndim - tensors[k].dim());
    return own < 0 || tensors[k].size(own) == 1 ? 0 : tensors[k].stride(own);
  };
  for (int d : order) {
    loop.sizes.push_back(out.size(d));
    loop.total *= out.size(d);
    target.strides.push_back(out.stride(d));
    for (size_t k = 0; k < count; k++) operands[k].strides.push_back(stride_of(k, d));
  }
  if (loop.sizes.empty()) {
    loop.sizes.push_back(1);
    target.strides.push_back(1);
    for (Operand& o : operands) o.strides.push_back(o.mode == Operand::Constant ? 0 : 1);
  }
  for (size_t i = loop.sizes.size(); i-- > 1;) {
    bool merge = target.strides[i - 1] == target.strides[i] * loop.sizes[i];
    for (size_t k = 0; k < count && merge; k++)
      merge = operands[k].strides[i - 1] == operands[k].strides[i] * loop.sizes[i];
    if (!merge) continue;
    loop.sizes[i - 1] *= loop.sizes[i];
    loop.sizes.erase(i);
    auto drop = [i](Dims& s) {
      s[i - 1] = s[i];
      s.erase(i);
    };
    drop(target.strides);
    for (Operand& o : operands) drop(o.strides);
  }
  return loop;
}

bool is_linear(const Loop& loop, const Operand& o) {
  int64_t expected = 1;
  for (size_t d = loop.sizes.size(); d-- > 0;) {
    if (o.strides[d] != expected) return false;
    expected *= loop.sizes[d];
  }
  return true;
}
bool is_constant(const Operand& o) {
  for (int64_t s : o.strides)
    if (s) return false;
  return true;
}
}  // namespace

void run_tiles(const Formula& f, const FormulaPlan& plan, std::span<const Arg> args,
               std::span<const Tensor> tensors, const Tensor& out, const Uniform* uniforms) {
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
  for (int k = 0; k < count; k++) {
    Operand& o = operands[k];
    if (o.mode == Operand::Gather && is_constant(o)) o.mode = Operand::Constant;
    else if (o.mode == Operand::Gather && o.dtype == plan.compute && is_linear(loop, o))
      o.mode = Operand::Direct;
    if (o.mode != Operand::Direct) all_direct = false;
  }
  bool direct_target = target.dtype == tile_type && is_linear(loop, target);
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
    for (int64_t at = first; !by_rows && at < last; at += tile_length) {
      int64_t n = std::min<int64_t>(tile_length, last - at);
      for (int k = 0; k < count; k++) {
        if (operands[k].mode == Operand::Direct) in[k] = operands[k].data + at * compute_item;
        else if (operands[k].mode == Operand::Gather) {
          gather(loop, operands[k], at, n, plan.compute, tiles[k], raw);
          in[k] = tiles[k];
        }
      }
      if (direct_target) {
        plan.kernel(target.data + at * target.item, in, n, uniforms);
      } else {
        plan.kernel(result, in, n, uniforms);
        scatter(loop, target, at, n, tile_type, result, raw);
      }
    }
  });
}

}  // namespace moka
