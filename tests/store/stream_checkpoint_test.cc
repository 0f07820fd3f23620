// SPDX-License-Identifier: Apache-2.0
// Goal: what a checkpoint says of a stream comes back as it was told, in bytes that do not change from release to
//       release; what contradicts itself is refused, whatever it is.
// Method: random checkpoints there and back; one whose bytes stand here; each number of it replaced by one that cannot
//         be; every cut, and flipped bytes.
#include "store/segment/stream_checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "store/varint.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

struct Whole {
  LiveSet live;
  StreamCheckpoint parts;

  std::string Encode() const {
    std::vector<const StoredRun*> runs;
    for (const StoredRun& run : parts.runs) runs.push_back(&run);
    std::string bytes;
    EncodeStreamCheckpoint(
        {parts.state, live, UINT64_MAX, parts.files, parts.blocks, parts.blocks.size(), runs}, &bytes);
    return bytes;
  }
};

std::unique_ptr<Block> BlockOf(uint64_t first_seq, uint64_t last_seq, uint32_t messages, uint32_t live) {
  auto block = std::make_unique<Block>();
  block->first_seq = first_seq;
  block->last_seq = last_seq;
  block->messages = messages;
  block->live = live;
  block->live_headed = live / 2;
  block->record_bytes = messages * 100;
  block->live_bytes = live * 100;
  block->max_time_ns = static_cast<int64_t>(first_seq) * 1000;
  block->last_time_ns = block->max_time_ns - 5;
  block->file = 3;
  block->offset = 4096 + first_seq * 8;
  block->stored_bytes = 100 + static_cast<uint32_t>(block->record_bytes);
  block->open = false;
  block->place = Block::Place::kDisk;
  return block;
}

// Two blocks of 4 and 3 messages, of which 2 and 3 live; one run.
void FillSmall(Whole* whole) {
  whole->parts.state = {.messages = 5, .bytes = 500, .first_seq = 2, .first_time_ns = 1000, .last_seq = 9,
                        .last_time_ns = 6000, .subjects = 4};
  for (const uint64_t seq : {2, 4, 6, 7, 9}) whole->live.Add(seq);
  whole->parts.files = {{3, 77}};
  whole->parts.blocks.push_back(BlockOf(1, 4, 4, 2));
  whole->parts.blocks.push_back(BlockOf(6, 9, 3, 3));
  whole->parts.runs.emplace_back();
  StoredRun& run = whole->parts.runs.back();
  run.key = 0;
  run.named = 5;
  run.through = 10;
  run.extent = {3, 200, 8192};
  run.written = true;
}

void ExpectSame(const Whole& left, const Whole& right) {
  const StreamLogState& a = left.parts.state;
  const StreamLogState& b = right.parts.state;
  EXPECT_EQ(a.messages, b.messages);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.first_seq, b.first_seq);
  EXPECT_EQ(a.last_seq, b.last_seq);
  EXPECT_EQ(a.subjects, b.subjects);
  EXPECT_EQ(a.last_time_ns, b.last_time_ns);
  EXPECT_EQ(a.messages == 0 ? 0 : a.first_time_ns, b.first_time_ns);
  EXPECT_EQ(left.live.size(), right.live.size());
  for (uint64_t seq = left.live.Next(1); seq != 0; seq = left.live.Next(seq + 1)) EXPECT_TRUE(right.live.Contains(seq));
  EXPECT_EQ(left.parts.files, right.parts.files);
  ASSERT_EQ(left.parts.blocks.size(), right.parts.blocks.size());
  for (size_t i = 0; i < left.parts.blocks.size(); ++i) {
    const Block& x = *left.parts.blocks[i];
    const Block& y = *right.parts.blocks[i];
    EXPECT_TRUE(x.first_seq == y.first_seq && x.last_seq == y.last_seq && x.messages == y.messages);
    EXPECT_TRUE(x.live == y.live && x.live_headed == y.live_headed && x.live_bytes == y.live_bytes);
    EXPECT_TRUE(x.record_bytes == y.record_bytes && x.stored_bytes == y.stored_bytes);
    EXPECT_TRUE(x.max_time_ns == y.max_time_ns && x.last_time_ns == y.last_time_ns);
    EXPECT_TRUE(x.file == y.file && x.offset == y.offset);
    EXPECT_TRUE(!y.open && y.place == Block::Place::kDisk && y.body == nullptr && !y.damaged);
  }
  ASSERT_EQ(left.parts.runs.size(), right.parts.runs.size());
  for (size_t i = 0; i < left.parts.runs.size(); ++i) {
    const StoredRun& x = left.parts.runs[i];
    const StoredRun& y = right.parts.runs[i];
    EXPECT_TRUE(x.key == y.key && x.named == y.named && x.through == y.through && x.IsAt(y.extent));
    EXPECT_TRUE(x.extent.bytes == y.extent.bytes && y.good());
  }
}

