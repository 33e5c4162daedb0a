// Small vectors against std::vector; counted pointers; borrowed callables.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/small_vector.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "moka/base/function_ref.h"
#include "moka/base/intrusive.h"
#include "moka/base/small_vector_of.h"

namespace moka {
namespace {

using Small = SmallVector<int, 3>;

std::vector<int> content(const Small& v) { return {v.begin(), v.end()}; }

TEST(SmallVector, BehavesAsVectorUnderRandomChanges) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; round++) {
    Small ours;
    std::vector<int> theirs;
    for (int step = 0; step < 60; step++) {
      const int value = static_cast<int>(random() % 1000);
      const size_t place = theirs.empty() ? 0 : random() % theirs.size();
      switch (random() % 9) {
        case 0:
        case 1:
          ours.push_back(value);
          theirs.push_back(value);
          break;
        case 2:
          if (theirs.empty()) break;
          ours.pop_back();
          theirs.pop_back();
          break;
        case 3:
          ours.insert(place, value);
          theirs.insert(theirs.begin() + static_cast<std::ptrdiff_t>(place), value);
          break;
        case 4:
          if (theirs.empty()) break;
          ours.erase(place);
          theirs.erase(theirs.begin() + static_cast<std::ptrdiff_t>(place));
          break;
        case 5: {
          const size_t n = random() % 12;
          ours.resize(n, value);
          theirs.resize(n, value);
          break;
        }
        case 6: {
          const std::vector<int> more{value, value + 1};
          ours.append(more);
          theirs.insert(theirs.end(), more.begin(), more.end());
          break;
        }
        case 7: {
          Small copy = ours;
          Small moved = std::move(copy);
          ASSERT_TRUE(copy.empty());  // NOLINT: a moved-from vector is empty and usable
          copy.push_back(1);
          ours = moved;
          break;
        }
        default: {
          Small other{1, 2, 3, 4, 5, 6};
          other = std::move(ours);
          ours = Small{};
          ours = std::move(other);
        }
      }
      ASSERT_EQ(content(ours), theirs);
      ASSERT_EQ(ours.size(), theirs.size());
      ASSERT_EQ(ours.empty(), theirs.empty());
    }
  }
}

TEST(SmallVector, KeepsFewElementsInsideItself) {
  Small v{1, 2, 3};
  const auto inside = [&](const void* p) {
    const char *begin = reinterpret_cast<const char*>(&v), *at = static_cast<const char*>(p);
    return at >= begin && at < begin + sizeof v;
  };
  EXPECT_TRUE(inside(v.data()));
  v.push_back(4);
  EXPECT_FALSE(inside(v.data()));
}

TEST(SmallVector, SurvivesAssignmentFromItself) {
  Small few{1, 2}, many{1, 2, 3, 4, 5};
  Small &few_again = few, &many_again = many;
  few = few_again;
  many = many_again;
  EXPECT_EQ(content(few), (std::vector<int>{1, 2}));
  EXPECT_EQ(content(many), (std::vector<int>{1, 2, 3, 4, 5}));
}

TEST(SmallVector, ComparesBySizeAndElements) {
  EXPECT_EQ((Small{1, 2}), (Small{1, 2}));
  EXPECT_NE((Small{1, 2}), (Small{1, 2, 3}));
  EXPECT_NE((Small{1, 2}), (Small{1, 3}));
  EXPECT_EQ(Small{}, Small{});
}

TEST(SmallVectorOf, HoldsHandlesAndFreesThem) {
  auto alive = std::make_shared<int>(1);
  for (size_t n : {size_t(0), size_t(2), size_t(9)}) {
    SmallVectorOf<std::shared_ptr<int>, 4> v;
    v.resize(n);
    for (auto& p : v) p = alive;
    EXPECT_EQ(v.size(), n);
    EXPECT_EQ(alive.use_count(), static_cast<long>(n) + 1);
  }
  EXPECT_EQ(alive.use_count(), 1);
}

struct Counted {
  int count = 1;
  bool* gone;
};
void add_ref(Counted* c) { c->count++; }
void release(Counted* c) {
  if (--c->count == 0) {
    *c->gone = true;
    delete c;
  }
}

TEST(Ref, DropsItsObjectWithTheLastHandle) {
  bool gone = false;
  {
    auto first = Ref<Counted>::adopt(new Counted{1, &gone});
    Ref<Counted> second = first;
    Ref<Counted> third = std::move(first);
    EXPECT_FALSE(first);  // NOLINT: a moved-from handle is empty
    EXPECT_EQ(second->count, 2);
    EXPECT_TRUE(second == third);
    second = third;
    EXPECT_EQ(third->count, 2);
    Ref<Counted>& itself = third;
    third = itself;
    EXPECT_EQ(third->count, 2);
    Counted* raw = third.detach();
    EXPECT_EQ(raw->count, 2);
    release(raw);
    EXPECT_FALSE(gone);
  }
  EXPECT_TRUE(gone);
}

TEST(FunctionRef, CallsWhatItBorrows) {
  int sum = 0;
  auto add = [&](int a, int b) { return sum += a * b; };
  FunctionRef<int(int, int)> f = add;
  EXPECT_EQ(f(2, 3), 6);
  EXPECT_EQ(f(1, 4), 10);
  const auto text = [](const std::string& s) { return s + "!"; };
  FunctionRef<std::string(const std::string&)> g = text;
  EXPECT_EQ(g("moka"), "moka!");
}

}  // namespace
}  // namespace moka
