// SPDX-License-Identifier: Apache-2.0
// Goal: what a consumer knows of its messages is right after any sequence of events and survives any restart, and the
//       subjects of acks say what they should.
// Method: naive twins with std::map and seeded random operations; after every operation a state restored from a
//         checkpoint and the deltas since is compared as well.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>

#include "broker/jetstream/consumer/ack_subject.h"
#include "broker/jetstream/consumer/consumer_state.h"
#include "broker/jetstream/consumer/pending_set.h"
#include "broker/jetstream/consumer/pull_queue.h"

namespace millrace {
namespace {

using State = PendingEntry::State;

// --- PendingSet

struct NaivePending {
  std::map<uint64_t, PendingEntry> entries;
  AckWaits waits;

  int64_t DeadlineOf(const PendingEntry& entry) const {
    if (entry.state == State::kQueued || waits.ack_wait_ns == 0) return PendingSet::kNever;
    return entry.time_ns + waits.For(entry.redeliveries);
  }
  int64_t NextDeadline() const {
    int64_t next = PendingSet::kNever;
    for (const auto& [seq, entry] : entries) next = std::min(next, DeadlineOf(entry));
    return next;
  }
};

void ExpectSame(const PendingSet& set, const NaivePending& naive) {
  ASSERT_EQ(set.size(), naive.entries.size());
  auto expected = naive.entries.begin();
  size_t queued = 0;
  set.ForEach([&](const PendingEntry& entry) {
    ASSERT_NE(expected, naive.entries.end());
    EXPECT_EQ(entry.seq, expected->first);
    EXPECT_EQ(entry.consumer_seq, expected->second.consumer_seq);
    EXPECT_EQ(entry.time_ns, expected->second.time_ns);
    EXPECT_EQ(entry.redeliveries, expected->second.redeliveries);
    EXPECT_EQ(entry.state == State::kQueued, expected->second.state == State::kQueued);
    queued += entry.state == State::kQueued;
    ++expected;
  });
  ASSERT_EQ(expected, naive.entries.end());
  ASSERT_EQ(set.queued(), queued);
  ASSERT_EQ(set.NextDeadline(), naive.NextDeadline());
  if (naive.entries.empty()) {
    ASSERT_EQ(set.first(), nullptr);
  } else {
    ASSERT_EQ(set.first()->seq, naive.entries.begin()->first);
  }
}

TEST(PendingSet, IsItsNaiveTwin) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    PendingSet set;
    NaivePending naive;
    const auto roll = [&](uint64_t n) { return random() % n; };
    if (seed % 3 == 1) naive.waits.ack_wait_ns = 100;
    if (seed % 3 == 2) naive.waits = {50, {50, 200, 30}};
    set.SetWaits(naive.waits);
    uint64_t next_seq = 1 + roll(100);
    uint64_t consumer_seq = 0;
    int64_t now = 1000;
    const uint64_t gap = seed % 4 == 0 ? 1 : 1 + roll(5);
    const auto pick = [&]() -> uint64_t {
      if (naive.entries.empty() || roll(8) == 0) return 1 + roll(next_seq);
      auto it = naive.entries.lower_bound(roll(4) == 0 ? roll(next_seq) : naive.entries.begin()->first);
      if (it == naive.entries.end()) it = naive.entries.begin();
      return it->first;
    };
    for (int step = 0; step < 3000; ++step) {
      now += static_cast<int64_t>(roll(4));
      switch (roll(12)) {
        case 0: case 1: case 2: case 3: {
          const uint64_t seq = next_seq;
          next_seq += 1 + roll(gap);
          set.Add(seq, ++consumer_seq, now);
          naive.entries[seq] = PendingEntry{seq, consumer_seq, now, 0, State::kFirst};
          break;
        }
        case 4: case 5: case 6: {
          const uint64_t seq = pick();
          PendingEntry removed;
          const bool there = naive.entries.contains(seq);
          ASSERT_EQ(set.Remove(seq, &removed), there);
          if (there) {
            EXPECT_EQ(removed.consumer_seq, naive.entries[seq].consumer_seq);
          }
          naive.entries.erase(seq);
          break;
        }
        case 7: {
          const uint64_t seq = pick();
          const bool there = naive.entries.contains(seq);
          const bool touch = roll(2) == 0;
          const int64_t at = now - static_cast<int64_t>(roll(200));
          ASSERT_EQ(touch ? set.Touch(seq, at) : set.Unqueue(seq, at), there);
          if (there) {
            PendingEntry& entry = naive.entries[seq];
            entry.time_ns = at;
            if (entry.state != State::kQueued || !touch) entry.state = State::kTouched;
          }
          break;
        }
        case 8: {
          const uint64_t seq = pick();
          const bool can = naive.entries.contains(seq) && naive.entries[seq].state != State::kQueued;
          ASSERT_EQ(set.Queue(seq), can);
          if (can) naive.entries[seq].state = State::kQueued;
          break;
        }
        case 9: {
          std::vector<uint64_t> expired, expected;
          set.TakeExpired(now, &expired);
          for (auto& [seq, entry] : naive.entries) {
            if (naive.DeadlineOf(entry) <= now) expected.push_back(seq);
          }
          for (const uint64_t seq : expected) naive.entries[seq].state = State::kQueued;
          ASSERT_EQ(expired, expected);
          break;
        }
        case 10: {
          for (auto& [seq, entry] : naive.entries) {
            if (entry.state != State::kQueued || roll(2) == 0) continue;
            set.Redeliver(seq, now);
            entry.time_ns = now;
            ++entry.redeliveries;
            entry.state = State::kTouched;
          }
          break;
        }
        default:
          if (roll(20) == 0) {
            const uint64_t seq = pick();
            std::vector<uint64_t> removed, expected;
            set.RemoveUpTo(seq, [&](const PendingEntry& entry) { removed.push_back(entry.seq); });
            while (!naive.entries.empty() && naive.entries.begin()->first <= seq) {
              expected.push_back(naive.entries.begin()->first);
              naive.entries.erase(naive.entries.begin());
            }
            ASSERT_EQ(removed, expected);
          } else if (roll(20) == 0) {
            set.Shrink();
          } else if (roll(40) == 0) {
            const std::vector<int64_t> backoff = roll(2) == 0 ? std::vector<int64_t>{} : std::vector<int64_t>{80, 10};
            if (naive.waits.ack_wait_ns != 0) naive.waits = {80, backoff};
            set.SetWaits(naive.waits);
          } else {
            const uint64_t seq = pick();
            const auto after = naive.entries.upper_bound(seq);
            const PendingEntry* found = set.After(seq);
            ASSERT_EQ(found == nullptr, after == naive.entries.end());
            if (found != nullptr) {
              ASSERT_EQ(found->seq, after->first);
            }
          }
      }
      ExpectSame(set, naive);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PendingSet, OneStuckMessageDoesNotMakeTheRingGrow) {
  PendingSet set;
  set.SetWaits({1000, {}});
  set.Add(1, 1, 0);
  for (uint64_t seq = 2; seq < 1'000'000; ++seq) {
    set.Add(seq, seq, 0);
    ASSERT_TRUE(set.Remove(seq, nullptr));
  }
  ASSERT_EQ(set.size(), 1u);
  ASSERT_EQ(set.NextDeadline(), 1000);
}

// --- ConsumerState

struct NaiveState {
  AckPolicy policy = AckPolicy::kExplicit;
  uint64_t delivered_consumer = 0, delivered_stream = 0, floor_consumer = 0, floor_stream = 0;
  std::map<uint64_t, PendingEntry> pending;
  std::map<uint64_t, uint32_t> exhausted;

