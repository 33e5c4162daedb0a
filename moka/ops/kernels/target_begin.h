// Opens a region whose functions are compiled for MOKA_TARGET_ISA (0 baseline, 1 AVX2, 2 AVX-512): for kernels that keep
// whole vectors in registers, where the compiler must know the instruction set from the start. Included repeatedly, with
// target_end.h after each region; no other header may be included in between.
// SPDX-License-Identifier: Apache-2.0
#if MOKA_TARGET_ISA == 1
#define MOKA_TARGET_NAME avx2
#define MOKA_TARGET_BYTES 32
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#elif MOKA_TARGET_ISA == 2
#define MOKA_TARGET_NAME avx512
#define MOKA_TARGET_BYTES 64
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#else
#define MOKA_TARGET_NAME baseline
#define MOKA_TARGET_BYTES 16
#endif
