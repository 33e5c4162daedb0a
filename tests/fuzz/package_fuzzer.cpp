// libFuzzer target: any bytes as a .moka package; its zip, manifest, weights and program. Checksums are made
// right first, or no mutation would get past them.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>
#include <string>

#include "moka/base/error.h"
#include "moka/formats/package/package.h"
#include "moka/formats/package/zip.h"
#include "moka/formats/package/zip_internal.h"

namespace {

template <class T>
T get(const std::string& text, size_t at) {
  T value{};
  if (at <= text.size() && sizeof value <= text.size() - at)
    std::memcpy(&value, text.data() + at, sizeof value);
  return value;
}

// Sets the checksum of every entry that the directory records describe, in both headers.
void repair_checksums(std::string& text) {
  using namespace moka::package;
  const std::string mark("PK\x01\x02", 4);
  for (size_t at = text.find(mark); at != text.npos && text.size() - at >= central_size;
       at = text.find(mark, at + 4)) {
    const uint64_t size = get<uint32_t>(text, at + 24), local = get<uint32_t>(text, at + 42);
    const uint64_t data =
        local + local_size + get<uint16_t>(text, local + 26) + get<uint16_t>(text, local + 28);
    if (data > text.size() || size > text.size() - data || local + local_size > text.size()) continue;
    const uint32_t crc = crc32(0, text.data() + data, size);
    std::memcpy(text.data() + at + 16, &crc, 4);
    std::memcpy(text.data() + local + 14, &crc, 4);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moka;
  std::string text(reinterpret_cast<const char*>(data), size);
  repair_checksums(text);
  Limits limits;
  limits.max_tensor_bytes = 1 << 24;
  limits.max_text_bytes = 1 << 20;
  limits.max_nodes = 100'000;
  try {
    const package::Package package = package::read(Bytes::copy(text), "input", limits);
    for (const auto& [name, graph] : package.program.graphs) (void)graph::print(*graph);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::Internal) std::abort();
  }
  return 0;
}
