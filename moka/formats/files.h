// Files as bytes: reading by mapping, and writing that leaves either the old file or the whole new one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "moka/base/intrusive.h"
#include "moka/formats/limits.h"
#include "moka/tensor/tensor.h"

namespace moka {

// A counted block of bytes that never changes: a mapped file or memory of our own.
struct FileBlock {
  std::atomic<uint32_t> references{1};
  const char* data = nullptr;
  size_t size = 0;
  bool mapped = false;
};
void add_ref(FileBlock* block);
void release(FileBlock* block);

// A range of a block, which it keeps alive.
class Bytes {
 public:
  Bytes() = default;
  // Maps a regular file. Files under 64 KB are read instead: cheaper, and immune to being truncated by others
  // later.
  static Bytes of_file(const std::string& path, const Limits& limits = {});
  static Bytes copy(std::string_view content);

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {data_, size_}; }
  Bytes slice(size_t offset, size_t size) const;  // Internal error when it does not lie inside
  // Pages of a mapped file that lie wholly in the range leave this process until somebody reads them again; bytes that
  // were read into memory stay.
  void leave(size_t offset, size_t size) const;
  // A read-only tensor over bytes [offset, offset + its size): a view, or a copy where the address is not
  // aligned to the element. The range must lie inside; a bool's byte other than 0 and 1 is an error.
  Tensor tensor(size_t offset, std::span<const int64_t> sizes, DType dtype) const;

 private:
  Ref<FileBlock> block_;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

// Writes `path` through a temporary file beside it: at every moment the old file or the complete new one can
// be read. Without commit() nothing changes. Temporary files that a killed process left are removed by the
// next writer of the path.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;

  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void write_zeros(size_t count);
  uint64_t written() const { return written_; }
  void commit();  // flushes to the device, renames, flushes the folder

 private:
  void flush();
  void write_through(const char* data, size_t size);
  [[noreturn]] void fail_with(const char* deed, int error);
  void sweep();

  std::string path_, folder_, base_, temporary_;
  std::string buffer_;
  uint64_t written_ = 0;
  bool replaces_ = false;  // a file of this name was there
  int descriptor_ = -1;
};

void write_file(const std::string& path, std::string_view content);

// For tests: called before every system call of AtomicFile with its name ("open", "write", "fsync", "rename",
// "fsync folder"); a result other than 0 is taken for the call's errno. Null in production.
extern int (*file_fault)(const char* call);

}  // namespace moka
