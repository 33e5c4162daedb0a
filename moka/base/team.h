// Threads that run side by side and wait for each other: for loops whose steps depend on one another.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "moka/base/function_ref.h"

namespace moka {

// One member of a team, as its body sees it.
class Team {
 public:
  struct Meeting {
    std::atomic<int> arrived{0};
    std::atomic<unsigned> count{0};
  };
  Team(Meeting& meeting, int index, int members) : index(index), members(members), meeting_(meeting) {}
  const int index, members;
  // Until all members have come here: what each wrote before, all see behind.
  void wait();

 private:
  Meeting& meeting_;
};

// Calls body once in each of at most `most` threads, which really run at the same time; the calling thread is one of
// them. body must not throw. Inside a parallel loop the team has one member.
void run_team(int most, FunctionRef<void(Team&)> body);

}  // namespace moka
