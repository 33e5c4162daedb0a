// Memory for the time of one call, from the caching allocator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/base/checked.h"
#include "moka/tensor/allocator.h"

namespace moka {

template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : bytes_(static_cast<size_t>(checked_mul(count < 1 ? 1 : count, sizeof(T), "scratch memory"))),
        data_(static_cast<T*>(cpu_allocator().allocate(bytes_))) {}
  ~Scratch() { cpu_allocator().deallocate(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  size_t bytes_;
  T* data_;
};

}  // namespace moka
