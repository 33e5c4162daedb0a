// TensorProto: its six ways to hold elements, in the file or beside it.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <charconv>
#include <cstring>

#include "moka/formats/onnx/model.h"
#include "moka/formats/spelling/table.h"
#include "moka/tensor/strings.h"

namespace moka::onnx {

using proto::Message;
static_assert(std::endian::native == std::endian::little, "elements of files are little endian");

namespace {

// Bits of one element in files; memory has whole bytes.
int packed_bits(DType dtype) {
  switch (dtype) {
    case DType::U4:
    case DType::I4:
    case DType::F4E2M1: return 4;
    case DType::U2:
    case DType::I2: return 2;
    default: return static_cast<int>(item_size(dtype)) * 8;
  }
}

// Number of elements; so few that their bits can be counted.
int64_t count_elements(std::span<const int64_t> sizes, std::string_view what) {
  constexpr int64_t most = INT64_MAX / 256;
  int64_t count = 1;
  bool empty = false, large = false;
  for (int64_t size : sizes) {
    MOKA_CHECK_KIND(File, size >= 0, what, ": negative size ", size, " in shape ", sizes);
    empty = empty || size == 0;
    large = large || __builtin_mul_overflow(count, size, &count) || count > most;
  }
  MOKA_CHECK_KIND(File, empty || !large, what, ": shape ", sizes, " has more elements than can be addressed");
  return empty ? 0 : count;
}

uint64_t file_bytes(int64_t count, DType dtype) {
  return (static_cast<uint64_t>(count) * static_cast<uint64_t>(packed_bits(dtype)) + 7) / 8;
}

// Two or four elements a byte, low bits first; signed ones are extended.
void unpack_bits(std::string_view raw, DType dtype, int64_t count, uint8_t* out) {
  const int bits = packed_bits(dtype), each = 8 / bits;
  const bool extend = dtype == DType::I4 || dtype == DType::I2;
  for (int64_t i = 0; i < count; i++) {
    int v =
        (static_cast<uint8_t>(raw[static_cast<size_t>(i / each)]) >> (i % each * bits)) & ((1 << bits) - 1);
    if (extend && (v >> (bits - 1))) v -= 1 << bits;
    out[i] = static_cast<uint8_t>(v);
  }
}

}  // namespace

Tensor unpack_raw(std::string_view raw, std::span<const int64_t> sizes, DType dtype, const Bytes& owner,
                  std::string_view what) {
  const int64_t count = count_elements(sizes, what);
  const uint64_t needed = file_bytes(count, dtype);
  MOKA_CHECK_KIND(File, raw.size() == needed, what, ": shape ", sizes, " of ", info(dtype).name, " needs ",
                  needed, " bytes, the file has ", raw.size());
  if (packed_bits(dtype) < 8) {
    Tensor out = new_tensor(sizes, dtype);
    unpack_bits(raw, dtype, count, static_cast<uint8_t*>(out.raw_data()));
    return out;
  }
  if (dtype == DType::Bool) {  // any other byte than 0 is true in files, only 1 is in memory
    Tensor out = new_tensor(sizes, dtype);
    auto* to = static_cast<uint8_t*>(out.raw_data());
    for (int64_t i = 0; i < count; i++) to[i] = raw[static_cast<size_t>(i)] != 0;
    return out;
  }
  const bool inside = raw.data() >= owner.data() && raw.data() + raw.size() <= owner.data() + owner.size();
  if (inside && count > 0) return owner.tensor(static_cast<size_t>(raw.data() - owner.data()), sizes, dtype);
  Tensor out = new_tensor(sizes, dtype);
  if (count) std::memcpy(out.raw_data(), raw.data(), raw.size());
  return out;
}

namespace {

class TensorReader {
 public:
  TensorReader(proto::Budget& budget, std::string_view message, const Bytes& owner, ExternalData& external)
      : budget_(budget), message_(message), owner_(owner), external_(external) {}

  Tensor read() {
    head();
    const std::string what = cat(budget_.file, ": tensor '", name_, "'");
    MOKA_CHECK_KIND(File, dims_.size() <= static_cast<size_t>(max_dims), what, ": has ", dims_.size(),
                    " dimensions, at most ", max_dims, " are possible");
    DType dtype;
    MOKA_CHECK_KIND(File, spelling::find_dtype_code(spelling::Dialect::Onnx, type_, dtype), what,
                    ": element type ", type_, " does not exist");
    MOKA_CHECK_KIND(File, !segment_, what, ": is stored in segments, which ONNX does not use");
    const std::span<const int64_t> sizes(dims_);
    const int64_t count = count_elements(sizes, what);
    if (location_ == 1) {
      MOKA_CHECK_KIND(File, dtype != DType::String, what, ": strings cannot be kept outside of the model");
      MOKA_CHECK_KIND(File, !has_raw_ && fields_ == 0, what, ": has data both in the model and outside");
      return outside(sizes, dtype, count, what);
    }
    if (dtype == DType::String) return strings(sizes, count, what);
    if (has_raw_) {
      MOKA_CHECK_KIND(File, fields_ == 0, what, ": has raw_data and typed data, only one may be filled");
      MOKA_CHECK_KIND(File, raw_.size() == file_bytes(count, dtype), what, ": shape ", sizes, " of ",
                      info(dtype).name, " needs ", file_bytes(count, dtype), " bytes, raw_data has ",
                      raw_.size());
      budget_.take_tensor_bytes(static_cast<uint64_t>(count) * item_size(dtype), what);
      return unpack_raw(raw_, sizes, dtype, owner_, what);
    }
    return typed(sizes, dtype, count, what);
  }

