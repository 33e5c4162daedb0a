// Attention in blocks.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/attention/kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm.h"
#include "moka/ops/number.h"

#define MOKA_TARGET_PAGE "moka/ops/attention/kernels_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
constexpr int64_t block_queries = 72, block_keys = 256;
// From so many queries on it pays to pack keys and values.
constexpr int64_t least_packed = 16;

// Of columns [k0, k0 + columns): how many, from the first one, query `at` may see.
int64_t visible_columns(const AttentionShape& s, int64_t at, int64_t k0, int64_t columns) {
  return s.causal ? std::clamp<int64_t>(at + 1 - k0, 0, columns) : columns;
}

constexpr int64_t panel = 32;
int64_t whole_panels(int64_t n) { return (n + panel - 1) / panel * panel; }
// Rows of scores do not lie a power of two apart, which would crowd them in a few places of the cache.
int64_t score_row(const AttentionShape& s) { return whole_panels(std::min(block_keys, s.keys)) + 16; }
// Vectors of every instruction set and type fill so many elements.
int64_t whole_vectors(int64_t n) { return (n + 15) / 16 * 16; }

// scores[rows, columns], rows ld apart, = scale scores + mask, -inf where the mask hides a key; those of invisible
// columns mean nothing.
template <class T>
void scale_and_mask(const AttentionShape& s, const AttentionMask& mask, int64_t head, int64_t q0,
                    int64_t rows, int64_t k0, int64_t columns, T* scores, int64_t ld) {
  auto scale = MOKA_BY_ISA(Rows<T>::scale);
  for (int64_t i = 0; i < rows; i++) scale(scores + i * ld, columns, static_cast<T>(s.scale));
  if (!mask.data) return;
  const T unseen = -std::numeric_limits<T>::infinity();
  auto hide = MOKA_BY_ISA(Rows<T>::hide);
  auto add = MOKA_BY_ISA(Rows<T>::add);
  const int64_t start = mask.offsets[static_cast<size_t>(head)];
  for (int64_t i = 0; i < rows; i++) {
    T* row = scores + i * ld;
    const int64_t at = start + (q0 + i) * mask.row + k0 * mask.column;
    if (mask.boolean) {
      const uint8_t* seen = static_cast<const uint8_t*>(mask.data) + at;
      if (mask.column == 1) hide(row, seen, columns);
      else
        for (int64_t j = 0; j < columns; j++) row[j] = seen[j * mask.column] ? row[j] : unseen;
    } else {
      const T* bias = static_cast<const T*>(mask.data) + at;
      if (mask.column == 1) add(row, bias, columns);
      else
        for (int64_t j = 0; j < columns; j++) row[j] += bias[j * mask.column];
    }
  }
}
// Keys and values of one head in panels, kept while blocks of queries of that head follow each other.
template <class T>
class PackedHead {
 public:
  explicit PackedHead(const AttentionShape& s)
      : s_(s), keys_(whole_panels(s.keys) * s.width), values_(s.keys * whole_panels(s.value_width)) {}
  void take(int64_t head, const T* k, int64_t k_row, const T* v, int64_t v_row) {
    if (head == head_) return;
    head_ = head;
    pack_panels<T>(s_.width, s_.keys, {k, 1, k_row}, keys(0));
    pack_panels<T>(s_.keys, s_.value_width, {v, v_row, 1}, {values_.data(), s_.keys, panel});
  }
  // From key k0 on, where a panel begins.
  Panelled<T> keys(int64_t k0) const { return {keys_.data() + k0 * s_.width, s_.width, panel}; }
  Panelled<T> values(int64_t k0) const { return {values_.data() + k0 * panel, s_.keys, panel}; }

 private:
  const AttentionShape& s_;
  Scratch<T> keys_, values_;
  int64_t head_ = -1;
};
// Keys that any query before `last` sees.
int64_t visible_keys(const AttentionShape& s, int64_t last) {
  return s.causal ? std::min(s.keys, last) : s.keys;
}
}  // namespace

