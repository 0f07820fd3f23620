// SPDX-License-Identifier: Apache-2.0
// Goal:   the duplicate window holds over a restart, at whatever point the server ends, also for messages that are
//         gone; what it takes on disk and in memory goes with the window.
// Method: the engine over the real store on a SimDisk. The process ends at boundaries of a workload, on a disk that has
//         forgotten what it may forget; then every id that was confirmed is published again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "broker/jetstream/stream/message_ids.h"
#include "tests/jetstream/engine_process.h"
#include "tests/jetstream/requests.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kWindowNs = 30'000'000'000;
constexpr int64_t kStartNs = EngineProcess::kStartNs;

class Process : public EngineProcess {
 public:
  using EngineProcess::EngineProcess;

  std::string Publish(const std::string& subject, const std::string& id, const std::string& body = "x") {
    return js().Request(subject, body, Headers({{"Nats-Msg-Id", id}}));
  }
  bool IsDuplicate(const std::string& subject, const std::string& id) {
    return Publish(subject, id).find("\"duplicate\": true") != std::string::npos;
  }
  // What the store keeps of ids, besides the messages.
  size_t records() { return store().stats().consumers; }
};

void MakeStreams(EngineHarness& js) {
  const std::string window = ",\"duplicate_window\":" + std::to_string(kWindowNs);
  CreateStream(js, "L", R"(,"subjects":["l.>"],"max_msgs":5)" + window);
  CreateStream(js, "A", R"(,"subjects":["a.>"],"max_age":30000000000,"allow_atomic":true)" + window);
  CreateStream(js, "I", R"(,"subjects":["i.>"],"retention":"interest")" + window);
  CreateStream(js, "W", R"(,"subjects":["w.>"],"retention":"workqueue")" + window);
  js.Request("$JS.API.CONSUMER.DURABLE.CREATE.W.d",
             R"({"stream_name":"W","config":{"durable_name":"d","ack_policy":"explicit"}})");
}

// Takes the next job and acknowledges it.
void Work(EngineHarness& js) {
  EngineHarness::Client worker(js, 5);
  worker.Subscribe("jobs");
  js.Publish("$JS.API.CONSUMER.MSG.NEXT.W.d", R"({"batch":1,"no_wait":true})", "jobs");
  js.Settle();
  for (const EngineHarness::Received& job : worker.Take()) {
    if (!job.reply.empty()) js.Request(job.reply, "+ACK");
  }
}

std::unique_ptr<SimDisk> Killed(const SimDisk& disk, uint64_t seed = 1) {
  return disk.Survivor(seed, Survival::kNothing);
}

// How an id's message goes.
enum class Way { kPurged, kDeleted, kAcknowledged, kDropped, kNeverWanted, kStays };

class Window : public ::testing::TestWithParam<std::tuple<Way, int>> {};

INSTANTIATE_TEST_SUITE_P(Ways, Window,
                         ::testing::Combine(::testing::Values(Way::kPurged, Way::kDeleted, Way::kAcknowledged,
                                                              Way::kDropped, Way::kNeverWanted, Way::kStays),
                                            ::testing::Range(0, 4)));

