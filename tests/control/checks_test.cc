// SPDX-License-Identifier: Apache-2.0
// Goal: checks of passwords are answered as they are, sources have their turns, what is too much is refused where it
//       piles up, and nothing waits for a check at the end.
// Method: the queue against a naive twin; the desk with a real ring, real helper threads, and a mesh of two shards that
//         the test reads for. Hashes are Python's crypt of cost 4.
#include <gtest/gtest.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "broker/control/check_desk.h"
#include "broker/io/uring.h"
#include "proto/base/bytes.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr std::string_view kHashOfX = "$2b$04$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e";

ConnectionId Id(uint64_t cid) { return {static_cast<uint32_t>(cid % 2), 0, cid}; }

// ---- the queue -----------------------------------------------------------------------------------------------------

// All that waits, as it came, and when each source began to wait for its next turn.
struct Twin {
  struct Item {
    std::string source;
    uint64_t cid;
    bool postponed = false;
  };
  explicit Twin(size_t waiting_max) : max(waiting_max) {}

  const size_t max;
  std::vector<Item> items;
  std::map<std::string, uint64_t> since;
  uint64_t clock = 0;

  size_t Of(const std::string& source) const {
    return static_cast<size_t>(
        std::count_if(items.begin(), items.end(), [&](const Item& item) { return item.source == source; }));
  }
  void Forget(const std::string& source) {
    if (Of(source) == 0) since.erase(source);
  }
  // 0: there was room.
  uint64_t Add(const std::string& source, uint64_t cid) {
    uint64_t displaced = 0;
    const bool first = Of(source) == 0;
    if (items.size() >= max) {
      std::string fullest;
      uint64_t turn = 0;
      for (const auto& [name, at] : since) {
        const bool more = fullest.empty() || Of(name) > Of(fullest);
        if (more || (Of(name) == Of(fullest) && at < turn)) fullest = name, turn = at;
      }
      if (Of(source) + 1 >= Of(fullest)) fullest = source;
      const auto of = [&](bool postponed) {
        return std::find_if(items.rbegin(), items.rend(),
                            [&](const Item& item) { return item.source == fullest && item.postponed == postponed; });
      };
      auto last = of(true);
      if (last == items.rend() && fullest == source) return cid;
      if (last == items.rend()) last = of(false);
      displaced = last->cid;
      items.erase(std::next(last).base());
    }
    if (first) since[source] = ++clock;
    items.push_back({source, cid});
    return displaced;
  }
  uint64_t Take() {
    if (items.empty()) return 0;
    std::string next;
    for (const auto& [name, at] : since) {
      if (next.empty() || at < since[next]) next = name;
    }
    auto first = items.end();
    for (const bool postponed : {false, true}) {
      if (first != items.end()) break;
      first = std::find_if(items.begin(), items.end(),
                           [&](const Item& item) { return item.source == next && item.postponed == postponed; });
    }
    const uint64_t cid = first->cid;
    items.erase(first);
    since[next] = ++clock;
    Forget(next);
    return cid;
  }
  bool Postpone(uint64_t cid) {
    const auto at = std::find_if(items.begin(), items.end(), [cid](const Item& item) { return item.cid == cid; });
    if (at == items.end()) return false;
    at->postponed = true;
    std::rotate(at, at + 1, items.end());
    return true;
  }
  bool Remove(uint64_t cid) {
    const auto at = std::find_if(items.begin(), items.end(), [cid](const Item& item) { return item.cid == cid; });
    if (at == items.end()) return false;
    const std::string source = at->source;
    items.erase(at);
    Forget(source);
    return true;
  }
};

