// parallel_for on OpenMP. After fork() libgomp hangs when the forking thread opens a region, but works from a fresh
// thread, so a child opens its regions from a new master thread.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/parallel.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#include "moka/base/error.h"
#include "moka/base/team.h"
#include "moka/base/thread_local.h"

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moka {

namespace {
MOKA_THREAD_LOCAL bool inside_region = false;

#ifdef _OPENMP
std::atomic<int> wanted_threads{0};
std::atomic<bool> used_openmp{false};
// Set in a child whose parent had opened a region: regions need a fresh master thread there.
std::atomic<bool> forked{false};

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return omp_get_num_procs();
}

void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, [] {
      if (used_openmp.load()) forked.store(true);
    });
  });
}

void run_region(int64_t begin, int64_t end, int64_t chunk, int threads,
                FunctionRef<void(int64_t, int64_t)> body) {
  std::exception_ptr error;
  std::atomic_flag has_error = ATOMIC_FLAG_INIT;
#pragma omp parallel num_threads(threads)
  {
    bool outer = inside_region;
    inside_region = true;
    // A runtime may grant fewer threads than asked: each takes every n-th chunk.
    int step = omp_get_num_threads();
    for (int64_t k = omp_get_thread_num(); k < threads; k += step) {
      int64_t first = begin + k * chunk;
      if (first >= end) break;
      int64_t last = first + chunk < end ? first + chunk : end;
      try {
        body(first, last);
      } catch (...) {
        if (!has_error.test_and_set()) error = std::current_exception();
      }
    }
    inside_region = outer;
  }
  if (error) std::rethrow_exception(error);
}

// Opens a region, from a fresh thread where that has to be.
void open_region(FunctionRef<void()> region) {
  watch_forks();
  used_openmp.store(true, std::memory_order_relaxed);
  if (!forked.load(std::memory_order_relaxed)) return region();
  std::exception_ptr error;
  std::thread([&] {
    try {
      region();
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
}
#endif
}  // namespace

void Team::wait() {
  if (members == 1) return;
  const unsigned before = meeting_.count.load(std::memory_order_relaxed);
  if (meeting_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == members) {
    meeting_.arrived.store(0, std::memory_order_relaxed);
    meeting_.count.store(before + 1, std::memory_order_release);
    return;
  }
  // The others are a moment away, or have lost their core.
  for (int turn = 0; meeting_.count.load(std::memory_order_acquire) == before; turn++) {
#if defined(__x86_64__)
    if (turn < 4000) {
      _mm_pause();
      continue;
    }
#endif
    std::this_thread::yield();
  }
}

#ifdef _OPENMP
void run_team(int most, FunctionRef<void(Team&)> body) {
  Team::Meeting meeting;
  const int threads = most < num_threads() ? most : num_threads();
  if (threads <= 1 || in_parallel()) {
    Team alone(meeting, 0, 1);
    return body(alone);
  }
  open_region([&] {
#pragma omp parallel num_threads(threads)
    {
      const bool outer = inside_region;
      inside_region = true;
      Team team(meeting, omp_get_thread_num(), omp_get_num_threads());
      body(team);
      inside_region = outer;
    }
  });
}

int num_threads() {
  int n = wanted_threads.load(std::memory_order_relaxed);
  if (n) return n;
  n = usable_cores();
  if (const char* text = std::getenv("OMP_NUM_THREADS"))
    if (int asked = std::atoi(text); asked > 0) n = asked;
  wanted_threads.store(n, std::memory_order_relaxed);
  return n;
}

void set_num_threads(int n) {
  MOKA_CHECK_KIND(Value, n >= 1 && n <= 4096, "set_num_threads: expected 1 to 4096 threads, got ", n);
  wanted_threads.store(n);
  omp_set_num_threads(n);
}

bool in_parallel() { return inside_region || omp_in_parallel(); }

void parallel_for(int64_t begin, int64_t end, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (begin >= end) return;
  int64_t items = end - begin;
  if (grain < 1) grain = 1;
  int threads = num_threads();
  if (int64_t most = (items + grain - 1) / grain; most < threads) threads = static_cast<int>(most);
  if (threads <= 1 || in_parallel()) return body(begin, end);
  const int64_t chunk = (items + threads - 1) / threads;
  open_region([&] { run_region(begin, end, chunk, threads, body); });
}
#else
void run_team(int, FunctionRef<void(Team&)> body) {
  Team::Meeting meeting;
  Team alone(meeting, 0, 1);
  body(alone);
}
int num_threads() { return 1; }
void set_num_threads(int n) {
  MOKA_CHECK_KIND(Value, n >= 1 && n <= 4096, "set_num_threads: expected 1 to 4096 threads, got ", n);
}
bool in_parallel() { return inside_region; }
void parallel_for(int64_t begin, int64_t end, int64_t, FunctionRef<void(int64_t, int64_t)> body) {
  if (begin < end) body(begin, end);
}
#endif

}  // namespace moka