template <class T>
void attend(const AttentionShape& s, const AttentionMask& mask, const AttentionRows<T>& q,
            const AttentionRows<T>& k, const AttentionRows<T>& v, T* out, T* logsumexp) {
  if (s.batch * s.heads * s.queries == 0) return;
  const int64_t blocks = (s.queries + block_queries - 1) / block_queries, heads = s.batch * s.heads;
  const int64_t shared = s.heads / s.key_heads;
  auto largest = MOKA_BY_ISA(Rows<T>::largest);
  auto exponentials = MOKA_BY_ISA(Rows<T>::exponentials);
  auto scale = MOKA_BY_ISA(Rows<T>::scale);
  const T low = -std::numeric_limits<T>::infinity();
  const int64_t work = std::min(block_queries, s.queries) * s.keys * (s.width + s.value_width);
  const bool packs = s.queries >= least_packed;
  const int64_t ld = score_row(s), width = packs ? whole_panels(s.value_width) : s.value_width;
  parallel_for(0, heads * blocks, 200000 / (work + 1) + 1, [&](int64_t first, int64_t last) {
    Scratch<T> scores(block_queries * ld), sums(block_queries * width), high(block_queries),
        sum(block_queries);
    std::optional<PackedHead<T>> packed;
    if (packs) packed.emplace(s);
    for (int64_t task = first; task < last; task++) {
      const int64_t head = task / blocks, q0 = task % blocks * block_queries;
      const int64_t rows = std::min(block_queries, s.queries - q0),
                    key_head = head / s.heads * s.key_heads + head % s.heads / shared;
      const T *hq = q.data + q.offsets[static_cast<size_t>(head)],
              *hk = k.data + k.offsets[static_cast<size_t>(key_head)],
              *hv = v.data + v.offsets[static_cast<size_t>(key_head)];
      if (packs) packed->take(key_head, hk, k.row, hv, v.row);
      std::fill_n(sums.data(), rows * width, T(0));
      std::fill_n(high.data(), rows, low);
      std::fill_n(sum.data(), rows, T(0));
      const int64_t keys = visible_keys(s, q0 + rows);
      for (int64_t k0 = 0; k0 < keys; k0 += block_keys) {
        const int64_t columns = std::min(block_keys, keys - k0);
        if (packs)
          gemm_direct<T>(rows, columns, s.width, hq + q0 * q.row, q.row, packed->keys(k0), scores.data(), ld,
                         false);
        else
          gemm<T>(rows, columns, s.width, {hq + q0 * q.row, q.row, 1}, {hk + k0 * k.row, 1, k.row},
                  scores.data(), ld);
        scale_and_mask(s, mask, head, q0, rows, k0, columns, scores.data(), ld);
        for (int64_t i = 0; i < rows; i++) {
          T* row = scores.data() + i * ld;
          const int64_t seen = visible_columns(s, q0 + i, k0, columns), whole = whole_vectors(seen);
          std::fill(row + seen, row + whole, low);
          std::fill(row + whole, row + std::max(whole, columns), T(0));
          const T top = largest(row, whole);
          const T now = top > high[i] || top != top ? top : high[i];
          if (now == low) {  // nothing seen yet
            std::fill_n(row, whole, T(0));
            continue;
          }
          const T shrink = high[i] == low ? T(0) : std::exp(high[i] - now);
          if (shrink != T(1)) scale(sums.data() + i * width, width, shrink);
          sum[i] = sum[i] * shrink + exponentials(row, whole, now);
          high[i] = now;
        }
        if (packs)
          gemm_direct<T>(rows, width, columns, scores.data(), ld, packed->values(k0), sums.data(), width,
                         true);
        else
          gemm<T>(rows, width, columns, {scores.data(), ld, 1}, {hv + k0 * v.row, v.row, 1}, sums.data(),
                  width, {.accumulate = true});
      }
      for (int64_t i = 0; i < rows; i++) {
        // A query that sees nothing gets zeros.
        T* row = sums.data() + i * width;
        scale(row, s.value_width, high[i] == low ? T(0) : T(1) / sum[i]);
        std::copy_n(row, s.value_width, out + (head * s.queries + q0 + i) * s.value_width);
        logsumexp[head * s.queries + q0 + i] = high[i] == low ? low : high[i] + std::log(sum[i]);
      }
    }
  });
}

