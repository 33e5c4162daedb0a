// What a C++ program needs before its first operator: the operators, the back ends and the tape.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace moka::nn {

// Safe to call any number of times, from any thread. Everything of this layer calls it.
void start();

}  // namespace moka::nn
