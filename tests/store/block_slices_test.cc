// SPDX-License-Identifier: Apache-2.0
// Goal: one message read without the rest of its block is the message, or the reader is told that it cannot be had so;
//       and it costs a slice or two, not the block.
// Method: blocks of random messages, made as they are written; every sequence; flipped bits. A stream whose blocks have
//         left memory beside what was appended to it.
#include "store/segment/block_slices.h"

#include <gtest/gtest.h>

#include <map>

#include "store/segment/block_codec.h"
#include "tests/proto/seeded.h"
#include "tests/store/store_harness.h"

namespace millrace {
namespace {

constexpr uint64_t kUid = 7;

std::string Noise(SeededRandom* random, size_t bytes) {
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random->Next());
  return text;
}

class Stored {
 public:
  Stored(uint64_t seed, uint32_t messages, size_t payload_max, uint64_t gap_max) : random_(seed), body_(64) {
    file_.number = 3;
    file_.uuid = 0x1234567890abcdef + seed;
    block_.first_seq = 100;
    block_.offset = 8192;
    uint64_t seq = block_.first_seq;
    for (uint32_t i = 0; i < messages; ++i, seq += 1 + random_.Below(gap_max)) {
      StoredMessage message;
      message.seq = seq;
      message.time_ns = static_cast<int64_t>(random_.Next() >> 2);
      const std::string subject = "subject." + std::to_string(random_.Below(1000));
      payloads_[seq] = Noise(&random_, random_.Below(payload_max));
      message.subject = subject;
      message.payload = payloads_[seq];
      message.header_bytes = static_cast<uint32_t>(random_.Below(payloads_[seq].size() + 1));
      body_.Append(static_cast<uint32_t>(seq - block_.first_seq), message);
      block_.last_seq = seq;
    }
    block_.messages = messages;
    block_.record_bytes = body_.record_bytes();
    std::string room;
    block_.stored_bytes = static_cast<uint32_t>(CompressBlock(body_, false, &room));
    bytes_ = PrepareBlock(kUid, block_, &body_, &room, file_, block_.offset);
    EXPECT_EQ(bytes_.size(), block_.stored_bytes);
  }

  bool Read(uint64_t seq, StoredMessage* message) {
    read_ = 0;
    const auto read = [this](uint64_t at, char* to, size_t bytes) {
      read_ += bytes;
      if (at + bytes > bytes_.size()) return false;
      std::memcpy(to, bytes_.data() + at, bytes);
      return true;
    };
    const SliceSeeds seeds(kUid, block_.first_seq, file_.SeedAt(block_.offset));
    return ReadOneMessage(block_, seeds, seq, read, &room_, message);
  }
  bool Opens() {
    auto body = std::make_unique<BlockBody>(bytes_.size());
    std::memcpy(body->data(), bytes_.data(), bytes_.size());
    return OpenBlock(kUid, block_, file_, bytes_.size(), &body) && body->count() == block_.messages;
  }

  const std::map<uint64_t, std::string>& payloads() const { return payloads_; }
  const Block& block() const { return block_; }
  std::string& bytes() { return bytes_; }
  size_t read_bytes() const { return read_; }

