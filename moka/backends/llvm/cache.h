// Object code kept on disk between processes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace moka::llvm {

// The folder: MOKA_CACHE, else XDG_CACHE_HOME/moka, else ~/.cache/moka; empty where there is none or MOKA_CACHE is 0.
std::string cache_folder();
void make_cache_folder();  // for this user alone
// What was stored under exactly this key. Entries that are damaged, or that others could have written, do not count; the
// log of back ends says so.
bool find_in_cache(std::string_view key, std::string& object);
// Stores atomically; what cannot be written is left. The oldest entries go when there are more than `most_cached`.
constexpr size_t most_cached = 512;
void store_in_cache(std::string_view key, std::string_view object);

}  // namespace moka::llvm
