// The messages of caffe2.proto that Moka reads, as views into the bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "moka/formats/proto/reader.h"
#include "moka/formats/spelling/table.h"

namespace moka::netdef {

struct OperatorDef {
  std::string_view name, type, engine;
  std::vector<std::string_view> inputs, outputs;
  std::vector<spelling::Attribute> args;
  bool has_nets = false;  // an argument is a net: If, While, RecurrentNetwork
};

struct NetDef {
  std::string_view name, type;
  std::vector<OperatorDef> ops;
  std::vector<std::string_view> external_inputs, external_outputs;
};

struct MetaNetDef {
  std::vector<std::pair<std::string_view, std::string_view>> nets;  // key, bytes
};

NetDef read_net(proto::Budget& budget, std::string_view bytes);
MetaNetDef read_meta_net(proto::Budget& budget, std::string_view bytes);

}  // namespace moka::netdef
