// Runs of bytes between tensors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace moka {

// memcpy that is as fast where both sides lie nearly at the same place of their pages: the processor's instruction for
// whole strings takes many times as long there on some (1,024 rows of 4 KiB rolled by 3 elements, Zen 4: 840 us, now 150).
void copy_bytes(void* to, const void* from, size_t n);

}  // namespace moka
