// What this machine can do at most: measured once and remembered in a file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace moka::runtime {

struct MachineLimits {
  int threads = 1;            // with which it was measured
  double flop_per_second = 0;   // float32 multiply-adds in registers, two operations each
  double bytes_per_second = 0;  // copying memory beyond the caches, reads and writes
};

// For num_threads() threads. The first call on a machine takes about a quarter of a second; later ones read
// $MOKA_CACHE, or moka/ in $XDG_CACHE_HOME or ~/.cache. Where nothing can be written, every process measures.
MachineLimits machine_limits();
MachineLimits measure_machine();  // now, whatever is remembered

}  // namespace moka::runtime
