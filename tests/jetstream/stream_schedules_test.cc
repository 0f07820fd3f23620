// SPDX-License-Identifier: Apache-2.0
// Goal:   schedules fire at their time, once and again, and end as nats-server's do; wrong ones are refused.
// Method: the engine with a clock that the test turns (it begins at 2023-11-14T22:13:20Z); headers are nats-server's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using std::chrono::milliseconds;
using std::chrono::seconds;

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Schedules : public ::testing::Test {
 protected:
  Schedules() {
    CreateStream(js_, "S", R"(,"subjects":["s.>"],"allow_msg_schedules":true,"allow_msg_ttl":true)");
  }
  std::string Put(std::string_view subject, Fields fields, std::string_view body = "data") {
    return js_.Request(subject, body, Headers(fields));
  }
  EngineHarness js_;
};

TEST_F(Schedules, AtFiresOnceAndIsGone) {
  EXPECT_THAT(Put("s.plan", {{"Nats-Schedule", "@at 2023-11-14T22:13:25Z"}, {"Nats-Schedule-Target", "s.out"},
                             {"Nats-Schedule-TTL", "5m"}, {"Nats-Msg-Id", "1"}, {"X", "y"}}),
              HasSubstr("\"seq\":1"));
  EXPECT_THAT(At(js_, "S", 1).header, HasSubstr("Nats-Rollup: sub\r\n"));
  js_.Advance(milliseconds(4900));
  EXPECT_EQ(StateOf(js_, "S").last_seq, 1u);
  js_.Advance(milliseconds(200));
  EXPECT_EQ(StateOf(js_, "S").messages, 1u);
  EXPECT_EQ(At(js_, "S", 2),
            (Kept{"s.out", "NATS/1.0\r\nX: y\r\nNats-Scheduler: s.plan\r\nNats-Schedule-Next: purge\r\nNats-TTL: 5m\r\n\r\n",
                  "data"}));
  js_.Advance(seconds(60));
  EXPECT_EQ(StateOf(js_, "S").last_seq, 2u);
  js_.Advance(std::chrono::minutes(5));
  EXPECT_EQ(StateOf(js_, "S").messages, 0u);
}

TEST_F(Schedules, EveryFiresAgainAndAgain) {
  Put("s.plan", {{"Nats-Schedule", "@every 10s"}, {"Nats-Schedule-Target", "s.out"}, {"Nats-Schedule-Rollup", "sub"}});
  for (uint64_t round = 1; round <= 3; ++round) {
    js_.Advance(milliseconds(9950));
    js_.Advance(milliseconds(100));
    EXPECT_EQ(StateOf(js_, "S").last_seq, 1 + round);
  }
  EXPECT_EQ(StateOf(js_, "S").messages, 2u);
  EXPECT_THAT(At(js_, "S", 4).header, HasSubstr("Nats-Scheduler: s.plan\r\nNats-Schedule-Next: 2023-11-14T22:14:00Z\r\n"));
  EXPECT_THAT(At(js_, "S", 4).header, HasSubstr("Nats-Rollup: sub\r\n"));
  // A client ends it.
  EXPECT_THAT(Put("s.end", {{"Nats-Schedule-Next", "purge"}, {"Nats-Scheduler", "s.plan"}}), HasSubstr("\"seq\":5"));
  EXPECT_EQ(At(js_, "S", 1), Kept{});
  js_.Advance(seconds(60));
  EXPECT_EQ(StateOf(js_, "S").last_seq, 5u);
}

TEST_F(Schedules, TheSourcesLastMessageIsSent) {
  js_.Request("s.src", "from the source", Headers({{"Y", "z"}}));
  Put("s.plan", {{"Nats-Schedule", "0 * * * * *"}, {"Nats-Schedule-Target", "s.out"}, {"Nats-Schedule-Source", "s.src"}});
  js_.Advance(seconds(41));
  EXPECT_EQ(At(js_, "S", 3), (Kept{"s.out", "NATS/1.0\r\nY: z\r\nNats-Scheduler: s.plan\r\n"
                                            "Nats-Schedule-Next: 2023-11-14T22:15:00Z\r\n\r\n", "from the source"}));
}

