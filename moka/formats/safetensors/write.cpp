// Writes safetensors: the header first, then the data, the widest elements first.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/formats/json.h"
#include "moka/formats/safetensors/safetensors.h"

namespace moka::safetensors {

namespace {

void append_member(std::string& out, std::string_view key) {
  if (out.back() != '{') out.push_back(',');
  append_json_string(out, key);
  out.push_back(':');
}

void append_metadata(std::string& out, const std::map<std::string, std::string>& metadata) {
  append_member(out, "__metadata__");
  out.push_back('{');
  for (const auto& [key, value] : metadata) {
    append_member(out, key);
    append_json_string(out, value);
  }
  out.push_back('}');
}

}  // namespace

Layout plan(const std::map<std::string, Tensor>& tensors,
            const std::map<std::string, std::string>& metadata) {
  Layout out;
  std::map<std::string, std::string> notes = metadata;
  std::vector<std::pair<const std::string*, Tensor>> order;
  for (const auto& [name, tensor] : tensors) {
    MOKA_CHECK_KIND(Value, name != "__metadata__", "safetensors: no tensor may be named __metadata__");
    MOKA_CHECK_KIND(Value, is_utf8(name), "safetensors: a tensor's name is no UTF-8 text: ", name);
    MOKA_CHECK_KIND(Value, tensor.defined() && tensor.has_storage(), "safetensors: tensor '", name,
                    "' has no data");
    MOKA_CHECK_KIND(Type, tensor.dtype() != DType::String && tensor.dtype() < DType::BuiltinCount,
                    "safetensors: tensor '", name, "' is ", info(tensor.dtype()).name,
                    ", which the format cannot hold");
    if (info(tensor.dtype()).safetensors.empty())
      notes[cat("moka.dtype:", name)] = std::string(info(tensor.dtype()).name);
    order.emplace_back(&name, as_contiguous(tensor));
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return item_size(a.second.dtype()) > item_size(b.second.dtype());
  });

  std::string& header = out.header;
  header.assign(8, '\0');
  header.push_back('{');
  if (!notes.empty()) append_metadata(header, notes);
  uint64_t at = 0;
  for (const auto& [name, tensor] : order) {
    const std::string_view code = info(tensor.dtype()).safetensors;
    Dims shape(tensor.sizes());
    if (code.empty()) shape.push_back(static_cast<int64_t>(item_size(tensor.dtype())));
    append_member(header, *name);
    header.append(cat("{\"dtype\":\"", code.empty() ? "U8" : code, "\",\"shape\":["));
    for (size_t d = 0; d < shape.size(); d++) header.append(cat(d ? "," : "", shape[d]));
    header.append(cat("],\"data_offsets\":[", at, ",", at + tensor.bytes(), "]}"));
    at += tensor.bytes();
    out.order.push_back(tensor);
  }
  header.push_back('}');
  header.append((64 - header.size() % 64) % 64, ' ');
  const uint64_t length = header.size() - 8;
  MOKA_CHECK_KIND(Value, length <= Limits().max_header_bytes, "safetensors: the header would take ", length,
                  " bytes, the format's limit is ", Limits().max_header_bytes);
  std::memcpy(header.data(), &length, 8);
  out.size = header.size() + at;
  return out;
}

void write(const std::string& path, const std::map<std::string, Tensor>& tensors,
           const std::map<std::string, std::string>& metadata) {
  const Layout layout = plan(tensors, metadata);
  AtomicFile file(path);
  file.write(layout.header);
  for (const Tensor& t : layout.order) file.write(t.raw_data(), t.bytes());
  file.commit();
}

std::string to_bytes(const std::map<std::string, Tensor>& tensors,
                     const std::map<std::string, std::string>& metadata) {
  const Layout layout = plan(tensors, metadata);
  std::string out;
  out.reserve(layout.size);
  out = layout.header;
  for (const Tensor& t : layout.order)
    if (t.bytes()) out.append(static_cast<const char*>(t.raw_data()), t.bytes());
  return out;
}

}  // namespace moka::safetensors
