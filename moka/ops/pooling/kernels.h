// Loops of pooling over contiguous planes; T is float or double.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/kernels/window.h"

namespace moka {

struct PoolGeometry {
  int64_t planes = 1;  // batch * channels
  Axis y, x;
  int64_t in_pixels() const { return y.in * x.in; }
  int64_t out_pixels() const { return y.out * x.out; }
};
// How avg_pool2d divides.
struct Divisor {
  bool count_padding = true;
  int64_t fixed = 0;  // 0: the number of places in the window
};

// Maxima; of equal ones the first counts, of NaN the last, as in PyTorch. indices may be null.
template <class T>
void max_pool(const PoolGeometry& g, const T* in, T* out, int64_t* indices);
// grad goes to the places of in's maxima.
template <class T>
void max_pool_backward(const PoolGeometry& g, const T* grad, const T* in, T* out);
// values at the places of in's maxima.
template <class T>
void max_pool_select(const PoolGeometry& g, const T* values, const T* in, T* out);

template <class T>
void avg_pool(const PoolGeometry& g, Divisor divisor, const T* in, T* out);
template <class T>
void avg_pool_backward(const PoolGeometry& g, Divisor divisor, const T* grad, T* in);

// Windows that share out the input evenly: output i covers [floor(i * in / out), ceil((i + 1) * in / out)).
template <class T>
void adaptive_avg_pool(const PoolGeometry& g, const T* in, T* out);
template <class T>
void adaptive_avg_pool_backward(const PoolGeometry& g, const T* grad, T* in);

}  // namespace moka
