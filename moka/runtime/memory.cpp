// Offsets of tensors in the arena: large ones first, each in the smallest gap that is free for its whole life.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "moka/base/checked.h"
#include "moka/runtime/plan_internal.h"

namespace moka::runtime {

int64_t plan_memory(std::vector<Root>& roots) {
  constexpr int64_t alignment = 64;
  struct Group {
    int64_t bytes = 0;
    int first = 0, last = 0;
    int64_t offset = -1;
  };
  // Roots written over each other share one place for the union of their lives.
  std::vector<int> group_of(roots.size(), -1);
  std::vector<Group> groups;
  for (size_t i = 0; i < roots.size(); i++) {
    Root& r = roots[i];
    if (!r.planned || r.escapes) continue;
    int64_t bytes = checked_mul(checked_add(r.bytes, alignment - 1, "plan") / alignment, alignment, "plan");
    if (r.same_place_as >= 0) {
      int g = group_of[i] = group_of[static_cast<size_t>(r.same_place_as)];
      groups[g].last = std::max(groups[g].last, r.last);
      continue;
    }
    group_of[i] = static_cast<int>(groups.size());
    groups.push_back({bytes, r.first, r.last, -1});
  }
  std::vector<Group*> order;
  for (Group& g : groups) order.push_back(&g);
  std::stable_sort(order.begin(), order.end(), [](Group* a, Group* b) { return a->bytes > b->bytes; });

  std::map<int64_t, std::vector<Group*>> placed;  // by offset
  int64_t total = 0;
  for (Group* g : order) {
    int64_t end = 0, best = -1, best_gap = INT64_MAX;
    for (const auto& [offset, list] : placed) {
      for (const Group* other : list) {
        if (other->last < g->first || other->first > g->last) continue;
        int64_t gap = offset - end;
        if (gap >= g->bytes && gap < best_gap) {
          best_gap = gap;
          best = end;
        }
        end = std::max(end, checked_add(offset, other->bytes, "plan"));
      }
    }
    g->offset = best >= 0 ? best : end;
    placed[g->offset].push_back(g);
    total = std::max(total, checked_add(g->offset, g->bytes, "plan"));
  }
  for (size_t i = 0; i < roots.size(); i++)
    if (group_of[i] >= 0) roots[i].offset = groups[group_of[i]].offset;
  return total;
}

}  // namespace moka::runtime
