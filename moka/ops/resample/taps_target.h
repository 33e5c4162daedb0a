// Sums of a few weighted rows (target_begin.h).
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <class T>
struct WeightedRows {
  // to[j] = the sum of weights[k] * rows[k][j] over k < count, added to what is there where `add` says so.
  static void run(int64_t n, int count, const T* const* rows, const T* weights, bool add, T* to) {
    using V = Vec<T>;
    int64_t j = 0;
    for (; j + lanes<T> <= n; j += lanes<T>) {
      V sum = add ? load<V>(to + j) : V{};
      for (int k = 0; k < count; k++) sum += spread<V>(weights[k]) * load<V>(rows[k] + j);
      store(to + j, sum);
    }
    for (; j < n; j++) {
      T sum = add ? to[j] : T(0);
      for (int k = 0; k < count; k++) sum += weights[k] * rows[k][j];
      to[j] = sum;
    }
  }
};

#include "moka/ops/kernels/target_end.h"
