// SPDX-License-Identifier: Apache-2.0
// Goal:   whatever an administrator asks of a large stream is done in slices of turns, in which everybody else is
//         served; it is one step to all who look at the stream, and answered as if it had been done at once.
// Method: the engine on a clock that stands still, so that slices are counted in units of work; turns are run one by
//         one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "broker/jetstream/base/fiber.h"
#include "broker/jetstream/base/sort_in_slices.h"
#include "tests/jetstream/engine_harness.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

constexpr int kMessages = 40'000;
// A slice is 10,000; what is done between two looks at it, and what is no task, comes on top.
// The configuration of T but for what follows.
#define MR_CONFIG R"({"name":"T","subjects":["t.>"],"allow_direct":true,"allow_rollup_hdrs":true,"storage":"memory")"
constexpr uint64_t kSome = UINT64_MAX;  // messages are left
constexpr uint64_t kUnitsMax = 14'000;

std::string SubjectOf(int number) {
  const char* branch = number % 100 == 0 ? "spread." : number % 100 < 3 ? "branch." : "rest.";
  return "t." + (branch + std::to_string(number)) + ".with-a-tail-that-is-too-long-for-the-entry";
}

// A stream with many subjects, another one beside it, and a client that takes answers.
class LongWork : public testing::Test {
 protected:
  LongWork() : client_(js_, 7) {
    client_.Subscribe("in");
    js_.Request("$JS.API.STREAM.CREATE.T",
                MR_CONFIG "}");
    js_.Request("$JS.API.STREAM.CREATE.O", R"({"name":"O","subjects":["o"]})");
    js_.Request("$JS.API.CONSUMER.DURABLE.CREATE.T.ALL",
                R"({"stream_name":"T","config":{"durable_name":"ALL","ack_policy":"explicit"}})");
    Fill();
  }

  void Fill() {
    for (int i = 0; i < kMessages; ++i) js_.Publish(SubjectOf(i), "x");
    js_.Settle();
  }

