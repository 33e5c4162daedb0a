// MOKA_COMPILED_ISA: the last instruction set that kernels are compiled for (0 baseline, 1 AVX2, 2 AVX-512), all unless
// the build left some out (CMake: MOKA_MOST_ISA).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#if !defined(__x86_64__)
#define MOKA_COMPILED_ISA 0
#elif defined(MOKA_MOST_ISA)
#define MOKA_COMPILED_ISA MOKA_MOST_ISA
#else
#define MOKA_COMPILED_ISA 2
#endif
