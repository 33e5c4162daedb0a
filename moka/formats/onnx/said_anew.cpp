// A graph as nodes of a file that has other nodes already: names that both know stay, all others are made unique.
// SPDX-License-Identifier: Apache-2.0
#include <protozero/pbf_writer.hpp>

#include "moka/formats/onnx/exporter_internal.h"

namespace moka::onnx {

using protozero::pbf_writer;
using spelling::FileNode;

namespace {

FileNode with_names(const FileNode& n, std::map<std::string, std::string>& renamed, const std::string& stem) {
  FileNode out = n;
  auto rename = [&](std::string& name) {
    if (!name.empty()) name = renamed.try_emplace(name, cat(stem, "_", name)).first->second;
  };
  out.name = cat(stem, "_", n.name);
  for (std::string& name : out.inputs) rename(name);
  for (std::string& name : out.outputs) rename(name);
  for (auto& [key, g] : out.graphs) {
    for (spelling::FileValue& v : g.inputs) rename(v.name);
    for (FileNode& inner : g.nodes) inner = with_names(inner, renamed, stem);
    for (spelling::FileValue& v : g.outputs) rename(v.name);
  }
  return out;
}

}  // namespace

std::string constant_node(const std::string& name, const Tensor& value) {
  FileNode n{cat(name, "_Constant"), "Constant", "", {}, {name}, {{"value", Any(value)}}, {}, {}};
  std::string out;
  pbf_writer w(out);
  write_node(w, n);
  return out;
}

std::vector<std::string> said_anew(const graph::Graph& graph, int opset,
                                   const std::set<std::string_view>& kept, const std::string& stem) {
  const spelling::FileModel model = described(graph, opset);
  std::map<std::string, std::string> renamed;
  for (std::string_view name : kept) renamed.emplace(name, name);
  std::vector<std::string> out;
  for (const spelling::FileTensor& t : model.tensors) {
    if (renamed.count(t.name)) continue;  // an initializer of the file
    const std::string name = cat(stem, "_", t.name);
    renamed.emplace(t.name, name);
    out.push_back(constant_node(name, t.tensor));
  }
  for (const FileNode& made : model.nodes) {
    pbf_writer to(out.emplace_back());
    write_node(to, with_names(made, renamed, stem));
  }
  return out;
}

}  // namespace moka::onnx