TEST_P(Window, HoldsOverRestarts) {
  const auto [way, when] = GetParam();  // checkpoints: never, before it goes, after, both
  const std::map<Way, std::string> subjects = {{Way::kPurged, "a.1"},  {Way::kDeleted, "a.1"},
                                               {Way::kAcknowledged, "w.1"}, {Way::kDropped, "l.1"},
                                               {Way::kNeverWanted, "i.1"}, {Way::kStays, "a.1"}};
  const std::string subject = subjects.at(way);
  SimDisk disk(1);
  {
    Process run(disk);
    MakeStreams(run.js());
    ASSERT_THAT(run.Publish(subject, "one"), HasSubstr("\"seq\":1"));
    if (when & 1) run.Checkpoint();
    if (way == Way::kPurged) run.js().Request("$JS.API.STREAM.PURGE.A", "");
    if (way == Way::kDeleted) run.js().Request("$JS.API.STREAM.MSG.DELETE.A", R"({"seq":1})");
    if (way == Way::kAcknowledged) Work(run.js());
    if (way == Way::kDropped) {
      for (int i = 0; i < 6; ++i) run.js().Request("l.1", "y");
    }
    if (when & 2) run.Checkpoint();
    ASSERT_TRUE(run.IsDuplicate(subject, "one"));
  }
  // Several times: what the first start has found is kept, too.
  std::unique_ptr<SimDisk> next = Killed(disk);
  for (int start = 1; start <= 3; ++start) {
    std::unique_ptr<SimDisk> left;
    {
      Process run(*next, kStartNs + start * 5'000'000'000);
      EXPECT_TRUE(run.IsDuplicate(subject, "one")) << start;
      EXPECT_FALSE(run.IsDuplicate(subject, "new" + std::to_string(start)));
      EXPECT_TRUE(run.IsDuplicate(subject, "new1")) << start;
      if (way == Way::kPurged) run.js().Request("$JS.API.STREAM.PURGE.A", "");
      if (start == 2) run.Checkpoint();
      left = Killed(*next, static_cast<uint64_t>(start));
    }
    next = std::move(left);
  }
  // And ends with it.
  Process run(*next, kStartNs + kWindowNs + 1'000'000'000);
  EXPECT_FALSE(run.IsDuplicate(subject, "one"));
}

TEST(MessageIds, WhatIsKeptGoesWithTheWindow) {
  SimDisk disk(1);
  constexpr int kIds = 3 * MessageIds::kIdsPerRecord;
  {
    Process run(disk);
    MakeStreams(run.js());
    const size_t before = run.records();
    for (int i = 0; i < kIds; ++i) {
      const std::string header = Headers({{"Nats-Msg-Id", std::to_string(i)}});
      run.js().Publish("l.1", "x", "", header);
      if (i % 256 == 0) run.js().Settle();
    }
    run.js().Settle();
    run.Checkpoint();
    EXPECT_LE(run.records() - before, 4u);
    EXPECT_LT(run.store().stats().catalog_bytes, 1u << 20);
    EXPECT_TRUE(run.IsDuplicate("l.1", "0"));
  }
  const auto next = Killed(disk);
  Process run(*next, kStartNs + 1'000'000'000);
  EXPECT_TRUE(run.IsDuplicate("l.1", "0"));
  EXPECT_TRUE(run.IsDuplicate("l.1", std::to_string(kIds - 1)));
  EXPECT_GE(run.records(), 4u);
  // Nobody publishes any more.
  for (int i = 0; i < 120; ++i) run.js().Advance(std::chrono::seconds(1));
  EXPECT_EQ(run.records(), 1u) << "the consumer of W";
  EXPECT_FALSE(run.IsDuplicate("l.1", "0"));
}

TEST(MessageIds, TheLastIdIsKnownAfterARestart) {
  SimDisk disk(1);
  {
    Process run(disk);
    MakeStreams(run.js());
    run.Publish("a.1", "one");
    run.Publish("a.1", "two");
  }
  const auto next = Killed(disk);
  Process run(*next);
  const auto expect = [&](const std::string& id) {
    return run.js().Request("a.1", "x", Headers({{"Nats-Expected-Last-Msg-Id", id}, {"Nats-Msg-Id", "three"}}));
  };
  EXPECT_THAT(expect("one"), HasSubstr("10070"));
  EXPECT_THAT(expect("two"), HasSubstr("\"seq\":3"));
}

// Ids of memory streams go with the messages: who publishes what was lost again must be heard.
TEST(MessageIds, OfMemoryStreamsNothingIsKept) {
  SimDisk disk(1);
  {
    Process run(disk);
    CreateStream(run.js(), "M", R"(,"subjects":["m.>"],"storage":"memory")");
    run.Publish("m.1", "one");
    EXPECT_EQ(run.records(), 0u);
    EXPECT_TRUE(run.IsDuplicate("m.1", "one"));
    run.Checkpoint();
  }
  const auto next = Killed(disk);
  Process run(*next);
  EXPECT_FALSE(run.IsDuplicate("m.1", "one"));
}

TEST(MessageIds, ADeletedStreamLeavesNone) {
  SimDisk disk(1);
  {
    Process run(disk);
    MakeStreams(run.js());
    run.Publish("a.1", "one");
    run.Checkpoint();
    run.js().Request("$JS.API.STREAM.DELETE.A", "");
    MakeStreams(run.js());
    EXPECT_FALSE(run.IsDuplicate("a.1", "one"));
    run.js().Request("$JS.API.STREAM.DELETE.A", "");
  }
  const auto next = Killed(disk);
  Process run(*next);
  MakeStreams(run.js());
  EXPECT_FALSE(run.IsDuplicate("a.1", "one"));
}

// Every few boundaries of a seeded workload the process ends.
class Crashes : public ::testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Crashes, ::testing::Range<uint64_t>(1, 5));

TEST_P(Crashes, NoConfirmedIdIsTakenTwice) {
  SeededRandom random(GetParam());
  auto disk = std::make_unique<SimDisk>(GetParam());
  std::map<std::string, std::pair<std::string, int64_t>> confirmed;  // id → subject, when
  int64_t wall_ns = kStartNs;
  int number = 0;
  size_t checked = 0;
  const uint64_t every = std::getenv("MR_TEST_PERCENT") != nullptr ? 61 : 17;
  for (int life = 0; life < 4; ++life) {
    auto run = std::make_unique<Process>(*disk, wall_ns);
    EngineHarness& js = run->js();
    if (life == 0) MakeStreams(js);
    bool checking = false;
    disk->on_boundary = [&] {
      if (checking || disk->boundary() % every != 0) return;
      checking = true;
      const int64_t now_ns = js.wall_ns();
      const Survival survival = disk->boundary() % 2 == 0 ? Survival::kSome : Survival::kNothing;
      const auto left = disk->Survivor(disk->boundary(), survival);
      Process after(*left, now_ns);
      for (const auto& [id, where] : confirmed) {
        if (now_ns - where.second >= kWindowNs - 1'000'000'000) continue;
        EXPECT_TRUE(after.IsDuplicate(where.first, id)) << "boundary " << disk->boundary() << " " << id;
        ++checked;
      }
      checking = false;
    };
    for (int i = 0; i < 150 && !::testing::Test::HasFailure(); ++i) {
      const std::string id = "id" + std::to_string(++number);
      switch (random.Below(12)) {
        case 0:
          js.Request("$JS.API.STREAM.PURGE." + std::string(random.OneIn(2) ? "A" : "L"), "");
          break;
        case 1:
        case 2:
          Work(js);
          break;
        case 3:
          js.Request("$JS.API.STREAM.MSG.DELETE.A", R"({"seq":)" + std::to_string(random.Below(40)) + "}");
          break;
        case 4:
          if (random.OneIn(3)) run->store().StartCheckpoint();
          break;
        case 5:
          js.Advance(std::chrono::milliseconds(random.Below(2'000)));
          break;
        default: {
          const std::string subject = std::string(1, "alwi"[random.Below(4)]) + ".1";
          const std::string answer = run->Publish(subject, id, std::string(random.Below(700), 'x'));
          if (answer.find("\"seq\"") != std::string::npos && answer.find("error") == std::string::npos)
            confirmed[id] = {subject, js.wall_ns()};
          EXPECT_THAT(answer, Not(HasSubstr("duplicate")));
        }
      }
    }
    disk->on_boundary = nullptr;
    wall_ns = js.wall_ns() + 1'000'000;
    std::unique_ptr<SimDisk> left = disk->Survivor(static_cast<uint64_t>(life), Survival::kSome);
    run.reset();
    disk = std::move(left);
  }
  EXPECT_GT(checked, 1000u);
}

}  // namespace
}  // namespace millrace
