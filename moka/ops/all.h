// Registers every operator family, so that find_op and all_ops know them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace moka {

// Safe to call any number of times, from any thread.
void register_all_ops();

}  // namespace moka
