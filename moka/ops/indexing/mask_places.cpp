// Counting and compressing by masks.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/indexing/mask_places.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"

namespace moka {

namespace {
int64_t count_true(const uint8_t* m, int64_t n) {
  typedef int8_t Bytes __attribute__((vector_size(16)));
  int64_t total = 0, i = 0;
  while (i + 16 <= n) {
    Bytes sums = {};
    for (int64_t end = std::min(n, i + 16 * 127); i + 16 <= end; i += 16) {
      Bytes v;
      std::memcpy(&v, m + i, sizeof v);
      sums -= v != 0;
    }
    for (int k = 0; k < 16; k++) total += sums[k];
  }
  for (; i < n; i++) total += m[i] != 0;
  return total;
}
// Writes to[k] = value(i) for the k-th true i of [first, end). Every i is written, and only true ones are kept: no
// branch to guess. It ends with the last true place, so that nothing behind the result is touched.
template <class T, class F>
void compress_places(const uint8_t* m, int64_t first, int64_t end, T* to, F value) {
  while (end > first && !m[end - 1]) end--;
  for (int64_t i = first; i < end; i++) {
    *to = value(i);
    to += m[i] != 0;
  }
}
}  // namespace

MaskPlaces::MaskPlaces(Tensor mask) : mask_(std::move(mask)) {
  const int64_t n = mask_.numel(), chunks = (n + chunk - 1) / chunk;
  before_.assign(static_cast<size_t>(chunks) + 1, 0);
  const uint8_t* m = mask_.data<uint8_t>();
  parallel_for(0, chunks, 8, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c++)
      before_[static_cast<size_t>(c) + 1] = count_true(m + c * chunk, std::min(chunk, n - c * chunk));
  });
  for (size_t c = 1; c < before_.size(); c++) before_[c] += before_[c - 1];
}

template <class F>
void MaskPlaces::each_chunk(F f) const {
  const int64_t n = mask_.numel();
  parallel_for(0, static_cast<int64_t>(before_.size()) - 1, 2, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c++) {
      const int64_t before = before_[static_cast<size_t>(c)];
      if (before != before_[static_cast<size_t>(c) + 1]) f(c * chunk, std::min(n, (c + 1) * chunk), before);
    }
  });
}

void MaskPlaces::write_indices(int64_t* const* to, int64_t step) const {
  const uint8_t* m = mask_.data<uint8_t>();
  const int dims = mask_.dim();
  if (dims == 0) return;
  const int64_t row = mask_.size(dims - 1);
  each_chunk([&](int64_t first, int64_t end, int64_t k) {
    std::vector<int64_t> found(static_cast<size_t>(std::min(row, end - first)));
    for (int64_t i = first; i < end;) {
      const int64_t start = i / row * row, stop = std::min(end, start + row);
      const int64_t n = count_true(m + i, stop - i);
      compress_places(m, i, stop, found.data(), [start](int64_t place) { return place - start; });
      int64_t rest = start / row;
      for (int d = dims - 1; d-- > 0; rest /= mask_.size(d))
        for (int64_t j = 0; j < n; j++) to[d][(k + j) * step] = rest % mask_.size(d);
      for (int64_t j = 0; j < n; j++) to[dims - 1][(k + j) * step] = found[static_cast<size_t>(j)];
      k += n;
      i = stop;
    }
  });
}

void MaskPlaces::compress(const char* from, int64_t run, char* to) const {
  const uint8_t* m = mask_.data<uint8_t>();
  auto items = [&]<class T>(T* target) {
    const T* source = reinterpret_cast<const T*>(from);
    each_chunk([&](int64_t first, int64_t end, int64_t k) {
      compress_places(m, first, end, target + k, [source](int64_t i) { return source[i]; });
    });
  };
  switch (run) {
    case 1: return items(reinterpret_cast<uint8_t*>(to));
    case 2: return items(reinterpret_cast<uint16_t*>(to));
    case 4: return items(reinterpret_cast<uint32_t*>(to));
    case 8: return items(reinterpret_cast<uint64_t*>(to));
    default:
      each_chunk([&](int64_t first, int64_t end, int64_t k) {
        for (int64_t i = first; i < end; i++)
          if (m[i]) std::memcpy(to + k++ * run, from + i * run, static_cast<size_t>(run));
      });
  }
}

}  // namespace moka
