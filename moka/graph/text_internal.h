// Shared by the printer and the parser of the text form.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "moka/graph/graph.h"

namespace moka::graph {

// "text" with escapes; any bytes.
void append_quoted(std::string& out, std::string_view text);
// A bare word where the grammar allows one, else quoted.
void append_identifier(std::string& out, std::string_view name);
bool is_identifier(std::string_view name);
bool is_keyword(std::string_view name);
bool find_type_kind(std::string_view name, TypeKind& kind);  // of the one-word types

}  // namespace moka::graph
