// SPDX-License-Identifier: Apache-2.0
// Goal: damage is never served and never spreads; files are given back; idle streams are small; a slow disk only
//       delays.
// Method: every byte of a small store flipped, every truncation; keys overwritten for long under compaction; 100,000
//         streams with their memory counted; a disk that has nothing at hand.
#include "store/segment/segment_store.h"

#include <gtest/gtest.h>

#include "tests/proto/seeded.h"
#include "tests/store/store_harness.h"

namespace millrace {
namespace {

uint64_t AppendTo(StreamLog* log, std::string_view subject, std::string_view payload) {
  StoredMessage m;
  m.seq = log->state().last_seq + 1;
  m.time_ns = static_cast<int64_t>(m.seq) * 10;
  m.subject = subject;
  m.payload = payload;
  log->Append(m);
  return m.seq;
}

std::string PayloadOf(uint64_t uid, uint64_t seq) { return "payload " + std::to_string(uid * 1000 + seq); }
std::string SubjectOf(uint64_t seq) { return "s." + std::to_string(seq % 3); }

SegmentStoreOptions Small() {
  SegmentStoreOptions options;
  options.file_bytes = 128 << 10;
  options.pack_bytes = 64 << 10;
  options.busy_bytes = 100 << 10;
  options.slack_bytes = 16 << 10;
  options.compact_turn_bytes = 64 << 10;
  return options;
}

// Two streams of twelve messages in blocks of three, and all of it checkpointed.
void Fill(StoreHarness* harness) {
  for (const uint64_t uid : {1, 2}) {
    FileStreamLog* log = harness->Create(uid, {.compress = uid == 2, .block_bytes = 330});
    for (int i = 0; i < 12; ++i) {
      const uint64_t seq = log->state().last_seq + 1;
      AppendTo(log, SubjectOf(seq), PayloadOf(uid, seq));
    }
  }
  ASSERT_TRUE(harness->Checkpoint());
  harness->Settle();
}

// How many messages are readable; each of them has to be right.
int CountReadable(StoreHarness* harness) {
  int found = 0;
  for (const uint64_t uid : {1, 2}) {
    StreamLog* log = harness->log(uid);
    EXPECT_GE(log->state().messages, 12u);
    for (uint64_t seq = 1; seq <= 12; ++seq) {
      StoredMessage m;
      LoadStatus status = log->Load(seq, &m);
      while (status == LoadStatus::kPending) {
        harness->Turn();
        status = log->Load(seq, &m);
      }
      if (status == LoadStatus::kDamaged) continue;
      EXPECT_EQ(status, LoadStatus::kFound);
      EXPECT_EQ(m.subject, SubjectOf(seq));
      EXPECT_EQ(m.payload, PayloadOf(uid, seq));
      ++found;
    }
    for (uint64_t seq = log->Next({"s.1"}, 1); seq != 0; seq = log->Next({"s.1"}, seq + 1)) {
      EXPECT_EQ(SubjectOf(seq), "s.1");
    }
    uint64_t counted = 0;
    log->ForEachSubject({}, [&](std::string_view, const SubjectState& s) { return counted += s.messages, true; });
    EXPECT_LE(counted, log->state().messages);
  }
  return found;
}

TEST(SegmentStoreTest, EveryFlippedByteCostsAtMostOneBlockAndIsNeverServed) {
  StoreHarness harness(Small());
  Fill(&harness);
  std::string path;
  for (const std::string& name : harness.disk().Paths()) {
    if (name.find("segments/") == 0) path = name;
  }
  ASSERT_FALSE(path.empty());
  const std::string content = harness.disk().Content(path);
  SeededRandom random(1);
  for (size_t at = 0; at < content.size(); at += at >= 64 && at < 4090 ? 97 : 1) {
    std::string damaged = content.substr(at, 1);
    damaged[0] = static_cast<char>(damaged[0] ^ (1 << random.Below(8)));
    harness.disk().Overwrite(path, at, damaged);
    harness.damage.clear();
    harness.Restart();
    const int found = CountReadable(&harness);
    ASSERT_GE(found, 24 - 6) << at;
    if (found < 24) {
      ASSERT_FALSE(harness.damage.empty()) << at;
    }
    harness.disk().Overwrite(path, at, content.substr(at, 1));
    if (HasFailure()) FAIL() << "byte " << at;
  }
  harness.Restart();
  EXPECT_EQ(CountReadable(&harness), 24);
}

TEST(SegmentStoreTest, ATruncatedFileLosesItsTailOnly) {
  for (const bool restart_twice : {false, true}) {
    StoreHarness harness(Small());
    Fill(&harness);
    std::string path;
    for (const std::string& name : harness.disk().Paths()) {
      if (name.find("segments/") == 0) path = name;
    }
    const std::string content = harness.disk().Content(path);
    int before = -1;
    for (size_t size = 4000; size < content.size(); size += 13) {
      auto file = harness.disk().Open(path, FileUse::kWrite, false);
      ASSERT_TRUE(file.ok());
      ASSERT_TRUE(harness.disk().Truncate(*file, size).ok());
      harness.disk().Close(*file);
      harness.Restart();
      if (restart_twice) harness.Restart();
      const int found = CountReadable(&harness);
      ASSERT_GE(found, before) << size;
      ASSERT_LT(found, 24) << size;
      harness.disk().Overwrite(path, 0, content);
      before = found;
      if (HasFailure()) return;
    }
    EXPECT_GT(before, 12);
  }
}

TEST(SegmentStoreTest, ADamagedStreamGoesOnAndItsFileIsKept) {
  StoreHarness harness(Small());
  Fill(&harness);
  std::string path;
  for (const std::string& name : harness.disk().Paths()) {
    if (name.find("segments/") == 0) path = name;
  }
  harness.disk().FlipBit(path, 4096 + 100, 3);
  harness.Restart();
  StreamLog* log = harness.log(1);
  const uint64_t seq = AppendTo(log, "s.9", "after");
  EXPECT_EQ(seq, 13u);
  EXPECT_EQ(CountReadable(&harness), 24 - 6);
  log->TrimBelow(13);
  EXPECT_EQ(log->state().messages, 1u);
  EXPECT_EQ(log->state().first_seq, 13u);
  EXPECT_EQ(log->FindSubject("s.9")->messages, 1u);
  log->Purge();
  harness.log(2)->Purge();
  for (int i = 0; i < 3; ++i) {
    AppendTo(log, "s.0", std::string(70'000, 'x'));  // the damaged file takes no more
    ASSERT_TRUE(harness.Checkpoint());
    harness.Settle();
  }
  bool kept = false;
  for (const std::string& name : harness.disk().Paths()) kept = kept || name.find("quarantine/") == 0;
  EXPECT_TRUE(kept);
  EXPECT_FALSE(harness.disk().Has(path));
}

TEST(SegmentStoreTest, DamageThatIsMetInRecoveryIsKeptAlthoughNothingElseIsWantedOfItsFile) {
  StoreHarness harness(Small());
  Fill(&harness);
  std::string path;
  for (const std::string& name : harness.disk().Paths()) {
    if (name.find("segments/") == 0) path = name;
  }
  for (const uint64_t uid : {1, 2}) {
    for (const uint64_t seq : {1, 4, 7, 10}) harness.log(uid)->Remove(seq, StreamLog::Erase::kNo);  // one of each block
    harness.log(uid)->Purge();
  }
  harness.disk().FlipBit(path, 4096 + 100, 3);
  harness.damage.clear();
  harness.Restart();  // the removals are replayed, and read the blocks
  EXPECT_EQ(harness.damage.size(), 1u);
  for (int i = 0; i < 3; ++i) {
    AppendTo(harness.log(1), "s.0", std::string(70'000, 'x'));
    ASSERT_TRUE(harness.Checkpoint());
    harness.Settle();
  }
  EXPECT_FALSE(harness.disk().Has(path));
  EXPECT_TRUE(harness.disk().Has("quarantine/" + path.substr(path.find('/') + 1)));
}

TEST(SegmentStoreTest, OverwrittenKeysAreCompactedAndFilesGo) {
  StoreHarness harness(Small());
  FileStreamLog* log = harness.Create(1, {.block_bytes = 4096});
  SeededRandom random(5);
  const std::string payload(100, 'x');
  uint64_t most = 0;
  for (size_t i = 0; i < Rounds(60'000); ++i) {
    // Most keys stay for long, so that what lives lies scattered.
    const uint64_t key = random.OneIn(10) ? random.Below(2000) : random.Below(50);
    const std::string subject = "k." + std::to_string(key);
    AppendTo(log, subject, payload);
    const auto state = log->FindSubject(subject);
    if (state->messages > 1) log->Remove(state->first_seq, StreamLog::Erase::kNo);
    if (i % 20 == 0) harness.Turn();
    if (i % 3000 == 0) {
      ASSERT_TRUE(harness.Checkpoint());
    }
    if (i > 20'000) most = std::max(most, harness.store().stats().file_bytes);
  }
  ASSERT_TRUE(harness.Checkpoint());
  ASSERT_TRUE(harness.Checkpoint());
  // 2,000 keys of about 140 bytes live; what was written is thirty times that.
  EXPECT_LT(most, 2'500'000u);
  EXPECT_GT(harness.store().stats().compacted_bytes, 0u);
  harness.Restart();
  log = harness.log(1);
  EXPECT_EQ(log->state().messages, log->state().subjects);
  StoredMessage m;
  for (uint64_t seq = log->Next({}, 1); seq != 0; seq = log->Next({}, seq + 1)) {
    LoadStatus status = log->Load(seq, &m);
    while (status == LoadStatus::kPending) {
      harness.Turn();
      status = log->Load(seq, &m);
    }
    ASSERT_EQ(status, LoadStatus::kFound);
    ASSERT_EQ(m.payload, payload);
  }
}

TEST(SegmentStoreTest, DeletedStreamsGiveTheirFilesBack) {
  StoreHarness harness(Small());
  FileStreamLog* log = harness.Create(1, {.block_bytes = 4096});
  for (int i = 0; i < 5000; ++i) {
    AppendTo(log, "a", std::string(100, 'x'));
    if (i % 100 == 0) harness.Turn();
  }
  ASSERT_TRUE(harness.Checkpoint());
  EXPECT_GT(harness.store().stats().files, 4u);
  harness.Delete(1);
  harness.Settle();
  EXPECT_LE(harness.store().stats().files, 2u);  // a pack takes appends still
  harness.Restart();
  EXPECT_LE(harness.store().stats().files, 1u);
}

TEST(SegmentStoreTest, ErasedBytesAreNowhereAfterTheCheckpoint) {
  StoreHarness harness(Small());
  FileStreamLog* log = harness.Create(1, {.block_bytes = 4096});
  for (int i = 0; i < 200; ++i) AppendTo(log, "a", i == 100 ? "the-secret-of-this-stream" : std::string(60, 'x'));
  ASSERT_TRUE(harness.Checkpoint());
  log->Remove(101, StreamLog::Erase::kYes);
  ASSERT_TRUE(harness.Checkpoint());
  harness.Settle();
  for (const std::string& name : harness.disk().Paths()) {
    EXPECT_EQ(harness.disk().Content(name).find("the-secret"), std::string::npos) << name;
  }
  StoredMessage m;
  EXPECT_EQ(log->Load(101, &m), LoadStatus::kAbsent);
  EXPECT_EQ(log->Load(102, &m), LoadStatus::kFound);
}

TEST(SegmentStoreTest, ReadsThatWouldBlockAreToldLater) {
  SegmentStoreOptions options = Small();
  options.cache_bytes = 20'000;
  StoreHarness harness(options);
  FileStreamLog* log = harness.Create(1, {.block_bytes = 4096});
  struct Listener : StreamLogListener {
    int loaded = 0;
    void OnLoaded() override { ++loaded; }
  } listener;
  for (int i = 0; i < 2000; ++i) AppendTo(log, "a", PayloadOf(1, i + 1u));
  ASSERT_TRUE(harness.Checkpoint());
  harness.Restart();
  log = harness.log(1);
  log->set_listener(&listener);
  harness.disk().set_short_reads(true);
  int pending = 0;
  for (uint64_t seq = 1; seq <= 2000; ++seq) {
    StoredMessage m;
    LoadStatus status = log->Load(seq, &m);
    for (; status == LoadStatus::kPending; ++pending) {
      const int before = listener.loaded;
      for (int i = 0; i < 10 && listener.loaded == before; ++i) harness.Turn();
      ASSERT_GT(listener.loaded, before);
      status = log->Load(seq, &m);
    }
    ASSERT_EQ(status, LoadStatus::kFound);
    ASSERT_EQ(m.payload, PayloadOf(1, seq));
  }
  EXPECT_GT(pending, 0);
  EXPECT_LT(pending, 100);  // blocks, not messages
}

TEST(SegmentStoreTest, OnlyOurOwnNamesAreSegments) {
  for (const uint32_t number : {1u, 9u, 10u, 15u, 16u, 0x90u, 0x99999999u, 0xabcdefu, 0x89abcdefu, 0xffffffffu}) {
    const std::string path = SegmentFile::PathOf(number);
    ASSERT_TRUE(path.starts_with("segments/")) << path;
    uint32_t read = 0;
    EXPECT_TRUE(SegmentFile::ParseName(path.substr(9), &read)) << path;
    EXPECT_EQ(read, number);
  }
  uint32_t read = 0;
  for (const char* name : {"", "00000001", "00000000.seg", "0000000g.seg", "0000000`.seg", "0000000/.seg",
                           "0000000:.seg", "0000000@.seg", "0000000A.seg", "A0000001.seg", "000000001.seg",
                           "0000001.seg",
                           "00000001.sef", "00000001.segm", "-0000001.seg"}) {
    EXPECT_FALSE(SegmentFile::ParseName(name, &read)) << name;
  }
}

TEST(SegmentStoreTest, FailedWritesAreWrittenElsewhereAndAFailedSyncFailsTheCheckpoint) {
  StoreHarness harness(Small());
  FileStreamLog* log = harness.Create(1, {.block_bytes = 4096});
  for (int i = 0; i < 100; ++i) AppendTo(log, "a", PayloadOf(1, i + 1u));
  ASSERT_TRUE(harness.Checkpoint());
  harness.disk().FailWrite(0, EIO);
  for (int i = 100; i < 200; ++i) AppendTo(log, "a", PayloadOf(1, i + 1u));
  log->Flush();
  harness.Settle();
  EXPECT_FALSE(log->flushed());
  ASSERT_TRUE(harness.Checkpoint());
  for (int i = 200; i < 300; ++i) AppendTo(log, "a", PayloadOf(1, i + 1u));
  harness.disk().FailSync(1, EIO);
  EXPECT_FALSE(harness.Checkpoint());
  for (int i = 0; i < 200; ++i) harness.Turn();  // what is in that file moves out
  ASSERT_TRUE(harness.Checkpoint());
  harness.Restart(true);
  for (uint64_t seq = 1; seq <= 300; ++seq) {
    StoredMessage m;
    ASSERT_EQ(harness.log(1)->Load(seq, &m), LoadStatus::kFound) << seq;
    ASSERT_EQ(m.payload, PayloadOf(1, seq));
  }
}

// Messages that come while a checkpoint is being made may be lost with the tail of the log; their sequences then belong
// to others. Nothing in the checkpoint may still speak of them.
TEST(SegmentStoreTest, WhatIsLostWithTheTailOfTheLogIsNotInTheIndex) {
  StoreHarness harness(Small());
  FileStreamLog* log = harness.Create(1, {.block_bytes = 4096});
  log->SkipTo(65'500);
  for (int i = 0; i < 30; ++i) AppendTo(log, "kept", "x");
  ASSERT_TRUE(harness.Checkpoint([&] {
    for (int i = 0; i < 20; ++i) AppendTo(log, "lost", "x");
    harness.Settle();
  }));
  harness.journal().records.clear();
  harness.Restart();
  log = harness.log(1);
  EXPECT_EQ(log->state().last_seq, 65'530u);
  for (int i = 0; i < 20; ++i) AppendTo(log, "other", "x");
  EXPECT_EQ(log->FindSubject("kept")->messages, 30u);
  EXPECT_FALSE(log->FindSubject("lost").has_value());
  EXPECT_EQ(log->FindSubject("other")->first_seq, 65'531u);
  EXPECT_EQ(log->Next({"other"}, 1), 65'531u);
  EXPECT_EQ(log->Next({"oth*", "other"}, 65'532), 65'532u);
  EXPECT_EQ(log->state().subjects, 2u);
}

TEST(SegmentStoreTest, AHundredThousandIdleStreamsAreSmall) {
  SegmentStoreOptions options;
  const uint64_t count = Rounds(100'000);
  options.hydrated_max = static_cast<uint32_t>(count / 100);
  options.cache_bytes = count * 160;  // 16 MiB for all of them
  StoreHarness harness(options);
  harness.journal().keep = false;
  for (uint64_t uid = 1; uid <= count; ++uid) {
    FileStreamLog* log = harness.Create(uid, {});
    AppendTo(log, "$KV.bucket.key", "value");
    AppendTo(log, "$KV.bucket.other", "value");
  }
  ASSERT_TRUE(harness.Checkpoint());
  for (uint64_t i = 0; i < count; ++i) harness.store().EndTurn();
  EXPECT_LE(harness.store().stats().files, 3u);  // a pack is a part of what lives, so that it can go when it is dead
  EXPECT_LE(harness.store().stats().hydrated, count / 100);
  size_t bytes = 0;
  for (uint64_t uid = 1; uid <= count; ++uid) bytes += harness.log(uid)->memory_bytes();
  const double each = static_cast<double>(bytes) / static_cast<double>(count);
  RecordProperty("bytes_per_stream", static_cast<int>(each));
  std::printf("%.0f bytes per idle stream, cache %llu included\n", each,
              static_cast<unsigned long long>(harness.store().stats().cache_bytes));
  EXPECT_LT(each, 1024 + 200);
  harness.Restart();
  size_t fresh = 0;
  for (uint64_t uid = 1; uid <= count; ++uid) fresh += harness.log(uid)->memory_bytes();
  std::printf("%.0f bytes per stream after a restart\n", static_cast<double>(fresh) / static_cast<double>(count));
  EXPECT_LT(static_cast<double>(fresh) / static_cast<double>(count), 1024);
  EXPECT_EQ(harness.log(count / 2 + 1)->FindSubject("$KV.bucket.key")->messages, 1u);
}

}  // namespace
}  // namespace millrace