 private:
  void head() {
    Message m(budget_, message_, "TensorProto");
    while (m.next()) {
      switch (m.field()) {
        case 1: m.integers("dims", dims_); break;
        case 2: type_ = m.integer("data_type"); break;
        case 3:
          segment_ = true;
          m.skip();
          break;
        case 4:
        case 5:
        case 6:
        case 7:
        case 10:
        case 11:
          fields_ |= 1 << m.field();
          if (m.wire() == proto::Wire::Length && m.field() != 6) payload_ += m.raw("data").size();
          else {
            m.skip();
            payload_ += 1;
          }
          break;
        case 8: name_ = m.text("name"); break;
        case 9:
          raw_ = m.raw("raw_data");
          has_raw_ = true;
          break;
        case 13: {
          Message pair = m.message("external_data", "StringStringEntryProto");
          std::string_view key, value;
          while (pair.next()) {
            if (pair.field() == 1) key = pair.text("key");
            else if (pair.field() == 2) value = pair.text("value");
            else pair.skip();
          }
          if (key == "location") place_ = value;
          else if (key == "offset") offset_ = number(m, "offset", value);
          else if (key == "length") length_ = number(m, "length", value);
          break;
        }
        case 14: location_ = m.integer("data_location"); break;
        default: m.skip();
      }
    }
  }

  static int64_t number(const Message& m, const char* key, std::string_view text) {
    int64_t out = -1;
    auto r = std::from_chars(text.data(), text.data() + text.size(), out);
    if (r.ec != std::errc() || r.ptr != text.data() + text.size() || out < 0)
      m.fail("external_data", key, " '", text, "' is no byte count");
    return out;
  }

  Tensor outside(std::span<const int64_t> sizes, DType dtype, int64_t count, const std::string& what) {
    const Bytes file = external_.open(std::string(place_));
    const uint64_t offset = offset_ < 0 ? 0 : static_cast<uint64_t>(offset_);
    const uint64_t needed = file_bytes(count, dtype);
    const uint64_t length = length_ < 0 ? needed : static_cast<uint64_t>(length_);
    MOKA_CHECK_KIND(File, length == needed, what, ": shape ", sizes, " of ", info(dtype).name, " needs ",
                    needed, " bytes, external data has length ", length);
    MOKA_CHECK_KIND(File, offset <= file.size() && length <= file.size() - offset, what, ": bytes ", offset,
                    " to ", offset + length, " lie outside of '", place_, "', which has ", file.size());
    budget_.take_tensor_bytes(static_cast<uint64_t>(count) * item_size(dtype), what);
    return unpack_raw(std::string_view(file.data() + offset, length), sizes, dtype, file, what);
  }

  Tensor strings(std::span<const int64_t> sizes, int64_t count, const std::string& what) {
    MOKA_CHECK_KIND(File, !has_raw_ && (fields_ & ~(1 << 6)) == 0, what,
                    ": strings are kept in string_data only");
    MOKA_CHECK_KIND(File, payload_ == static_cast<uint64_t>(count), what, ": shape ", sizes, " needs ", count,
                    " elements, the file has ", payload_);
    budget_.take_tensor_bytes(static_cast<uint64_t>(count) * item_size(DType::String), what);
    Tensor out = new_tensor(sizes, DType::String);
    TextWriter to(out);
    int64_t at = 0;
    Message m(budget_, message_, "TensorProto");
    while (m.next()) {
      if (m.field() == 6) to.set(at++, m.raw("string_data"));
      else m.skip();
    }
    return out;
  }

