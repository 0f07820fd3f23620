// SPDX-License-Identifier: Apache-2.0
// Goal: the trie finds exactly the filters that take a subject, keeps values in place, and gives back what it took.
// Method: a map of filters and the naive matcher beside it over a million comparisons with churn between; deep
//         subjects;
// a million inboxes with the memory counted.
#include "proto/subject_trie.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/proto/naive_subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

std::vector<int> Matches(const SubjectTrie<int>& trie, std::string_view subject) {
  std::vector<int> out;
  trie.Match(subject, [&](int value) { out.push_back(value); });
  std::sort(out.begin(), out.end());
  return out;
}

TEST(SubjectTrieTest, WildcardsAreWholeTokensOnly) {
  SubjectTrie<int> trie;
  *trie.Insert("a.*.c") = 1;
  *trie.Insert("a.>") = 2;
  *trie.Insert("a.b.c") = 3;
  *trie.Insert(">") = 4;
  *trie.Insert("foo*") = 5;
  *trie.Insert("*") = 6;
  EXPECT_EQ(Matches(trie, "a.b.c"), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(Matches(trie, "a"), (std::vector<int>{4, 6}));
  EXPECT_EQ(Matches(trie, "foo*"), (std::vector<int>{4, 5, 6}));
  EXPECT_EQ(Matches(trie, "foo1"), (std::vector<int>{4, 6}));
  EXPECT_EQ(Matches(trie, "a.*.c"), (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(Matches(trie, "a..c"), std::vector<int>{});
  EXPECT_EQ(Matches(trie, ""), std::vector<int>{});
  EXPECT_EQ(Matches(trie, "a."), std::vector<int>{});
  EXPECT_EQ(Matches(trie, ".a"), std::vector<int>{});
}

TEST(SubjectTrieTest, BadFiltersAreNotTaken) {
  SubjectTrie<int> trie;
  for (const std::string_view filter : {"", ".", "a.", ".a", "a..b", ">.a", "a.>.b"}) {
    EXPECT_EQ(trie.Insert(filter), nullptr) << filter;
    EXPECT_EQ(trie.Find(filter), nullptr);
    EXPECT_FALSE(trie.Erase(filter));
  }
  EXPECT_EQ(trie.filter_count(), 0u);
  EXPECT_EQ(trie.node_count(), 1u);
}

TEST(SubjectTrieTest, InsertSaysWhetherItMadeTheValue) {
  SubjectTrie<int> trie;
  bool created = false;
  int* const value = trie.Insert("a.b", &created);
  EXPECT_TRUE(created);
  *value = 7;
  EXPECT_EQ(trie.Insert("a.b", &created), value);
  EXPECT_FALSE(created);
  EXPECT_EQ(trie.Find("a.b"), value);
  EXPECT_EQ(trie.Find("a"), nullptr);
  EXPECT_FALSE(trie.Erase("a"));
  EXPECT_TRUE(trie.Erase("a.b"));
  EXPECT_FALSE(trie.Erase("a.b"));
  EXPECT_EQ(trie.node_count(), 1u);
}

TEST(SubjectTrieTest, ValuesStayInPlaceAndAreDestroyed) {
  static int alive = 0;
  struct Counted {
    Counted() { ++alive; }
    ~Counted() { --alive; }
    std::string owned = std::string(50, 'o');
  };
  {
    SubjectTrie<Counted> trie;
    std::map<std::string, Counted*> at;
    for (int i = 0; i < 5000; ++i) {
      const std::string filter = "t." + std::to_string(i) + (i % 3 == 0 ? ".>" : i % 3 == 1 ? ".*" : "");
      at[filter] = trie.Insert(filter);
    }
    for (const auto& [filter, value] : at) ASSERT_EQ(trie.Find(filter), value);
    EXPECT_EQ(alive, 5000);
    for (int i = 0; i < 2500; ++i) {
      ASSERT_TRUE(trie.Erase(at.begin()->first));
      at.erase(at.begin());
    }
    EXPECT_EQ(alive, 2500);
    for (const auto& [filter, value] : at) ASSERT_EQ(trie.Find(filter), value);
  }
  EXPECT_EQ(alive, 0);
}

std::string RandomFilter(SeededRandom* random, size_t depth_max) {
  static const std::string kLong(70, 'L');
  static const std::string kTokens[] = {"a", "b", "c", "dd", "*", "*", "exactly-24-bytes-in-here", "x*", kLong};
  std::string filter;
  const size_t count = 1 + random->Below(depth_max);
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) filter += '.';
    if (i + 1 == count && random->OneIn(4)) {
      filter += '>';
    } else {
      filter += kTokens[random->OneIn(3) ? random->Below(std::size(kTokens)) : random->Below(3)];
    }
  }
  return filter;
}

TEST(SubjectTrieTest, WhatLiesBehindTheDecisiveBytesDecidesNothing) {
  SeededRandom random(11);
  size_t shared = 0;
  for (size_t round = 0; round < Rounds(20'000); ++round) {
    SubjectTrie<int> trie;
    for (uint64_t i = 1 + random.Below(4); i > 0; --i) *trie.Insert(RandomFilter(&random, 4)) = static_cast<int>(i);
    std::vector<std::string> tokens(1 + random.Below(4));
    for (std::string& token : tokens) token = std::string(1, static_cast<char>('a' + random.Below(3)));
    const auto join = [&] {
      std::string subject = tokens[0];
      for (size_t i = 1; i < tokens.size(); ++i) subject += "." + tokens[i];
      return subject;
    };
    const std::string subject = join();
    const size_t decisive = trie.Match(subject, [](int) {}).decisive_bytes;
    ASSERT_TRUE(decisive == 0 || decisive == subject.size() || (decisive < subject.size() && subject[decisive] == '.'));
    size_t at = 0;
    for (std::string& token : tokens) {
      const size_t end = at + token.size();
      if (end > decisive) token = random.OneIn(4) ? "a" : std::string(1 + random.Below(60), '*');
      at = end + 1;
    }
    shared += join() != subject;
    ASSERT_EQ(Matches(trie, subject), Matches(trie, join())) << subject << " and " << join();
  }
  EXPECT_GT(shared, Rounds(20'000) / 10);
  SubjectTrie<int> trie;
  trie.Insert(">");
  EXPECT_EQ(trie.Match("a..b", [](int) {}).decisive_bytes, SubjectTrie<int>::kWhole);
}

TEST(SubjectTrieTest, AMillionComparisonsWithAListOfFiltersUnderChurn) {
  SeededRandom random(7);
  size_t compared = 0;
  size_t found = 0;
  while (compared < Rounds(1'000'000)) {
    SubjectTrie<int> trie(random.Next());
    std::map<std::string, int> list;
    const size_t target = random.Below(120);
    for (int step = 0; step < 300; ++step) {
      if (list.size() < target || random.OneIn(2)) {
        const std::string filter = RandomFilter(&random, 5);
        const int value = static_cast<int>(random.Below(1'000'000));
        *trie.Insert(filter) = value;
        list[filter] = value;
      } else if (!list.empty()) {
        auto it = list.lower_bound(RandomFilter(&random, 5));
        if (it == list.end()) it = list.begin();
        ASSERT_TRUE(trie.Erase(it->first));
        list.erase(it);
      }
      if (!random.OneIn(3)) continue;
      std::string subject = RandomFilter(&random, 6);
      if (random.OneIn(20)) subject.insert(random.Below(subject.size() + 1), ".");
      std::vector<int> expected;
      for (const auto& [filter, value] : list) {
        if (NaiveMatches(subject, filter)) expected.push_back(value);
        ++compared;
      }
      std::sort(expected.begin(), expected.end());
      ASSERT_EQ(Matches(trie, subject), expected) << subject;
      found += expected.size();
    }
    ASSERT_EQ(trie.filter_count(), list.size());
    std::map<std::string, int> listed;
    trie.ForEach([&](std::string_view filter, int value) { listed[std::string(filter)] = value; });
    ASSERT_EQ(listed, list);
    for (const auto& [filter, value] : list) ASSERT_TRUE(trie.Erase(filter));
    ASSERT_EQ(trie.filter_count(), 0u);
    ASSERT_EQ(trie.node_count(), 1u);
  }
  EXPECT_GT(found, compared / 100);
}

TEST(SubjectTrieTest, SubjectsOfThousandsOfTokensNeitherOverflowNorExplode) {
  std::string deep = "a";
  std::string stars = "*";
  for (int i = 1; i < 2000; ++i) {
    deep += ".a";
    stars += ".*";
  }
  SubjectTrie<int> trie;
  *trie.Insert(deep) = 1;
  *trie.Insert(stars) = 2;
  *trie.Insert(deep.substr(0, 2001) + ".>") = 3;
  // Many branches that wait at once: at each level of the literal path a star goes off.
  for (size_t i = 1; i < 2000; ++i) *trie.Insert(deep.substr(0, 2 * i) + "*.>") = 4;
  std::vector<int> expected = {1, 2, 3};
  expected.insert(expected.end(), 1998, 4);  // the last `*.>` wants one token more than there is
  EXPECT_EQ(Matches(trie, deep), expected);
  trie.Clear();
  EXPECT_EQ(Matches(trie, deep), std::vector<int>{});
  EXPECT_EQ(trie.node_count(), 1u);
}

TEST(SubjectTrieTest, AMillionInboxesFitAndGiveTheirMemoryBack) {
  struct Interest {
    uint64_t a = 0;
    uint64_t b = 0;
  };
  SubjectTrie<Interest> trie;
  const size_t empty_bytes = trie.memory_bytes();
  const auto inbox = [](size_t i) {
    char text[64];
    std::snprintf(text, sizeof text, "_INBOX.%022zx", i * 7919);
    return std::string(text);
  };
  const size_t kCount = Rounds(1'000'000);
  for (size_t i = 0; i < kCount; ++i) trie.Insert(inbox(i))->a = i;
  EXPECT_EQ(trie.filter_count(), kCount);
  const size_t bytes_each = trie.memory_bytes() / kCount;
  EXPECT_LE(bytes_each, 120 + sizeof(Interest)) << bytes_each;
  for (size_t i = 0; i < kCount; i += 101) ASSERT_EQ(trie.Find(inbox(i))->a, i);
  for (size_t i = 0; i < kCount; ++i) ASSERT_TRUE(trie.Erase(inbox(i)));
  EXPECT_EQ(trie.memory_bytes(), empty_bytes);
}

TEST(SubjectTrieTest, ChurnDoesNotGrowAnything) {
  SubjectTrie<int> trie;
  const auto inbox = [](size_t i) { return "_INBOX." + std::to_string(i) + ".*"; };
  for (size_t i = 0; i < 1000; ++i) trie.Insert(inbox(i));
  size_t bytes_max = 0;
  for (size_t i = 1000; i < Rounds(200'000); ++i) {
    trie.Insert(inbox(i));
    ASSERT_TRUE(trie.Erase(inbox(i - 1000)));
    bytes_max = std::max(bytes_max, trie.memory_bytes());
  }
  EXPECT_EQ(trie.filter_count(), 1000u);
  EXPECT_LT(bytes_max, 600'000u);
}

TEST(ChildIndexTest, HoldsEveryEntryWhileItGrowsAndShrinks) {
  SeededRandom random(8);
  ChildIndex index;
  std::vector<uint32_t> tags(200'001);
  std::vector<uint32_t> present;
  uint32_t next = 1;
  const auto holds = [&](uint32_t node) {
    return index.Find(tags[node], [node](uint32_t other) { return other == node; }) == node;
  };
  for (int wave = 0; wave < 6; ++wave) {
    const size_t high = 1000 + random.Below(30'000);
    while (present.size() < high) {
      if (next > 200'000) break;
      tags[next] = static_cast<uint32_t>(random.OneIn(50) ? 12345 : random.Next());
      index.Insert(tags[next], next);
      present.push_back(next++);
      if (random.OneIn(8)) {
        const size_t i = random.Below(present.size());
        index.Erase(tags[present[i]], present[i]);
        present[i] = present.back();
        present.pop_back();
      }
    }
    for (const uint32_t node : present) ASSERT_TRUE(holds(node));
    const size_t low = random.Below(50);
    while (present.size() > low) {
      const size_t i = random.Below(present.size());
      index.Erase(tags[present[i]], present[i]);
      ASSERT_FALSE(holds(present[i]));
      present[i] = present.back();
      present.pop_back();
      if (random.OneIn(500)) {
        for (const uint32_t node : present) ASSERT_TRUE(holds(node));
      }
    }
    ASSERT_EQ(index.count(), present.size());
  }
  EXPECT_LT(index.memory_bytes(), 200'000u);
}

}  // namespace
}  // namespace millrace
