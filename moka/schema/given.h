// Outputs that came with a call: whether the result may change their shape.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka {

// Bits 4 to 7 of Frame::given: outputs 0 to 3 came with out= and take the result's shape, as resize_ would give it.
// Targets of in-place operators keep theirs.
inline void allow_resizing(Frame& f) { f.given = static_cast<uint8_t>(f.given | f.given << 4); }

// Operators such as copy_ whose Op itself writes into its first argument.
bool writes_first(const Op& op);
// Whether the operator has a form with an underscore, which writes its result into its first argument.
bool has_in_place_form(const Op& op);

// Output i, which came with the call, has these sizes afterwards; an error where it must keep others.
void fit_given(Frame& f, int i, std::span<const int64_t> sizes);

}  // namespace moka