  // Elements one by one in the field that the type asks for.
  Tensor typed(std::span<const int64_t> sizes, DType dtype, int64_t count, const std::string& what) {
    const int bits = packed_bits(dtype);
    const bool pairs = is_complex(dtype);
    const int64_t entries =
        bits < 8 ? static_cast<int64_t>(file_bytes(count, dtype)) : count * (pairs ? 2 : 1);
    // The file must be able to hold that many before memory is taken for them.
    MOKA_CHECK_KIND(File, static_cast<uint64_t>(entries) <= payload_, what, ": shape ", sizes, " needs ",
                    entries, " elements, the file has ", payload_ == 0 ? "none" : "fewer");
    budget_.take_tensor_bytes(static_cast<uint64_t>(count) * item_size(dtype), what);
    Tensor out = new_tensor(sizes, dtype);
    std::string packed;
    char* to = count ? static_cast<char*>(out.raw_data()) : nullptr;
    if (bits < 8) {
      packed.resize(static_cast<size_t>(entries));
      to = packed.data();
    }
    const size_t room = static_cast<size_t>(entries);
    size_t done = 0;
    Message m(budget_, message_, "TensorProto");
    while (m.next()) {
      const size_t left = room - done;
      switch (m.field()) {
        case 4:
          if (dtype != DType::F32 && dtype != DType::C64)
            m.fail("float_data", "does not hold ", info(dtype).name);
          done += m.floats_into("float_data", reinterpret_cast<float*>(to) + done, left);
          break;
        case 10:
          if (dtype != DType::F64 && dtype != DType::C128)
            m.fail("double_data", "does not hold ", info(dtype).name);
          done += m.doubles_into("double_data", reinterpret_cast<double*>(to) + done, left);
          break;
        case 7:
          if (dtype != DType::I64) m.fail("int64_data", "does not hold ", info(dtype).name);
          done += m.integers_into("int64_data", reinterpret_cast<uint64_t*>(to) + done, left);
          break;
        case 11:
          if (dtype != DType::U64 && dtype != DType::U32)
            m.fail("uint64_data", "does not hold ", info(dtype).name);
          if (dtype == DType::U64)
            done += m.integers_into("uint64_data", reinterpret_cast<uint64_t*>(to) + done, left);
          else done += m.integers_into("uint64_data", reinterpret_cast<uint32_t*>(to) + done, left);
          break;
        case 5:
          if (is_complex(dtype) || dtype == DType::F32 || dtype == DType::F64 || item_size(dtype) == 8 ||
              dtype == DType::U32)
            m.fail("int32_data", "does not hold ", info(dtype).name);
          if (item_size(dtype) == 4)
            done += m.integers_into("int32_data", reinterpret_cast<uint32_t*>(to) + done, left);
          else if (item_size(dtype) == 2)
            done += m.integers_into("int32_data", reinterpret_cast<uint16_t*>(to) + done, left);
          else done += m.integers_into("int32_data", reinterpret_cast<uint8_t*>(to) + done, left);
          break;
        default: m.skip();
      }
    }
    MOKA_CHECK_KIND(File, done == room, what, ": shape ", sizes, " needs ", room, " elements, the file has ",
                    done);
    if (bits < 8) unpack_bits(packed, dtype, count, static_cast<uint8_t*>(out.raw_data()));
    if (dtype == DType::Bool)
      for (int64_t i = 0; i < count; i++) to[i] = to[i] != 0;
    return out;
  }