  // Sends a request and counts the turns until its answer is there. In each of them another stream takes a message and
  // confirms it.
  std::string Ask(const std::string& api, const std::string& body, int* turns) {
    EngineHarness::Client asker(js_, 1000);
    asker.Subscribe("answer");
    js_.Publish("$JS.API." + api, body, "answer");
    for (*turns = 1;; ++*turns) {
      EXPECT_LT(*turns, 10'000);
      js_.Publish("o", "x", "in");
      js_.Turn();
      EXPECT_EQ(client_.Take().size(), 1u) << api << ", turn " << *turns;
      const std::vector<EngineHarness::Received> answers = asker.Take();
      if (!answers.empty() || *turns >= 10'000 || HasFailure()) return answers.empty() ? "" : answers.front().body;
    }
  }
  uint64_t Messages() { return js_.FindStream("T")->log().state().messages; }

  EngineHarness js_;
  EngineHarness::Client client_;
};

TEST_F(LongWork, EveryRequestLeavesOthersTheirTurns) {
  struct Case {
    const char* api;
    const char* body;
    const char* answer;
    uint64_t left;
    bool fill_first = false;
  };
  const Case cases[] = {
      {"STREAM.INFO.T", R"({"subjects_filter":">"})", "\"total\":40000,\"offset\":0,\"limit\":100000", 40'000},
      {"STREAM.INFO.T", R"({"subjects_filter":">","offset":39999})", "\"subjects\":{\"t.spread.9900", 40'000},
      {"CONSUMER.DURABLE.CREATE.T.F",
       R"({"stream_name":"T","config":{"durable_name":"F","ack_policy":"explicit","filter_subject":"t.rest.*.>"}})",
       "\"num_pending\":38800", 40'000},
      {"CONSUMER.DURABLE.CREATE.T.L",
       R"({"stream_name":"T","config":{"durable_name":"L","ack_policy":"explicit","filter_subject":"t.*.>",)"
       R"("deliver_policy":"last_per_subject"}})",
       "\"num_pending\":40000", 40'000},
      {"DIRECT.GET.T", R"({"multi_last":["t.*.>"]})", "", 40'000},
      {"STREAM.PURGE.T", R"({"filter":"t.spread.>"})", "\"purged\":400", 39'600},
      {"STREAM.PURGE.T", R"({"filter":"t.branch.>","keep":5})", "\"purged\":795", 38'805},
      {"STREAM.PURGE.T", R"({"seq":20001})", "\"purged\":19400", 19'405},
      {"STREAM.UPDATE.T",
       MR_CONFIG R"(,"max_msgs":15000})",
       "\"messages\":15000", 15'000},
      {"STREAM.UPDATE.T",
       MR_CONFIG R"(,"max_msgs":40000,"max_bytes":1000000})",
       "\"max_bytes\":1000000", kSome},
      {"STREAM.PURGE.T", "", "\"purged\":", 0},
      {"STREAM.UPDATE.T",
       MR_CONFIG "}", "", 0},
      {"STREAM.UPDATE.T",
       MR_CONFIG R"(,"max_msgs_per_subject":1})",
       "\"num_subjects\":40000", 40'000, true},
      {"STREAM.DELETE.T", "", "\"success\":true", 0},
  };
  bool filled = false;
  for (const Case& c : cases) {
    if (c.fill_first && !std::exchange(filled, true)) {
      Fill();
      Fill();
    }
    int turns = 0;
    const std::string answer = Ask(c.api, c.body, &turns);
    ASSERT_FALSE(HasFailure());
    EXPECT_THAT(answer, HasSubstr(c.answer)) << c.api << c.body << answer.substr(0, 300);
    EXPECT_LT(js_.engine().tasks().longest_slice(), kUnitsMax) << c.api << c.body;
    js_.Settle();
    const bool there = js_.FindStream("T") != nullptr;
    if (there && c.left != kSome) {
      EXPECT_EQ(Messages(), c.left) << c.api << c.body;
    }
    EXPECT_EQ(there, std::string_view(c.api) != "STREAM.DELETE.T");
  }
}

TEST_F(LongWork, ItIsOneStepToWhoLooksAndWhatComesMeanwhileComesAfterIt) {
  js_.Publish("$JS.API.STREAM.PURGE.T", R"({"filter":"t.rest.>"})", "in");
  js_.Turn();
  ASSERT_TRUE(js_.FindStream("T")->held());
  // In this order they come, and in this order they are answered; nobody sees a part of it.
  js_.Publish("t.rest.new", "x", "in");
  js_.Publish("$JS.API.STREAM.INFO.T", "", "in");
  js_.Publish("$JS.API.CONSUMER.MSG.NEXT.T.ALL", R"({"batch":1,"no_wait":true})", "pulled");
  js_.Publish("$JS.API.STREAM.PURGE.T", R"({"filter":"t.branch.>"})", "in");
  js_.Publish("$JS.API.STREAM.MSG.GET.T", R"({"seq":40001})", "in");
  for (int i = 0; i < 2; ++i) {
    js_.Turn();
    ASSERT_TRUE(js_.FindStream("T")->held());
    EXPECT_TRUE(client_.Take().empty());
  }
  js_.Settle();
  const std::vector<EngineHarness::Received> answers = client_.Take();
  ASSERT_EQ(answers.size(), 5u);
  EXPECT_THAT(answers[0].body, HasSubstr("\"purged\":38800"));
  EXPECT_EQ(answers[1].body, "{\"stream\":\"T\",\"seq\":40001}");
  EXPECT_THAT(answers[2].body, HasSubstr("\"messages\":1201"));
  EXPECT_THAT(answers[3].body, HasSubstr("\"purged\":800"));
  EXPECT_THAT(answers[4].body, HasSubstr("\"subject\":\"t.rest.new\""));
  EXPECT_EQ(Messages(), 401u);
  EXPECT_FALSE(js_.FindStream("T")->held());
}

TEST_F(LongWork, WhoPublishesToAStreamThatIsBeingDeletedIsToldThatNobodyTakesIt) {
  js_.Publish("$JS.API.STREAM.DELETE.T", "", "in");
  js_.Turn();
  ASSERT_TRUE(js_.FindStream("T")->held());
  js_.Publish("t.late", "x", "late");
  EngineHarness::Client late(js_, 8);
  late.Subscribe("late");
  js_.Settle();
  const std::vector<EngineHarness::Received> told = late.Take();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].header, "NATS/1.0 503\r\n\r\n");
  EXPECT_THAT(client_.Take().front().body, HasSubstr("\"success\":true"));
}

TEST_F(LongWork, TheEndOfTheServerWaitsForIt) {
  js_.Publish("$JS.API.STREAM.PURGE.T", R"({"filter":"t.rest.>"})", "in");
  js_.Turn();
  ASSERT_TRUE(js_.FindStream("T")->held());
  js_.engine().StartStop();
  EXPECT_EQ(Messages(), 1200u);
}

TEST_F(LongWork, ARollupOfTheWholeStreamIsSliced) {
  js_.Publish("t.rollup", "x", "in", "NATS/1.0\r\nNats-Rollup: all\r\n\r\n");
  int turns = 1;
  for (; client_.Take().empty() && turns < 1000; ++turns) js_.Turn();
  EXPECT_LT(js_.engine().tasks().longest_slice(), kUnitsMax);
  EXPECT_EQ(Messages(), 1u);
}

// A copy that wants few of many messages: looking for the next one is long work on the origin.
TEST_F(LongWork, WhatIsToBeCopiedIsLookedForInSlices) {
  int turns = 0;
  Ask("STREAM.CREATE.M", R"({"name":"M","storage":"memory","mirror":{"name":"T","filter_subject":"*.spread.*.>"}})",
      &turns);
  const auto copied = [this] { return js_.FindStream("M")->log().state().messages; };
  bool held = false;
  bool published = false;
  for (turns = 0; (copied() < 401 || !published) && turns < 1000; ++turns) {
    js_.Publish("o", "x", "in");
    js_.Turn();
    EXPECT_EQ(client_.Take().size(), 1u) << turns;
    held = held || js_.FindStream("T")->held();
    // Nothing matches any more, and it is still being looked for: what comes meanwhile is not missed.
    if (copied() == 400 && !published) {
      js_.Publish("t.spread.late.with", "x");
      published = true;
    }
  }
  EXPECT_EQ(copied(), 401u);
  EXPECT_TRUE(held);
  EXPECT_LT(js_.engine().tasks().longest_slice(), kUnitsMax);
  EXPECT_THAT(js_.Request("$JS.API.STREAM.INFO.M", ""), HasSubstr("\"lag\":0"));
}

// What limits remove is no longer pending for anybody, and said to have been.
TEST_F(LongWork, ConsumersLearnWhatLowerLimitsTook) {
  js_.Publish("$JS.API.CONSUMER.MSG.NEXT.T.ALL", R"({"batch":10})", "in");
  js_.Settle();
  EXPECT_EQ(client_.Take().size(), 10u);
  EngineHarness::Client advised(js_, 9);
  advised.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.T.ALL");
  js_.Request("$JS.API.STREAM.UPDATE.T", MR_CONFIG R"(,"max_msgs":39995})");
  EXPECT_EQ(advised.Take().size(), 5u);
  const std::string info = js_.Request("$JS.API.CONSUMER.INFO.T.ALL", "");
  EXPECT_THAT(info, HasSubstr("\"num_ack_pending\":5,"));
  EXPECT_THAT(info, HasSubstr("\"num_pending\":39990,"));
}

TEST(Fibers, GoOnWhereTheyPaused) {
  std::vector<int> order;
  Fiber one;
  Fiber two;
  const auto count = [&order](Fiber* fiber, int from) {
    return [&order, fiber, from] {
      double sum = from;  // lives in a register, or on the stack
      for (int i = 0; i < 3; ++i) {
        order.push_back(static_cast<int>(sum));
        sum += 1;
        fiber->Pause();
      }
    };
  };
  for (int round = 0; round < 2; ++round) {
    order.clear();
    one.Start(count(&one, 10));
    two.Start(count(&two, 20));
    while (!one.Resume()) (void)two.Resume();
    EXPECT_TRUE(two.Resume());
    EXPECT_EQ(order, (std::vector<int>{10, 20, 11, 21, 12, 22}));
  }
}

// The kernel's list of what is mapped is limited: a fiber that is gone leaves nothing there.
TEST(Fibers, GiveTheirStacksBack) {
  const auto mappings = [] {
    std::ifstream maps("/proc/self/maps");
    return std::count(std::istreambuf_iterator<char>(maps), std::istreambuf_iterator<char>(), '\n');
  };
  constexpr int kFibers = 200;
  const auto before = mappings();
  for (int i = 0; i < kFibers; ++i) Fiber fiber;
  EXPECT_LT(mappings(), before + kFibers / 2);
}

TEST(SortInSlicesTest, SortsAsStd) {
  SeededRandom random(1);
  for (size_t size : {0, 1, 63, 64, 65, 200, 5000}) {
    std::vector<std::pair<uint64_t, size_t>> all;
    for (size_t i = 0; i < size; ++i) all.emplace_back(random.Below(size / 2 + 1), i);
    auto expected = all;
    const auto less = [](const auto& a, const auto& b) { return a.first < b.first; };
    std::stable_sort(expected.begin(), expected.end(), less);
    SortInSlices(&all, less, nullptr);
    EXPECT_EQ(all, expected) << size;
  }
}

}  // namespace
}  // namespace millrace
