// Measuring arithmetic and memory of the machine.
// SPDX-License-Identifier: Apache-2.0
#include "moka/runtime/machine.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "moka/base/cpu.h"
#include "moka/base/parallel.h"
#include "moka/base/text.h"

namespace moka::runtime {

namespace {

constexpr int64_t turns = 1 << 16;  // short, so that some attempts are not interrupted
constexpr int attempts = 60;
constexpr int chains = 12;  // multiply-adds on their way at once: more than latency times ports

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) float multiply_add_512(int64_t n) {
  __m512 x[chains], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (int c = 0; c < chains; c++) x[c] = _mm512_set1_ps(static_cast<float>(c));
  for (int64_t i = 0; i < n; i++)
    for (int c = 0; c < chains; c++) x[c] = _mm512_fmadd_ps(x[c], a, b);
  float out = 0;
  for (int c = 0; c < chains; c++) out += _mm512_cvtss_f32(x[c]);
  return out;
}
__attribute__((target("avx2,fma"))) float multiply_add_256(int64_t n) {
  __m256 x[chains], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (int c = 0; c < chains; c++) x[c] = _mm256_set1_ps(static_cast<float>(c));
  for (int64_t i = 0; i < n; i++)
    for (int c = 0; c < chains; c++) x[c] = _mm256_fmadd_ps(x[c], a, b);
  float out = 0;
  for (int c = 0; c < chains; c++) out += _mm256_cvtss_f32(x[c]);
  return out;
}
#endif
typedef float Four __attribute__((vector_size(16)));
float multiply_add_128(int64_t n) {
  Four x[chains], a = {0.999f, 0.999f, 0.999f, 0.999f}, b = {0.001f, 0.001f, 0.001f, 0.001f};
  for (int c = 0; c < chains; c++) x[c] = a * static_cast<float>(c);
  for (int64_t i = 0; i < n; i++)
    for (int c = 0; c < chains; c++) x[c] = x[c] * a + b;
  float out = 0;
  for (int c = 0; c < chains; c++) out += x[c][0];
  return out;
}

double measure_flop(int threads) {
  float (*work)(int64_t) = multiply_add_128;
  int lanes = 4;
#if defined(__x86_64__)
  if (isa() == Isa::Avx512) work = multiply_add_512, lanes = 16;
  else if (isa() == Isa::Avx2) work = multiply_add_256, lanes = 8;
#endif
  double best = 0;
  for (int attempt = 0; attempt < attempts; attempt++) {
    volatile float sink = 0;
    const double start = now();
    parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) sink = work(turns);
    });
    best = std::max(best, 2.0 * chains * lanes * static_cast<double>(turns) * threads / (now() - start));
  }
  return best;
}

double measure_bytes() {
  constexpr int64_t size = int64_t(64) << 20, part = int64_t(4) << 20;  // the whole is beyond the caches
  const auto from = std::make_unique<char[]>(size), to = std::make_unique<char[]>(size);
  double best = 0;
  for (int round = 0; round < 3; round++)
    for (int64_t at = 0; at < size; at += part) {
      const double start = now();
      parallel_for(at, at + part, 1 << 18, [&](int64_t first, int64_t last) {
        std::memcpy(to.get() + first, from.get() + first, static_cast<size_t>(last - first));
      });
      if (round) best = std::max(best, 2.0 * static_cast<double>(part) / (now() - start));
    }
  return best;
}

// The processor as the system names it, so that a home shared by machines keeps one file for each kind.
std::string machine_name() {
  std::string name = isa_name(isa());
  if (std::FILE* file = std::fopen("/proc/cpuinfo", "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, file))
      if (const char* colon = std::strchr(line, ':'); colon && !std::strncmp(line, "model name", 10)) {
        name += colon + 1;
        break;
      }
    std::fclose(file);
  }
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '-';
  return name.substr(0, 100);
}

std::string cache_folder() {
  if (const char* folder = std::getenv("MOKA_CACHE"); folder && *folder) return folder;
  std::string base;
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder) base = folder;
  else if (const char* home = std::getenv("HOME"); home && *home) base = cat(home, "/.cache");
  else return "";
  ::mkdir(base.c_str(), 0700);
  return base + "/moka";
}

bool read_limits(const std::string& path, MachineLimits& limits) {
  std::FILE* file = std::fopen(path.c_str(), "r");
  if (!file) return false;
  const int found =
      std::fscanf(file, "moka-machine 1 %lf %lf", &limits.flop_per_second, &limits.bytes_per_second);
  std::fclose(file);
  return found == 2 && limits.flop_per_second > 1e6 && limits.flop_per_second < 1e18 &&
         limits.bytes_per_second > 1e6 && limits.bytes_per_second < 1e18;
}

// What cannot be written is measured again by the next process.
void write_limits(const std::string& folder, const std::string& path, const MachineLimits& limits) {
  ::mkdir(folder.c_str(), 0700);
  const std::string temporary = cat(path, ".", ::getpid());
  std::FILE* file = std::fopen(temporary.c_str(), "w");
  if (!file) return;
  const bool good =
      std::fprintf(file, "moka-machine 1 %.6e %.6e\n", limits.flop_per_second, limits.bytes_per_second) > 0;
  if (std::fclose(file) != 0 || !good || std::rename(temporary.c_str(), path.c_str()) != 0)
    std::remove(temporary.c_str());
}

}  // namespace

MachineLimits measure_machine() {
  const int threads = num_threads();
  return {threads, measure_flop(threads), measure_bytes()};
}

MachineLimits machine_limits() {
  static std::mutex mutex;
  static std::map<int, MachineLimits> known;
  std::lock_guard lock(mutex);
  const int threads = num_threads();
  if (auto it = known.find(threads); it != known.end()) return it->second;
  const std::string folder = cache_folder();
  const std::string path = cat(folder, "/machine-", machine_name(), "-", threads, ".txt");
  MachineLimits limits;
  limits.threads = threads;
  if (folder.empty() || !read_limits(path, limits)) {
    limits = measure_machine();
    if (!folder.empty()) write_limits(folder, path, limits);
  }
  return known[threads] = limits;
}

}  // namespace moka::runtime
