// Tensors by name in the safetensors layout: 8 bytes header length, a JSON header, raw little-endian data.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "moka/formats/files.h"

namespace moka::safetensors {

struct Content {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

// Reads all tensors as read-only views of the mapped file; those whose data are not aligned to their element,
// and the packed 4- and 6-bit types, are copied. Every rule of the format is enforced; `what` names the file
// in errors.
Content read(const std::string& path, const Limits& limits = {});
Content read(const Bytes& bytes, std::string_view what, const Limits& limits = {});

// A file ready to be written: the header, then the data of `order` one behind the other.
struct Layout {
  std::string header;         // with its length, padded so that the data begin at a multiple of 64
  std::vector<Tensor> order;  // contiguous; the widest elements first, so that each is aligned to its element
  uint64_t size = 0;  // of the whole file
};
// Element types that safetensors cannot name (complex128, the 4- and 2-bit integers) are stored as bytes, and
// the metadata entry "moka.dtype:NAME" says what they are; strings and shape-only tensors are errors.
Layout plan(const std::map<std::string, Tensor>& tensors,
            const std::map<std::string, std::string>& metadata = {});

// Atomic: whatever happens, `path` is either what it was or the complete new file.
void write(const std::string& path, const std::map<std::string, Tensor>& tensors,
           const std::map<std::string, std::string>& metadata = {});
std::string to_bytes(const std::map<std::string, Tensor>& tensors,
                     const std::map<std::string, std::string>& metadata = {});

}  // namespace moka::safetensors
