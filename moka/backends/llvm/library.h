// libLLVM through its C interface, opened when something is first to be compiled.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace moka::llvm {

// True when it is there; else `why` says what is missing. Looked for by the names of its versions from 21 down to 15;
// MOKA_LLVM names another file, MOKA_LLVM=0 switches it off.
bool find_library(std::string* why = nullptr);
// "19.1.7", or nothing where it is not there. Where the cache's folder remembers the version of the file that was opened
// last, and the file is the same, nothing is opened.
std::string library_version(std::string* why = nullptr);
// An object file made of a module's text; failing names what LLVM says. Safe from several threads, one at a time works.
bool compile(std::string_view text, std::string_view triple, std::string_view processor, std::string& object,
             std::string& why);

}  // namespace moka::llvm
