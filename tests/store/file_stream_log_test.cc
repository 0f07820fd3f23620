// SPDX-License-Identifier: Apache-2.0
// Goal: a file stream answers every question as the naive one does, whatever its shape, however often it is restarted,
//       at whatever point, and whatever compaction does meanwhile; idle streams are small.
// Method: the twin with random changes over a simulated disk; checkpoints with changes in the middle of them; restarts
//         with what a killed process, or a power failure, leaves.
#include "store/file_stream_log.h"

#include <gtest/gtest.h>

#include "tests/store/store_harness.h"
#include "tests/store/stream_log_twin.h"

namespace millrace {
namespace {

class FileTwinTest : public testing::TestWithParam<TwinShape> {};

void RunTwin(const TwinShape& shape, const StreamLogOptions& stream, const SegmentStoreOptions& options, uint64_t seed,
         size_t rounds) {
  StoreHarness harness(options, seed);
  StreamLogTwin twin(harness.Create(7, stream), shape, seed);
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
    } else if (random.OneIn(4000)) {
      harness.Restart(random.OneIn(2), random.Next());
      twin.Replace(harness.log(7));
      if (random.OneIn(3)) twin.AskAll();
    }
    if (testing::Test::HasFatalFailure()) FAIL() << shape.name << " round " << i;
  }
  twin.AskAll();
  harness.Settle();
  harness.Restart();
  twin.Replace(harness.log(7));
  twin.AskAll();
  EXPECT_TRUE(harness.damage.empty()) << harness.damage.front();
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

INSTANTIATE_TEST_SUITE_P(Shapes, FileTwinTest, testing::ValuesIn(TwinShapes()),
                         [](const auto& shape) { return std::string(shape.param.name); });

}  // namespace
}  // namespace millrace
