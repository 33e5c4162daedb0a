// One file an entry, named by the key's hash; it holds the whole key, so that no two keys are taken for one.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/llvm/cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "moka/base/text.h"
#include "moka/schema/log.h"

namespace moka::llvm {

namespace {
namespace fs = std::filesystem;

constexpr char magic[8] = {'M', 'O', 'K', 'A', 'C', 'O', 'D', '1'};
struct Header {
  char magic[8];
  uint64_t key_bytes, object_bytes, checksum;
};
constexpr uint64_t most_bytes = uint64_t(32) << 20;

uint64_t hash_of(std::string_view text, uint64_t start = 0xcbf29ce484222325) {
  for (const char c : text) start = (start ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return start;
}
std::string path_of(const std::string& folder, std::string_view key) {
  char name[40];
  std::snprintf(name, sizeof name, "%016llx.code", static_cast<unsigned long long>(hash_of(key)));
  return cat(folder, "/", static_cast<const char*>(name));
}
void log(const std::string& text) {
  if (log_enabled(Log::Backends)) log_line(Log::Backends, text);
}

// Closed at the end of the scope.
struct File {
  int descriptor;
  explicit File(int descriptor) : descriptor(descriptor) {}
  ~File() {
    if (descriptor >= 0) close(descriptor);
  }
  File(const File&) = delete;
};
bool read_all(int from, void* to, size_t bytes) {
  char* p = static_cast<char*>(to);
  while (bytes) {
    const ssize_t n = read(from, p, bytes);
    if (n <= 0) return false;
    p += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}
bool write_all(int to, const void* from, size_t bytes) {
  const char* p = static_cast<const char*>(from);
  while (bytes) {
    const ssize_t n = write(to, p, bytes);
    if (n <= 0) return false;
    p += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

// Code is run: what others may write is not read.
bool is_ours(const struct stat& s) { return s.st_uid == geteuid() && !(s.st_mode & (S_IWGRP | S_IWOTH)); }

void drop_oldest(const std::string& folder) {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> entries;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, error))
    if (e.path().extension() == ".code") entries.emplace_back(e.last_write_time(error), e.path());
  if (entries.size() <= most_cached) return;
  std::sort(entries.begin(), entries.end());
  for (size_t i = 0; i < entries.size() - most_cached + most_cached / 8; i++)
    fs::remove(entries[i].second, error);
}
}  // namespace

std::string cache_folder() {
  const auto given = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  const std::string own = given("MOKA_CACHE");
  if (own == "0") return {};
  if (!own.empty()) return own;
  if (const std::string cache = given("XDG_CACHE_HOME"); !cache.empty()) return cache + "/moka";
  const std::string home = given("HOME");
  return home.empty() ? std::string() : home + "/.cache/moka";
}

void make_cache_folder() {
  const std::string folder = cache_folder();
  std::error_code error;
  if (folder.empty() || fs::exists(folder, error)) return;
  fs::create_directories(folder, error);
  fs::permissions(folder, fs::perms::owner_all, error);
}

bool find_in_cache(std::string_view key, std::string& object) {
  const std::string folder = cache_folder();
  if (folder.empty()) return false;
  const std::string path = path_of(folder, key);
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.descriptor < 0) return false;
  struct stat info;
  Header h;
  const auto refused = [&](const char* why) {
    log(cat("cache: ", path, " ", why, "; it is not used"));
    return false;
  };
  if (fstat(file.descriptor, &info) || !S_ISREG(info.st_mode)) return refused("is no file");
  if (!is_ours(info)) return refused("may be written by others");
  if (!read_all(file.descriptor, &h, sizeof h) || std::memcmp(h.magic, magic, sizeof magic) ||
      h.key_bytes > most_bytes || h.object_bytes > most_bytes ||
      sizeof h + h.key_bytes + h.object_bytes != static_cast<uint64_t>(info.st_size))
    return refused("is damaged");
  if (h.key_bytes != key.size()) return refused("belongs to other code");
  std::string stored(h.key_bytes, '\0');
  object.resize(h.object_bytes);
  if (!read_all(file.descriptor, stored.data(), stored.size()) ||
      !read_all(file.descriptor, object.data(), object.size()) ||
      hash_of(object, hash_of(stored)) != h.checksum)
    return refused("is damaged");
  if (stored != key) return refused("belongs to other code");
  return true;
}

void store_in_cache(std::string_view key, std::string_view object) {
  const std::string folder = cache_folder();
  if (folder.empty()) return;
  make_cache_folder();
  static std::atomic<int> count{0};
  const std::string path = path_of(folder, key), temporary = cat(path, ".", getpid(), ".", count++);
  Header h;
  std::memcpy(h.magic, magic, sizeof magic);
  h.key_bytes = key.size();
  h.object_bytes = object.size();
  h.checksum = hash_of(object, hash_of(key));
  bool written = false;
  {
    const File file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    written = file.descriptor >= 0 && write_all(file.descriptor, &h, sizeof h) &&
              write_all(file.descriptor, key.data(), key.size()) &&
              write_all(file.descriptor, object.data(), object.size());
  }
  if (!written || rename(temporary.c_str(), path.c_str())) {
    log(cat("cache: ", path, " cannot be written: ", std::strerror(errno)));
    unlink(temporary.c_str());
    return;
  }
  drop_oldest(folder);
}

}  // namespace moka::llvm
