// How operands are walked in the order of the result: merged dimensions, tiles gathered and scattered.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pointwise/walk.h"

#include <algorithm>
#include <cstring>

#include "moka/ops/complex/scalar.h"

namespace moka {

namespace {
struct Word16 {
  uint64_t low, high;
};

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
}  // namespace

void write_number(const Arg& a, DType compute, void* to) {
  if (is_complex_number(a)) return convert_elements(a.floats, DType::C128, to, compute, 1);
  if (a.tag == Tag::Float) convert_elements(&a.f, DType::F64, to, compute, 1);
  else {
    int64_t v = a.tag == Tag::Bool ? a.b : a.i;
    convert_elements(&v, DType::I64, to, compute, 1);
  }
}

void splat_item(void* to, const void* value, int64_t item, int64_t n) {
  if (item == 4) splat<uint32_t>(to, value, n);
  else if (item == 8) splat<uint64_t>(to, value, n);
  else if (item == 2) splat<uint16_t>(to, value, n);
  else if (item == 16) splat<Word16>(to, value, n);
  else splat<uint8_t>(to, value, n);
}

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

}  // namespace moka
