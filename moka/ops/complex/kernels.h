// Registration of complex kernels: called once, after the operators themselves.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace moka::ops {

void add_complex_arithmetic();
void add_complex_functions();
void add_complex_reductions();
void add_complex_linear();

}  // namespace moka::ops
