// Changing what a tensor object itself shows.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/geometry.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

namespace moka {

void take_geometry(const Tensor& target, const Tensor& source) {
  TensorImpl *to = target.impl(), *from = source.impl();
  if (to == from) return;
  int n = from->ndim;
  int64_t* block = to->inline_dims;
  int room = TensorImpl::inline_limit;
  if (n > room) {
    block = static_cast<int64_t*>(std::malloc(2 * static_cast<size_t>(n) * sizeof(int64_t)));
    if (!block) throw std::bad_alloc();
    room = n;
  }
  if (to->sizes != to->inline_dims) std::free(to->sizes);
  to->sizes = block;
  to->strides = block + room;
  std::copy_n(from->sizes, n, to->sizes);
  std::copy_n(from->strides, n, to->strides);
  to->ndim = from->ndim;
  to->numel = from->numel;
  to->offset = from->offset;
  to->dtype = from->dtype;
  if (to->base && to->storage != from->storage)
    release(std::exchange(to->base, nullptr));  // no view of it now
  if (from->storage) add_ref(from->storage);
  if (to->storage) release(to->storage);
  to->storage = from->storage;
}

}  // namespace moka
