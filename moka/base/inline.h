// Functions that must be inlined: kernels of one instruction set may not share a copy with those of another.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#define MOKA_INLINE __attribute__((always_inline)) inline
