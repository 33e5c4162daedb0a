// Back ends that live in libraries of their own and are opened when an operator they serve is first called.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace moka {

// Adds the rows of all back ends to the operators' kernel lists; opens nothing yet. May be called more than once; the
// operators must be registered before.
void register_backends();

// Opens oneDNN now. True when its kernels can be used; else `why` says what is missing. It is looked for beside this
// library (libmoka_onednn.so); MOKA_ONEDNN=0 switches it off, MOKA_ONEDNN_LIBRARY names another libdnnl.so.3.
bool load_onednn(std::string* why = nullptr);

}  // namespace moka
