// A .moka package: a program in the text form, weights as safetensors, further files, in one stored zip.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "moka/formats/files.h"
#include "moka/graph/graph.h"

namespace moka::package {

// The format that this library writes; it reads this one and all before it.
inline constexpr int64_t format_version = 1;
// Where an ONNX view of the main graph lies when there is one, so that graph viewers open the package.
inline constexpr std::string_view onnx_view = "model.onnx";

struct Package {
  // The methods by name. States that share a tensor share it again after reading, between methods too.
  // Tensors of states and constants are read-only views of the file.
  graph::Program program;
  std::string main;  // the method that a predictor runs
  std::map<std::string, std::string> metadata;
  std::map<std::string, Bytes> files;  // every other entry, onnx_view among them
  std::string producer;                // "moka 0.1.0"
};

// Every rule of the zip reader and of the formats inside holds; `what` names the file in errors.
Package read(const std::string& path, const Limits& limits = {});
Package read(const Bytes& bytes, std::string_view what, const Limits& limits = {});
// True when the bytes begin as a package (and as any zip) does.
bool is_package(std::string_view bytes);

struct Extras {
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::string> files;  // names that are plain relative paths and not the package's own
};
// Atomic: whatever happens, `path` is either what it was or the complete new package.
void write(const std::string& path, const graph::Graph& graph, const Extras& extras = {});
void write(const std::string& path, const graph::Program& program, std::string_view main,
           const Extras& extras = {});

}  // namespace moka::package
