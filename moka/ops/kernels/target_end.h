// Closes what target_begin.h opened.
// SPDX-License-Identifier: Apache-2.0
}  // namespace MOKA_TARGET_NAME
}  // namespace
}  // namespace moka
#if MOKA_TARGET_ISA != 0
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
#undef MOKA_TARGET_ISA
#undef MOKA_TARGET_NAME
#undef MOKA_TARGET_BYTES
