// Picks, at run time, the version of a kernel for this processor's instruction set; see target_begin.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "moka/base/compiled_isa.h"
#include "moka/base/cpu.h"

namespace moka {

#if MOKA_COMPILED_ISA == 2
template <class F>
F* choose_by_isa(F* baseline, F* avx2, F* avx512) {
  Isa best = isa();
  return best == Isa::Avx512 ? avx512 : best == Isa::Avx2 ? avx2 : baseline;
}
#define MOKA_BY_ISA(...) ::moka::choose_by_isa(baseline::__VA_ARGS__, avx2::__VA_ARGS__, avx512::__VA_ARGS__)
#elif MOKA_COMPILED_ISA == 1
#define MOKA_BY_ISA(...) (::moka::isa() == ::moka::Isa::Avx2 ? avx2::__VA_ARGS__ : baseline::__VA_ARGS__)
#else
#define MOKA_BY_ISA(...) (baseline::__VA_ARGS__)
#endif

}  // namespace moka