// What was accepted can be a stream.
void ExpectSound(const Whole& whole) {
  uint64_t live = 0;
  uint64_t before = 0;
  for (const auto& block : whole.parts.blocks) {
    EXPECT_GT(block->first_seq, before);
    EXPECT_LE(block->first_seq, block->last_seq);
    EXPECT_LE(block->live, block->messages);
    EXPECT_LE(block->live_bytes, block->record_bytes);
    EXPECT_NE(block->file, 0u);
    before = block->last_seq;
    live += block->live;
  }
  EXPECT_LE(before, whole.parts.state.last_seq);
  EXPECT_EQ(live, whole.parts.state.messages);
  EXPECT_EQ(whole.live.size(), whole.parts.state.messages);
  for (size_t i = 1; i < whole.parts.runs.size(); ++i) {
    EXPECT_LT(whole.parts.runs[i - 1].key, whole.parts.runs[i].key);
  }
}

std::string Refused(std::string_view bytes) {
  Whole read;
  const absl::Status status = DecodeStreamCheckpoint(bytes, &read.live, &read.parts);
  if (status.ok()) {
    ExpectSound(read);
    return "";
  }
  EXPECT_TRUE(read.live.empty());
  return std::string(status.message());
}

TEST(StreamCheckpointTest, ComesBackAsItWasTold) {
  for (size_t round = 0; round < Rounds(300); ++round) {
    SeededRandom random(round + 1);
    Whole told;
    uint64_t seq = random.Below(5);
    for (uint64_t i = random.Below(40); i > 0; --i) {
      const uint64_t first = seq + 1 + random.Below(100'000);
      const auto messages = static_cast<uint32_t>(1 + random.Below(30));
      const auto live = static_cast<uint32_t>(random.Below(messages + 1));
      for (uint32_t m = 0; m < live; ++m) told.live.Add(first + m);
      seq = first + messages - 1 + random.Below(3);
      told.parts.blocks.push_back(BlockOf(first, seq, messages, live));
      told.parts.state.messages += live;
    }
    told.parts.state.bytes = random.Below(1 << 30);
    told.parts.state.last_seq = seq + random.Below(3);
    told.parts.state.first_seq =
        !told.live.empty() ? told.live.Next(1) : told.parts.state.last_seq == 0 ? 0 : told.parts.state.last_seq + 1;
    told.parts.state.first_time_ns = -static_cast<int64_t>(random.Below(1000));
    told.parts.state.last_time_ns = static_cast<int64_t>(random.Below(1 << 30));
    for (uint32_t i = 1; i < random.Below(4); ++i) told.parts.files.emplace_back(i, i * 1234567);
    for (uint64_t i = 0; i < random.Below(3); ++i) {
      told.parts.runs.emplace_back();
      StoredRun& run = told.parts.runs.back();
      run.key = i * 2;
      run.named = static_cast<uint32_t>(random.Below(LiveSet::kChunkSpan + 1));
      run.through = LiveSet::kChunkSpan;
      run.extent = {7, 300, 4096 + i * 400};
    }
    Whole read;
    ASSERT_TRUE(DecodeStreamCheckpoint(told.Encode(), &read.live, &read.parts).ok()) << round;
    ExpectSame(told, read);
    ExpectSound(read);
  }
}

TEST(StreamCheckpointTest, ItsBytesAreTheFormat) {
  Whole told;
  FillSmall(&told);
  std::string want;
  for (const uint64_t number : {1, 5, 500, 9, 4}) AppendVarint(&want, number);
  AppendVarint(&want, ZigZag(6000));
  AppendVarint(&want, ZigZag(1000));
  told.live.Encode(&want);
  for (const uint64_t number : {1, 3, 77, 2}) AppendVarint(&want, number);
  const auto append = [&want](std::initializer_list<uint64_t> numbers) {
    for (const uint64_t number : numbers) AppendVarint(&want, number);
  };
  append({1, 3, 4, 2, 1, 400, 200, ZigZag(1000), ZigZag(-5), 3, 4104, 500});
  append({2, 3, 3, 3, 1, 300, 300, ZigZag(5000), ZigZag(-5), 3, 4144, 400});
  append({1, 0, 5, 10, 3, 8192, 200});
  EXPECT_EQ(told.Encode(), want);
}

TEST(StreamCheckpointTest, NoNumberMayContradictTheOthers) {
  // Which number of the first block, of the second, or of the run; what instead; what is bad then.
  struct Case {
    int part;
    size_t at;
    uint64_t value;
    const char* what;
  };
  const uint64_t over32 = uint64_t{1} << 32;
  const std::vector<Case> cases = {
      {0, 0, 0, "bad blocks"},       // begins at sequence 0
      {0, 1, over32, "bad blocks"},  // too long
      {0, 1, 2, "bad blocks"},       // four messages in three sequences
      {0, 2, 0, "bad blocks"},       // no message
      {0, 2, 5, "bad blocks"},       // more messages than sequences
      {0, 3, 5, "bad blocks"},       // more live than messages
      {0, 3, 1, "bad blocks"},       // the sum is another
      {0, 5, 199, "bad blocks"},     // less than what lives of it
      {0, 5, over32, "bad blocks"},
      {0, 6, 401, "bad blocks"},
      {0, 9, 0, "bad blocks"},
      {0, 9, over32, "bad blocks"},
      {0, 10, uint64_t{1} << 40, "bad blocks"},
      {0, 11, sizeof(BlockHeader) - 1, "bad blocks"},
      {0, 11, over32, "bad blocks"},
      {1, 0, 0, "bad blocks"},
      {1, 1, 4, "bad blocks"},       // ends behind the stream
      {2, 1, LiveSet::kChunkSpan + 1, "bad index runs"},
      {2, 2, LiveSet::kChunkSpan + 1, "bad index runs"},
      {2, 3, 0, "bad index runs"},
      {2, 3, over32, "bad index runs"},
      {2, 4, uint64_t{1} << 40, "bad index runs"},
      {2, 5, over32, "bad index runs"},
  };
  Whole told;
  FillSmall(&told);
  const auto encode = [&told](std::vector<std::vector<uint64_t>> parts) {
    std::string bytes;
    for (const uint64_t number : {uint64_t{1}, uint64_t{5}, uint64_t{500}, uint64_t{9}, uint64_t{4}, ZigZag(6000),
                                  ZigZag(1000)}) {
      AppendVarint(&bytes, number);
    }
    told.live.Encode(&bytes);
    for (const uint64_t number : {1, 3, 77, 2}) AppendVarint(&bytes, number);
    for (size_t i = 0; i < parts.size(); ++i) {
      if (i == 2) AppendVarint(&bytes, parts.size() - 2);
      for (const uint64_t number : parts[i]) AppendVarint(&bytes, number);
    }
    return bytes;
  };
  const std::vector<std::vector<uint64_t>> good = {
      {1, 3, 4, 2, 1, 400, 200, ZigZag(1000), ZigZag(-5), 3, 4104, 500},
      {2, 3, 3, 3, 1, 300, 300, ZigZag(5000), ZigZag(-5), 3, 4144, 400},
      {0, 5, 10, 3, 8192, 200}};
  ASSERT_EQ(encode(good), told.Encode());
  for (const Case& each : cases) {
    auto parts = good;
    parts[static_cast<size_t>(each.part)][each.at] = each.value;
    EXPECT_EQ(Refused(encode(parts)), each.what) << each.part << ", " << each.at << ": " << each.value;
  }
  auto twice = good;
  twice.push_back(good[2]);
  EXPECT_EQ(Refused(encode(twice)), "bad index runs") << "the same key twice";
  twice[3][0] = 1;
  EXPECT_EQ(Refused(encode(twice)), "");
  EXPECT_EQ(Refused(told.Encode() + '\0'), "bad end");
}

TEST(StreamCheckpointTest, WhatIsCutOrFlippedIsRefusedOrSound) {
  Whole told;
  FillSmall(&told);
  const std::string bytes = told.Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(Refused(std::string_view(bytes).substr(0, size)), "") << size;
  }
  EXPECT_EQ(Refused(bytes), "");
  SeededRandom random(11);
  for (size_t i = 0; i < Rounds(100'000); ++i) {
    std::string other = bytes;
    for (uint64_t flips = 1 + random.Below(3); flips > 0; --flips) {
      other[random.Below(other.size())] = static_cast<char>(random.Below(256));
    }
    (void)Refused(other);
    if (HasFailure()) return;
  }
  std::string versioned = bytes;
  versioned[0] = 2;
  EXPECT_EQ(Refused(versioned), "bad head");
}

}  // namespace
}  // namespace millrace
