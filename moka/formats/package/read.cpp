// Reads .moka packages: the manifest first, then the program over its weights.
// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "moka/formats/json.h"
#include "moka/formats/package/package.h"
#include "moka/formats/package/package_internal.h"
#include "moka/formats/package/zip.h"
#include "moka/formats/safetensors/safetensors.h"

namespace moka::package {

namespace {

struct Manifest {
  int64_t format = 0;
  std::string producer, main;
  std::map<std::string, std::string> metadata;
};

std::map<std::string, std::string> read_map(JsonReader& json, std::string_view what) {
  std::map<std::string, std::string> out;
  std::string key;
  for (json.begin_object(); json.next_key(key);) {
    std::string value = json.string();
    const bool added = out.emplace(key, std::move(value)).second;
    MOKA_CHECK_KIND(File, added, what, ": key '", key, "' stands twice in the manifest");
  }
  return out;
}

// Keys that are not known were added by a later version for its own use; what a reader must understand is in
// "needs".
Manifest read_manifest(const Bytes& bytes, std::string_view what, const Limits& limits) {
  MOKA_CHECK_KIND(File, bytes.size() <= limits.max_header_bytes, what, ": the manifest has ", bytes.size(),
                  " bytes, the limit is ", limits.max_header_bytes);
  const std::string place = cat(what, ": ", manifest_name);
  JsonReader json(bytes.text(), place, limits.max_depth);
  Manifest out;
  std::set<std::string> seen;
  std::string key;
  for (json.begin_object(); json.next_key(key);) {
    MOKA_CHECK_KIND(File, seen.insert(key).second, what, ": key '", key, "' stands twice in the manifest");
    if (key == "format") {
      out.format = json.integer();
      MOKA_CHECK_KIND(File, out.format >= 1 && out.format <= format_version, what, ": has package format ",
                      out.format, ", this library reads formats up to ", format_version,
                      "; update Moka to read it");
    } else if (key == "producer") {
      out.producer = json.string();
    } else if (key == "needs") {
      for (json.begin_array(); json.next_item();)
        fail_kind(ErrorKind::File, what, ": needs '", json.string(),
                  "', which this library does not know; update Moka to read it");
    } else if (key == "main") {
      out.main = json.string();
    } else if (key == "metadata") {
      out.metadata = read_map(json, what);
    } else {
      json.skip();
    }
  }
  json.finish();
  MOKA_CHECK_KIND(File, seen.contains("format"), what, ": the manifest names no format");
  MOKA_CHECK_KIND(File, seen.contains("main"), what, ": the manifest names no main graph");
  return out;
}

graph::ParseLimits parse_limits(const Limits& limits) {
  graph::ParseLimits out;
  out.bytes = limits.max_text_bytes;
  out.depth = limits.max_depth;
  out.values = limits.max_nodes;
  return out;
}

}  // namespace

bool is_package(std::string_view bytes) { return bytes.substr(0, 4) == std::string_view("PK\x03\x04", 4); }

Package read(const std::string& path, const Limits& limits) {
  return read(Bytes::of_file(path, limits), path, limits);
}

Package read(const Bytes& bytes, std::string_view what, const Limits& limits) {
  Package out;
  for (ZipEntry& entry : read_zip(bytes, what, limits))
    out.files.emplace(std::move(entry.name), std::move(entry.data));
  auto take = [&](std::string_view name) {
    auto node = out.files.extract(std::string(name));
    MOKA_CHECK_KIND(File, !node.empty(), what, ": the archive has no entry '", name, "'",
                    name == manifest_name ? ": it is a zip, but no .moka package" : "");
    return node.mapped();
  };
  Manifest manifest = read_manifest(take(manifest_name), what, limits);
  const Bytes text = take(program_name);
  const graph::TensorTable table{
      safetensors::read(take(weights_name), cat(what, ": ", weights_name), limits).tensors};
  try {
    out.program = graph::parse_program(text.text(), &table, parse_limits(limits));
    for (const auto& [name, method] : out.program.graphs) graph::verify(*method);
  } catch (Error& e) {
    e.add_context(cat("in ", what, ": ", program_name));
    throw;
  }
  MOKA_CHECK_KIND(File, out.program.graphs.contains(manifest.main), what, ": the program has no graph '",
                  manifest.main, "', which the manifest names as the main one");
  out.main = std::move(manifest.main);
  out.metadata = std::move(manifest.metadata);
  out.producer = std::move(manifest.producer);
  return out;
}

}  // namespace moka::package
