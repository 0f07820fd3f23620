// SPDX-License-Identifier: Apache-2.0
// Goal: a memory stream answers every question as the naive one does, whatever its shape, and gives memory back.
// Method: the twin with random changes; figures of memory for the shapes that grow.
#include "store/segment/memory_stream_log.h"

#include <gtest/gtest.h>

#include "store/segment/block_log.h"
#include "tests/store/stream_log_twin.h"

namespace millrace {
namespace {

class MemoryTwinTest : public testing::TestWithParam<TwinShape> {};

TEST_P(MemoryTwinTest, AnswersAsTheNaiveOne) {
  const auto log = NewMemoryStreamLog(1, {.block_bytes = 4096});
  StreamLogTwin twin(log.get(), GetParam(), 42);
  const size_t rounds = Rounds(100'000);
  for (size_t i = 0; i < rounds; ++i) {
    twin.Change();
    if (i % 10 == 0) twin.Ask();
    if (i % 1000 == 0) twin.AskState();
    if (i % 20'000 == 0) twin.AskAll();
    if (HasFatalFailure()) FAIL() << "round " << i;
  }
  twin.AskAll();
}

INSTANTIATE_TEST_SUITE_P(Shapes, MemoryTwinTest, testing::ValuesIn(TwinShapes()),
                         [](const auto& shape) { return std::string(shape.param.name); });

uint64_t AppendOne(StreamLog* log, std::string_view subject, std::string_view payload) {
  StoredMessage m;
  m.seq = log->state().last_seq + 1;
  m.time_ns = static_cast<int64_t>(m.seq);
  m.subject = subject;
  m.payload = payload;
  log->Append(m);
  return m.seq;
}

size_t MemoryOf(const StreamLog& log) { return dynamic_cast<const BlockLog&>(log).memory_bytes(); }

TEST(MemoryStreamLogTest, BytesCountAsInThePeer) {
  EXPECT_EQ(MessageBytes(true, 3, 10, 110), 3u + 110 + 16);
  EXPECT_EQ(MessageBytes(false, 3, 0, 100), 22u + 3 + 100 + 8);
  EXPECT_EQ(MessageBytes(false, 3, 10, 110), 22u + 3 + 4 + 110 + 8);
}

TEST(MemoryStreamLogTest, AnEmptyStreamSaysZeroAndThenOnePastTheEnd) {
  const auto log = NewMemoryStreamLog(1, {});
  EXPECT_EQ(log->state().first_seq, 0u);
  EXPECT_EQ(log->FirstAtOrAfter(0), 1u);
  AppendOne(log.get(), "a", "x");
  log->Remove(1, StreamLog::Erase::kNo);
  EXPECT_EQ(log->state().first_seq, 2u);
  EXPECT_EQ(log->state().last_seq, 1u);
  log->SkipTo(9);
  EXPECT_EQ(log->state().first_seq, 10u);
}

TEST(MemoryStreamLogTest, MessagesArePackedAndAHundredThousandSubjectsAreSmall) {
  const auto log = NewMemoryStreamLog(1, {});
  const std::string payload(128, 'x');
  for (int i = 0; i < 200'000; ++i) AppendOne(log.get(), "orders.eu", payload);
  const double each = static_cast<double>(MemoryOf(*log)) / 200'000;
  EXPECT_LT(each, 128 + 9 + 24 + 16);
  const auto kv = NewMemoryStreamLog(2, {});
  for (int i = 0; i < 100'000; ++i) AppendOne(kv.get(), "$KV.bucket." + std::to_string(i), payload);
  EXPECT_LT(static_cast<double>(MemoryOf(*kv)) / 100'000, 128 + 17 + 24 + 150);
}

TEST(MemoryStreamLogTest, OverwritingKeysForEverDoesNotGrow) {
  const auto log = NewMemoryStreamLog(1, {});
  const std::string payload(128, 'x');
  SeededRandom random(1);
  size_t early = 0;
  for (size_t i = 0; i < Rounds(1'000'000); ++i) {
    const std::string subject = "k." + std::to_string(random.Below(10'000));
    AppendOne(log.get(), subject, payload);
    const auto state = log->FindSubject(subject);
    if (state->messages > 1) log->Remove(state->first_seq, StreamLog::Erase::kNo);
    if (i == 50'000) early = MemoryOf(*log);
  }
  if (early > 0) {
    EXPECT_LT(MemoryOf(*log), early * 2);
  }
}

TEST(MemoryStreamLogTest, ADrainedQueueGivesItsMemoryBack) {
  const auto log = NewMemoryStreamLog(1, {});
  const std::string payload(128, 'x');
  for (int i = 0; i < 200'000; ++i) AppendOne(log.get(), "job." + std::to_string(i), payload);
  for (uint64_t seq = 1; seq <= 200'000; ++seq) log->Remove(seq, StreamLog::Erase::kNo);
  EXPECT_EQ(log->state().messages, 0u);
  log->Purge();
  AppendOne(log.get(), "job", payload);
  StoredMessage m;
  EXPECT_EQ(log->Load(200'001, &m), LoadStatus::kFound);
  EXPECT_EQ(m.subject, "job");
}

}  // namespace
}  // namespace millrace
