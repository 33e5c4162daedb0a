// UTF-8 and case.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/strings/text.h"

#include <locale.h>
#include <wctype.h>

#include "moka/ops/kernels/arguments.h"
#include "moka/tensor/strings.h"

namespace moka::ops {

uint32_t next_code_point(std::string_view text, size_t& at) {
  const uint8_t first = static_cast<uint8_t>(text[at]);
  const int more = first < 0x80                    ? 0
                   : first >= 0xc2 && first < 0xe0 ? 1
                   : (first & 0xf0) == 0xe0        ? 2
                   : first >= 0xf0 && first < 0xf5 ? 3
                                                   : -1;
  if (more < 0 || at + static_cast<size_t>(more) >= text.size()) {
    at++;
    return 0xfffd;
  }
  uint32_t c = more == 0 ? first : first & (0x3fu >> more);
  for (int i = 1; i <= more; i++) {
    const uint8_t next = static_cast<uint8_t>(text[at + static_cast<size_t>(i)]);
    if ((next & 0xc0) != 0x80) {
      at++;
      return 0xfffd;
    }
    c = c << 6 | (next & 0x3f);
  }
  at += static_cast<size_t>(more) + 1;
  return c;
}

void append_code_point(std::string& out, uint32_t c) {
  auto put = [&](uint32_t v) { out += static_cast<char>(v); };
  if (c < 0x80) put(c);
  else if (c < 0x800) put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
  else if (c < 0x10000) put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  else put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
}

bool is_space(uint32_t c) {  // Unicode's White_Space
  return (c >= 9 && c <= 13) || c == ' ' || (c >= 0x1c && c <= 0x1f) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

std::string in_case(std::string_view text, bool upper) {
  // The C library's table of Unicode, whatever language the program has set.
  static const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const uint8_t c = static_cast<uint8_t>(text[at]);
    if (c < 0x80) {
      const bool other = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
      out += static_cast<char>(other ? c ^ 0x20 : c);
      at++;
      continue;
    }
    MOKA_CHECK_KIND(NotImplemented, unicode,
                    "upper and lower case beyond ASCII need the locale C.UTF-8, which this system "
                    "does not have");
    const size_t from = at;
    const uint32_t wide = next_code_point(text, at);
    if (wide == 0xfffd) out.append(text.substr(from, at - from));  // also what is no UTF-8
    else
      append_code_point(out,
                        static_cast<uint32_t>(upper ? towupper_l(wide, unicode) : towlower_l(wide, unicode)));
  }
  return out;
}

const Tensor& string_argument(const Frame& f, int i) {
  const Tensor& t = tensor_argument(f, i);
  MOKA_CHECK_KIND(Type, t.dtype() == DType::String, f.name(), ": '", argument_name(f, i),
                  "' must be a tensor of strings, got ", t.dtype());
  return t;
}

Tensor as_shape(const Tensor& t, std::span<const int64_t> sizes) {
  if (std::equal(sizes.begin(), sizes.end(), t.sizes().begin(), t.sizes().end())) return as_contiguous(t);
  Tensor out = new_tensor(sizes, t.dtype());
  copy_elements(t, out);
  return out;
}

}  // namespace moka::ops
