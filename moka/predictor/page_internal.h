// The page around the data.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace moka {

std::string_view page_template();  // HTML with @DATA@ where the graph's JSON goes

}  // namespace moka
