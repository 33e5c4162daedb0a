// The one parallel-for of Moka: all threads of the process come from here (and from oneDNN's same runtime).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "moka/base/function_ref.h"

namespace moka {

// Threads used by parallel_for; the default is the number of cores this process may use.
int num_threads();
void set_num_threads(int n);
// True inside a parallel_for body: nested loops run in place.
bool in_parallel();

// Calls body(first, last) over disjoint ranges that cover [begin, end). All but the last hold at least `grain` items;
// the partition depends only on (begin, end, grain, num_threads()). An error raised in a body is raised here, once.
void parallel_for(int64_t begin, int64_t end, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);

}  // namespace moka
