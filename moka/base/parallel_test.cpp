// parallel_for: every item once, errors once, nested calls in place, also after fork and from many threads.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/parallel.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "moka/base/error.h"
#include "moka/base/team.h"

namespace moka {
namespace {

class Parallel : public testing::Test {
 protected:
  void SetUp() override { before_ = num_threads(); }
  void TearDown() override { set_num_threads(before_); }

 private:
  int before_ = 1;
};

std::set<std::pair<int64_t, int64_t>> ranges_of(int64_t begin, int64_t end, int64_t grain) {
  std::set<std::pair<int64_t, int64_t>> out;
  std::mutex mutex;
  parallel_for(begin, end, grain, [&](int64_t first, int64_t last) {
    std::lock_guard lock(mutex);
    EXPECT_TRUE(out.emplace(first, last).second);
  });
  return out;
}

TEST_F(Parallel, RangesCoverEveryItemOnce) {
  for (int threads : {1, 2, 3, 8})
    for (int64_t begin : {int64_t(0), int64_t(-7), int64_t(1) << 40})
      for (int64_t count : {0, 1, 2, 7, 64, 1000})
        for (int64_t grain : {-1, 0, 1, 3, 64, 5000}) {
          set_num_threads(threads);
          const auto ranges = ranges_of(begin, begin + count, grain);
          int64_t at = begin;
          for (const auto& [first, last] : ranges) {
            ASSERT_EQ(first, at);
            ASSERT_LT(first, last);
            // Ranges hold at least `grain` items, except for what is left at the end.
            ASSERT_TRUE(last - first >= grain || last == begin + count);
            at = last;
          }
          ASSERT_EQ(at, begin + count) << threads << " threads, grain " << grain;
          ASSERT_LE(ranges.size(), static_cast<size_t>(threads));
        }
}

TEST_F(Parallel, ThePartitionIsTheSameEveryTime) {
  set_num_threads(3);
  const auto once = ranges_of(0, 1000, 10);
  for (int i = 0; i < 50; i++) ASSERT_EQ(ranges_of(0, 1000, 10), once);
}

TEST_F(Parallel, NestedLoopsRunInPlace) {
  set_num_threads(2);
  std::atomic<int64_t> items{0};
  std::atomic<int> elsewhere{0};
  EXPECT_FALSE(in_parallel());
  parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(0, 100, 1, [&](int64_t first, int64_t last) {
      if (std::this_thread::get_id() != self) elsewhere++;
      items += last - first;
    });
  });
  EXPECT_EQ(elsewhere, 0);
  EXPECT_FALSE(in_parallel());
  // One outer range where there is one thread, two where there are two.
  EXPECT_EQ(items % 100, 0);
  EXPECT_GE(items, 100);
}

TEST_F(Parallel, AnErrorInAWorkerArrivesOnceAndTheNextLoopWorks) {
  set_num_threads(4);
  for (int64_t bad : {0, 40, 99}) {
    std::string message;
    try {
      parallel_for(0, 100, 1, [&](int64_t first, int64_t last) {
        if (first <= bad && bad < last) fail_kind(ErrorKind::Index, "item ", bad);
      });
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::Index);
      message = e.message();
    }
    EXPECT_EQ(message, cat("item ", bad));
  }
  EXPECT_THROW(parallel_for(0, 100, 1, [](int64_t, int64_t) { throw std::bad_alloc(); }), std::bad_alloc);
  std::atomic<int64_t> sum{0};
  parallel_for(0, 100, 1, [&](int64_t first, int64_t last) { sum += last - first; });
  EXPECT_EQ(sum, 100);
  EXPECT_FALSE(in_parallel());
}

TEST_F(Parallel, ATeamMeetsAfterEveryStep) {
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    std::vector<int64_t> now(5);
    std::atomic<int> wrong{0}, members{0};
    run_team(3, [&](Team& team) {
      members++;
      for (int64_t step = 1; step <= 200; step++) {
        now[static_cast<size_t>(team.index)] = step;
        team.wait();
        for (int i = 0; i < team.members; i++) wrong += now[static_cast<size_t>(i)] != step;
        team.wait();
      }
    });
    EXPECT_EQ(wrong, 0);
    EXPECT_GE(members, 1);
    EXPECT_LE(members, std::min(threads, 3));
    parallel_for(0, 2, 1,
                 [&](int64_t, int64_t) { run_team(3, [&](Team& team) { EXPECT_EQ(team.members, 1); }); });
  }
}

TEST_F(Parallel, AnErrorInANestedLoopLeavesTheThreadUsable) {
  set_num_threads(2);
  EXPECT_THROW(
      parallel_for(0, 2, 1,
                   [](int64_t, int64_t) { parallel_for(0, 2, 1, [](int64_t, int64_t) { fail("inner"); }); }),
      Error);
  EXPECT_FALSE(in_parallel());
}

TEST_F(Parallel, ManyThreadsMayOpenLoopsAtOnce) {
  set_num_threads(2);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; i++)
    callers.emplace_back([&] {
      for (int k = 0; k < 50; k++)
        parallel_for(0, 1000, 1, [&](int64_t first, int64_t last) { sum += last - first; });
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(sum, 6 * 50 * 1000);
}

TEST_F(Parallel, TheNumberOfThreadsIsChecked) {
  for (int n : {0, -1, 4097}) {
    try {
      set_num_threads(n);
      FAIL() << n;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::Value);
      EXPECT_EQ(e.message(), cat("set_num_threads: expected 1 to 4096 threads, got ", n));
    }
  }
}

// Forks, runs `body` in the child, and gives its exit code; a child that hangs is killed and reported as -1.
int exit_code_of_child(auto&& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int64_t count_items() {
  std::atomic<int64_t> sum{0};
  parallel_for(0, 1000, 1, [&](int64_t first, int64_t last) { sum += last - first; });
  return sum;
}

TEST_F(Parallel, AForkedChildMayOpenLoopsAfterItsParentDid) {
  set_num_threads(2);
  for (int round = 0; round < 20; round++) {
    ASSERT_EQ(count_items(), 1000);
    ASSERT_EQ(exit_code_of_child([] {
                if (count_items() != 1000 || count_items() != 1000) return 1;
                try {
                  parallel_for(0, 100, 1, [](int64_t, int64_t) { fail("in the child"); });
                } catch (const Error&) {
                  return count_items() == 1000 ? 0 : 2;
                }
                return 3;
              }),
              0);
  }
}

TEST_F(Parallel, ChildrenOfChildrenToo) {
  set_num_threads(2);
  ASSERT_EQ(count_items(), 1000);
  EXPECT_EQ(exit_code_of_child([] {
              if (count_items() != 1000) return 1;
              return exit_code_of_child([] { return count_items() == 1000 ? 0 : 2; });
            }),
            0);
}

}  // namespace
}  // namespace moka
