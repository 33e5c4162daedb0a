// Sums into views that may show an element several times.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "moka/tensor/tensor.h"

namespace moka {

// to += from (contiguous), element by element; places that `to` shows several times get every addend.
template <class T>
void add_in_order(const Tensor& from, const Tensor& to) {
  MOKA_CHECK(std::ranges::equal(from.sizes(), to.sizes()), "a gradient of shape ", from.sizes(),
             " does not fit the part of shape ", to.sizes(), " that it belongs to");
  const T* a = from.data<T>();
  T* b = to.data<T>();
  Dims at(static_cast<size_t>(to.dim()));
  int64_t place = 0;
  for (int64_t i = 0; i < from.numel(); i++) {
    b[place] = static_cast<T>(b[place] + a[i]);
    for (int d = to.dim(); d-- > 0;) {
      place += to.stride(d);
      if (++at[static_cast<size_t>(d)] < to.size(d)) break;
      place -= to.stride(d) * to.size(d);
      at[static_cast<size_t>(d)] = 0;
    }
  }
}

}  // namespace moka
