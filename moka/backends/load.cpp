// Opening libmoka_onednn.so at the first call of an operator that it serves.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/load.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <mutex>
#include <utility>

#include "moka/backends/llvm/bundle.h"
#include "moka/backends/llvm/regions.h"
#include "moka/backends/onednn/table.h"
#include "moka/ops/blocked/pointwise.h"
#include "moka/runtime/executable.h"
#include "moka/schema/frame.h"
#include "moka/schema/log.h"

namespace moka {

namespace {
struct Loaded {
  const onednn::Table* table = nullptr;
  std::string why;
};

Loaded open_onednn() {
  Loaded out;
  if (const char* off = std::getenv("MOKA_ONEDNN"); off && !std::strcmp(off, "0")) {
    out.why = "is switched off by MOKA_ONEDNN=0";
    return out;
  }
  // Loaded first, it is the one that libmoka_onednn.so finds by its name.
  if (const char* other = std::getenv("MOKA_ONEDNN_LIBRARY");
      other && *other && !dlopen(other, RTLD_NOW | RTLD_GLOBAL)) {
    const char* error = dlerror();
    out.why = cat("MOKA_ONEDNN_LIBRARY cannot be opened: ", error ? error : other);
    return out;
  }
  Dl_info here;
  std::string path = "libmoka_onednn.so";
  if (dladdr(reinterpret_cast<void*>(&load_onednn), &here) && here.dli_fname) {
    std::string_view file = here.dli_fname;
    if (size_t slash = file.rfind('/'); slash != std::string_view::npos)
      path = std::string(file.substr(0, slash + 1)) + path;
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* error = dlerror();
    out.why = cat("cannot be opened: ", error ? error : path.c_str());
    return out;
  }
  auto table = reinterpret_cast<const onednn::Table* (*)()>(dlsym(library, "moka_onednn_table"));
  if (!table || table()->version != onednn::table_version) {
    out.why = cat(path, " belongs to another version of Moka");
    return out;
  }
  out.table = table();
  return out;
}

const Loaded& loaded() {
  // Never destroyed: kernels may run until the process ends.
  static const Loaded* result = [] {
    Loaded* l = new Loaded(open_onednn());
    if (log_enabled(Log::Backends))
      log_line(Log::Backends, l->table ? "onednn: opened" : cat("onednn: ", l->why));
    return l;
  }();
  return *result;
}

// oneDNN opens its OpenMP regions itself, which hangs in a child whose parent had opened one.
std::atomic<bool> forked{false};

const onednn::Row* find_row(std::string_view op) {
  const Loaded& l = loaded();
  if (l.table)
    for (size_t i = 0; i < l.table->count; i++)
      if (l.table->rows[i].op == op) return &l.table->rows[i];
  return nullptr;
}

std::string_view pointwise(const Frame& f) {
  return ops::pointwise_declines(f).empty() ? "our own kernel for 1 x 1 filters is faster"
                                            : std::string_view();
}

// Rows that stand in the kernel lists from the start and pass calls on to the library, and what they decline before it is
// opened.
std::string_view none(const Frame&) { return {}; }
struct Served {
  std::string_view op;
  std::string_view (*declines)(const Frame&) = none;
};
constexpr Served served[] = {{"conv1d"},
                             {"conv1d_backward_input"},
                             {"conv1d_backward_weight"},
                             {"conv_transpose1d"},
                             {"conv2d"},
                             {"conv2d_backward_input"},
                             {"conv2d_backward_weight"},
                             {"conv_transpose2d"},
                             {"conv2d_blocked", pointwise}};
template <int Which>
const onednn::Row* row() {
  static const onednn::Row* found = find_row(served[Which].op);
  return found;
}
template <int Which>
std::string_view declines(const Frame& f) {
  if (const std::string_view why = served[Which].declines(f); !why.empty()) return why;
  if (forked.load(std::memory_order_relaxed)) return "is not used in a forked process";
  const onednn::Row* r = row<Which>();
  if (!r)
    return loaded().table ? std::string_view("does not serve this operator") : std::string_view(loaded().why);
  return r->declines(f);
}
template <int Which>
void run(Frame& f) {
  row<Which>()->run(f);
}
int64_t wanted_filter_block(const Frame& f) {
  if (forked.load(std::memory_order_relaxed) || !loaded().table) return 0;
  return loaded().table->filter_block(f);
}
template <int Which>
void add() {
  add_kernel(served[Which].op, KernelRow{.name = "onednn", .run = run<Which>, .declines = declines<Which>});
}
}  // namespace

void register_backends() {
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
#ifdef MOKA_PREDICTOR  // code comes with packages or not at all
    runtime::set_region_compiler(llvm::bundled_for_plan);
#else
    runtime::set_region_compiler(llvm::compile_for_plan);
#endif
    set_filter_block(wanted_filter_block);
    [&]<int... I>(std::integer_sequence<int, I...>) {
      (add<I>(), ...);
    }(std::make_integer_sequence<int, int(std::size(served))>{});
  });
}

bool load_onednn(std::string* why) {
  const Loaded& l = loaded();
  if (!l.table && why) *why = l.why;
  return l.table != nullptr;
}

}  // namespace moka