TEST_F(Schedules, AnotherMessageTakesThePlace) {
  Put("s.plan", {{"Nats-Schedule", "@every 10s"}, {"Nats-Schedule-Target", "s.out"}});
  Put("s.plan", {{"Nats-Schedule", "@every 1h"}, {"Nats-Schedule-Target", "s.out"}});
  EXPECT_EQ(StateOf(js_, "S").messages, 1u);
  js_.Advance(seconds(30));
  EXPECT_EQ(StateOf(js_, "S").last_seq, 2u);
  js_.Request("s.plan", "no schedule any more");
  js_.Advance(std::chrono::hours(2));
  EXPECT_EQ(StateOf(js_, "S").last_seq, 3u);
}

TEST_F(Schedules, GoWithTheirMessage) {
  Put("s.plan", {{"Nats-Schedule", "@every 10s"}, {"Nats-Schedule-Target", "s.out"}});
  js_.Request("$JS.API.STREAM.PURGE.S", R"({"filter":"s.plan"})");
  js_.Advance(seconds(30));
  EXPECT_EQ(StateOf(js_, "S").last_seq, 1u);
}

TEST_F(Schedules, WrongOnesAreRefused) {
  struct Case {
    Fields fields;
    int code;
  };
  const auto refused = [this](Fields fields, int code) {
    EXPECT_THAT(Put("s.plan", fields), HasSubstr("\"err_code\":" + std::to_string(code))) << Headers(fields);
  };
  const std::pair<std::string_view, std::string_view> every{"Nats-Schedule", "@every 10s"}, out{"Nats-Schedule-Target", "s.o"};
  refused({{"Nats-Schedule", "@every 10ms"}, out}, 10189);
  refused({{"Nats-Schedule", "sometimes"}, out}, 10189);
  refused({every}, 10190);
  refused({every, {"Nats-Schedule-Target", "s.plan"}}, 10190);
  refused({every, {"Nats-Schedule-Target", "s.*"}}, 10190);
  refused({every, {"Nats-Schedule-Target", "elsewhere"}}, 10190);
  refused({every, out, {"Nats-Schedule-TTL", "1ms"}}, 10191);
  refused({every, out, {"Nats-Schedule-Rollup", "all"}}, 10192);
  refused({every, out, {"Nats-Rollup", "all"}}, 10192);
  refused({every, out, {"Nats-Schedule-Source", "s.o"}}, 10203);
  refused({every, out, {"Nats-Schedule-Source", "elsewhere"}}, 10203);
  refused({every, out, {"Nats-Schedule-Time-Zone", ""}}, 10223);
  refused({every, out, {"Nats-Schedule-Time-Zone", "No/Where"}}, 10223);
  refused({every, out, {"Nats-Schedule-Time-Zone", "Europe/Berlin"}}, 10189);
  refused({{"Nats-Scheduler", "s.x"}}, 10212);
  refused({{"Nats-Schedule-Next", "2030-01-01T00:00:00Z"}, {"Nats-Scheduler", "s.x"}}, 10212);
  refused({{"Nats-Schedule-Next", "purge"}}, 10212);
  refused({{"Nats-Schedule-Next", "purge"}, {"Nats-Scheduler", "s.plan"}}, 10212);
  js_.Request("s.data", "no schedule");
  refused({{"Nats-Schedule-Next", "purge"}, {"Nats-Scheduler", "s.data"}}, 10212);
  CreateStream(js_, "PLAIN", R"(,"subjects":["p.>"])");
  EXPECT_THAT(js_.Request("p.plan", "", Headers({every, {"Nats-Schedule-Target", "p.o"}})), HasSubstr("\"err_code\":10188"));
  EXPECT_THAT(js_.Request("p.plan", "", Headers({{"Nats-Schedule", "x"}})), HasSubstr("\"err_code\":10188"));
}

}  // namespace
}  // namespace millrace
