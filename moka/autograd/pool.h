// Freed blocks of one size, kept by the thread that freed them: what nodes and tensors' notes are made of.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace moka::autograd {

// Requests above Bytes go to the system.
template <size_t Bytes>
class Pool {
 public:
  ~Pool() {
    gone_ = true;
    while (free_) std::free(std::exchange(free_, free_->next));
  }
  void* take(size_t bytes) {
    if (bytes <= Bytes && free_) {
      count_--;
      return std::exchange(free_, free_->next);
    }
    void* p = std::malloc(bytes <= Bytes ? Bytes : bytes);
    if (!p) throw std::bad_alloc();
    return p;
  }
  void give(void* p, size_t bytes) noexcept {
    // Objects may outlive the thread's pool: at the end of the process, for example.
    if (bytes > Bytes || gone_ || count_ == limit) return std::free(p);
    free_ = new (p) Block{free_};
    count_++;
  }

 private:
  struct Block {
    Block* next;
  };
  static constexpr int limit = 2048;
  Block* free_ = nullptr;
  int count_ = 0;
  bool gone_ = false;
};

}  // namespace moka::autograd
