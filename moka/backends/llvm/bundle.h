// Compiled code of regions inside packages: made by `moka build`, run only where it carries the mark of a key that the
// user gave. docs/decisions/013-code-in-packages.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "moka/formats/files.h"
#include "moka/runtime/executable.h"

namespace moka::llvm {

// What code and its callers agree on: RegionPlan::Code, what it reads and writes. Other versions are not run.
inline constexpr uint32_t code_version = 1;
inline constexpr std::string_view code_folder = "code/";  // of packages; a file a target

// The key in a file of 16 bytes to 4 KB that nobody but its owner, this user or root, may read or write; errors say what
// else it is.
std::string read_code_key(const std::string& path);

struct BundledRegion {
  std::string program;
  std::vector<Tensor> inputs;  // their types and which of them are lines
};
struct Bundle {
  std::string content;
  int regions = 0;
  std::vector<std::string> left;  // why regions have no code
};
// Compiles the regions for a target ("x86-64-v3", "x86-64-v4", "aarch64"); needs libLLVM.
Bundle make_bundle(std::string_view target, const std::vector<BundledRegion>& regions, std::string_view key);

// Takes the code for this processor out of a package's files, for all plans of the process made from now on. `key_file`
// empty: MOKA_CODE_KEY names it. Without a key, or where code, target or version do not fit, regions run as they do
// without; the log of back ends says why. A key file that cannot be used is an error.
void use_package_code(const std::map<std::string, Bytes>& files, const std::string& key_file);
// Why the content of one target's file is not used, or nothing: it is used then.
std::string use_bundle(std::string_view content, std::string_view target, std::string_view key);

// Gives the regions of a plan the code that packages brought.
void bundled_for_plan(std::span<const runtime::RegionUse> regions);

}  // namespace moka::llvm