  uint64_t Deliver(uint64_t seq, int64_t now) {
    delivered_stream = seq;
    ++delivered_consumer;
    if (policy == AckPolicy::kNone) {
      floor_consumer = delivered_consumer;
      floor_stream = seq;
    } else {
      pending[seq] = PendingEntry{seq, delivered_consumer, now, 0, State::kFirst};
    }
    return delivered_consumer;
  }
  void MoveFloor(uint64_t consumer_seq, uint64_t seq) {
    if (pending.empty()) {
      floor_consumer = delivered_consumer;
      floor_stream = delivered_stream;
    } else if (consumer_seq == floor_consumer + 1) {
      floor_consumer = consumer_seq;
      floor_stream = seq;
      for (uint64_t above = seq + 1; above <= delivered_stream; ++above) {
        if (!pending.contains(above)) continue;
        floor_consumer = pending[above].consumer_seq - 1;
        floor_stream = above - 1;
        break;
      }
    }
  }
  bool Ack(uint64_t seq) {
    if (!pending.contains(seq)) {
      exhausted.erase(seq);
      return false;
    }
    const uint64_t consumer_seq = pending[seq].consumer_seq;
    pending.erase(seq);
    MoveFloor(consumer_seq, seq);
    return true;
  }
};

void ExpectSame(const ConsumerState& state, const NaiveState& naive) {
  ASSERT_EQ(state.delivered_consumer(), naive.delivered_consumer);
  ASSERT_EQ(state.delivered_stream(), naive.delivered_stream);
  ASSERT_EQ(state.ack_floor_consumer(), naive.floor_consumer);
  ASSERT_EQ(state.ack_floor_stream(), naive.floor_stream);
  ASSERT_EQ(state.pending().size(), naive.pending.size());
  size_t redelivered = naive.exhausted.size();
  for (const auto& [seq, entry] : naive.pending) redelivered += entry.redeliveries != 0;
  ASSERT_EQ(state.redelivered(), redelivered);
  auto expected = naive.pending.begin();
  state.pending().ForEach([&](const PendingEntry& entry) {
    ASSERT_EQ(entry.seq, expected->first);
    ASSERT_EQ(entry.consumer_seq, expected->second.consumer_seq);
    ASSERT_EQ(entry.time_ns, expected->second.time_ns);
    ASSERT_EQ(entry.redeliveries, expected->second.redeliveries);
    ++expected;
  });
  ASSERT_EQ(state.exhausted().size(), naive.exhausted.size());
  for (const auto& [seq, count] : naive.exhausted) ASSERT_EQ(state.exhausted().at(seq), count);
}

TEST(ConsumerState, IsItsNaiveTwinAndSurvivesRestartsAnywhere) {
  for (uint64_t seed = 1; seed <= 90; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto roll = [&](uint64_t n) { return random() % n; };
    const AckPolicy policy = seed % 5 == 0 ? AckPolicy::kNone : seed % 5 == 1 ? AckPolicy::kAll : AckPolicy::kExplicit;
    ConsumerState state(policy);
    state.SetWaits({100, {}});
    NaiveState naive;
    naive.policy = policy;
    std::string full;
    std::vector<std::string> deltas;
    uint64_t next_seq = 1 + roll(50);
    int64_t now = 1'700'000'000'000'000'000;
    state.Begin(next_seq);
    naive.delivered_stream = naive.floor_stream = next_seq - 1;
    const uint64_t gap = seed % 3 == 0 ? 1 : 4;
    const auto pick = [&]() -> uint64_t {
      if (naive.pending.empty() || roll(6) == 0) return 1 + roll(next_seq);
      auto it = naive.pending.begin();
      std::advance(it, static_cast<ptrdiff_t>(roll(std::min<size_t>(naive.pending.size(), 6))));
      return it->first;
    };
    for (int step = 0; step < 400; ++step) {
      if (roll(3) == 0) now += static_cast<int64_t>(roll(50));
      const uint64_t kind = roll(policy == AckPolicy::kNone ? 3 : 14);
      if (kind < 4) {
        for (uint64_t left = 1 + roll(5); left != 0; --left) {
          ASSERT_EQ(state.Deliver(next_seq, now), naive.Deliver(next_seq, now));
          next_seq += 1 + roll(gap);
        }
      } else if (kind < 8) {
        const uint64_t seq = pick();
        if (policy == AckPolicy::kAll) {
          const uint64_t consumer_seq = roll(naive.delivered_consumer + 1);
          if (consumer_seq > naive.floor_consumer && seq > naive.floor_stream && seq < next_seq) {
            std::vector<uint64_t> acked;
            state.AckUpTo(seq, consumer_seq, &acked);
            naive.floor_consumer = consumer_seq;
            naive.floor_stream = seq;
            std::erase_if(naive.pending, [&](const auto& item) { return item.first <= seq; });
            std::erase_if(naive.exhausted, [&](const auto& item) { return item.first <= seq; });
          }
        } else {
          for (uint64_t ack = seq; ack < seq + 1 + roll(3); ++ack) ASSERT_EQ(state.Ack(ack), naive.Ack(ack));
        }
      } else if (kind < 10) {
        const uint64_t seq = pick();
        if (!naive.pending.contains(seq)) continue;
        state.Queue(seq);
        ASSERT_EQ(state.Redeliver(seq, now), ++naive.delivered_consumer);
        naive.pending[seq].time_ns = now;
        ++naive.pending[seq].redeliveries;
      } else if (kind == 10) {
        const uint64_t seq = pick();
        const bool there = naive.pending.contains(seq);
        ASSERT_EQ(roll(2) == 0 ? state.Touch(seq, now + 7) : state.Unqueue(seq, now + 7), there);
        if (there) naive.pending[seq].time_ns = now + 7;
      } else if (kind == 11) {
        const uint64_t seq = pick();
        if (!naive.pending.contains(seq)) continue;
        const PendingEntry entry = naive.pending[seq];
        state.Exhaust(seq);
        naive.pending.erase(seq);
        naive.exhausted[seq] = entry.redeliveries + 1;
        naive.MoveFloor(entry.consumer_seq, seq);
      } else if (kind == 12) {
        const uint64_t seq = pick();
        state.ForgetExhaustedBelow(seq);
        std::erase_if(naive.exhausted, [&](const auto& item) { return item.first < seq; });
      } else if (roll(10) == 0) {
        const uint64_t first = pick() + roll(20);
        next_seq = std::max(next_seq, first);
        state.Purge(first, next_seq, nullptr);
        naive.delivered_stream = next_seq - 1;
        if (naive.floor_stream < first) {
          naive.floor_stream = first - 1;
          while (!naive.pending.empty() && naive.pending.begin()->first < first) {
            naive.floor_consumer = std::max(naive.floor_consumer, naive.pending.begin()->second.consumer_seq);
            naive.pending.erase(naive.pending.begin());
          }
        }
        std::erase_if(naive.exhausted, [&](const auto& item) { return item.first < first; });
        if (naive.pending.empty()) {
          naive.floor_consumer = naive.delivered_consumer;
          naive.floor_stream = naive.delivered_stream;
        }
      }
      ExpectSame(state, naive);
      if (HasFatalFailure()) return;
      // A turn ends, or not.
      if (roll(3) == 0) continue;
      if (state.changed()) deltas.emplace_back(state.TakeDelta());
      ASSERT_FALSE(state.changed());
      if (roll(20) == 0) {
        full.clear();
        state.Encode(&full);
        deltas.clear();
      }
      ConsumerState restored(policy);
      restored.SetWaits({100, {}});
      if (!full.empty()) {
        ASSERT_TRUE(restored.Decode(full).ok());
      }
      for (const std::string& delta : deltas) ASSERT_TRUE(restored.Replay(delta).ok());
      ExpectSame(restored, naive);
      ASSERT_FALSE(restored.changed());
      if (HasFatalFailure()) return;
    }
  }
}

TEST(ConsumerState, ADeltaOfATurnIsSmall) {
  ConsumerState state(AckPolicy::kExplicit);
  state.Begin(1);
  (void)state.TakeDelta();
  for (uint64_t seq = 1; seq <= 10'000; ++seq) state.Deliver(seq, 1'700'000'000'000'000'000);
  for (uint64_t seq = 1; seq <= 9'000; ++seq) state.Ack(seq);
  EXPECT_LE(state.TakeDelta().size(), 32u);
}

TEST(ConsumerState, CutOrForeignBytesAreRefused) {
  ConsumerState state(AckPolicy::kExplicit);
  state.Begin(1);
  for (uint64_t seq = 1; seq <= 10; ++seq) state.Deliver(seq, 1'000'000);
  std::string full;
  state.Encode(&full);
  for (size_t bytes = 0; bytes < full.size(); ++bytes) {
    ConsumerState restored(AckPolicy::kExplicit);
    EXPECT_FALSE(restored.Decode(full.substr(0, bytes)).ok()) << bytes;
  }
  ConsumerState restored(AckPolicy::kExplicit);
  EXPECT_FALSE(restored.Decode(full + "x").ok());
  EXPECT_FALSE(restored.Replay("\x02").ok());
  EXPECT_FALSE(restored.Replay("\x01\x7f").ok());
  EXPECT_TRUE(restored.Decode(full).ok());
}

// --- ack subjects

TEST(AckSubject, SaysWhatSnprintfSays) {
  AckSubjectWriter writer("ORDERS", "c-1");
  std::mt19937_64 random(5);
  uint64_t deliveries = 1, stream_seq = 1, consumer_seq = 1, pending = 200'000;
  int64_t time_ns = 1'700'000'000'000'000'000;
  for (int step = 0; step < 300'000; ++step) {
    char expected[256];
    std::snprintf(expected, sizeof expected, "$JS.ACK.ORDERS.c-1.%lu.%lu.%lu.%ld.%lu", deliveries, stream_seq,
                  consumer_seq, time_ns, pending);
    const std::string_view text = writer.Write(deliveries, stream_seq, consumer_seq, time_ns, pending);
    ASSERT_EQ(text, expected);
    AckSubject ack;
    ASSERT_TRUE(ParseAckSubject(text, &ack));
    ASSERT_EQ(ack.stream, "ORDERS");
    ASSERT_EQ(ack.consumer, "c-1");
    ASSERT_EQ(ack.deliveries, deliveries);
    ASSERT_EQ(ack.stream_seq, stream_seq);
    ASSERT_EQ(ack.consumer_seq, consumer_seq);
    ASSERT_EQ(ack.time_ns(), time_ns);
    ASSERT_EQ(ack.pending(), pending);
    const uint64_t kind = random() % 64;
    ++stream_seq;
    ++consumer_seq;
    if (pending > 0) --pending;
    deliveries = 1;
    time_ns += static_cast<int64_t>(random() % 2000);
    if (kind == 0) stream_seq += random() % 1000;
    if (kind == 1) deliveries = 1 + random() % 20;
    if (kind == 2) pending += random() % 3000;
    if (kind == 3) time_ns += 700'000'000;
    if (kind == 4) time_ns = std::max<int64_t>(time_ns - 100'000'000, 0);
    if (kind == 5) stream_seq = random();
    if (kind == 6) stream_seq = random() % 100;
    if (kind == 7) time_ns = static_cast<int64_t>(random() % 4'000'000'000'000'000'000);
    if (kind == 8) time_ns = static_cast<int64_t>(random() % 5'000'000'000);
    if (kind == 9) pending = random() % 12;
  }
}

TEST(AckSubject, BothFormsAreRead) {
  struct Case {
    std::string_view subject;
    bool ok;
    std::string_view stream, consumer, domain, hash;
    uint64_t stream_seq;
  };
  const Case cases[] = {
      {"$JS.ACK.S.C.1.2.3.4.5", true, "S", "C", "", "", 2},
      {"$JS.ACK.hub.AbCd.S.C.1.2.3.4.5", true, "S", "C", "hub", "AbCd", 2},
      {"$JS.ACK._.AbCd.S.C.1.2.3.4.5.tail.more", true, "S", "C", "_", "AbCd", 2},
      {"$JS.ACK.S.C.1.x.3.4.5", true, "S", "C", "", "", UINT64_MAX},
      {"$JS.ACK.S.C.1..3.4.5", true, "S", "C", "", "", UINT64_MAX},
      {"$JS.ACK.S.C.1.2.3.4", false, "", "", "", "", 0},
      {"$JS.ACK.S.C.1.2.3.4.5.6", false, "", "", "", "", 0},
      {"$JS.ACK", false, "", "", "", "", 0},
      {"$JS.FC.S.C.1.2.3.4.5", false, "", "", "", "", 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.subject);
    AckSubject ack;
    ASSERT_EQ(ParseAckSubject(c.subject, &ack), c.ok);
    if (!c.ok) continue;
    EXPECT_EQ(ack.stream, c.stream);
    EXPECT_EQ(ack.consumer, c.consumer);
    EXPECT_EQ(ack.domain, c.domain);
    EXPECT_EQ(ack.account_hash, c.hash);
    EXPECT_EQ(ack.stream_seq, c.stream_seq);
  }
}

// --- pull requests

std::string Order(const PullQueue& queue) {
  std::string order;
  for (const PullRequest* request = queue.first(); request != nullptr; request = request->next) order += request->reply;
  return order;
}

TEST(PullQueue, TurnsGoRoundAndRespectPriorities) {
  PullQueue queue;
  const auto add = [&](std::string_view reply, int priority) {
    PullRequest* request = queue.Acquire();
    request->reply = reply;
    request->priority = priority;
    request->no_wait = reply == "c";
    queue.AddByPriority(request);
  };
  add("b", 1);
  add("c", 1);
  add("a", 0);
  add("d", 2);
  EXPECT_EQ(Order(queue), "abcd");
  queue.Rotate(true);
  EXPECT_EQ(Order(queue), "abcd");
  queue.RemoveFirst();
  queue.Rotate(true);
  EXPECT_EQ(Order(queue), "cbd");
  queue.Rotate(false);
  EXPECT_EQ(Order(queue), "bdc");
  EXPECT_EQ(queue.no_waits(), 1u);
  queue.RemoveIf([](PullRequest* request) { return request->reply == "c"; });
  EXPECT_EQ(Order(queue), "bd");
  EXPECT_EQ(queue.no_waits(), 0u);
  add("e", 2);
  EXPECT_EQ(Order(queue), "bde");
  queue.RemoveIf([](PullRequest*) { return true; });
  EXPECT_TRUE(queue.empty());
  add("f", 0);
  EXPECT_EQ(Order(queue), "f");
}

}  // namespace
}  // namespace millrace
