// SPDX-License-Identifier: Apache-2.0
// Goal:   max_memory_store and max_file_store limit whatever puts messages into streams, exactly: the message that
//         exceeds the limit is the last one that is stored, and room that is made is room at once.
// Method: the engine with small limits. tests/interop/limits.py asks nats-server the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "broker/jetstream/engine/pages.h"
#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kLimit = 100'000;
constexpr const char* kMarkers =
    R"("subjects":["a.>"],"max_age":60000000000,"subject_delete_marker_ttl":1000000000,"allow_rollup_hdrs":true)";

JetStreamEngineOptions Limited(int64_t memory, int64_t storage) {
  JetStreamEngineOptions options;
  options.memory_max = memory;
  options.storage_max = storage;
  return options;
}

uint64_t Used(EngineHarness& js, Storage storage) { return js.engine().storage().used(storage); }

// What the streams of this storage say of themselves.
uint64_t Counted(EngineHarness& js, Storage storage) { return js.engine().streams().totals().of(storage).bytes; }

// Publishes until it is refused: the refusal.
std::string Fill(EngineHarness& js, const std::string& subject, size_t bytes = 1000) {
  for (int i = 0; i < 100'000; ++i) {
    const std::string answer = js.Request(subject, std::string(bytes, 'x'));
    if (answer.find("error") != std::string::npos) return answer;
  }
  return "never refused";
}

class Limits : public ::testing::TestWithParam<Storage> {
 protected:
  std::string Make(const std::string& name, const std::string& more) {
    const std::string storage = GetParam() == Storage::kMemory ? "memory" : "file";
    return CreateStream(js_, name, ",\"storage\":\"" + storage + "\"," + more);
  }
  uint64_t used() { return Used(js_, GetParam()); }
  // Nothing was stored beyond the message that exceeds the limit.
  void ExpectFull(uint64_t message_bytes) {
    EXPECT_GT(used(), uint64_t{kLimit});
    EXPECT_LE(used(), kLimit + message_bytes);
    EXPECT_EQ(used(), Counted(js_, GetParam()));
  }
  static std::string Refused(const std::string& stream) {
    return R"({"error":{"code":503,"err_code":10023,"description":"insufficient resources"},"stream":")" + stream +
           R"(","seq":0})";
  }

  EngineHarness js_{Limited(kLimit, kLimit)};
};

INSTANTIATE_TEST_SUITE_P(Both, Limits, ::testing::Values(Storage::kFile, Storage::kMemory), [](const auto& param) {
  return param.param == Storage::kMemory ? "memory" : "file";
});

TEST_P(Limits, TheMessageThatExceedsTheLimitIsTheLast) {
  Make("A", R"("subjects":["a.>"])");
  Make("B", R"("subjects":["b.>"])");
  EXPECT_EQ(Fill(js_, "a.1"), Refused("A"));
  ExpectFull(1100);
  // The limit is that of all streams; other storage has its own.
  EXPECT_EQ(js_.Request("b.1", "x"), Refused("B"));
  const bool memory = GetParam() == Storage::kMemory;
  CreateStream(js_, "C", std::string(R"(,"subjects":["c.>"],"storage":")") + (memory ? "file" : "memory") + "\"");
  EXPECT_EQ(js_.Request("c.1", "x"), R"({"stream":"C","seq":1})");
  const std::string line =
      std::string("JetStream ") + (memory ? "memory" : "file") + " resource limits exceeded for server";
  const std::vector<std::string> log = js_.log();
  EXPECT_EQ(std::count(log.begin(), log.end(), line), 1);
}

