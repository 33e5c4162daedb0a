// What elements are that nobody set.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka {

// While on, results of empty() and its relatives are NaN, the largest integer or true, so that programs which read what
// they did not write give the same numbers each time; else whatever their memory held.
void fill_unset(bool on);
// The kernel of operators whose elements are not set.
void leave_unset(Frame& f);

}  // namespace moka
