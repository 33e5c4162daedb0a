// The caching allocator: reuse, statistics, failures on demand; free lists of small tensors and of threads.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/allocator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "moka/tensor/tensor.h"

namespace moka {
namespace {

TEST(Allocator, GivesAlignedMemoryThatDoesNotOverlap) {
  Allocator& a = cpu_allocator();
  std::vector<std::pair<char*, size_t>> blocks;
  for (size_t bytes : {1, 63, 64, 65, 127, 128, 129, 159, 160, 161, 1000, 4097, 100'000, 1'000'003}) {
    char* p = static_cast<char*>(a.allocate(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u) << bytes;
    std::memset(p, static_cast<int>(bytes % 251), bytes);
    blocks.emplace_back(p, bytes);
  }
  for (const auto& [p, bytes] : blocks) {
    for (size_t i = 0; i < bytes; i++) ASSERT_EQ(static_cast<unsigned char>(p[i]), bytes % 251);
    a.deallocate(p, bytes);
  }
}

TEST(Allocator, AFreedBlockIsTakenAgainWithoutAskingTheSystem) {
  Allocator& a = cpu_allocator();
  a.release_cache();
  void* first = a.allocate(100'000);
  a.deallocate(first, 100'000);
  const AllocatorStats before = a.stats();
  void* second = a.allocate(100'000);
  const AllocatorStats after = a.stats();
  EXPECT_EQ(first, second);
  EXPECT_EQ(after.allocations, before.allocations + 1);
  EXPECT_EQ(after.system_calls, before.system_calls);
  a.deallocate(second, 100'000);
}

TEST(Allocator, StatisticsAddUp) {
  Allocator& a = cpu_allocator();
  a.release_cache();
  const AllocatorStats start = a.stats();
  EXPECT_EQ(start.bytes_cached, 0u);
  void* p = a.allocate(1'000'000);
  const AllocatorStats held = a.stats();
  const uint64_t rounded = held.bytes_in_use - start.bytes_in_use;
  EXPECT_GE(rounded, 1'000'000u);
  EXPECT_LE(rounded, 1'250'000u);  // at most a quarter is slack
  EXPECT_GE(held.peak_bytes, held.bytes_in_use);
  a.deallocate(p, 1'000'000);
  const AllocatorStats freed = a.stats();
  EXPECT_EQ(freed.bytes_in_use, start.bytes_in_use);
  EXPECT_EQ(freed.bytes_cached, rounded);
  EXPECT_EQ(freed.peak_bytes, held.peak_bytes);
  a.release_cache();
  EXPECT_EQ(a.stats().bytes_cached, 0u);
}

TEST(Allocator, SlackIsAtMostAQuarterForEverySize) {
  Allocator& a = cpu_allocator();
  for (size_t bytes = 129; bytes < 40'000; bytes += bytes < 2000 ? 1 : 97) {
    const uint64_t before = a.stats().bytes_in_use;
    void* p = a.allocate(bytes);
    const uint64_t got = a.stats().bytes_in_use - before;
    ASSERT_GE(got, bytes);
    ASSERT_LE(4 * got, 5 * bytes + 4) << bytes;
    a.deallocate(p, bytes);
  }
}

TEST(Allocator, WhatCannotBeHadIsAnErrorThatNamesTheSize) {
  for (size_t bytes : {size_t(1) << 46, size_t(1) << 60, SIZE_MAX}) {
    const uint64_t before = cpu_allocator().stats().bytes_in_use;
    try {
      cpu_allocator().allocate(bytes);
      FAIL() << bytes;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::OutOfMemory);
      EXPECT_NE(e.message().find(cat(bytes)), std::string::npos) << e.message();
    }
    EXPECT_EQ(cpu_allocator().stats().bytes_in_use, before);
  }
}

TEST(Allocator, FailuresOnDemandHitTheCallThatWasNamed) {
  const auto fails = [] {
    try {
      new_tensor(Dims{1000}, DType::F32);
      return false;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::OutOfMemory);
      return true;
    }
  };
  fail_allocation_after(2, false);
  EXPECT_FALSE(fails());
  EXPECT_TRUE(fails());
  EXPECT_FALSE(fails());
  fail_allocation_after(1, true);
  EXPECT_TRUE(fails());
  EXPECT_TRUE(fails());
  fail_allocation_after(0, false);
  EXPECT_FALSE(fails());
}

TEST(Allocator, NewBlocksCanBeFilledWithAByte) {
  for (int64_t size : {3, 128, 129, 1000}) {  // small tensors have a free list of their own
    fill_allocations(0xA5);
    Tensor t = new_tensor(Dims{size}, DType::U8);
    fill_allocations(-1);
    for (int64_t i = 0; i < size; i++) ASSERT_EQ(t.data<uint8_t>()[i], 0xA5) << size;
  }
}

TEST(FreeList, SmallTensorsNeverReachTheAllocator) {
  const uint64_t before = cpu_allocator().stats().allocations;
  const void* address = nullptr;
  for (int i = 0; i < 1000; i++) {
    Tensor t = new_tensor(Dims{4, 8}, DType::F32);  // 128 bytes
    if (address) {
      EXPECT_EQ(t.raw_data(), address);
    }
    address = t.raw_data();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(address) % 64, 0u);
  }
  EXPECT_EQ(cpu_allocator().stats().allocations, before);
  Tensor large = new_tensor(Dims{33}, DType::F32);
  EXPECT_EQ(cpu_allocator().stats().allocations, before + 1);
}

TEST(FreeList, TensorsMayDieInAnotherThreadThanTheirMaker) {
  const uint64_t before = cpu_allocator().stats().bytes_in_use;
  for (int round = 0; round < 20; round++) {
    std::vector<Tensor> made;
    std::thread maker([&] {
      for (int i = 0; i < 400; i++)
        made.push_back(new_tensor(Dims{i % 50}, DType::F32));  // more than a list keeps
    });
    maker.join();
    for (const Tensor& t : made)
      for (int64_t i = 0; i < t.numel(); i++) t.data<float>()[i] = 1;
    std::thread dropper([&] { made.clear(); });
    dropper.join();
  }
  EXPECT_EQ(cpu_allocator().stats().bytes_in_use, before);
}

// Thread-local objects die in reverse order of their first use: in the test below this one dies after the free lists.
thread_local Tensor late;

TEST(FreeList, ATensorMayOutliveItsThreadsFreeList) {
  std::thread([] {
    late = Tensor();
    late = new_tensor(Dims{3}, DType::F32);
  }).join();
  std::thread([] {
    Tensor early = new_tensor(Dims{3}, DType::F32);
    late = early;
  }).join();
}

TEST(Allocator, ManyThreadsShareIt) {
  const uint64_t before = cpu_allocator().stats().bytes_in_use;
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; k++)
    threads.emplace_back([k] {
      for (int i = 0; i < 500; i++) {
        Tensor t = new_tensor(Dims{100 + (i * 7 + k) % 300}, DType::I32);
        std::memset(t.raw_data(), k, t.bytes());
        for (int64_t j = 0; j < t.numel(); j++) ASSERT_EQ(t.data<int32_t>()[j], k * 0x01010101);
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(cpu_allocator().stats().bytes_in_use, before);
}

}  // namespace
}  // namespace moka