TEST(CheckQueue, TakesTurnsLikeItsTwin) {
  for (uint64_t seed = 1; seed <= Rounds(100); ++seed) {
    SeededRandom random(seed);
    const size_t max = 1 + random.Below(12);
    CheckQueue queue(max);
    Twin twin(max);
    uint64_t next = 1;
    for (int i = 0; i < 1000; ++i) {
      const uint64_t what = random.Below(11);
      if (what < 6) {
        const std::string source = "10.0.0." + std::to_string(random.Below(4));
        const std::optional<CheckQueue::Entry> out = queue.Add({Id(next), {source, "h", Secret("s")}});
        ASSERT_EQ(out ? out->id.cid : 0, twin.Add(source, next)) << seed << " " << i;
        ++next;
      } else if (what < 9) {
        const std::optional<CheckQueue::Entry> out = queue.Take();
        ASSERT_EQ(out ? out->id.cid : 0, twin.Take()) << seed << " " << i;
      } else if (what == 9) {
        const uint64_t cid = next - random.Below(std::min<uint64_t>(next, 20));
        ASSERT_EQ(queue.Postpone(Id(cid)), twin.Postpone(cid)) << seed << " " << i;
      } else {
        const uint64_t cid = 1 + random.Below(next);
        ASSERT_EQ(queue.Remove(Id(cid)), twin.Remove(cid)) << seed << " " << i;
      }
      ASSERT_EQ(queue.size(), twin.items.size());
      queue.Invariant();
    }
  }
}

