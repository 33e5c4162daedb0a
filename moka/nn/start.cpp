// SPDX-License-Identifier: Apache-2.0
#include "moka/nn/start.h"

#include "moka/autograd/record.h"
#include "moka/backends/load.h"
#include "moka/ops/all.h"

namespace moka::nn {

void start() {
  static const bool started = [] {
    register_all_ops();
    register_backends();
    autograd::install();
    return true;
  }();
  (void)started;
}

}  // namespace moka::nn
