// SPDX-License-Identifier: Apache-2.0
// Goal: at the first and last positions of index runs, where an error of one is an error, every question is answered as
//       the naive log does: in memory, on disk, and after a restart.
// Method: streams with messages at such sequences only, few subjects and random removals; each question asked from each
//         sequence near one of them.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "store/index/live_set.h"
#include "store/segment/memory_stream_log.h"
#include "tests/proto/seeded.h"
#include "tests/store/naive_stream_log.h"
#include "tests/store/store_harness.h"

namespace millrace {
namespace {

// The first sequences, and those on both sides of the ends of the first runs.
std::vector<uint64_t> Edges() {
  std::vector<uint64_t> edges = {1, 2};
  for (uint64_t run = 1; run <= 3; ++run) {
    const uint64_t first = run << LiveSet::kChunkBits;
    for (const uint64_t seq : {first - 3, first - 2, first - 1, first, first + 1, first + 2}) edges.push_back(seq);
  }
  return edges;
}

void AskFrom(StreamLog* log, const NaiveStreamLog& naive, const Filters& filters, uint64_t from) {
  ASSERT_EQ(log->Next(filters, from), naive.Next(filters, from)) << from;
  ASSERT_EQ(log->Previous(filters, from), naive.Previous(filters, from)) << from;
  ASSERT_EQ(log->Count(filters, from, false), naive.Count(filters, from, false)) << from;
  ASSERT_EQ(log->Count(filters, from, true), naive.Count(filters, from, true)) << from;
  ASSERT_EQ(log->LastPerSubject(filters, from, SIZE_MAX), naive.LastPerSubject(filters, from, SIZE_MAX)) << from;
}

void AskAll(StreamLog* log, const NaiveStreamLog& naive) {
  for (const Filters& filters : {Filters{"a"}, Filters{"b"}, Filters{"a", "c"}, Filters{"*"}, Filters{"none"}}) {
    for (const uint64_t edge : Edges()) {
      AskFrom(log, naive, filters, edge);
      if (testing::Test::HasFatalFailure()) FAIL() << filters[0];
    }
    AskFrom(log, naive, filters, 10);
    AskFrom(log, naive, filters, 300'000);
  }
  for (const char* subject : {"a", "b", "c"}) {
    const auto expected = naive.Subjects({subject});
    const auto found = log->FindSubject(subject);
    ASSERT_EQ(found.has_value(), !expected.empty()) << subject;
    if (!found.has_value()) continue;
    EXPECT_EQ(found->messages, expected.begin()->second.messages) << subject;
    EXPECT_EQ(found->first_seq, expected.begin()->second.first_seq) << subject;
    EXPECT_EQ(found->last_seq, expected.begin()->second.last_seq) << subject;
  }
  EXPECT_EQ(log->OlderThanLast(1), naive.OlderThanLast(1));
}

class Edged {
 public:
  explicit Edged(uint64_t seed) : random_(seed) {}

  // Each edge with a message, or without one.
  void Fill(StreamLog* log) {
    const char* subjects[] = {"a", "b", "c"};
    const uint64_t density = 1 + random_.Below(3);
    for (const uint64_t seq : Edges()) {
      if (!random_.OneIn(density)) continue;
      StoredMessage message;
      message.seq = seq;
      message.time_ns = static_cast<int64_t>(seq);
      message.subject = subjects[random_.Below(3)];
      message.payload = "payload";
      log->Append(message);
      naive.Append(message);
    }
  }
  void RemoveSome(StreamLog* log) {
    for (const uint64_t seq : Edges()) {
      if (!random_.OneIn(4)) continue;
      log->Remove(seq, StreamLog::Erase::kNo);
      naive.Remove(seq);
    }
  }

  NaiveStreamLog naive{true};

 private:
  SeededRandom random_;
};

TEST(RunEdgesTest, InMemory) {
  for (size_t round = 1; round <= Rounds(100); ++round) {
    const auto log = NewMemoryStreamLog(1, {.block_bytes = 4096});
    Edged edged(round);
    edged.Fill(log.get());
    for (int removals = 0; removals < 3; ++removals) {
      AskAll(log.get(), edged.naive);
      if (HasFatalFailure()) FAIL() << "round " << round;
      edged.RemoveSome(log.get());
    }
  }
}

TEST(RunEdgesTest, OnDiskAndAfterARestart) {
  for (size_t round = 1; round <= Rounds(40); ++round) {
    StoreHarness harness(SegmentStoreOptions{});
    Edged edged(round);
    edged.Fill(harness.Create(1, {.block_bytes = 4096}));
    for (int removals = 0; removals < 3; ++removals) {
      AskAll(harness.log(1), edged.naive);
      if (HasFatalFailure()) FAIL() << "round " << round;
      if (removals != 1) {  // or the removals come from the journal
        ASSERT_TRUE(harness.Checkpoint());
      }
      harness.Settle();
      harness.Restart();
      AskAll(harness.log(1), edged.naive);
      if (HasFatalFailure()) FAIL() << "round " << round << ", restarted";
      edged.RemoveSome(harness.log(1));
    }
  }
}

}  // namespace
}  // namespace millrace
