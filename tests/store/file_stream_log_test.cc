// SPDX-License-Identifier: Apache-2.0
// Goal: a file stream answers every question as the naive one does, whatever its shape, however often it is restarted,
//       at whatever point, and whatever compaction does meanwhile; idle streams are small.
// Method: the twin with random changes over a simulated disk; checkpoints with changes in the middle of them; restarts
//         with what a killed process, or a power failure, leaves.
#include "store/segment/file_stream_log.h"

#include <gtest/gtest.h>

#include "tests/store/store_harness.h"
#include "tests/store/stream_log_twin.h"

namespace millrace {
namespace {

class FileTwinTest : public testing::TestWithParam<TwinShape> {};

// Pauses whatever says that it may be paused, and lets the store go on meanwhile: writes end, blocks leave the cache,
// files are compacted, a checkpoint begins, somebody looks at the state.
class Interruptions final : public Pace {
 public:
  Interruptions(StoreHarness& harness, uint64_t seed) : harness_(harness), random_(seed) {}
  uint64_t count = 0;

 private:
  void OnDue() override {
    due_ = done_ + random_.Below(200);
    if (std::exchange(inside_, true)) return;
    ++count;
    harness_.Turn();
    if (random_.OneIn(5)) harness_.log(7)->Flush();
    if (random_.OneIn(5)) (void)harness_.log(7)->state();
    if (random_.OneIn(20)) harness_.Settle();
    inside_ = false;
  }

