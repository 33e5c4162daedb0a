// Caffe2's NetDef: init_net and predict_net pairs, and MetaNetDef, become graphs; graphs become pairs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "moka/formats/files.h"
#include "moka/graph/graph.h"

namespace moka::netdef {

struct LoadOptions {
  Limits limits;
  // NetDef says nothing about inputs: their types where the caller knows them. A blob named here is an input even if the
  // init net fills it (many files fill inputs with a dummy).
  std::map<std::string, graph::Type> inputs;
};

// Blobs that the init net fills are parameters (states of the graph), the other external inputs are inputs in their order.
std::unique_ptr<graph::Graph> load(const std::string& init_path, const std::string& predict_path,
                                   const LoadOptions& options = {});
std::unique_ptr<graph::Graph> load(const Bytes& init_net, const Bytes& predict_net,
                                   const LoadOptions& options = {});
// The predict and init nets of a MetaNetDef (metanet.proto) by their usual keys.
std::unique_ptr<graph::Graph> load_meta(const Bytes& meta_net, std::string_view name,
                                        const LoadOptions& options = {});

struct Pair {
  std::string init_net, predict_net;  // bytes of two NetDefs
};
// NotImplemented names every operator that Caffe2 cannot say.
Pair save(const graph::Graph& graph, std::string_view name = {});
void save(const graph::Graph& graph, const std::string& init_path, const std::string& predict_path,
          std::string_view name = {});

}  // namespace moka::netdef
