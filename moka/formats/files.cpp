// Mapping files for reading; temporary file, fsync and rename for writing.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "moka/base/error.h"
#include "moka/tensor/allocator.h"

namespace moka {

int (*file_fault)(const char* call) = nullptr;

namespace {

constexpr size_t map_from_bytes = 64 * 1024;
constexpr size_t buffer_bytes = 256 * 1024;

std::string error_text(int error) {
  char room[128];
  return strerror_r(error, room, sizeof room);  // the GNU form: returns the text
}

[[noreturn]] void fail_errno(const std::string& path, const char* deed) {
  const int error = errno;
  fail_system(error, path, ": ", deed, ": ", error_text(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd(fd) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  const int fd;
};

// Types whose byte in memory has values that mean nothing; kernels need not guard against those.
unsigned greatest_byte(DType dtype) {
  switch (dtype) {
    case DType::Bool: return 1;
    case DType::U2: return 3;
    case DType::U4:
    case DType::F4E2M1: return 15;
    case DType::F6E2M3:
    case DType::F6E3M2: return 63;
    default: return 255;
  }
}

FileBlock* new_block(size_t size) {
  char* data = static_cast<char*>(std::aligned_alloc(64, (size + 63) / 64 * 64 + 64));
  if (!data) fail_kind(ErrorKind::OutOfMemory, "reading a file: cannot allocate ", size, " bytes");
  FileBlock* block = new FileBlock;
  block->data = data;
  block->size = size;
  return block;
}

}  // namespace

void add_ref(FileBlock* block) { block->references.fetch_add(1, std::memory_order_relaxed); }

void release(FileBlock* block) {
  if (block->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (block->mapped) ::munmap(const_cast<char*>(block->data), block->size);
  else std::free(const_cast<char*>(block->data));
  delete block;
}

Bytes Bytes::of_file(const std::string& path, const Limits& limits) {
  // A FIFO would block open() for ever without O_NONBLOCK; regular files do not know the flag.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) fail_errno(path, "cannot be opened");
  struct stat status;
  if (::fstat(file.fd, &status) != 0) fail_errno(path, "cannot be read");
  if (S_ISDIR(status.st_mode)) fail_system(EISDIR, path, ": is a folder, a file was expected");
  if (!S_ISREG(status.st_mode)) fail_system(EINVAL, path, ": is not a regular file");
  const uint64_t size = static_cast<uint64_t>(status.st_size);
  MOKA_CHECK_KIND(File, size <= limits.max_bytes, path, ": has ", size, " bytes, the limit is ",
                  limits.max_bytes);
  Bytes out;
  if (size >= map_from_bytes) {
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (data == MAP_FAILED) fail_errno(path, "cannot be mapped");
    FileBlock* block = new FileBlock;
    block->data = static_cast<const char*>(data);
    block->size = size;
    block->mapped = true;
    out.block_ = Ref<FileBlock>::adopt(block);
  } else {
    out.block_ = Ref<FileBlock>::adopt(new_block(size));
    size_t done = 0;
    while (done < size) {
      ssize_t n = ::read(file.fd, const_cast<char*>(out.block_->data) + done, size - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_errno(path, "cannot be read");
      if (n == 0) fail_system(EIO, path, ": became shorter while it was read");
      done += static_cast<size_t>(n);
    }
  }
  out.data_ = out.block_->data;
  out.size_ = size;
  return out;
}

Bytes Bytes::copy(std::string_view content) {
  Bytes out;
  out.block_ = Ref<FileBlock>::adopt(new_block(content.size()));
  if (!content.empty()) std::memcpy(const_cast<char*>(out.block_->data), content.data(), content.size());
  out.data_ = out.block_->data;
  out.size_ = content.size();
  return out;
}

namespace {
// Of a tensor over a file: who packed its elements needs them once, whatever else keeps the file.
void drop_elements(Storage* storage) {
  if (storage->of_file) leave_file_pages(storage->data, storage->bytes);
  release(static_cast<FileBlock*>(storage->context));
}
}  // namespace

void Bytes::leave(size_t offset, size_t size) const {
  MOKA_ASSERT(offset <= size_ && size <= size_ - offset);
  if (block_ && block_->mapped) leave_file_pages(data_ + offset, size);
}

Bytes Bytes::slice(size_t offset, size_t size) const {
  MOKA_ASSERT(offset <= size_ && size <= size_ - offset);
  Bytes out = *this;
  out.data_ += offset;
  out.size_ = size;
  return out;
}

Tensor Bytes::tensor(size_t offset, std::span<const int64_t> sizes, DType dtype) const {
  const int64_t count = checked_numel(sizes, "tensor in a file");
  const size_t bytes =
      static_cast<size_t>(checked_mul(count, static_cast<int64_t>(item_size(dtype)), "tensor in a file"));
  MOKA_ASSERT(offset <= size_ && bytes <= size_ - offset);
  const char* from = data_ + offset;
  if (const unsigned greatest = greatest_byte(dtype); greatest < 255)
    for (size_t i = 0; i < bytes; i++)
      MOKA_CHECK_KIND(File, static_cast<unsigned char>(from[i]) <= greatest, "a tensor in the file is ",
                      info(dtype).name, ", but one of its bytes is ",
                      static_cast<unsigned>(static_cast<unsigned char>(from[i])));
  if (bytes == 0 || reinterpret_cast<uintptr_t>(from) % item_size(dtype) != 0) {
    Tensor out = new_tensor(sizes, dtype);
    if (bytes) std::memcpy(out.raw_data(), from, bytes);
    leave(offset, bytes);
    return out;
  }
  Ref<FileBlock> keep = block_;
  Dims strides = contiguous_strides(sizes);
  Tensor out = from_memory(const_cast<char*>(from), bytes, sizes, strides, dtype, Device{}, drop_elements,
                           keep.get(), true);
  out.impl()->storage->of_file = block_->mapped;
  keep.detach();  // now the storage's
  return out;
}

// ---- writing

namespace {

// 0, or the errno with which a test wants this call to fail.
int fault(const char* call) { return file_fault ? file_fault(call) : 0; }

constexpr std::string_view temporary_mark = ".moka-tmp-";
constexpr size_t name_limit =
    200;  // of the base name in a temporary file's name: file systems allow 255 bytes in all

}  // namespace

void AtomicFile::fail_with(const char* deed, int error) {
  std::string message = cat(path_, ": cannot ", deed, ": ", error_text(error));
  if (error == ENOSPC || error == EDQUOT)
    message += cat(" (after ", written_, " bytes); free some space and write again");
  fail_system(error, message, replaces_ ? "; the old file is as it was" : "; nothing was left behind");
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  MOKA_CHECK_KIND(File, !path_.empty(), "writing a file: the path is empty");
  struct stat status;
  if (::stat(path_.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) fail_system(EISDIR, path_, ": is a folder, a file was expected");
    if (!S_ISREG(status.st_mode))
      fail_system(EINVAL, path_, ": is not a regular file, so it cannot be replaced in one step");
    replaces_ = true;
  } else {
    status.st_mode = 0;
  }
  std::string target = path_;  // through a symbolic link the file behind it is replaced, not the link
  if (char* real = ::realpath(path_.c_str(), nullptr)) {
    target = real;
    std::free(real);
  }
  size_t slash = target.rfind('/');
  folder_ = slash == std::string::npos ? "." : slash == 0 ? "/" : target.substr(0, slash);
  base_ = slash == std::string::npos ? target : target.substr(slash + 1);
  sweep();
  static std::atomic<uint32_t> counter{0};
  for (int attempt = 0; attempt < 100; attempt++) {
    temporary_ = cat(folder_, "/.", std::string_view(base_).substr(0, name_limit), temporary_mark,
                     static_cast<int64_t>(::getpid()), "-", counter.fetch_add(1));
    int error = fault("open");
    descriptor_ = error ? -1 : ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) {
      // The lock tells sweep() of other writers that this one is at work; one that came in between took the
      // file away.
      struct stat ours;
      if (::flock(descriptor_, LOCK_EX) != 0 || ::fstat(descriptor_, &ours) != 0 || ours.st_nlink > 0) break;
      ::close(descriptor_);
      descriptor_ = -1;
      continue;
    }
    if (!error) error = errno;
    if (error == EEXIST) continue;
    temporary_.clear();
    if (error == ENOENT || error == ENOTDIR)
      fail_system(error, path_, ": cannot be written: there is no folder ", folder_);
    fail_with(cat("be written, its folder ", folder_, " takes no new file").c_str(), error);
  }
  if (descriptor_ < 0) {
    temporary_.clear();
    fail_with("be written: no free name for a temporary file", EEXIST);
  }
  if (status.st_mode)
    (void)!::fchmod(descriptor_, status.st_mode & 07777);  // a replaced file keeps its permissions
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

// Removes temporary files of this path whose writers are gone: a living writer holds a lock.
void AtomicFile::sweep() {
  DIR* folder = ::opendir(folder_.c_str());
  if (!folder) return;
  const std::string start = cat(".", std::string_view(base_).substr(0, name_limit), temporary_mark);
  while (const dirent* entry = ::readdir(folder)) {
    if (std::strncmp(entry->d_name, start.c_str(), start.size()) != 0) continue;
    const std::string stale = cat(folder_, "/", std::string_view(entry->d_name));
    Descriptor file(::open(stale.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (file.fd >= 0 && ::flock(file.fd, LOCK_EX | LOCK_NB) == 0) ::unlink(stale.c_str());
  }
  ::closedir(folder);
}

void AtomicFile::write_through(const char* data, size_t size) {
  while (size > 0) {
    int error = fault("write");
    ssize_t n = error ? -1 : ::write(descriptor_, data, size < (1u << 30) ? size : (1u << 30));
    if (n < 0) {
      if (!error) error = errno;
      if (error == EINTR) continue;
      fail_with("be written", error);
    }
    data += n;
    size -= static_cast<size_t>(n);
    written_ += static_cast<uint64_t>(n);
  }
}

void AtomicFile::flush() {
  std::string full;
  full.swap(buffer_);
  written_ -= full.size();  // write() counted them already
  write_through(full.data(), full.size());
}

void AtomicFile::write(const void* data, size_t size) {
  if (size >= buffer_bytes) {
    flush();
    write_through(static_cast<const char*>(data), size);
    return;
  }
  if (buffer_.size() + size > buffer_bytes) flush();
  buffer_.append(static_cast<const char*>(data), size);
  written_ += size;
}

void AtomicFile::write_zeros(size_t count) {
  static const char zeros[256] = {};
  for (; count > sizeof zeros; count -= sizeof zeros) write(zeros, sizeof zeros);
  write(zeros, count);
}

void AtomicFile::commit() {
  flush();
  int error = fault("fsync");
  if (error || ::fsync(descriptor_) != 0) fail_with("be flushed to the device", error ? error : errno);
  error = fault("rename");
  const std::string target = cat(folder_, "/", base_);
  if (error || ::rename(temporary_.c_str(), target.c_str()) != 0)
    fail_with("take its place", error ? error : errno);
  temporary_.clear();
  ::close(descriptor_);
  descriptor_ = -1;
  // The name itself survives a power failure only once its folder is on the device.
  Descriptor folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.fd < 0) return;  // folders that may be written but not read exist; the data themselves are safe
  error = fault("fsync folder");
  if (!error && ::fsync(folder.fd) != 0 && errno != EINVAL) error = errno;
  if (error)
    fail_system(error, path_,
                ": is written, but its folder could not be flushed to the device: ", error_text(error));
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace moka
