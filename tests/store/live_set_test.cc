// SPDX-License-Identifier: Apache-2.0
// Goal: the set of live sequences is a set, in all three forms of its chunks, and survives encoding.
// Method: std::set beside it under random changes of several densities; damaged encodings must only be refused.
#include "store/index/live_set.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

void Compare(const LiveSet& set, const std::set<uint64_t>& twin, SeededRandom* random, uint64_t top) {
  const uint64_t at = 1 + random->Below(top + 2);
  ASSERT_EQ(set.size(), twin.size());
  ASSERT_EQ(set.Contains(at), twin.contains(at));
  const auto next = twin.lower_bound(at);
  ASSERT_EQ(set.Next(at), next == twin.end() ? 0 : *next);
  const auto after = twin.upper_bound(at);
  ASSERT_EQ(set.Previous(at), after == twin.begin() ? 0 : *std::prev(after));
  if (!random->OneIn(20)) return;
  const auto chunk = twin.lower_bound(at >> 16 << 16);
  const auto chunk_end = twin.lower_bound(((at >> 16) + 1) << 16);
  ASSERT_EQ(set.CountInChunk(at >> 16), static_cast<uint32_t>(std::distance(chunk, chunk_end)));
}

TEST(LiveSetTest, IsASetWhateverIsAddedAndRemoved) {
  for (const uint64_t gap : {1, 2, 50, 5000}) {
    for (const uint64_t removed_of_ten : {0, 3, 9}) {
      SeededRandom random(gap * 10 + removed_of_ten);
      LiveSet set;
      std::set<uint64_t> twin;
      uint64_t top = 0;
      for (size_t i = 0; i < Rounds(150'000) / gap + 3000; ++i) {
        top += 1 + random.Below(gap);
        set.Add(top);
        twin.insert(top);
        if (random.Below(10) < removed_of_ten) {
          const uint64_t victim = random.OneIn(2) ? *twin.begin() : 1 + random.Below(top);
          ASSERT_EQ(set.Remove(victim), twin.erase(victim) == 1);
        }
        if (i % 64 == 0) Compare(set, twin, &random, top);
        if (HasFatalFailure()) return;
      }
      ASSERT_EQ(set.CountFrom(top / 2),
                static_cast<uint64_t>(std::distance(twin.lower_bound(top / 2), twin.end())));
      std::string bytes;
      set.Encode(&bytes);
      LiveSet copy;
      std::string_view rest = bytes;
      ASSERT_TRUE(copy.Decode(&rest));
      EXPECT_TRUE(rest.empty());
      for (int i = 0; i < 1000; ++i) Compare(copy, twin, &random, top);
      while (!twin.empty()) {
        ASSERT_TRUE(set.Remove(*twin.begin()));
        twin.erase(twin.begin());
      }
      EXPECT_EQ(set.Next(1), 0u);
    }
  }
}

TEST(LiveSetTest, RangesAreRemovedAsOneByOne) {
  for (const uint64_t gap : {1, 3, 200, 30'000}) {
    SeededRandom random(gap);
    for (size_t round = 0; round < Rounds(30); ++round) {
      LiveSet set;
      std::set<uint64_t> twin;
      uint64_t top = 1 + random.Below(100'000);
      for (uint64_t i = 5 + random.Below(gap == 1 ? 200'000 : 3000); i > 0; --i) {
        top += 1 + random.Below(gap);
        set.Add(top);
        twin.insert(top);
      }
      for (int i = 0; i < 5; ++i) {
        const uint64_t first = random.Below(top + 10);
        const uint64_t last = first + random.Below(random.OneIn(2) ? 1000 : top);
        set.RemoveRange(first, last);
        twin.erase(twin.lower_bound(first), twin.upper_bound(last));
        ASSERT_EQ(set.size(), twin.size());
        for (int k = 0; k < 20; ++k) Compare(set, twin, &random, top);
        if (HasFatalFailure()) return;
      }
      uint64_t at = 0;
      for (const uint64_t seq : twin) ASSERT_EQ(at = set.Next(at + 1), seq);
      ASSERT_EQ(set.Next(at + 1), 0u);
    }
  }
}

TEST(LiveSetTest, DamagedEncodingsAreRefusedOrRead) {
  LiveSet set;
  for (uint64_t seq = 1; seq < 200'000; ++seq) set.Add(seq);
  for (uint64_t seq = 1; seq < 120'000; seq += 3) set.Remove(seq);
  std::string bytes;
  set.Encode(&bytes);
  SeededRandom random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = bytes.substr(0, random.OneIn(2) ? bytes.size() : random.Below(bytes.size()));
    if (!damaged.empty()) {
      damaged[random.Below(std::min<size_t>(damaged.size(), 64))] ^= static_cast<char>(1 << random.Below(8));
    }
    LiveSet copy;
    std::string_view rest = damaged;
    copy.Decode(&rest);
  }
}

TEST(LiveSetTest, AStreamWithoutHolesCostsNextToNothing) {
  LiveSet set;
  for (uint64_t seq = 1; seq <= 10'000'000; ++seq) set.Add(seq);
  EXPECT_LT(set.memory_bytes(), 16'384u);
}

}  // namespace
}  // namespace millrace
