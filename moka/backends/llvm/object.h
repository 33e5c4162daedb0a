// Object files that need no linker: one function in code and constants of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace moka::llvm {

// Lays the sections of an ELF file for this processor into memory that may be executed, and gives the address of a
// function. Null, and `why`, where the file is damaged or needs anything from outside. The memory stays for good.
void* load_object(std::string_view file, std::string_view function, std::string& why);

}  // namespace moka::llvm