 private:
  SeededRandom random_;
  Block block_;
  BlockBody body_;
  SegmentFile file_;
  std::string bytes_;
  std::string room_;
  std::map<uint64_t, std::string> payloads_;
  size_t read_ = 0;
};

TEST(BlockSlices, EveryMessageForASliceOrTwo) {
  for (const size_t payload_max : {200, 2000, 7000}) {
    Stored stored(payload_max, static_cast<uint32_t>(600'000 / payload_max), payload_max, 3);
    ASSERT_TRUE(stored.Opens());
    for (uint64_t seq = 90; seq <= stored.block().last_seq + 10; ++seq) {
      StoredMessage message;
      const auto wanted = stored.payloads().find(seq);
      const bool read = stored.Read(seq, &message);
      ASSERT_EQ(read, wanted != stored.payloads().end()) << seq;
      if (!read) continue;
      EXPECT_EQ(message.payload, wanted->second);
      EXPECT_EQ(message.subject.substr(0, 8), "subject.");
      EXPECT_LE(stored.read_bytes(), 2 * kSliceBytes + 1024);
    }
  }
}

TEST(BlockSlices, RecordsLargerThanASlice) {
  Stored stored(1, 900, 200, 1);  // makes the average small
  Stored mixed(2, 60, 7000, 1);
  ASSERT_TRUE(mixed.Opens() && stored.Opens());
  EXPECT_EQ(SliceTableBytes(8 * kSliceBytes, 3), 0u);
  EXPECT_EQ(SliceTableBytes(3 * kSliceBytes, 1000), 0u);
}

TEST(BlockSlices, FlippedBitsNeverGiveAnotherMessage) {
  Stored stored(5, 900, 200, 2);
  SeededRandom random(6);
  for (size_t at = 0; at < stored.bytes().size(); at += at < sizeof(BlockHeader) ? 1 : 1 + random.Below(97)) {
    const int bit = static_cast<int>(random.Below(8));
    stored.bytes()[at] = static_cast<char>(stored.bytes()[at] ^ (1 << bit));
    EXPECT_FALSE(stored.Opens()) << at;
    uint32_t readable = 0;
    for (int i = 0; i < 20; ++i) {
      auto wanted = stored.payloads().lower_bound(100 + random.Below(stored.block().last_seq - 100));
      StoredMessage message;
      if (!stored.Read(wanted->first, &message)) continue;
      ++readable;
      ASSERT_EQ(message.payload, wanted->second);
    }
    if (at >= sizeof(BlockHeader) + stored.block().record_bytes) {  // the table
      EXPECT_EQ(readable, 0u) << at;
    }
    stored.bytes()[at] = static_cast<char>(stored.bytes()[at] ^ (1 << bit));
  }
  EXPECT_TRUE(stored.Opens());
}

// Messages here and there of a stream whose blocks are not in memory: right, and without the blocks coming in.
TEST(BlockSlices, PickedFromAStream) {
  constexpr uint64_t kMessages = 20'000;
  SegmentStoreOptions options;
  options.cache_bytes = 1;
  StoreHarness harness(options);
  FileStreamLog* log = harness.Create(1, {});
  const auto payload_of = [](uint64_t seq) { return std::to_string(seq) + std::string(100 + seq % 50, 'x'); };
  for (uint64_t seq = 1; seq <= kMessages; ++seq) {
    const std::string payload = payload_of(seq);
    StoredMessage message;
    message.seq = seq;
    message.subject = "s";
    message.payload = payload;
    log->Append(message);
  }
  ASSERT_TRUE(harness.Checkpoint());
  harness.Settle();
  const size_t before = harness.store().stats().cache_bytes;
  StoredMessage message;
  for (uint64_t seq = 500; seq < kMessages; seq += 1000) {
    ASSERT_EQ(log->Load(seq, &message), LoadStatus::kFound);
    EXPECT_EQ(message.payload, payload_of(seq));
    EXPECT_LE(harness.store().stats().cache_bytes, before) << "a block came in for one message";
  }
  // One after the other, and in between from elsewhere: the same messages.
  for (uint64_t seq = 1; seq <= kMessages; ++seq) {
    ASSERT_EQ(log->Load(seq, &message), LoadStatus::kFound);
    ASSERT_EQ(message.payload, payload_of(seq));
    if (seq % 100 != 0) continue;
    const uint64_t other = seq * 7919 % kMessages + 1;
    ASSERT_EQ(log->Load(other, &message), LoadStatus::kFound);
    ASSERT_EQ(message.payload, payload_of(other));
  }
  // A removal reads what it removes: bytes and subjects stay right.
  for (uint64_t seq = 3; seq <= kMessages; seq += 777) log->Remove(seq, StreamLog::Erase::kNo);
  uint64_t bytes = 0;
  for (uint64_t seq = log->Next({}, 1); seq != 0; seq = log->Next({}, seq + 1)) {
    bytes += MessageBytes(false, 1, 0, payload_of(seq).size());
  }
  EXPECT_EQ(log->state().bytes, bytes);
}

}  // namespace
}  // namespace millrace
