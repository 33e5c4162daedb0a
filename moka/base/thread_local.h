// Thread-local variables of small calls, and what threads keep for themselves.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

// A thread-local variable without constructor and destructor, found by an offset instead of a call. All of them together
// must stay small: the room is shared with other libraries (tests/package/test_symbols.py).
#define MOKA_THREAD_LOCAL constinit thread_local __attribute__((tls_model("initial-exec")))

namespace moka {

// Freed blocks of one size, kept by the thread that freed them; larger requests go to the system. To be declared
// MOKA_THREAD_LOCAL, and once for a Tag: the first block that is given back sets up what frees them when the thread ends.
template <class Tag, size_t Bytes, size_t Alignment, int limit>
class BlockPool {
 public:
  // Null when there is no memory.
  void* take(size_t bytes = Bytes) noexcept {
    if (__builtin_expect(free_ && bytes <= Bytes, 1)) {
      room_++;
      return std::exchange(free_, free_->next);
    }
    if (bytes < Bytes) bytes = Bytes;
    return std::aligned_alloc(Alignment, (bytes + Alignment - 1) & ~(Alignment - 1));
  }
  // For operator new.
  void* take_or_throw(size_t bytes) {
    void* p = take(bytes);
    if (!p) throw std::bad_alloc();
    return p;
  }
  void give(void* p, size_t bytes = Bytes) noexcept {
    if (__builtin_expect(room_ <= 0 || bytes > Bytes, 0) && !opens(bytes)) return std::free(p);
    free_ = new (p) Block{free_};
    room_--;
  }

 private:
  struct Block {
    Block* next;
  };
  struct Closing {
    BlockPool* pool;
    ~Closing() {
      pool->state_ = State::Closed;
      pool->room_ = 0;
      while (pool->free_) std::free(std::exchange(pool->free_, pool->free_->next));
    }
  };
  enum class State : char { New, Open, Closed };

  __attribute__((noinline)) bool opens(size_t bytes) noexcept {
    // Objects may outlive the thread's pool: at the end of the process, for example.
    if (bytes > Bytes || state_ != State::New) return false;
    static thread_local Closing closing{this};
    state_ = State::Open;
    room_ = limit;
    return true;
  }

  Block* free_ = nullptr;
  int room_ = 0;  // how many more are kept
  State state_ = State::New;
};

}  // namespace moka
