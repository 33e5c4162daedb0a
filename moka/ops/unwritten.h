// unwritten: an operator that has a derivative which nobody wrote, as opposed to one that has none.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/define.h"

namespace moka {

// Results are recorded, and a backward that comes to them is an error.
#ifdef MOKA_PREDICTOR
constexpr Nothing unwritten(std::string_view) { return {}; }
#else
constexpr Derivative unwritten(std::string_view why) { return constants("", why); }
#endif

}  // namespace moka
