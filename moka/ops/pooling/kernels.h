// Loops of pooling over contiguous planes of one, two or three axes; T is float, double or int64_t.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moka/ops/kernels/window.h"

namespace moka {

struct PoolGeometry : Window {
  int64_t planes = 1;  // batch * channels
};
// The places of one axis that one output covers: first, first + step, ... below last. `count`: how many the window has
// where padding counts.
struct Reach {
  int64_t first, last, step, count;
};
// The reaches of every output of every axis: what distinguishes sliding, sharing and random windows.
struct Reaches {
  std::vector<Reach> axis[3];
};
Reaches sliding_reaches(const PoolGeometry& g);
// Windows that share out the input evenly: output i covers [floor(i * in / out), ceil((i + 1) * in / out)).
Reaches sharing_reaches(const PoolGeometry& g);
// Windows of kernel places whose starts a number of [0, 1) for each axis decides (Graham: Fractional max-pooling, 2014).
template <class T>
Reaches fractional_reaches(const PoolGeometry& g, const T* samples);

// How average pooling divides.
struct Divisor {
  bool count_padding = true;
  int64_t fixed = 0;  // 0: the number of places in the window
};

// Maxima; of equal ones the first counts, of NaN the last, as in PyTorch. indices may be null.
template <class T>
void max_pool(const PoolGeometry& g, const Reaches& r, const T* in, T* out, int64_t* indices);
// The same over one plane.
template <class T>
void max_pool_plane(const PoolGeometry& g, const Reaches& r, const T* in, T* out, int64_t* indices);
// grad goes to the places of in's maxima.
template <class T>
void max_pool_backward(const PoolGeometry& g, const T* grad, const T* in, T* out);
// values at the places of in's maxima.
template <class T>
void max_pool_select(const PoolGeometry& g, const T* values, const T* in, T* out);

template <class T>
void avg_pool(const PoolGeometry& g, const Reaches& r, Divisor divisor, const T* in, T* out);
template <class T>
void avg_pool_backward(const PoolGeometry& g, const Reaches& r, Divisor divisor, const T* grad, T* in);

}  // namespace moka