TEST_P(Limits, RoomThatIsMadeIsRoomAtOnce) {
  Make("A", R"("subjects":["a.>"],"max_age":3600000000000)");
  Make("W", R"("subjects":["w.>"],"retention":"workqueue")");
  const std::string consumer =
      R"({"stream_name":"W","config":{"durable_name":"d","ack_policy":"explicit","deliver_subject":"d.1"}})";
  js_.Request("$JS.API.CONSUMER.DURABLE.CREATE.W.d", consumer);
  EngineHarness::Client worker(js_, 5);
  worker.Subscribe("d.1");
  js_.Settle();
  js_.Request("w.1", std::string(1000, 'x'));
  const auto jobs = worker.Take();
  ASSERT_EQ(jobs.size(), 1u);

  EXPECT_EQ(Fill(js_, "a.1"), Refused("A"));
  EXPECT_THAT(js_.Request("$JS.API.STREAM.MSG.DELETE.A", R"({"seq":7})"), HasSubstr("success"));
  EXPECT_THAT(js_.Request("a.1", std::string(1000, 'x')), Not(HasSubstr("error")));
  EXPECT_EQ(js_.Request("a.1", "x"), Refused("A"));

  js_.Publish(jobs[0].reply, "+ACK");
  EXPECT_THAT(js_.Request("a.1", "x"), Not(HasSubstr("error"))) << "acknowledged";

  EXPECT_EQ(Fill(js_, "a.2"), Refused("A"));
  EXPECT_THAT(js_.Request("$JS.API.STREAM.PURGE.A", R"({"keep":50})"), HasSubstr("success"));
  EXPECT_THAT(js_.Request("a.1", "x"), Not(HasSubstr("error"))) << "purged";

  EXPECT_EQ(Fill(js_, "a.3"), Refused("A"));
  const std::string storage = GetParam() == Storage::kMemory ? "memory" : "file";
  EXPECT_THAT(js_.Request("$JS.API.STREAM.UPDATE.A",
                          R"({"name":"A","subjects":["a.>"],"max_msgs":10,"max_age":3600000000000,"storage":")" +
                              storage + "\"}"),
              Not(HasSubstr("error")));
  EXPECT_THAT(js_.Request("a.1", "x"), Not(HasSubstr("error"))) << "bounded by an update";

  Make("B", R"("subjects":["b.>"],"max_age":60000000000)");
  EXPECT_EQ(Fill(js_, "b.1"), Refused("B"));
  js_.Advance(std::chrono::seconds(61));
  EXPECT_THAT(js_.Request("b.1", "x"), Not(HasSubstr("error"))) << "expired";

  EXPECT_EQ(Fill(js_, "b.1"), Refused("B"));
  EXPECT_THAT(js_.Request("$JS.API.STREAM.DELETE.B", ""), HasSubstr("success"));
  EXPECT_THAT(js_.Request("a.1", "x"), Not(HasSubstr("error"))) << "deleted";
  EXPECT_EQ(used(), Counted(js_, GetParam()));
}

TEST_P(Limits, BatchesAreStoredWholeOrNotAtAll) {
  Make("B", R"("subjects":["b.>"],"allow_atomic":true,"allow_batched":true)");
  const auto add = [&](const std::string& id, int seq, bool last) {
    std::string block = Headers({{"Nats-Batch-Id", id}, {"Nats-Batch-Sequence", std::to_string(seq)}});
    block.resize(block.size() - 2);
    if (last) block += "Nats-Batch-Commit: 1\r\n";
    return js_.Request("b.a", std::string(1000, 'x'), block + "\r\n");
  };
  std::string refused;
  uint64_t stored = 0;
  for (int batch = 0; batch < 100 && refused.empty(); ++batch) {
    const std::string id = "id" + std::to_string(batch);
    for (int seq = 1; seq < 10; ++seq) ASSERT_EQ(add(id, seq, false), "");
    const std::string answer = add(id, 10, true);
    if (answer.find("error") != std::string::npos) refused = answer;
    if (refused.empty()) stored += 10;
  }
  EXPECT_EQ(refused, Refused("B"));
  EXPECT_EQ(StateOf(js_, "B").messages, stored);
  EXPECT_EQ(js_.engine().batch_use().atomic, 0u);
  EXPECT_LE(used(), uint64_t{kLimit});
  EXPECT_GT(used(), uint64_t{kLimit} - 12'000);
  // One message at a time has the room that is left; then the first of a batch is refused already.
  EXPECT_EQ(Fill(js_, "b.b"), Refused("B"));
  ExpectFull(1100);
  EXPECT_EQ(add("late", 1, false), Refused("B"));
  // A fast batch: the message that is refused is answered, whichever it is.
  EXPECT_THAT(js_.Request("b.c", "x", ""), HasSubstr("10023"));
  EngineHarness::Client client(js_, 9);
  client.Subscribe("in.>");
  js_.Publish("b.f", "x", "in.f.100.ok.1.0.$FI");
  js_.Settle();
  const auto got = client.Take();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].body, Refused("B"));
}