  StoreHarness& harness_;
  SeededRandom random_;
  bool inside_ = false;
};

enum class Pauses : uint8_t { kNone, kMany };

void RunTwin(const TwinShape& shape, const StreamLogOptions& stream, const SegmentStoreOptions& options, uint64_t seed,
             size_t rounds, Pauses pauses = Pauses::kNone) {
  StoreHarness harness(options, seed);
  Interruptions interruptions(harness, seed + 200);
  Pace* const pace = pauses == Pauses::kMany ? &interruptions : nullptr;
  StreamLogTwin twin(harness.Create(7, stream), shape, seed);
  harness.log(7)->set_pace(pace);
  twin.set_wait([&] { harness.Turn(); });
  SeededRandom random(seed + 100);
  for (size_t i = 0; i < rounds; ++i) {
    twin.Change();
    if (i % 10 == 0) twin.Ask();
    if (i % 1000 == 0) twin.AskState();
    if (random.OneIn(50)) harness.Turn();
    if (random.OneIn(2000)) {
      ASSERT_TRUE(harness.Checkpoint([&] {
        for (uint64_t k = random.Below(30); k > 0; --k) twin.Change();
      }));
    }
    if (random.OneIn(5000)) {
      harness.StartCheckpoint(nullptr);  // and dies before it counts
      harness.Restart(random.OneIn(2), random.Next());
      twin.Replace(harness.log(7));
      harness.log(7)->set_pace(pace);
    } else if (random.OneIn(4000)) {
      harness.Restart(random.OneIn(2), random.Next());
      twin.Replace(harness.log(7));
      harness.log(7)->set_pace(pace);
      if (pauses == Pauses::kMany && harness.log(7)->NeedsPrepare()) harness.log(7)->Prepare();
      if (random.OneIn(3)) twin.AskAll();
    }
    if (testing::Test::HasFatalFailure()) FAIL() << shape.name << " round " << i;
  }
  twin.AskAll();
  EXPECT_GE(interruptions.count, pauses == Pauses::kMany ? rounds / 100 : 0);
  harness.Settle();
  harness.Restart();
  twin.Replace(harness.log(7));
  twin.AskAll();
  EXPECT_TRUE(harness.damage.empty()) << harness.damage.front();
  EXPECT_EQ(harness.rebuilt_runs(), 0u);
}

SegmentStoreOptions Small() {
  SegmentStoreOptions options;
  options.cache_bytes = 64 << 10;
  options.file_bytes = 128 << 10;
  options.pack_bytes = 64 << 10;
  options.busy_bytes = 100 << 10;
  options.slack_bytes = 16 << 10;
  options.compact_turn_bytes = 16 << 10;
  return options;
}

TEST_P(FileTwinTest, AnswersAsTheNaiveOneThroughRestarts) {
  RunTwin(GetParam(), {.block_bytes = 4096}, Small(), 42, Rounds(60'000));
}

TEST_P(FileTwinTest, AnswersAsTheNaiveOneCompressed) {
  RunTwin(GetParam(), {.compress = true, .block_bytes = 16384}, Small(), 43, Rounds(20'000));
}

TEST_P(FileTwinTest, AnswersAsTheNaiveOneWhenItIsPausedAnywhere) {
  RunTwin(GetParam(), {.block_bytes = 4096}, Small(), 44, Rounds(30'000), Pauses::kMany);
}

INSTANTIATE_TEST_SUITE_P(Shapes, FileTwinTest, testing::ValuesIn(TwinShapes()),
                         [](const auto& shape) { return std::string(shape.param.name); });

FileStreamLog* NewLog(StoreHarness& harness) { return harness.Create(7, {.block_bytes = 64 << 10}); }

void Append(FileStreamLog* log, uint64_t seq, std::string_view subject, size_t bytes) {
  const std::string payload(bytes, 'p');
  StoredMessage message;
  message.seq = seq;
  message.time_ns = static_cast<int64_t>(seq);
  message.subject = subject;
  message.payload = payload;
  log->Append(message);
}

// So much was appended that the checkpoint has the open run; the sequences have gone on into the next run without it.
TEST(FileStreamLogTest, AnOpenRunIsWholeWhenTheStreamHasSkippedItsEnd) {
  StoreHarness harness(SegmentStoreOptions{});
  FileStreamLog* log = NewLog(harness);
  constexpr uint64_t kMessages = 300;
  for (uint64_t seq = 1; seq <= kMessages; ++seq) Append(log, seq, seq % 3 == 0 ? "b" : "a", 32 << 10);
  log->SkipTo(LiveSet::kChunkSpan + 10);
  ASSERT_TRUE(harness.Checkpoint());
  harness.Restart();
  log = harness.log(7);
  EXPECT_EQ(log->Count({"a"}, 1, false), 200u);
  EXPECT_EQ(log->Count({"b"}, 1, false), 100u);
  Append(log, LiveSet::kChunkSpan + 11, "b", 10);
  EXPECT_EQ(log->FindSubject("b")->messages, 101u);
  EXPECT_EQ(log->Next({"b"}, kMessages + 1), LiveSet::kChunkSpan + 11);
  log->Invariant();
  EXPECT_EQ(harness.rebuilt_runs(), 0u);
}

// A checkpoint may be later than what is replayed on it: a purge takes what was there then, once or again.
TEST(FileStreamLogTest, APurgeThatIsReplayedTakesWhatWasThereThen) {
  StoreHarness harness(SegmentStoreOptions{});
  FileStreamLog* log = NewLog(harness);
  for (uint64_t seq = 1; seq <= 6; ++seq) Append(log, seq, "a", 10);
  log->Purge();
  const RecordingJournal::Record purge = harness.journal().records.back();
  ASSERT_EQ(purge.kind, RecordKind::kPurge);
  const struct {
    uint64_t appended, first, messages;
  } kCases[] = {{0, 0, 0}, {3, 4, 0}, {6, 7, 0}, {7, 7, 1}, {10, 7, 4}};
  uint64_t uid = 100;
  for (const auto& one : kCases) {
    FileStreamLog* other = harness.Create(++uid, {});
    for (uint64_t seq = 1; seq <= one.appended; ++seq) Append(other, seq, "a", 10);
    for (int times = 0; times < 2; ++times) {
      other->Replay(purge.kind, purge.body);
      EXPECT_EQ(other->state().messages, one.messages) << one.appended;
      EXPECT_EQ(other->state().first_seq, one.first) << one.appended;
      EXPECT_EQ(other->state().last_seq, one.appended) << one.appended;
      other->Invariant();
    }
  }
}

// A stream that is about to be deleted gives up its index while it can still be paused: much of it may be there.
TEST(FileStreamLogTest, DissolvingLeavesNoIndexAndAllThatIsOnDisk) {
  StoreHarness harness(SegmentStoreOptions{});
  FileStreamLog* log = NewLog(harness);
  for (uint64_t seq = 1; seq <= LiveSet::kChunkSpan + 100; ++seq) {
    Append(log, seq, "s." + std::to_string(seq % 5000), 1);
  }
  ASSERT_TRUE(harness.Checkpoint());
  ASSERT_TRUE(log->hydrated());
  const size_t before = log->memory_bytes();
  log->Dissolve();
  EXPECT_FALSE(log->hydrated());
  EXPECT_LT(log->memory_bytes(), before);
  harness.store().Recount();
  size_t runs = 0;
  log->runs().ForEachExtent([&runs](const Extent&) { ++runs; });
  EXPECT_GT(runs, 0u) << "what checkpoints want of it is given back by its deletion only";
  harness.Restart();
  EXPECT_EQ(harness.log(7)->Count({"s.7"}, 1, false), 14u);
}

// Compaction writes an index run elsewhere. Until that write has ended its bytes are nowhere to be read.
TEST(FileStreamLogTest, AnIndexRunIsThereWhileItMoves) {
  SegmentStoreOptions options;
  options.writes_max = 1;
  StoreHarness harness(options);
  FileStreamLog* log = NewLog(harness);
  const uint64_t last = LiveSet::kChunkSpan * 6;  // more runs than are kept once they have been read
  for (uint64_t seq = 1; seq <= last; ++seq) {
    Append(log, seq, seq % 3 == 0 ? "b" : "a", 1);
    if (seq % 1000 == 0) harness.Settle();
  }
  ASSERT_TRUE(harness.Checkpoint());
  const auto count = [&] { return log->Count({"b"}, LiveSet::kChunkSpan / 2, false); };
  const uint64_t before = count();
  harness.Settle();
  // All of it: blocks are moved first, runs then.
  uint64_t moves = 0;
  for (uint32_t file = 1; file < 4; ++file) {
    while (log->MoveOut(file) > 0) ++moves;
  }
  EXPECT_GT(moves, 1u);
  EXPECT_EQ(count(), before);
  EXPECT_TRUE(harness.damage.empty()) << harness.damage.front();
  harness.Settle();
  EXPECT_EQ(count(), before);
  ASSERT_TRUE(harness.Checkpoint());
  harness.Restart();
  log = harness.log(7);
  EXPECT_EQ(count(), before);
  EXPECT_TRUE(harness.damage.empty());
  EXPECT_EQ(harness.rebuilt_runs(), 0u);
}

}  // namespace
}  // namespace millrace
