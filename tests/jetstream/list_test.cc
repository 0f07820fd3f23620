// SPDX-License-Identifier: Apache-2.0
// Goal: a List holds exactly what entered and has not left, in order, and forgets what ends.
// Method: fixed cases; then random steps on several lists against vectors of names.
#include "broker/jetstream/base/list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

struct Item {
  explicit Item(int number) : number(number) {}
  const int number;
  List<Item>::Node node{this};
};

std::vector<int> NumbersIn(const List<Item>& list) {
  std::vector<int> numbers;
  list.ForEach([&numbers](Item* item) { numbers.push_back(item->number); });
  return numbers;
}

TEST(List, KeepsTheOrderInWhichItemsEntered) {
  Item a(1), b(2), c(3);
  List<Item> list;
  for (Item* item : {&a, &b, &c}) list.PushBack(&item->node);
  b.node.Leave();
  b.node.Leave();  // it is in none
  EXPECT_EQ(NumbersIn(list), (std::vector<int>{1, 3}));
  list.PushBack(&b.node);
  EXPECT_EQ(list.front(), &a);
  EXPECT_EQ(list.PopFront(), &a);
  EXPECT_FALSE(a.node.linked());
  EXPECT_EQ(NumbersIn(list), (std::vector<int>{3, 2}));
}

TEST(List, ForgetsWhatEndsAndLetsGoOfAllWhenItEnds) {
  Item stays(1);
  {
    List<Item> list;
    list.PushBack(&stays.node);
    {
      Item goes(2);
      list.PushBack(&goes.node);
    }
    EXPECT_EQ(NumbersIn(list), (std::vector<int>{1}));
  }
  EXPECT_FALSE(stays.node.linked());
}

TEST(List, AnItemMayLeaveOrMoveWhileItIsVisited) {
  Item a(1), b(2), c(3);
  List<Item> list, other;
  for (Item* item : {&a, &b, &c}) list.PushBack(&item->node);
  list.ForEach([&other](Item* item) {
    item->node.Leave();
    if (item->number != 2) other.PushBack(&item->node);
  });
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.PopFront(), nullptr);
  EXPECT_EQ(NumbersIn(other), (std::vector<int>{1, 3}));
}

TEST(List, TakesAllOfAnother) {
  Item a(1), b(2), c(3);
  List<Item> list, other;
  list.PushBack(&a.node);
  list.TakeAll(&other);  // nothing
  other.PushBack(&b.node);
  other.PushBack(&c.node);
  list.TakeAll(&other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(NumbersIn(list), (std::vector<int>{1, 2, 3}));
}

TEST(List, RandomStepsGiveWhatVectorsGive) {
  SeededRandom random(42);
  constexpr size_t kItems = 20;
  std::vector<std::unique_ptr<Item>> items;
  for (size_t i = 0; i < kItems; ++i) items.push_back(std::make_unique<Item>(static_cast<int>(i)));
  List<Item> lists[3];
  std::vector<int> twins[3];
  for (int step = 0; step < 20'000; ++step) {
    const size_t at = random.Below(kItems);
    const size_t to = random.Below(3);
    const int number = items[at]->number;
    const size_t from = random.Below(3);
    switch (random.Below(4)) {
      case 0:
        items[at]->node.Leave();
        for (auto& twin : twins) std::erase(twin, number);
        lists[to].PushBack(&items[at]->node);
        twins[to].push_back(number);
        break;
      case 1:
        items[at] = std::make_unique<Item>(number);
        for (auto& twin : twins) std::erase(twin, number);
        break;
      case 2:
        if (from == to) break;
        lists[to].TakeAll(&lists[from]);
        twins[to].insert(twins[to].end(), twins[from].begin(), twins[from].end());
        twins[from].clear();
        break;
      default:
        if (Item* first = lists[from].PopFront()) {
          ASSERT_EQ(first->number, twins[from].front());
          twins[from].erase(twins[from].begin());
        } else {
          ASSERT_TRUE(twins[from].empty());
        }
    }
    for (size_t i = 0; i < 3; ++i) ASSERT_EQ(NumbersIn(lists[i]), twins[i]) << step;
  }
}

}  // namespace
}  // namespace millrace