  proto::Budget& budget_;
  std::string_view message_;
  const Bytes& owner_;
  ExternalData& external_;
  std::vector<int64_t> dims_;
  int64_t type_ = 0, location_ = 0, offset_ = -1, length_ = -1;
  int fields_ = 0;
  uint64_t payload_ = 0;
  bool has_raw_ = false, segment_ = false;
  std::string_view raw_, name_, place_;
};

}  // namespace

Tensor read_tensor(proto::Budget& budget, std::string_view message, const Bytes& owner,
                   ExternalData& external) {
  return TensorReader(budget, message, owner, external).read();
}

Tensor read_sparse_tensor(proto::Budget& budget, std::string_view message, const Bytes& owner,
                          ExternalData& external) {
  Tensor values, places;
  std::vector<int64_t> sizes;
  Message m(budget, message, "SparseTensorProto");
  while (m.next()) {
    switch (m.field()) {
      case 1:
        values = read_tensor(budget, m.message("values", "TensorProto").bytes(), owner, external);
        break;
      case 2:
        places = read_tensor(budget, m.message("indices", "TensorProto").bytes(), owner, external);
        break;
      case 3: m.integers("dims", sizes); break;
      default: m.skip();
    }
  }
  const std::string what = cat(budget.file, ": a sparse tensor");
  MOKA_CHECK_KIND(File, values && values.dim() == 1 && values.dtype() != DType::String, what,
                  ": values must be numbers in one dimension");
  const int64_t count = values.numel(), rank = static_cast<int64_t>(sizes.size());
  MOKA_CHECK_KIND(File, rank >= 1 && rank <= max_dims, what, ": has ", rank, " dimensions");
  const int64_t total = count_elements(sizes, what);
  MOKA_CHECK_KIND(File, (places || count == 0), what, ": there are no indices");
  const bool linear = places && places.dim() == 1;
  if (count)
    MOKA_CHECK_KIND(File, places.dtype() == DType::I64 && places.numel() == count * (linear ? 1 : rank), what,
                    ": ", count, " values need int64 indices [", count, "] or [", count, ", ", rank,
                    "], got ", places.sizes());
  // Little may stand for much: what is nearly empty is refused beyond a size that harms nobody.
  constexpr int64_t small = int64_t(1) << 24;
  MOKA_CHECK_KIND(File, total <= small || total / 1024 <= count, what, ": ", count, " values in ", total,
                  " places are not made dense (at most ", small, " places, or 1024 for each value)");
  budget.take_tensor_bytes(static_cast<uint64_t>(total) * item_size(values.dtype()), what);
  Tensor out = new_tensor(sizes, values.dtype());
  if (out.numel()) std::memset(out.raw_data(), 0, out.bytes());
  const size_t item = item_size(values.dtype());
  for (int64_t i = 0; i < count; i++) {
    int64_t at = linear ? places.data<int64_t>()[i] : 0;
    for (int64_t d = 0; d < rank && !linear; d++) {
      const int64_t p = places.data<int64_t>()[i * rank + d], size = sizes[static_cast<size_t>(d)];
      MOKA_CHECK_KIND(File, p >= 0 && p < size, what, ": index ", p, " is out of range for size ", size);
      at = at * size + p;
    }
    MOKA_CHECK_KIND(File, at >= 0 && at < total, what, ": index ", at, " is out of range for ", total,
                    " elements");
    std::memcpy(static_cast<char*>(out.raw_data()) + static_cast<size_t>(at) * item,
                static_cast<const char*>(values.raw_data()) + static_cast<size_t>(i) * item, item);
  }
  return out;
}

// ---- external data

ExternalData::ExternalData(std::string model_path, Limits limits) : has_folder_(true), limits_(limits) {
  const size_t slash = model_path.rfind('/');
  folder_ = slash == std::string::npos ? "." : slash == 0 ? "/" : model_path.substr(0, slash);
}

namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Opens `path` below the folder without following any link: the kernel's own check, or name by name where it has none.
int open_beneath(int folder, const std::string& path) {
  struct open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(fd);
  Descriptor here{::dup(folder)};
  size_t from = 0;
  while (here.fd >= 0) {
    const size_t slash = path.find('/', from);
    const std::string name = path.substr(from, slash - from);
    const bool last = slash == std::string::npos;
    const int next = ::openat(here.fd, name.c_str(),
                              O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? O_NONBLOCK : O_DIRECTORY));
    if (last) return next;
    ::close(here.fd);
    here.fd = next;
    from = slash + 1;
  }
  return -1;
}

}  // namespace

Bytes ExternalData::open(const std::string& location) {
  MOKA_CHECK_KIND(File, has_folder_, "external data '", location,
                  "': the model came from memory and has no folder; load it from its path");
  MOKA_CHECK_KIND(File, !location.empty() && location[0] != '/' && location.find('\\') == std::string::npos,
                  "external data '", location, "': a path relative to the model's folder was expected");
  for (size_t from = 0; from <= location.size();) {
    const size_t slash = std::min(location.find('/', from), location.size());
    const std::string_view name = std::string_view(location).substr(from, slash - from);
    MOKA_CHECK_KIND(File, name != ".." && !name.empty(), "external data '", location,
                    "': must stay inside the model's folder");
    from = slash + 1;
  }
  auto [at, fresh] = open_->try_emplace(location);
  if (!fresh) return at->second;
  try {
    Descriptor folder{::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    MOKA_CHECK_KIND(File, folder.fd >= 0, "external data '", location, "': the model's folder '", folder_,
                    "' cannot be opened");
    Descriptor file{open_beneath(folder.fd, location)};
    MOKA_CHECK_KIND(
        File, file.fd >= 0, "external data '", location, "': cannot be opened in '", folder_,
        "': ", errno == ELOOP || errno == EXDEV ? "symbolic links are not followed" : std::strerror(errno));
    struct stat status;
    MOKA_CHECK_KIND(
        File, ::fstat(file.fd, &status) == 0 && (!S_ISREG(status.st_mode) || status.st_nlink == 1),
        "external data '", location, "': has ", status.st_nlink,
        " names (hard links), so it may belong to somebody outside of the folder; copy it into place");
    at->second = Bytes::of_file(cat("/dev/fd/", file.fd), limits_);
  } catch (...) {
    open_->erase(at);
    throw;
  }
  return at->second;
}

void ExternalData::leave() const {
  for (const auto& [location, bytes] : *open_) bytes.leave(0, bytes.size());
}

}  // namespace moka::onnx
