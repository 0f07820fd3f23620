// SPDX-License-Identifier: Apache-2.0
// Goal: a change of a stream comes out of the journal as it went in; what is none is refused, and never read beyond.
// Method: random changes there and back; every cut of a record; lengths that cannot be.
#include "store/segment/stream_records.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "store/varint.h"
#include "tests/proto/seeded.h"
#include "tests/store/store_harness.h"

namespace millrace {
namespace {

std::string AppendOf(uint64_t seq, uint64_t time, uint64_t header_bytes, uint64_t subject_bytes,
                     std::string_view rest) {
  std::string body;
  for (const uint64_t number : {seq, time, header_bytes, subject_bytes}) AppendVarint(&body, number);
  return body.append(rest);
}

TEST(StreamRecordsTest, AMessageComesOutAsItWentIn) {
  RecordingJournal recorded;
  StreamJournal journal(&recorded, 7);
  SeededRandom random(3);
  for (size_t i = 0; i < Rounds(2000); ++i) {
    const std::string subject(random.Below(20), 's');
    const std::string payload(random.Below(300), 'p');
    StoredMessage told;
    told.seq = 1 + (random.Next() >> random.Below(64));
    if (told.seq == 0) continue;
    told.time_ns = static_cast<int64_t>(random.Next());
    told.subject = subject;
    told.payload = payload;
    told.header_bytes = static_cast<uint32_t>(random.Below(payload.size() + 1));
    const Lsn lsn = journal.Append(told);
    ASSERT_EQ(lsn, recorded.staged());
    const RecordingJournal::Record& record = recorded.records.back();
    ASSERT_TRUE(record.kind == RecordKind::kAppend && record.object == 7);
    StoredMessage read;
    ASSERT_TRUE(ReadAppend(record.body, &read));
    ASSERT_EQ(read.seq, told.seq);
    ASSERT_EQ(read.time_ns, told.time_ns);
    ASSERT_EQ(read.subject, told.subject);
    ASSERT_EQ(read.payload, told.payload);
    ASSERT_EQ(read.header_bytes, told.header_bytes);
  }
}

TEST(StreamRecordsTest, WhatIsNoMessageIsRefused) {
  StoredMessage message;
  const std::string whole = AppendOf(5, 1, 2, 3, "abchh");
  ASSERT_TRUE(ReadAppend(whole, &message));
  EXPECT_EQ(message.subject, "abc");
  EXPECT_EQ(message.payload, "hh");
  EXPECT_EQ(message.header_bytes, 2u);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ReadAppend(std::string_view(whole).substr(0, size), &message)) << size;
  }
  EXPECT_FALSE(ReadAppend(AppendOf(0, 1, 2, 3, "abchh"), &message)) << "sequence 0";
  EXPECT_FALSE(ReadAppend(AppendOf(5, 1, 0, 4, "abc"), &message)) << "a subject that is longer than all of it";
  EXPECT_FALSE(ReadAppend(AppendOf(5, 1, 3, 3, "abchh"), &message)) << "headers that are longer than the payload";
  EXPECT_FALSE(ReadAppend(AppendOf(5, 1, UINT64_MAX, 3, "abchh"), &message));
  EXPECT_FALSE(ReadAppend(AppendOf(5, 1, 0, UINT64_MAX, "abchh"), &message));
  EXPECT_TRUE(ReadAppend(AppendOf(5, 1, 0, 5, "abchh"), &message)) << "nothing but a subject";
}

TEST(StreamRecordsTest, RemovalsComeOutInTheirOrder) {
  RecordingJournal recorded;
  StreamJournal journal(&recorded, 7);
  SeededRandom random(4);
  for (size_t i = 0; i < Rounds(500); ++i) {
    RemovedSeqs removed;
    std::vector<uint64_t> told;
    for (uint64_t n = 1 + random.Below(20); n > 0; --n) {
      told.push_back(1 + (random.Next() >> (1 + random.Below(60))));  // up and down
      removed.Add(told.back());
    }
    journal.Remove(removed);
    ASSERT_EQ(recorded.records.back().kind, RecordKind::kRemove);
    std::vector<uint64_t> read;
    ForEachSeq(recorded.records.back().body, [&read](uint64_t seq) { read.push_back(seq); });
    ASSERT_EQ(read, told);
  }
  const size_t before = recorded.records.size();
  EXPECT_EQ(journal.Remove(RemovedSeqs{}), 0u);
  EXPECT_EQ(recorded.records.size(), before) << "nothing is no record";
}

TEST(StreamRecordsTest, OneSequenceIsAListOfOne) {
  RecordingJournal recorded;
  StreamJournal journal(&recorded, 7);
  for (const uint64_t told : {uint64_t{1}, uint64_t{127}, uint64_t{128}, UINT64_MAX}) {
    const Lsn lsn = journal.Seq(RecordKind::kTrim, told);
    EXPECT_EQ(lsn, recorded.staged());
    EXPECT_EQ(recorded.records.back().kind, RecordKind::kTrim);
    uint64_t read = 0;
    ASSERT_TRUE(ReadSeq(recorded.records.back().body, &read));
    EXPECT_EQ(read, told);
    size_t count = 0;
    ForEachSeq(recorded.records.back().body, [&](uint64_t seq) { count += seq == told ? 1 : 100; });
    EXPECT_EQ(count, 1u);
  }
  uint64_t read = 0;
  EXPECT_FALSE(ReadSeq("", &read));
  EXPECT_FALSE(ReadSeq(std::string_view("\0", 1), &read)) << "there is no sequence 0";
  EXPECT_FALSE(ReadSeq("\x80", &read)) << "cut";
  ForEachSeq(std::string_view("\0", 1), [](uint64_t) { FAIL(); });
}

TEST(StreamRecordsTest, WithoutAJournalNothingIsTold) {
  StreamJournal journal(nullptr, 7);
  EXPECT_TRUE(journal.none());
  RemovedSeqs removed;
  removed.Add(3);
  StoredMessage message;
  message.seq = 1;
  EXPECT_EQ(journal.Append(message), 0u);
  EXPECT_EQ(journal.Seq(RecordKind::kPurge, 3), 0u);
  EXPECT_EQ(journal.Remove(removed), 0u);
}

}  // namespace
}  // namespace millrace
