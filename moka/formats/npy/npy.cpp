// Reads and writes .npy: a magic text, a header that is a Python dictionary literal, raw data.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/npy/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace moka::npy {

namespace {

constexpr std::string_view magic = "\x93NUMPY";

struct Code {
  std::string_view text;  // kind and width, behind the byte-order character
  DType dtype;
};
constexpr Code codes[] = {{"b1", DType::Bool}, {"u1", DType::U8},   {"i1", DType::I8},  {"u2", DType::U16},
                          {"i2", DType::I16},  {"u4", DType::U32},  {"i4", DType::I32}, {"u8", DType::U64},
                          {"i8", DType::I64},  {"f2", DType::F16},  {"f4", DType::F32}, {"f8", DType::F64},
                          {"c8", DType::C64},  {"c16", DType::C128}};

// The header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } with keys in any order.
class Header {
 public:
  Header(std::string_view text, std::string_view what) : text_(text), what_(what) {}

  DType dtype = DType::F32;
  bool swapped = false;  // big-endian data
  bool fortran = false;
  Dims shape;

  void parse() {
    unsigned seen = 0;
    expect('{');
    while (!next_is('}')) {
      const std::string_view key = quoted();
      const unsigned bit = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
      MOKA_CHECK_KIND(File, bit && !(seen & bit), what_, ": the header's key '", key,
                      "' is unknown or stands twice");
      seen |= bit;
      expect(':');
      if (bit == 1) parse_dtype(quoted());
      if (bit == 2) fortran = parse_bool();
      if (bit == 4) parse_shape();
      if (!next_is('}')) expect(',');
    }
    expect('}');
    skip_space();
    MOKA_CHECK_KIND(File, at_ == text_.size(), what_, ": something stands behind the header's '}'");
    MOKA_CHECK_KIND(File, seen == 7, what_, ": the header lacks ",
                    !(seen & 1)   ? "descr"
                    : !(seen & 2) ? "fortran_order"
                                  : "shape");
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) at_++;
  }
  bool next_is(char c) {
    skip_space();
    return at_ < text_.size() && text_[at_] == c;
  }
  void expect(char c) {
    MOKA_CHECK_KIND(File, next_is(c), what_, ": '", c, "' was expected at byte ", at_, " of the header");
    at_++;
  }
  std::string_view quoted() {
    const char quote = next_is('"') ? '"' : '\'';
    if (next_is('[')) fail_kind(ErrorKind::File, what_, ": holds records; an array of numbers was expected");
    expect(quote);
    const size_t end = text_.find(quote, at_);
    MOKA_CHECK_KIND(File, end != text_.npos, what_, ": a text in the header does not end");
    const std::string_view out = text_.substr(at_, end - at_);
    at_ = end + 1;
    return out;
  }
  bool parse_bool() {
    skip_space();
    for (std::string_view word : {"True", "False"})
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return word == "True";
      }
    fail_kind(ErrorKind::File, what_, ": fortran_order is neither True nor False");
  }
  void parse_dtype(std::string_view descr) {
    const char order = descr.empty() ? '\0' : descr[0];
    for (const Code& c : codes)
      if (descr.size() > 1 && descr.substr(1) == c.text &&
          std::string_view("<>|=").find(order) != std::string_view::npos) {
        dtype = c.dtype;
        swapped = order == '>' && c.text.back() != '1';
        if (order == '|')
          MOKA_CHECK_KIND(File, item_size(dtype) == 1, what_, ": the type '", descr, "' has no byte order");
        return;
      }
    fail_kind(ErrorKind::File, what_, ": the type '", descr, "' is no number or bool",
              descr == "|O" ? " (objects are never unpickled)" : "");
  }
  void parse_shape() {
    expect('(');
    while (!next_is(')')) {
      int64_t size = 0;
      auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      MOKA_CHECK_KIND(File, error == std::errc() && size >= 0, what_,
                      ": a size in the header's shape is no number of 64 bits");
      MOKA_CHECK_KIND(File, shape.size() < max_dims, what_, ": more than ", max_dims, " dimensions");
      shape.push_back(size);
      at_ = static_cast<size_t>(end - text_.data());
      if (at_ < text_.size() && text_[at_] == 'L') at_++;  // written by Python 2
      if (!next_is(')')) expect(',');
    }
    expect(')');
  }

  std::string_view text_, what_;
  size_t at_ = 0;
};

// Reverses the bytes of every number; a complex one is two numbers.
void swap_bytes(Tensor& t) {
  const size_t size = item_size(t.dtype()) / (is_complex(t.dtype()) ? 2 : 1);
  uint8_t* p = t.data<uint8_t>();
  for (size_t i = 0; i < t.bytes(); i += size) std::reverse(p + i, p + i + size);
}

