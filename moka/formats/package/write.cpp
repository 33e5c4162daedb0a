// Writes .moka packages: manifest, program, weights, further files.
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "moka/formats/json.h"
#include "moka/formats/package/package.h"
#include "moka/formats/package/package_internal.h"
#include "moka/formats/package/zip.h"
#include "moka/formats/safetensors/safetensors.h"

namespace moka::package {

namespace {

std::string manifest_of(std::string_view main, const std::map<std::string, std::string>& metadata) {
  std::string out =
      cat("{\"format\":", format_version, ",\"producer\":\"moka " MOKA_VERSION "\",\"needs\":[],\"main\":");
  append_json_string(out, main);
  out += ",\"metadata\":{";
  for (const auto& [key, value] : metadata) {
    MOKA_CHECK_KIND(Value, is_utf8(key) && is_utf8(value), "package: metadata must be UTF-8 text, at key ",
                    key);
    if (out.back() != '{') out.push_back(',');
    append_json_string(out, key);
    out.push_back(':');
    append_json_string(out, value);
  }
  return out + "}}\n";
}

void write_entries(const std::string& path, std::string_view main, std::string_view text,
                   const graph::TensorTable& table, const Extras& extras) {
  MOKA_CHECK_KIND(Value, is_utf8(main), path, ": the main graph's name must be UTF-8 text, not ", main);
  const std::string manifest = manifest_of(main, extras.metadata);
  const safetensors::Layout weights = safetensors::plan(table.tensors);
  std::vector<std::string_view> pieces{weights.header};
  for (const Tensor& t : weights.order)
    if (t.bytes()) pieces.emplace_back(static_cast<const char*>(t.raw_data()), t.bytes());

  ZipWriter zip(path);
  zip.add(std::string(manifest_name), manifest);
  zip.add(std::string(program_name), text);
  zip.add(std::string(weights_name), pieces);
  for (const auto& [name, content] : extras.files) zip.add(name, content);
  zip.commit();
}

}  // namespace

void write(const std::string& path, const graph::Graph& graph, const Extras& extras) {
  graph::TensorTable table;
  const std::string text = graph::print(graph, &table);
  write_entries(path, graph.name, text, table, extras);
}

void write(const std::string& path, const graph::Program& program, std::string_view main,
           const Extras& extras) {
  MOKA_CHECK_KIND(Value, program.graphs.contains(std::string(main)), path, ": the program has no graph '",
                  main, "' to be its main one");
  graph::TensorTable table;
  const std::string text = graph::print(program, &table);
  write_entries(path, main, text, table, extras);
}

}  // namespace moka::package
