// From a region's lane program to a function: LLVM's text, the cache or the compiler, the loader.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/llvm/regions.h"

#include <mutex>

#include "moka/backends/llvm/bundle.h"
#include "moka/backends/llvm/cache.h"
#include "moka/backends/llvm/library.h"
#include "moka/backends/llvm/object.h"
#include "moka/ops/generated/print.h"
#include "moka/schema/log.h"

namespace moka::llvm {

namespace {
std::mutex mutex;  // of all that follows, and one region is made at a time
Counts made;

void log(const std::string& text) {
  if (log_enabled(Log::Backends)) log_line(Log::Backends, text);
}

std::string make_object(const std::string& text, const lanes::Target& target, std::string& object) {
  // What the code depends on: its text, which names the target, and the compiler.
  std::string why;
  const std::string version = library_version(&why);
  if (version.empty()) return why;
  const std::string key = cat("llvm ", version, "\n", text);
  if (find_in_cache(key, object)) {
    made.from_cache++;
    log("llvm: a region's code came from the cache");
    return {};
  }
  if (!compile(text, target.triple, target.name == "aarch64" ? "generic" : target.name, object, why))
    return why;
  made.compiled++;
  log("llvm: a region was compiled");
  store_in_cache(key, object);
  return {};
}

// Why there is no code, or nothing.
std::string make_code(const RegionPlan& plan) {
  const lanes::Target* target = lanes::host_target();
  if (!target) return "this processor has no AVX2";
  const std::optional<lanes::Program> program = lanes::read_region(plan);
  if (!program)
    return "an operator or type in it has no reading as lanes, or it would compute too much of rows again";
  const std::string text = lanes::print_llvm_module(lanes::print_llvm(*program, "region", *target), *target);
  std::string object, why = make_object(text, *target, object);
  if (!why.empty()) return why;
  void* function = load_object(object, "region", why);
  if (function && plan.rows) plan.spare_rows.store(lanes::plan_loops(*program).spare_rows);
  if (function) plan.code.store(reinterpret_cast<RegionPlan::Code>(function), std::memory_order_release);
  return function ? std::string() : cat("its object file: ", why);
}
}  // namespace

void compile_regions(std::span<const std::shared_ptr<const RegionPlan>> plans) {
  std::lock_guard lock(mutex);
  for (const auto& plan : plans) {
    if (plan->tried.exchange(true)) continue;
    const std::string why = make_code(*plan);
    if (why.empty()) continue;
    made.refused++;
    log(cat("llvm: a region stays without code: ", why));
  }
}

void compile_for_plan(std::span<const runtime::RegionUse> regions) {
  bundled_for_plan(regions);
  std::vector<std::shared_ptr<const RegionPlan>> plans;
  for (const runtime::RegionUse& r : regions) plans.push_back(region_plan(r.program, r.inputs));
  compile_regions(plans);
}

Counts counts() {
  std::lock_guard lock(mutex);
  return made;
}

}  // namespace moka::llvm