std::string_view code_of(DType dtype) {
  for (const Code& c : codes)
    if (c.dtype == dtype) return c.text;
  return {};
}

std::string header_of(const Tensor& t) {
  const std::string_view code = code_of(t.dtype());
  MOKA_CHECK_KIND(Type, !code.empty(), "npy: NumPy has no type ", info(t.dtype()).name,
                  "; convert the tensor first");
  std::string dict = cat("{'descr': '", item_size(t.dtype()) == 1 ? '|' : '<', code,
                         "', 'fortran_order': False, 'shape': (");
  for (int64_t size : t.sizes()) dict += cat(size, ", ");
  if (t.dim() > 1) dict.resize(dict.size() - 2);
  else if (t.dim() == 1) dict.resize(dict.size() - 1);
  dict += "), }";
  const bool long_form = dict.size() > 0xFF00;
  const size_t start = long_form ? 12 : 10;
  dict.append((64 - (start + dict.size() + 1) % 64) % 64, ' ');
  dict.push_back('\n');
  std::string out(magic);
  out.push_back(long_form ? 2 : 1);
  out.push_back(0);
  for (size_t i = 0; i < (long_form ? 4u : 2u); i++) out.push_back(static_cast<char>(dict.size() >> 8 * i));
  return out + dict;
}

Tensor writable(const Tensor& tensor) {
  MOKA_CHECK_KIND(Value, tensor.defined() && tensor.has_storage(), "npy: the tensor has no data");
  return as_contiguous(tensor.dtype() == DType::BF16 ? to_dtype(tensor, DType::F32) : tensor);
}

}  // namespace

Tensor read(const std::string& path, const Limits& limits) {
  return read(Bytes::of_file(path, limits), path, limits);
}

Tensor read(const Bytes& bytes, std::string_view what, const Limits& limits) {
  const std::string_view text = bytes.text();
  MOKA_CHECK_KIND(File, text.substr(0, magic.size()) == magic && text.size() >= 10, what, ": no .npy file (",
                  text.substr(0, 2) == "PK" ? "this is an archive of several arrays; unpack it first"
                                            : "its first bytes differ",
                  ")");
  const int version = static_cast<unsigned char>(text[6]);
  MOKA_CHECK_KIND(File, version >= 1 && version <= 3, what, ": .npy version ", version,
                  " is not known (1 to 3 are)");
  const size_t length_bytes = version == 1 ? 2 : 4, start = 8 + length_bytes;
  MOKA_CHECK_KIND(File, text.size() >= start, what, ": the header is truncated");
  uint64_t length = 0;
  std::memcpy(&length, text.data() + 8, length_bytes);
  MOKA_CHECK_KIND(File, length <= limits.max_header_bytes && length <= text.size() - start, what,
                  ": the header claims ", length, " bytes, the file has ", text.size() - start, " behind it");
  Header header(text.substr(start, length), what);
  header.parse();

  uint64_t need = item_size(header.dtype);
  bool overflow = false, empty = false;
  for (int64_t size : header.shape) {
    empty = empty || size == 0;
    overflow = overflow || __builtin_mul_overflow(need, static_cast<uint64_t>(size ? size : 1), &need);
  }
  MOKA_CHECK_KIND(File, !overflow && need <= uint64_t(INT64_MAX), what, ": shape ", header.shape,
                  " overflows 64 bits");
  if (empty) need = 0;
  const uint64_t have = text.size() - start - length;
  MOKA_CHECK_KIND(File, need == have, what, ": ", info(header.dtype).name, " ", header.shape, " needs ", need,
                  " bytes of data, the file has ", have);

  Dims stored = header.shape;
  if (header.fortran) std::reverse(stored.begin(), stored.end());
  Tensor out = bytes.tensor(start + length, stored, header.dtype);
  if (header.swapped) {
    Tensor own = new_tensor(stored, header.dtype);
    if (own.bytes()) std::memcpy(own.raw_data(), out.raw_data(), own.bytes());
    swap_bytes(own);
    out = own;
  }
  if (header.fortran && header.shape.size() > 1) {
    Dims strides(out.strides());
    std::reverse(strides.begin(), strides.end());
    out = strided_view(out, header.shape, strides, 0);
  }
  return out;
}

void write(const std::string& path, const Tensor& tensor) {
  const Tensor t = writable(tensor);
  AtomicFile file(path);
  file.write(header_of(t));
  file.write(t.raw_data(), t.bytes());
  file.commit();
}

std::string to_bytes(const Tensor& tensor) {
  const Tensor t = writable(tensor);
  std::string out = header_of(t);
  if (t.bytes()) out.append(static_cast<const char*>(t.raw_data()), t.bytes());
  return out;
}

}  // namespace moka::npy
