// Includes the page of kernels that MOKA_TARGET_PAGE names once for each instruction set that this processor may have
// (target_begin.h); MOKA_BY_ISA (by_isa.h) picks among them.
// SPDX-License-Identifier: Apache-2.0
#define MOKA_TARGET_ISA 0
#include MOKA_TARGET_PAGE
#if defined(__x86_64__)
#define MOKA_TARGET_ISA 1
#include MOKA_TARGET_PAGE
#define MOKA_TARGET_ISA 2
#include MOKA_TARGET_PAGE
#endif
#undef MOKA_TARGET_PAGE
