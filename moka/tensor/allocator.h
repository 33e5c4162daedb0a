// Memory of a device: caching, with statistics and a hook that lets tests fail an allocation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace moka {

struct AllocatorStats {
  uint64_t allocations = 0;    // calls
  uint64_t system_calls = 0;   // of them, those that went to the system
  uint64_t bytes_in_use = 0;   // handed out now
  uint64_t peak_bytes = 0;     // most ever in use
  uint64_t bytes_cached = 0;   // kept for reuse
};

class Allocator {
 public:
  virtual ~Allocator() = default;
  // At least `bytes` bytes, aligned to 64; bytes > 0. Raises OutOfMemory with the size asked for.
  virtual void* allocate(size_t bytes) = 0;
  virtual void deallocate(void* p, size_t bytes) noexcept = 0;
  virtual AllocatorStats stats() = 0;
  // Blocks that wait for reuse go back to the system.
  virtual void release_cache() noexcept = 0;
};

Allocator& cpu_allocator();
// Whole pages of a mapped file leave this process until somebody reads them again. Of other memory they would be lost.
void leave_file_pages(const void* data, size_t bytes);

// For tests of out-of-memory behaviour: the n-th next allocation fails (and all after it when `forever`).
// n = 0 switches it off.
void fail_allocation_after(int64_t n, bool forever);
// For tests of uninitialised memory: new blocks, also those of small tensors, are filled with this byte; -1 switches
// it off.
void fill_allocations(int byte);
namespace detail {
extern std::atomic<int> fill_byte;
}

}  // namespace moka
