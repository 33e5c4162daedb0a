// Calls every operator with random and extreme arguments: no call may kill the process or take more than some seconds.
// A child runs the calls; when one kills it, the parent says which and goes on behind it in a new child.
// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "moka/autograd/record.h"
#include "moka/ops/all.h"
#include "tests/attack/calls.h"

namespace {

constexpr unsigned most_seconds = 20;  // of one call

// What the child tells, in memory that outlives it.
struct Told {
  uint64_t next;  // the call that is running
  uint64_t results, refused, internal;
  char text[16384];  // the running call
};

void run_calls(Told& told, uint64_t seed, uint64_t end) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their shadow memory is large
  if (!std::getenv("MOKA_UNLIMITED")) {  // a huge tensor must be refused, not tried
    const rlimit limit{rlim_t(3) << 29, rlim_t(3) << 29};
    setrlimit(RLIMIT_AS, &limit);
  }
#endif
  for (; told.next < end; told.next++) {
    alarm(most_seconds);
    try {
      std::snprintf(told.text, sizeof told.text, "call that could not be made");
      moka::attack::RandomCall call(seed + told.next);
      std::snprintf(told.text, sizeof told.text, "%s", call.text().c_str());
      call.run();
      told.results++;
    } catch (const moka::Error& error) {
      told.refused++;
      if (error.kind() == moka::ErrorKind::Internal) {
        if (told.internal++ < 20)
          std::printf("FIND an error inside Moka in call %llu: %s\n    %s\n",
                      static_cast<unsigned long long>(seed + told.next), told.text, error.what());
        std::fflush(stdout);
      }
    } catch (const std::bad_alloc&) {
      told.refused++;
    } catch (const std::exception& other) {  // users' programs do not expect these
      std::fprintf(stderr, "%s: %s\n", told.text, other.what());
      std::_Exit(70);
    }
  }
  alarm(0);
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    std::printf(
        "usage: attack_ops CALLS [SEED] [--show]\n\n"
        "Makes CALLS calls of operators in turn. With --show prints call number SEED and runs it here, for "
        "a\n"
        "debugger. Exit 1 where a call killed the process, took more than %u s or met an error "
        "that is Moka's own fault.\n",
        most_seconds);
    return 2;
  }
  const uint64_t calls = std::strtoull(words[1], nullptr, 10);
  const uint64_t seed = count > 2 ? std::strtoull(words[2], nullptr, 10) : 0;
  moka::register_all_ops();
  moka::autograd::install();
  if (count > 3 && !std::strcmp(words[3], "--show")) {
    moka::attack::RandomCall call(seed);
    std::printf("%s\n", call.text().c_str());
    std::fflush(stdout);
    try {
      call.run();
      std::printf("ran\n");
    } catch (const moka::Error& error) {
      std::printf("refused: %s\n", error.what());
    }
    return 0;
  }
  Told* told = static_cast<Told*>(
      mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (told == MAP_FAILED) return std::perror("mmap"), 2;
  std::map<std::string, int> finds;  // by operator and signal
  int deaths = 0;
  while (told->next < calls) {
    const pid_t child = fork();
    if (child == 0) {
      run_calls(*told, seed, calls);
      std::_Exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (told->next >= calls && WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
    deaths++;
    const std::string what =
        WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit " + std::to_string(WEXITSTATUS(status));
    const std::string op = std::string(told->text).substr(0, std::string(told->text).find('('));
    if (finds[op + ": " + what]++ == 0)
      std::printf("FIND %s in call %llu: %s\n", what.c_str(),
                  static_cast<unsigned long long>(seed + told->next), told->text);
    std::fflush(stdout);
    told->next++;
  }
  std::printf(
      "%llu calls: %llu gave results, %llu were refused, %llu of them by errors inside Moka, %d killed the "
      "process (%zu kinds)\n",
      static_cast<unsigned long long>(calls), static_cast<unsigned long long>(told->results),
      static_cast<unsigned long long>(told->refused), static_cast<unsigned long long>(told->internal), deaths,
      finds.size());
  return deaths || told->internal ? 1 : 0;
}
