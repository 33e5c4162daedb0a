// Reads the messages of caffe2.proto.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/netdef/messages.h"

namespace moka::netdef {

using proto::Message;

namespace {

spelling::Attribute read_argument(Message m, bool& has_nets) {
  spelling::Attribute out;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<Any> strings;
  m.budget().take_nodes(1);
  while (m.next()) {
    switch (m.field()) {
      case 1: out.name = std::string(m.text("name")); break;
      case 2: out.value = Any(static_cast<double>(m.number("f"))); break;
      case 3: out.value = Any(m.integer("i")); break;
      case 4: out.value = Any(m.raw("s")); break;
      case 5: m.floats("floats", floats); break;
      case 6: m.integers("ints", ints); break;
      case 7:
        m.budget().take_nodes(1);
        strings.push_back(Any(m.raw("strings")));
        break;
      case 8:
      case 9:
        has_nets = true;
        m.skip();
        break;
      default: m.skip();
    }
  }
  if (!ints.empty()) out.value = Any(std::span<const int64_t>(ints));
  else if (!floats.empty()) out.value = Any(std::span<const double>(floats));
  else if (!strings.empty()) out.value = Any(std::span<const Any>(strings));
  return out;
}

OperatorDef read_operator(Message m) {
  OperatorDef out;
  m.budget().take_nodes(1);
  while (m.next()) {
    switch (m.field()) {
      case 1:
        m.budget().take_nodes(1);
        out.inputs.push_back(m.text("input"));
        break;
      case 2:
        m.budget().take_nodes(1);
        out.outputs.push_back(m.text("output"));
        break;
      case 3: out.name = m.text("name"); break;
      case 4: out.type = m.text("type"); break;
      case 5: out.args.push_back(read_argument(m.message("arg", "Argument"), out.has_nets)); break;
      case 7: out.engine = m.text("engine"); break;
      default: m.skip();
    }
  }
  return out;
}

}  // namespace

NetDef read_net(proto::Budget& budget, std::string_view bytes) {
  Message m(budget, bytes, "NetDef");
  NetDef out;
  while (m.next()) {
    switch (m.field()) {
      case 1: out.name = m.text("name"); break;
      case 2: out.ops.push_back(read_operator(m.message("op", "OperatorDef"))); break;
      case 3: out.type = m.text("type"); break;
      case 7:
        budget.take_nodes(1);
        out.external_inputs.push_back(m.text("external_input"));
        break;
      case 8:
        budget.take_nodes(1);
        out.external_outputs.push_back(m.text("external_output"));
        break;
      default: m.skip();
    }
  }
  return out;
}

MetaNetDef read_meta_net(proto::Budget& budget, std::string_view bytes) {
  Message m(budget, bytes, "MetaNetDef");
  MetaNetDef out;
  while (m.next()) {
    if (m.field() != 2) {
      m.skip();
      continue;
    }
    budget.take_nodes(1);
    Message entry = m.message("nets", "NetsMap");
    std::string_view key, net;
    while (entry.next()) {
      if (entry.field() == 1) key = entry.text("key");
      else if (entry.field() == 2) net = entry.raw("value");
      else entry.skip();
    }
    out.nets.emplace_back(key, net);
  }
  return out;
}

}  // namespace moka::netdef
