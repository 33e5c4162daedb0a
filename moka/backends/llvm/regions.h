// Compiled code for fused regions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "moka/ops/fused/region.h"
#include "moka/runtime/executable.h"

namespace moka::llvm {

// Gives regions that have none their code: from the cache, or compiled where libLLVM is. Regions without stay what they
// are; each is tried once.
void compile_regions(std::span<const std::shared_ptr<const RegionPlan>> plans);

void compile_for_plan(std::span<const runtime::RegionUse> regions);

// Since the process began.
struct Counts {
  uint64_t compiled = 0, from_cache = 0, refused = 0;
};
Counts counts();

}  // namespace moka::llvm
