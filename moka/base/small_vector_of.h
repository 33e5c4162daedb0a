// A vector of any type that keeps the first N elements inside itself; for short lists of counted handles.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

namespace moka {

template <class T, int N>
class SmallVectorOf {
 public:
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return const_cast<SmallVectorOf*>(this)->data()[i]; }
  size_t size() const { return size_; }
  // Sets the size once; elements start out default-constructed.
  void resize(size_t n) {
    if (n > N) many_ = std::make_unique<T[]>(n);
    size_ = n;
  }
  T* begin() { return data(); }
  T* end() { return data() + size_; }

 private:
  T* data() { return many_ ? many_.get() : few_; }
  T few_[N];
  std::unique_ptr<T[]> many_;
  size_t size_ = 0;
};

}  // namespace moka
