// Loops of attention over queries, keys and values; T is float or double.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace moka {

struct AttentionShape {
  int64_t batch = 1;  // all leading dimensions but the heads
  int64_t heads = 1, key_heads = 1;  // `heads` of the queries; each key head serves heads / key_heads of them
  int64_t queries = 0, keys = 0, width = 0, value_width = 0;
  double scale = 1;
  bool causal = false;  // query i sees keys up to i
};
// A mask with any strides, 0 where it is broadcast: [batch, heads, queries, keys] by offset[batch * heads + head].
struct AttentionMask {
  const void* data = nullptr;
  bool boolean = false;  // true: seen; else numbers that are added to the scores
  std::vector<int64_t> offsets;
  int64_t row = 0, column = 0;
};

// Queries, keys or values as they lie: the elements of a row together, rows `row` apart, heads at offsets.
template <class T>
struct AttentionRows {
  const T* data;
  int64_t row;
  std::vector<int64_t> offsets;  // by batch * heads + head
};
template <class T>
void attend(const AttentionShape& s, const AttentionMask& mask, const AttentionRows<T>& q,
            const AttentionRows<T>& k, const AttentionRows<T>& v, T* out, T* logsumexp);
// All operands are contiguous; dmask, where given, has the mask's strides and is added to.
template <class T>
void attend_backward(const AttentionShape& s, const AttentionMask& mask, const T* dy, const T* q, const T* k,
                     const T* v, const T* out, const T* logsumexp, T* dq, T* dk, T* dv, T* dmask);

}  // namespace moka
