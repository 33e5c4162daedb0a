// The table of contract upgraders.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/contracts.h"

#include <atomic>
#include <map>
#include <mutex>

namespace moka::graph {

namespace {
std::atomic<bool> any_upgraders{false};  // most programs have none: their look-ups take no lock

struct Table {
  std::mutex mutex;
  std::map<std::string, std::vector<Upgrader>, std::less<>>
      upgraders;  // [i] leads from version i + 1 to i + 2
};
Table& table() {
  static Table* t = new Table;
  return *t;
}
}  // namespace

void add_upgrader(std::string_view op, int from, Upgrader upgrader) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  auto& list = t.upgraders[std::string(op)];
  if (from < 1 || static_cast<size_t>(from) != list.size() + 1)
    fail_kind(ErrorKind::Internal, "add_upgrader: ", op, " is at version ", list.size() + 1,
              ", so the next upgrader starts there, not at ", from);
  list.push_back(upgrader);
  any_upgraders = true;
}

int contract_version(std::string_view op) {
  if (!any_upgraders) return 1;
  Table& t = table();
  std::lock_guard lock(t.mutex);
  auto it = t.upgraders.find(op);
  return it == t.upgraders.end() ? 1 : static_cast<int>(it->second.size()) + 1;
}

void upgrade(OldCall& call, int version) {
  // An upgrader may rename: the new name's own versions then count from 1 (its contract when it was introduced).
  for (int steps = 0; steps < 1000; steps++) {
    int now = contract_version(call.op);
    if (version > now)
      fail_kind(ErrorKind::NotImplemented, "operator '", call.op, "' has contract version ", version,
                " in the file, but this release knows versions up to ", now,
                "; a newer release of moka can read it");
    if (version == now) return;
    Upgrader upgrader;
    {
      Table& t = table();
      std::lock_guard lock(t.mutex);
      upgrader = t.upgraders.find(call.op)->second[static_cast<size_t>(version) - 1];
    }
    std::string before = call.op;
    upgrader(call);
    version = call.op == before ? version + 1 : 1;
  }
  fail_kind(ErrorKind::Internal, "upgrade: the upgraders of '", call.op, "' lead in a circle");
}

}  // namespace moka::graph
