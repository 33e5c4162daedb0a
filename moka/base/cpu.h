// Which instruction sets this processor offers, asked once at run time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace moka {

// Ordered: every later set contains the earlier ones. Rows of kernel tables follow this order.
enum class Isa { Baseline = 0, Avx2 = 1, Avx512 = 2 };
inline constexpr int isa_count = 3;

// The best set that this processor and MOKA_MAX_ISA (baseline, avx2, avx512) allow.
Isa isa();
const char* isa_name(Isa isa);

}  // namespace moka
