// Indices as integers, every one checked, and elements moved or added by their size.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <complex>
#include <cstring>

#include "moka/ops/define.h"
#include "moka/ops/kernels/wrapping.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

inline int64_t checked_index(int64_t i, int64_t size, int d, std::string_view op) {
  MOKA_CHECK_KIND(Index, i >= -size && i < size, op, ": index ", i, " is out of bounds for dimension ", d,
                  " with size ", size);
  return i < 0 ? i + size : i;
}
inline void check_integral(const Tensor& t, std::string_view op) {
  MOKA_CHECK_KIND(Index, is_integral(t.dtype()), op, ": indices must be integers, got ", t.dtype());
}
// An index tensor as contiguous int64.
inline Tensor as_index(const Tensor& t, std::string_view op) {
  check_integral(t, op);
  return to_dtype(t, DType::I64);
}

// Copies runs of elements between two memories; `place` of one and the other.
template <class F>
void with_item_copy(size_t item, F f) {
  switch (item) {
    case 1:
      return f([](char* to, const char* from, int64_t n) {
        n == 1 ? void(*to = *from) : void(std::memcpy(to, from, static_cast<size_t>(n)));
      });
    case 4:
      return f([](char* to, const char* from, int64_t n) {
        if (n == 1) std::memcpy(to, from, 4);
        else std::memcpy(to, from, static_cast<size_t>(n) * 4);
      });
    case 8:
      return f([](char* to, const char* from, int64_t n) {
        if (n == 1) std::memcpy(to, from, 8);
        else std::memcpy(to, from, static_cast<size_t>(n) * 8);
      });
    default:
      return f([item](char* to, const char* from, int64_t n) {
        std::memcpy(to, from, static_cast<size_t>(n) * item);
      });
  }
}
template <class F>
void with_item_type(size_t item, F f) {
  struct Pair {
    uint64_t a, b;
  };
  if (item == 1) f(static_cast<uint8_t*>(nullptr));
  else if (item == 2) f(static_cast<uint16_t*>(nullptr));
  else if (item == 4) f(static_cast<uint32_t*>(nullptr));
  else if (item == 8) f(static_cast<uint64_t*>(nullptr));
  else f(static_cast<Pair*>(nullptr));
}

template <class T>
void add_run(const Tensor& from, const Tensor& to) {
  Tensor source = as_contiguous(from);
  const T* a = source.data<T>();
  T* base = to.data<T>();
  for (int64_t i = 0; i < source.numel(); i++) {
    int64_t rest = i, at = 0;
    for (int d = to.dim(); d-- > 0;) {
      at += rest % to.size(d) * to.stride(d);
      rest /= to.size(d);
    }
    base[at] = wrapping_add<T>(base[at], a[i]);
  }
}
inline void add_into(const Tensor& from, const Tensor& to) {
  switch (to.dtype()) {
    case DType::F32: return add_run<float>(from, to);
    case DType::F64: return add_run<double>(from, to);
    case DType::I32: return add_run<int32_t>(from, to);
    case DType::I64: return add_run<int64_t>(from, to);
    default: {
      Tensor wide = to_dtype(to, compute_dtype(to.dtype()) == DType::I32 ? DType::I64 : DType::F32);
      add_into(to_dtype(from, wide.dtype()), wide);
      copy_elements(wide, to);
    }
  }
}

inline void shape_given(Frame& f) { f.output(0, f.ints(1), f.tensor(0).dtype()); }

}  // namespace moka