TEST(CheckQueue, OneCustomerIsOneSource) {
  EXPECT_EQ(SourceOf("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(SourceOf("2001:db8:1:2:3:4:5:6"), SourceOf("2001:db8:1:2::1"));
  EXPECT_NE(SourceOf("2001:db8:1:2::1"), SourceOf("2001:db8:1:3::1"));
  EXPECT_EQ(SourceOf("::ffff:10.0.0.1"), "::ffff:10.0.0.1");
  EXPECT_EQ(SourceOf(""), "");
}

// ---- the desk ------------------------------------------------------------------------------------------------------

struct World {
  explicit World(int helpers, int waiting_max) {
    UringOptions options;
    options.submissions = 64;
    options.completions = 128;
    options.small_buffers = 2;
    options.large_buffers = 2;
    io = std::move(*UringIo::Create(options));
    io->Enable({io->ring_fd()});
    tuning.auth_helpers = helpers;
    tuning.auth_checks_max = waiting_max;
    desk = std::make_unique<CheckDesk>(*io, mesh, log, tuning);
  }
  ~World() {
    desk->Stop();
    while (!desk->stopped()) Turn();
    Told();
  }

  void Turn() {
    io->SubmitAndWait(Nanos::max(), !desk->stopped());
    io->RunCompletions(UINT64_MAX);
  }
  void Ask(uint64_t cid, std::string_view source, std::string_view secret, std::string_view hash = kHashOfX) {
    desk->OnQuestion(Id(cid), {std::string(source), std::string(hash), Secret(secret)});
  }
  // What the shards have been told, and each its own connections only.
  std::vector<std::pair<uint64_t, Finding>> Told() {
    std::vector<std::pair<uint64_t, Finding>> all;
    mesh.port(mesh.control()).Ship([](uint32_t) {});
    for (uint32_t shard = 0; shard < mesh.shards(); ++shard) {
      mesh.port(shard).Drain([&](uint32_t, const MailHeader&, const char* body) {
        const std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
        const auto& found = static_cast<const Found&>(*parcel);
        EXPECT_EQ(found.id.shard, shard);
        all.emplace_back(found.id.cid, found.finding);
      });
    }
    return all;
  }
  // The next one that is told.
  std::pair<uint64_t, Finding> Next() {
    while (unread.empty()) {
      for (const auto& told : Told()) unread.push_back(told);
      if (unread.empty()) Turn();
    }
    const auto next = unread.front();
    unread.pop_front();
    return next;
  }

  Mesh mesh{2, 1 << 16};
  Logger log{[] { return int64_t{0}; }};
  Tuning tuning;
  std::unique_ptr<UringIo> io;
  std::unique_ptr<CheckDesk> desk;
  std::deque<std::pair<uint64_t, Finding>> unread;
};

using Told = std::pair<uint64_t, Finding>;

TEST(CheckDesk, AnswersAsItIs) {
  for (const int helpers : {1, 3}) {
    World world(helpers, 64);
    std::set<Told> expected;
    std::set<Told> told;
    for (uint64_t cid = 1; cid <= 12; ++cid) {
      world.Ask(cid, "10.0.0.1", cid % 3 == 0 ? "x" : "y");
      expected.emplace(cid, cid % 3 == 0 ? Finding::kYes : Finding::kNo);
    }
    while (told.size() < expected.size()) told.insert(world.Next());
    EXPECT_EQ(told, expected);
  }
}

TEST(CheckDesk, NobodyWaitsForAnothersMany) {
  World world(1, 64);
  for (uint64_t cid = 1; cid <= 9; ++cid) world.Ask(cid, "10.0.0.1", "y");
  world.Ask(10, "10.0.0.2", "x");
  // The first is under way, the second is the source's turn, and then it is the other's.
  EXPECT_EQ(world.Next(), Told(1, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(2, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(10, Finding::kYes));
  EXPECT_EQ(world.Next(), Told(3, Finding::kNo));
}

TEST(CheckDesk, WhatIsTooMuchIsRefusedWhereItPilesUp) {
  World world(1, 2);
  for (uint64_t cid = 1; cid <= 3; ++cid) world.Ask(cid, "10.0.0.1", "y");
  EXPECT_TRUE(world.Told().empty());
  world.Ask(4, "10.0.0.1", "x");
  EXPECT_EQ(world.Told(), std::vector<Told>({{4, Finding::kNoTime}}));
  world.Ask(5, "10.0.0.2", "x");
  EXPECT_EQ(world.Told(), std::vector<Told>({{3, Finding::kNoTime}}));
  world.Ask(6, "10.0.0.3", "x");
  EXPECT_EQ(world.Told(), std::vector<Told>({{6, Finding::kNoTime}}));
  EXPECT_EQ(world.Next(), Told(1, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(2, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(5, Finding::kYes));
}

TEST(CheckDesk, WhoHasGoneIsNotWaitedFor) {
  World world(1, 64);
  for (uint64_t cid = 1; cid <= 4; ++cid) world.Ask(cid, "10.0.0.1", "y");
  world.desk->OnWithdrawn(Id(1));  // under way: its answer finds nobody
  world.desk->OnWithdrawn(Id(3));
  world.desk->OnWithdrawn(Id(9));
  EXPECT_EQ(world.Next(), Told(1, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(2, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(4, Finding::kNo));
}

// A FIN may be a half-close, whose input counts: its check is made, but nobody of its source waits for it.
TEST(CheckDesk, WhoSendsNothingMoreComesLast) {
  World world(1, 4);
  for (uint64_t cid = 1; cid <= 4; ++cid) world.Ask(cid, "10.0.0.1", "y");
  for (const uint64_t cid : {1, 2, 3, 9}) world.desk->OnPostponed(Id(cid));
  world.Ask(5, "10.0.0.1", "x");
  world.Ask(6, "10.0.0.1", "x");  // there is no room: the last one has to go
  EXPECT_EQ(world.Told(), std::vector<Told>({{3, Finding::kNoTime}}));
  EXPECT_EQ(world.Next(), Told(1, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(4, Finding::kNo));
  EXPECT_EQ(world.Next(), Told(5, Finding::kYes));
  EXPECT_EQ(world.Next(), Told(6, Finding::kYes));
  EXPECT_EQ(world.Next(), Told(2, Finding::kNo));
}

TEST(CheckDesk, AStopWaitsForNoCheck) {
  std::string hash(kHashOfX);
  hash.replace(4, 2, "31");  // days
  World world(2, 64);
  {
#if defined(__SANITIZE_ADDRESS__)
    // They stay with threads that nobody waits for; whether a check for leaks sees their stacks is chance.
    const __lsan::ScopedDisabler theirs;
#endif
    world.Ask(1, "10.0.0.1", "x", hash);
    world.Ask(2, "10.0.0.1", "x", hash);
    world.Ask(3, "10.0.0.1", "x", hash);
  }
  world.desk->Stop();
  world.Ask(4, "10.0.0.1", "x");
  while (!world.desk->stopped()) world.Turn();
  EXPECT_TRUE(world.Told().empty());
}

}  // namespace
}  // namespace millrace
