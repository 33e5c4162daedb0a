// Includes the page of kernels that MOKA_TARGET_PAGE names once for each instruction set that this processor may have
// (target_begin.h); MOKA_BY_ISA (by_isa.h) picks among them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/compiled_isa.h"

#define MOKA_TARGET_ISA 0
#include MOKA_TARGET_PAGE
#if MOKA_COMPILED_ISA >= 1
#define MOKA_TARGET_ISA 1
#include MOKA_TARGET_PAGE
#endif
#if MOKA_COMPILED_ISA >= 2
#define MOKA_TARGET_ISA 2
#include MOKA_TARGET_PAGE
#endif
#undef MOKA_TARGET_PAGE
