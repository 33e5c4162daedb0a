// A graph as one HTML page that needs nothing else: to look at in a browser.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "moka/graph/graph.h"

namespace moka {

// The page draws nodes by module and lets them fold, zooms, pans, searches, and shows types, constants, settings, source
// lines and work. It loads nothing. Values of tensors up to `values` elements are on it; of larger ones least, mean and
// greatest.
std::string graph_page(const graph::Graph& graph, std::string_view title, int64_t values = 64);

}  // namespace moka
