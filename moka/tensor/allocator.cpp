// The caching allocator of the CPU: freed blocks wait in size classes, so that a training step asks the system for
// nothing after its first round and large results do not pay for page faults again.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/allocator.h"

#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#include <unistd.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "moka/base/error.h"

namespace moka {

namespace detail {
std::atomic<int> fill_byte{-1};
}

namespace {
std::atomic<int64_t> fail_countdown{0};
std::atomic<bool> fail_forever{false};

// Four classes an octave: at most a quarter of a block is slack.
constexpr int classes = 4 * 48;
struct SizeClass {
  int index;
  size_t bytes;
};
SizeClass size_class(size_t bytes) {
  if (bytes <= 128) return {0, 128};
  int octave = std::bit_width(bytes - 1) - 1;  // 2^octave < bytes <= 2^(octave+1), octave >= 7
  size_t step = size_t(1) << (octave - 2);
  size_t quarter = (bytes - (size_t(1) << octave) + step - 1) / step;  // 1..4
  return {1 + (octave - 7) * 4 + static_cast<int>(quarter) - 1, (size_t(1) << octave) + quarter * step};
}

class CpuAllocator final : public Allocator {
 public:
  void* allocate(size_t bytes) override {
    if (bytes > (size_t(1) << 47))
      fail_kind(ErrorKind::OutOfMemory, "out of memory: ", bytes,
                " bytes asked for, more than an address space holds");
    if (fail_countdown.load(std::memory_order_relaxed) > 0) count_down(bytes);
    SizeClass c = size_class(bytes);
    void* p = nullptr;
    {
      std::lock_guard lock(mutex_);
      stats_.allocations++;
      stats_.bytes_in_use += c.bytes;
      if (stats_.bytes_in_use > stats_.peak_bytes) stats_.peak_bytes = stats_.bytes_in_use;
      if (FreeBlock* block = free_[c.index]) {
        free_[c.index] = block->next;
        stats_.bytes_cached -= c.bytes;
        p = block;
      } else {
        stats_.system_calls++;
      }
    }
    if (!p) p = from_system(c.bytes, bytes);
    if (int byte = detail::fill_byte.load(std::memory_order_relaxed); byte >= 0)
      std::memset(p, byte, c.bytes);
    return p;
  }

  void deallocate(void* p, size_t bytes) noexcept override {
    SizeClass c = size_class(bytes);
    {
      std::lock_guard lock(mutex_);
      stats_.bytes_in_use -= c.bytes;
      if (stats_.bytes_cached + c.bytes <= most_cached) {
        FreeBlock* block = static_cast<FreeBlock*>(p);
        block->next = free_[c.index];
        free_[c.index] = block;
        stats_.bytes_cached += c.bytes;
        return;
      }
    }
    std::free(p);
  }

  AllocatorStats stats() override {
    std::lock_guard lock(mutex_);
    return stats_;
  }

  void release_cache() noexcept override {
    {
      std::lock_guard lock(mutex_);
      for (FreeBlock*& head : free_) {
        while (head) {
          FreeBlock* next = head->next;
          std::free(head);
          head = next;
        }
      }
      stats_.bytes_cached = 0;
    }
#if defined(__GLIBC__)
    ::malloc_trim(0);  // once blocks of some megabytes were freed, glibc keeps the next ones of that size
#endif
  }

 private:
  struct FreeBlock {
    FreeBlock* next;
  };
  static constexpr size_t most_cached = size_t(1) << 30;

  void count_down(size_t bytes) {
    if (fail_countdown.fetch_sub(1) == 1) {
      if (fail_forever.load()) fail_countdown.store(1);
      fail_kind(ErrorKind::OutOfMemory, "out of memory: cannot allocate ", bytes,
                " bytes (failure injected by a test)");
    }
  }

  // Large blocks lie in large pages, as far as they fill them: fewer page faults and fewer addresses to translate.
  static void* new_block(size_t rounded, size_t asked) {
    constexpr size_t page = size_t(2) << 20;
    const bool large = asked >= 2 * page;
    const size_t unit = large ? page : 64;
    if (rounded > SIZE_MAX - unit) return nullptr;
    void* p = std::aligned_alloc(unit, (rounded + unit - 1) & ~(unit - 1));
#ifdef MADV_HUGEPAGE
    if (p && large) madvise(p, asked & ~(page - 1), MADV_HUGEPAGE);  // a wish: without it all works as well
#endif
    return p;
  }

  void* from_system(size_t rounded, size_t asked) {
    void* p = new_block(rounded, asked);
    if (!p) {
      release_cache();
      p = new_block(rounded, asked);
    }
    if (!p) {
      AllocatorStats now;
      {
        std::lock_guard lock(mutex_);
        stats_.bytes_in_use -= rounded;
        now = stats_;
      }
      fail_kind(ErrorKind::OutOfMemory, "out of memory: cannot allocate ", asked, " bytes on cpu (",
                now.bytes_in_use, " bytes in use)");
    }
    return p;
  }

  std::mutex mutex_;
  FreeBlock* free_[classes] = {};
  AllocatorStats stats_;
};
}  // namespace

Allocator& cpu_allocator() {
  // Never destroyed: tensors of static storage duration may outlive every other object.
  static CpuAllocator* instance = new CpuAllocator;
  return *instance;
}

void leave_file_pages(const void* data, size_t bytes) {
#ifdef MADV_DONTNEED
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE)),
                  begin = reinterpret_cast<uintptr_t>(data), first = (begin + page - 1) / page * page,
                  last = (begin + bytes) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
#endif
}

void fail_allocation_after(int64_t n, bool forever) {
  fail_forever.store(forever);
  fail_countdown.store(n);
}
void fill_allocations(int byte) { detail::fill_byte.store(byte); }

}  // namespace moka