template <class T>
void attend_backward(const AttentionShape& s, const AttentionMask& mask, const T* dy, const T* q, const T* k,
                     const T* v, const T* out, const T* logsumexp, T* dq, T* dk, T* dv, T* dmask) {
  const int64_t groups = s.batch * s.key_heads, shared = s.key_heads ? s.heads / s.key_heads : 0;
  auto exponentials = MOKA_BY_ISA(Rows<T>::exponentials);
  auto dot = MOKA_BY_ISA(Rows<T>::dot);
  auto score_gradient = MOKA_BY_ISA(Rows<T>::score_gradient);
  auto scale = MOKA_BY_ISA(Rows<T>::scale);
  std::fill_n(dq, s.batch * s.heads * s.queries * s.width, T(0));
  std::fill_n(dk, groups * s.keys * s.width, T(0));
  std::fill_n(dv, groups * s.keys * s.value_width, T(0));
  const T low = -std::numeric_limits<T>::infinity();
  const int64_t ld = score_row(s);
  // A key head with all its queries is one task, so that nothing is added to from two threads; a broadcast mask's
  // gradient is.
  parallel_for(0, groups, dmask ? groups + 1 : 1, [&](int64_t first, int64_t last) {
    Scratch<T> p(block_queries * ld), d(block_queries * ld), shift(block_queries);
    Scratch<T> key_panels(whole_panels(s.keys) * s.width), value_panels(whole_panels(s.keys) * s.value_width);
    const Panelled<T> all_keys{key_panels.data(), s.width, panel},
        all_values{value_panels.data(), s.value_width, panel};
    for (int64_t group = first; group < last; group++) {
      const T *hk = k + group * s.keys * s.width, *hv = v + group * s.keys * s.value_width;
      pack_panels<T>(s.width, s.keys, {hk, 1, s.width}, all_keys);
      pack_panels<T>(s.value_width, s.keys, {hv, 1, s.value_width}, all_values);
      for (int64_t member = 0; member < shared; member++) {
        const int64_t head = group / s.key_heads * s.heads + group % s.key_heads * shared + member;
        const T* hq = q + head * s.queries * s.width;
        for (int64_t q0 = 0; q0 < s.queries; q0 += block_queries) {
          const int64_t rows = std::min(block_queries, s.queries - q0), at = head * s.queries + q0;
          const T* grad = dy + at * s.value_width;
          for (int64_t i = 0; i < rows; i++)
            shift[i] = dot(grad + i * s.value_width, out + (at + i) * s.value_width, s.value_width);
          const int64_t keys = visible_keys(s, q0 + rows);
          for (int64_t k0 = 0; k0 < keys; k0 += block_keys) {
            const int64_t columns = std::min(block_keys, keys - k0);
            gemm_direct<T>(rows, columns, s.width, hq + q0 * s.width, s.width,
                           {key_panels.data() + k0 * s.width, s.width, panel}, p.data(), ld, false);
            scale_and_mask(s, mask, head, q0, rows, k0, columns, p.data(), ld);
            for (int64_t i = 0; i < rows; i++) {
              T* row = p.data() + i * ld;
              const bool any = logsumexp[at + i] != low;
              const int64_t seen = any ? visible_columns(s, q0 + i, k0, columns) : 0,
                            whole = whole_vectors(seen);
              std::fill(row + seen, row + whole, low);
              std::fill(row + whole, row + std::max(whole, columns), T(0));
              exponentials(row, whole, logsumexp[at + i]);
            }
            gemm<T>(columns, s.value_width, rows, {p.data(), 1, ld}, {grad, s.value_width, 1},
                    dv + (group * s.keys + k0) * s.value_width, s.value_width, {.accumulate = true});
            gemm_direct<T>(rows, columns, s.value_width, grad, s.value_width,
                           {value_panels.data() + k0 * s.value_width, s.value_width, panel}, d.data(), ld,
                           false);
            for (int64_t i = 0; i < rows; i++)
              score_gradient(p.data() + i * ld, d.data() + i * ld, columns, shift[i]);
            if (dmask) {
              const int64_t start = mask.offsets[static_cast<size_t>(head)] + k0 * mask.column;
              for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < columns; j++)
                  dmask[start + (q0 + i) * mask.row + j * mask.column] += d[i * ld + j];
            }
            for (int64_t i = 0; i < rows; i++) scale(d.data() + i * ld, columns, static_cast<T>(s.scale));
            gemm<T>(rows, s.width, columns, {d.data(), ld, 1}, {hk + k0 * s.width, s.width, 1},
                    dq + at * s.width, s.width, {.accumulate = true});
            gemm<T>(columns, s.width, rows, {d.data(), 1, ld}, {hq + q0 * s.width, s.width, 1},
                    dk + (group * s.keys + k0) * s.width, s.width, {.accumulate = true});
          }
        }
      }
    }
  });
}

#define MOKA_INSTANTIATE(T)                                                                                \
  template void attend(const AttentionShape&, const AttentionMask&, const AttentionRows<T>&,               \
                       const AttentionRows<T>&, const AttentionRows<T>&, T*, T*);                          \
  template void attend_backward(const AttentionShape&, const AttentionMask&, const T*, const T*, const T*, \
                                const T*, const T*, const T*, T*, T*, T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka
