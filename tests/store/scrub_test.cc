// SPDX-License-Identifier: Apache-2.0
// Goal: what nobody reads is looked at all the same, as fast as it was allowed to be; damage is found, reported once,
//       confined to its block, and made good where the messages are in memory.
// Method: a SegmentStore on a SimDisk with time of its own; bits of blocks and of index runs flipped, reads that fail.
#include <gtest/gtest.h>

#include "tests/store/store_harness.h"

namespace millrace {
namespace {

constexpr int kMessages = 60;

std::string PayloadOf(uint64_t seq) { return "payload " + std::to_string(seq) + std::string(100, '.'); }

class Scrubbed {
 public:
  explicit Scrubbed(uint64_t bytes_per_second = 1 << 20) : harness_(Options(bytes_per_second)) {
    FileStreamLog* log = harness_.Create(1, {.block_bytes = 2048});
    for (uint64_t seq = 1; seq <= kMessages; ++seq) {
      StoredMessage message;
      message.seq = seq;
      message.subject = "s";
      const std::string payload = PayloadOf(seq);
      message.payload = payload;
      log->Append(message);
    }
    EXPECT_TRUE(harness_.Checkpoint());
    harness_.Settle();
  }

  // Turns until a pass has ended, or so much time has gone by; returns that time.
  Nanos Pass(Nanos at_most = std::chrono::hours(30)) {
    const Nanos begun = now_;
    const uint64_t passes = passes_;
    while (passes_ == passes && now_ - begun < at_most) {
      const Nanos next = harness_.store().StepScrub(now_);
      harness_.Turn();
      if (passes_ != passes) break;
      now_ = std::max(now_ + Nanos(1), std::min(next, begun + at_most));
    }
    return now_ - begun;
  }
  // The same, but a bit at `offset` is wrong when the first part is read. False: nothing was read.
  bool PassWithABadFirstRead(uint64_t offset) {
    bool read = false;
    for (int i = 0; i < 1000 && !read; ++i) {
      harness_.disk().FlipBit(Segment(), offset, 3);
      const Nanos next = harness_.store().StepScrub(now_);
      harness_.disk().FlipBit(Segment(), offset, 3);
      read = harness_.disk().busy();
      harness_.Turn();
      now_ = std::max(now_ + Nanos(1), next);
    }
    Pass();
    return read;
  }
  int Readable() {
    int count = 0;
    StreamLog* log = harness_.log(1);
    for (uint64_t seq = 1; seq <= kMessages; ++seq) {
      StoredMessage message;
      LoadStatus status = log->Load(seq, &message);
      for (int i = 0; i < 100 && status == LoadStatus::kPending; ++i) {
        harness_.Turn();
        status = log->Load(seq, &message);
      }
      if (status != LoadStatus::kFound) continue;
      EXPECT_EQ(message.payload, PayloadOf(seq));
      ++count;
    }
    return count;
  }
  std::string Segment() {
    for (const std::string& path : harness_.disk().Paths()) {
      if (path.compare(0, 9, "segments/") == 0) return path;
    }
    return "";
  }
  StoreHarness& harness() { return harness_; }
  uint64_t passes() const { return passes_; }
  uint64_t bytes() const { return bytes_; }

 private:
  SegmentStoreOptions Options(uint64_t bytes_per_second) {
    SegmentStoreOptions options;
    options.scrub_bytes_per_second = bytes_per_second;
    options.cache_bytes = 1;  // nothing that matters is in memory
    options.on_scrubbed = [this](uint64_t bytes, bool pass_done) {
      bytes_ += bytes;
      passes_ += pass_done ? 1 : 0;
    };
    return options;
  }

  uint64_t passes_ = 0;
  uint64_t bytes_ = 0;
  Nanos now_{std::chrono::hours(1)};
  StoreHarness harness_;
};

TEST(ScrubTest, ReadsEverythingOncePerDayAndFindsNothing) {
  Scrubbed store;
  store.Pass();
  EXPECT_EQ(store.passes(), 1u);
  const uint64_t bytes = store.bytes();
  EXPECT_GE(bytes, kMessages * 110u);
  EXPECT_LE(bytes, store.harness().disk().Content(store.Segment()).size());
  EXPECT_GE(store.Pass(), std::chrono::hours(23));  // the next one has to wait
  EXPECT_EQ(store.bytes(), 2 * bytes);
  EXPECT_TRUE(store.harness().damage.empty());
}

TEST(ScrubTest, KeepsToItsBudget) {
  for (const uint64_t rate : {uint64_t{4} << 10, uint64_t{64} << 10}) {
    Scrubbed store(rate);
    const double seconds = std::chrono::duration<double>(store.Pass() - std::chrono::minutes(1)).count();
    const double least = static_cast<double>(store.bytes()) / static_cast<double>(rate);
    EXPECT_GE(seconds, least);
    EXPECT_LE(seconds, least * 8);  // what is read is whole pages
  }
}

TEST(ScrubTest, ZeroTurnsItOff) {
  Scrubbed store(0);
  EXPECT_EQ(store.harness().store().StepScrub(Nanos{0}), Nanos::max());
}

TEST(ScrubTest, DamageThatNobodyReadIsFoundAndStaysInItsBlock) {
  Scrubbed store;
  store.harness().disk().FlipBit(store.Segment(), 4096 + 100, 3);
  store.Pass();
  ASSERT_EQ(store.harness().damage.size(), 1u);
  EXPECT_NE(store.harness().damage[0].find("sequences 1 to"), std::string::npos);
  EXPECT_EQ(store.harness().store().stats().damaged_blocks, 1u);
  const int readable = store.Readable();
  EXPECT_GT(readable, kMessages - 20);
  EXPECT_LT(readable, kMessages);
  store.Pass();  // it is known now, and not said again
  EXPECT_EQ(store.harness().damage.size(), 1u);
  // When nothing else in it is wanted the file is put aside, not removed.
  store.harness().log(1)->log()->Purge();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(store.harness().Checkpoint());
    store.harness().Settle();
  }
}

// A cable, or a controller: what is bad once and good when it is read again is no damage.
TEST(ScrubTest, WhatReadsWellTheSecondTimeIsNoDamage) {
  Scrubbed store;
  EXPECT_TRUE(store.PassWithABadFirstRead(4096 + 100));
  EXPECT_EQ(store.passes(), 1u);
  EXPECT_TRUE(store.harness().damage.empty());
  EXPECT_EQ(store.harness().store().stats().damaged_blocks, 0u);
  Scrubbed untouched;
  untouched.Pass();
  EXPECT_EQ(store.bytes(), untouched.bytes()) << "each part counts once";
  EXPECT_EQ(store.Readable(), kMessages);
}

TEST(ScrubTest, EveryFlippedByteOfABlockIsFound) {
  for (size_t offset = 4096; offset < 4096 + 1900; offset += 7) {
    Scrubbed store;
    store.harness().disk().FlipBit(store.Segment(), offset, static_cast<int>(offset % 8));
    store.Pass();
    EXPECT_EQ(store.harness().damage.size(), 1u) << offset;
  }
}

TEST(ScrubTest, ABlockThatIsInMemoryIsWrittenAnew) {
  Scrubbed store;
  store.harness().disk().FlipBit(store.Segment(), 4096 + 100, 3);
  StoredMessage message;
  store.harness().disk().FlipBit(store.Segment(), 4096 + 100, 3);  // good while it is read ...
  ASSERT_EQ(store.harness().log(1)->log()->LoadNow(1, &message), LoadStatus::kFound);
  store.harness().disk().FlipBit(store.Segment(), 4096 + 100, 3);  // ... and bad from then on
  store.Pass();
  EXPECT_EQ(store.harness().damage.size(), 1u);
  ASSERT_TRUE(store.harness().Checkpoint());
  store.harness().Restart();
  EXPECT_EQ(store.Readable(), kMessages);
}

}  // namespace
}  // namespace millrace