TEST_P(Limits, OfABoundedStreamWhatItDropsCounts) {
  Make("B", R"("subjects":["b.>"],"allow_atomic":true,"max_bytes":90000)");
  for (int i = 0; i < 200; ++i) ASSERT_THAT(js_.Request("b.1", std::string(1000, 'x')), Not(HasSubstr("error")));
  for (int seq = 1; seq <= 50; ++seq) {
    std::string block = Headers({{"Nats-Batch-Id", "id"}, {"Nats-Batch-Sequence", std::to_string(seq)}});
    block.resize(block.size() - 2);
    if (seq == 50) block += "Nats-Batch-Commit: 1\r\n";
    ASSERT_THAT(js_.Request("b.a", std::string(1000, 'x'), block + "\r\n"), Not(HasSubstr("error"))) << seq;
  }
  EXPECT_LE(used(), 90'000u);
}

TEST_P(Limits, MirrorsAndSourcesWaitForRoomAndLoseNothing) {
  const bool memory = GetParam() == Storage::kMemory;
  CreateStream(js_, "O", std::string(R"(,"subjects":["o.>"],"storage":")") + (memory ? "file" : "memory") + "\"");
  for (int i = 0; i < 70; ++i) ASSERT_THAT(js_.Request("o.1", std::string(1000, 'x')), Not(HasSubstr("error")));
  Make("M", R"("mirror":{"name":"O"})");
  Make("S", R"("sources":[{"name":"O"}])");
  js_.Settle();
  ExpectFull(1200);
  for (int i = 0; i < 5; ++i) js_.Advance(std::chrono::seconds(2));
  ExpectFull(1200);
  EXPECT_LT(StateOf(js_, "M").messages + StateOf(js_, "S").messages, 140u);
  Make("X", R"("subjects":["x.>"])");
  EXPECT_EQ(js_.Request("x.1", "x"), Refused("X"));
  js_.Request("$JS.API.STREAM.PURGE.S", R"({})");
  const uint64_t dropped = StateOf(js_, "S").last_seq;
  for (int i = 0; i < 5; ++i) js_.Advance(std::chrono::seconds(2));
  EXPECT_EQ(StateOf(js_, "M").messages, 70u);
  EXPECT_EQ(StateOf(js_, "S").last_seq, std::min<uint64_t>(70, dropped + StateOf(js_, "S").messages));
  js_.Request("$JS.API.STREAM.DELETE.M", "");
  for (int i = 0; i < 5; ++i) js_.Advance(std::chrono::seconds(2));
  EXPECT_EQ(StateOf(js_, "S").last_seq, 70u);
}

TEST_P(Limits, SchedulesWaitForRoom) {
  Make("A", R"("subjects":["a.>"],"allow_msg_schedules":true)");
  js_.Request("a.s", std::string(1000, 'x'),
              Headers({{"Nats-Schedule", "@every 10s"}, {"Nats-Schedule-Target", "a.t"}}));
  EXPECT_EQ(Fill(js_, "a.1"), Refused("A"));
  const uint64_t full = used();
  for (int i = 0; i < 40; ++i) js_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(used(), full);
  js_.Request("$JS.API.STREAM.PURGE.A", R"({"filter":"a.1"})");
  for (int i = 0; i < 12; ++i) js_.Advance(std::chrono::seconds(1));
  EXPECT_THAT(js_.Request("$JS.API.STREAM.MSG.GET.A", R"({"last_by_subj":"a.t"})"), HasSubstr("a.t"));
}

// A marker may be stored when it is no larger than what goes, or nothing would expire any more; a larger one waits, and
// those behind it do not.
TEST_P(Limits, MarkersDoNotGrowBeyondTheLimit) {
  Make("A", kMarkers);
  js_.Request("a.small", "");
  for (int i = 0; i < 40; ++i) js_.Request("a." + std::to_string(i), std::string(1000, 'x'));
  Make("B", R"("subjects":["b.>"])");
  EXPECT_EQ(Fill(js_, "b.1"), Refused("B"));
  const uint64_t full = used();
  js_.Advance(std::chrono::seconds(60));
  js_.Advance(std::chrono::milliseconds(100));
  EXPECT_LT(used(), full);
  for (int i = 0; i < 20; ++i) js_.Advance(std::chrono::seconds(2));
  EXPECT_EQ(StateOf(js_, "A").messages, 0u) << "their markers have made room for the small one's";
}

TEST_P(Limits, AMarkerThatDoesNotFitWaits) {
  Make("A", kMarkers);
  for (int i = 0; i < 10; ++i) js_.Request("a." + std::to_string(i), "");
  Make("B", R"("subjects":["b.>"])");
  EXPECT_EQ(Fill(js_, "b.1"), Refused("B"));
  const uint64_t full = used();
  for (int i = 0; i < 80; ++i) js_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(used(), full);
  js_.Request("$JS.API.STREAM.PURGE.B", "");
  for (int i = 0; i < 10; ++i) js_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(StateOf(js_, "A").messages, 0u);
  EXPECT_EQ(StateOf(js_, "A").last_seq, 20u) << "each has had its marker";
}

TEST_P(Limits, FiguresAreTheSameEverywhere) {
  Make("A", R"("subjects":["a.>"],"max_bytes":50000)");
  for (int i = 0; i < 20; ++i) js_.Request("a.1", std::string(1000, 'x'));
  const bool memory = GetParam() == Storage::kMemory;
  const std::string bytes = std::to_string(StateOf(js_, "A").bytes);
  const std::string info = js_.Request("$JS.API.INFO", "");
  EXPECT_THAT(info, HasSubstr((memory ? R"("memory":)" : R"("storage":)") + bytes + ","));
  EXPECT_THAT(info, HasSubstr(memory ? R"("reserved_memory":50000)" : R"("reserved_storage":50000)"));
  JetStreamPages pages(js_.engine());
  JszSnapshot jsz;
  pages.FillJsz(JszOptions{}, &jsz);
  EXPECT_EQ(memory ? jsz.server.stats.memory : jsz.server.stats.storage, StateOf(js_, "A").bytes);
  EXPECT_EQ(jsz.bytes, StateOf(js_, "A").bytes);
}

TEST_P(Limits, ReservationsAreLimitedWhenStreamsAreMadeAndChanged) {
  const bool memory = GetParam() == Storage::kMemory;
  const std::string code = memory ? "10028" : "10047";
  EXPECT_THAT(Make("A", R"("subjects":["a.>"],"max_bytes":100001)"), HasSubstr(code));
  EXPECT_THAT(Make("A", R"("subjects":["a.>"],"max_bytes":60000)"), Not(HasSubstr("error")));
  EXPECT_THAT(Make("B", R"("subjects":["b.>"],"max_bytes":40001)"), HasSubstr(code));
  EXPECT_THAT(Make("B", R"("subjects":["b.>"],"max_bytes":39000)"), Not(HasSubstr("error")));
  const std::string update =
      R"({"name":"A","subjects":["a.>"],"storage":")" + std::string(memory ? "memory" : "file") + R"(","max_bytes":)";
  EXPECT_THAT(js_.Request("$JS.API.STREAM.UPDATE.A", update + "61001}"), HasSubstr(code));
  EXPECT_THAT(js_.Request("$JS.API.STREAM.UPDATE.A", update + "61000}"), Not(HasSubstr("error")));
  // What is full can still be given streams, as long as nothing is promised.
  EXPECT_THAT(Make("C", R"("subjects":["c.>"])"), HasSubstr(code)) << "at least one byte";
  EXPECT_THAT(js_.Request("$JS.API.STREAM.UPDATE.A", update + "60000}"), Not(HasSubstr("error")));
  EXPECT_THAT(Make("C", R"("subjects":["c.>"])"), Not(HasSubstr("error")));
  EXPECT_EQ(Fill(js_, "c.1"), Refused("C"));
  EXPECT_THAT(Make("D", R"("subjects":["d.>"])"), Not(HasSubstr("error")));
}

TEST_P(Limits, AReloadTakesEffectAtOnce) {
  Make("A", R"("subjects":["a.>"])");
  EXPECT_EQ(Fill(js_, "a.1"), Refused("A"));
  JetStreamEngineOptions more = js_.engine().options();
  (GetParam() == Storage::kMemory ? more.memory_max : more.storage_max) = 2 * kLimit;
  js_.engine().SetOptions(more);
  EXPECT_THAT(js_.Request("a.1", "x"), Not(HasSubstr("error")));
  EXPECT_EQ(Fill(js_, "a.1"), Refused("A"));
  EXPECT_GT(used(), uint64_t{2 * kLimit});
}

TEST_P(Limits, HoldForStreamsAtRest) {
  JetStreamEngineOptions options = Limited(kLimit, kLimit);
  options.streams = StreamTableOptions{0, Nanos{0}};
  EngineHarness js(options);
  const std::string storage = GetParam() == Storage::kMemory ? "memory" : "file";
  for (const std::string name : {"A", "B"}) {
    CreateStream(js, name, ",\"subjects\":[\"" + name + ".>\"],\"storage\":\"" + storage + "\"");
    for (int i = 0; i < 40; ++i) js.Request(name + ".1", std::string(1000, 'x'));
  }
  js.Settle();
  EXPECT_EQ(js.engine().streams().resting(), 2u);
  EXPECT_EQ(Used(js, GetParam()), Counted(js, GetParam()));
  EXPECT_EQ(Fill(js, "A.1"), Refused("A"));
  js.Settle();
  EXPECT_EQ(Used(js, GetParam()), Counted(js, GetParam()));
  js.Request("$JS.API.STREAM.PURGE.B", "");
  EXPECT_THAT(js.Request("A.1", "x"), Not(HasSubstr("error")));
}

}  // namespace
}  // namespace millrace
