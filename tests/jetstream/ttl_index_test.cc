// SPDX-License-Identifier: Apache-2.0
// Goal:   messages and schedules are due at their time and not before, whatever came and went before.
// Method: random work against a naive twin; what the stream removes by other ways is swept.
#include "broker/jetstream/stream/ttl_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "broker/jetstream/stream/schedule_index.h"

namespace millrace {
namespace {

TEST(TtlIndex, AgreesWithItsNaiveTwin) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    TtlIndex index;
    std::set<std::pair<int64_t, uint64_t>> twin;
    std::set<uint64_t> live;
    uint64_t seq = 0;
    int64_t now = 0;
    for (int step = 0; step < 50'000; ++step) {
      switch (random() % 8) {
        case 0: {  // the clock goes on
          now += static_cast<int64_t>(random() % 100);
          const size_t max = 1 + random() % 20;
          std::vector<uint64_t> expected;
          while (!twin.empty() && twin.begin()->first <= now && expected.size() < max) {
            expected.push_back(twin.begin()->second);
            live.erase(twin.begin()->second);
            twin.erase(twin.begin());
          }
          std::sort(expected.begin(), expected.end());
          std::vector<uint64_t> due = index.TakeDue(now, max);
          // What has gone by other ways may be among it, as long as it was not swept.
          ASSERT_EQ(due, expected);
          break;
        }
        default: {
          const int64_t at = now + static_cast<int64_t>(random() % 10'000);
          index.Add(++seq, at);
          twin.insert({at, seq});
          live.insert(seq);
        }
      }
      ASSERT_EQ(index.next_ns(), twin.empty() ? TtlIndex::kNever : twin.begin()->first);
      if (step % 5000 == 4999) {  // half of them go by other ways
        std::erase_if(live, [&random](uint64_t) { return random() % 2 == 0; });
        std::erase_if(twin, [&live](const auto& entry) { return !live.contains(entry.second); });
        index.Sweep([&live](uint64_t one) { return live.contains(one); });
      }
    }
    EXPECT_EQ(index.size(), twin.size());
  }
}

TEST(TtlIndex, StaysBoundedByWhatIsLive) {
  TtlIndex index;
  for (uint64_t seq = 1; seq <= 1'000'000; ++seq) {
    index.Add(seq, static_cast<int64_t>(seq) + 1'000'000'000);
    if (index.WantsSweep()) index.Sweep([seq](uint64_t one) { return one + 100 > seq; });
    ASSERT_LE(index.size(), 4500u);
  }
}

TEST(ScheduleIndex, AgreesWithItsNaiveTwin) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    ScheduleIndex index;
    std::map<std::string, std::pair<uint64_t, int64_t>> twin;
    uint64_t seq = 0;
    int64_t now = 0;
    for (int step = 0; step < 5'000; ++step) {
      const std::string subject = "s." + std::to_string(random() % 50);
      const int64_t at = now + static_cast<int64_t>(random() % 1000);
      switch (random() % 5) {
        case 0:
          index.Add(subject, ++seq, at);
          twin[subject] = {seq, at};
          break;
        case 1:
          index.Move(subject, at);
          if (twin.contains(subject)) twin[subject].second = at;
          break;
        case 2:
          index.Remove(subject);
          twin.erase(subject);
          break;
        default:
          now += static_cast<int64_t>(random() % 10);
      }
      std::map<uint64_t, std::pair<std::string, int64_t>> due;
      int64_t next = ScheduleIndex::kNever;
      for (const auto& [name, entry] : twin) {
        next = std::min(next, entry.second);
        if (entry.second <= now) due[entry.first] = {name, entry.second};
      }
      ASSERT_EQ(index.next_ns(), next);
      const std::vector<ScheduleIndex::Due> found = index.FindDue(now, 1000);
      ASSERT_EQ(found.size(), due.size());
      size_t i = 0;
      for (const auto& [one, entry] : due) {
        ASSERT_EQ(found[i].seq, one);
        ASSERT_EQ(found[i].subject, entry.first);
        ASSERT_EQ(found[i++].at_ns, entry.second);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
