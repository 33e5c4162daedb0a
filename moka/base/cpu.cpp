// Instruction set detection.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/cpu.h"

#include <cstdlib>
#include <cstring>

#include "moka/base/compiled_isa.h"
#include "moka/base/error.h"

namespace moka {

namespace {
Isa detect() {
  Isa best = Isa::Baseline;
#if MOKA_COMPILED_ISA >= 1
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::Avx2;
#endif
#if MOKA_COMPILED_ISA >= 2
  if (best == Isa::Avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    best = Isa::Avx512;
#endif
  if (const char* limit = std::getenv("MOKA_MAX_ISA")) {
    Isa most = best;
    if (!std::strcmp(limit, "baseline")) most = Isa::Baseline;
    else if (!std::strcmp(limit, "avx2")) most = Isa::Avx2;
    else if (!std::strcmp(limit, "avx512")) most = Isa::Avx512;
    else fail_kind(ErrorKind::Value, "MOKA_MAX_ISA: expected baseline, avx2 or avx512, got '", limit, "'");
    if (most < best) best = most;
  }
  return best;
}
}  // namespace

Isa isa() {
  static const Isa best = detect();
  return best;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::Avx2: return "avx2";
    case Isa::Avx512: return "avx512";
    default: return "baseline";
  }
}

}  // namespace moka
