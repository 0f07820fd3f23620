// SPDX-License-Identifier: Apache-2.0
// Goal:   single messages go with their TTL, subjects leave markers, counters count; as at nats-server.
// Method: the engine with a clock that the test turns; headers and answers are nats-server's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kMarker =
    "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1m0s\r\nNats-Rollup: sub\r\n\r\n";

TEST(MessageTtl, EachMessageGoesAtItsOwnTime) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s.*"],"allow_msg_ttl":true)");
  js.Request("s.a", "1", Headers({{"Nats-TTL", "5s"}}));
  js.Request("s.b", "2", Headers({{"Nats-TTL", "2"}}));
  js.Request("s.c", "3");
  js.Request("s.d", "4", Headers({{"Nats-TTL", "1h"}}));
  js.Advance(milliseconds(1900));
  EXPECT_EQ(StateOf(js, "S").messages, 4u);
  js.Advance(milliseconds(200));
  EXPECT_EQ(StateOf(js, "S").messages, 3u);
  EXPECT_EQ(At(js, "S", 2), Kept{});
  js.Advance(seconds(3));
  EXPECT_EQ(StateOf(js, "S").first_seq, 3u);
  js.Advance(std::chrono::hours(1));
  EXPECT_EQ(StateOf(js, "S").messages, 1u);
  EXPECT_EQ(At(js, "S", 3).body, "3");
}

TEST(MessageTtl, NeverIsStrongerThanTheStreamsAge) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s.*"],"allow_msg_ttl":true,"max_age":1000000000)");
  js.Request("s.a", "1", Headers({{"Nats-TTL", "never"}}));
  js.Request("s.b", "2");
  js.Request("s.c", "3", Headers({{"Nats-TTL", "1h"}}));  // the stream's age goes first
  js.Request("s.d", "4", Headers({{"Nats-TTL", "NEVER"}}));
  js.Advance(milliseconds(1100));
  EXPECT_EQ(StateOf(js, "S").messages, 2u);
  js.Request("s.e", "5");
  js.Advance(milliseconds(500));
  EXPECT_EQ(StateOf(js, "S").messages, 3u);
  js.Advance(milliseconds(600));
  EXPECT_EQ(StateOf(js, "S").messages, 2u);
  EXPECT_EQ(At(js, "S", 4).body, "4");
}

TEST(MessageTtl, IsFoundAgainInTheMessages) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s"])");
  const std::string header = Headers({{"Nats-TTL", "2s"}});
  for (int i = 0; i < 10'000; ++i) {
    Inbound in;
    in.subject = "s";
    in.header = header;
    in.sourced = true;  // as from another stream: not refused
    EXPECT_FALSE(js.FindStream("S")->Publish(in));
  }
  js.Advance(seconds(3));
  EXPECT_EQ(StateOf(js, "S").messages, 10'000u);
  EXPECT_THAT(js.Request("$JS.API.STREAM.UPDATE.S", R"({"name":"S","subjects":["s"],"allow_msg_ttl":true})"),
              HasSubstr("\"allow_msg_ttl\":true"));
  for (int i = 0; i < 20; ++i) js.Advance(milliseconds(20));
  EXPECT_EQ(StateOf(js, "S").messages, 0u);
  EXPECT_EQ(StateOf(js, "S").last_seq, 10'000u);
}

TEST(MessageTtl, WrongOnesAreRefused) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s"],"allow_msg_ttl":true)");
  for (const char* ttl : {"500ms", "-1", "x", "-2h", "0"})
    EXPECT_THAT(js.Request("s", "", Headers({{"Nats-TTL", ttl}})), HasSubstr("\"err_code\":10165")) << ttl;
  EXPECT_THAT(js.Request("s", "", Headers({{"Nats-TTL", ""}})), HasSubstr("\"seq\":1"));
}

TEST(Markers, TakeThePlaceOfTheLastMessageOfASubject) {
  EngineHarness js;
  CreateStream(js, "KV", R"(,"subjects":["kv.>"],"max_age":1000000000,"subject_delete_marker_ttl":60000000000,)"
                         R"("allow_msg_ttl":true,"allow_rollup_hdrs":true)");
  js.Request("$JS.API.CONSUMER.CREATE.KV",
             R"({"stream_name":"KV","config":{"deliver_subject":"deliver","ack_policy":"none",)"
             R"("deliver_policy":"new"}})");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("deliver");
  js.Request("kv.a", "1");
  js.Request("kv.a", "2");
  js.Request("kv.b", "3");
  js.Settle();
  reader.Take();
  js.Advance(milliseconds(1100));
  EXPECT_EQ(StateOf(js, "KV").messages, 2u);
  EXPECT_EQ(At(js, "KV", 4), (Kept{"kv.a", std::string(kMarker), ""}));
  EXPECT_EQ(At(js, "KV", 5), (Kept{"kv.b", std::string(kMarker), ""}));
  const auto got = reader.Take();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].subject, "kv.a");
  EXPECT_EQ(got[0].header, kMarker);
  // A marker leaves no marker; here the stream's age ends it, long before its TTL.
  js.Advance(milliseconds(1100));
  EXPECT_EQ(StateOf(js, "KV").messages, 0u);
  EXPECT_EQ(StateOf(js, "KV").last_seq, 5u);
}

TEST(Markers, AlsoFollowATtl) {
  EngineHarness js;
  CreateStream(js, "KV", R"(,"subjects":["kv.>"],"subject_delete_marker_ttl":60000000000,"max_msgs_per_subject":1)");
  js.Request("kv.a", "1", Headers({{"Nats-TTL", "1s"}}));
  js.Request("kv.b", "2", Headers({{"Nats-TTL", "1s"}, {"KV-Operation", "PURGE"}}));
  js.Advance(milliseconds(1100));
  EXPECT_EQ(StateOf(js, "KV").messages, 1u);
  EXPECT_EQ(At(js, "KV", 3), (Kept{"kv.a", std::string(kMarker), ""}));
  js.Advance(seconds(61));
  EXPECT_EQ(StateOf(js, "KV").messages, 0u);
}

TEST(Markers, AreNotOvertakenByAShorterTtl) {
  EngineHarness js;
  CreateStream(js, "KV", R"(,"subjects":["kv.>"],"subject_delete_marker_ttl":60000000000)");
  js.Request("kv.a", "1", Headers({{"Nats-TTL", "1s"}, {"A", "b"}}));
  EXPECT_EQ(At(js, "KV", 1).header, "NATS/1.0\r\nA: b\r\nNats-TTL: 60\r\n\r\n");
}

TEST(Counters, AddUpAndAnswerTheirValue) {
  EngineHarness js;
  CreateStream(js, "C", R"(,"subjects":["c.>"],"allow_msg_counter":true)");
  EXPECT_EQ(js.Request("c.a", "", Headers({{"Nats-Incr", "1"}})), "{\"stream\":\"C\",\"seq\":1,\"val\":\"1\"}");
  EXPECT_EQ(js.Request("c.a", "", Headers({{"Nats-Incr", "+99999999999999999999999"}})),
            "{\"stream\":\"C\",\"seq\":2,\"val\":\"100000000000000000000000\"}");
  EXPECT_EQ(js.Request("c.b", "", Headers({{"Nats-Incr", "-3"}})), "{\"stream\":\"C\",\"seq\":3,\"val\":\"-3\"}");
  EXPECT_EQ(At(js, "C", 2).body, "{\"val\":\"100000000000000000000000\"}");
}

TEST(Counters, RefuseWhatIsNoIncrement) {
  EngineHarness js;
  CreateStream(js, "C", R"(,"subjects":["c.>"],"allow_msg_counter":true)");
  CreateStream(js, "S", R"(,"subjects":["s.>"])");
  const auto error = [&js](std::string_view subject, std::string_view body, const std::string& header, int code) {
    EXPECT_THAT(js.Request(subject, body, header), HasSubstr("\"err_code\":" + std::to_string(code))) << header;
  };
  error("c.a", "", "", 10169);
  error("c.a", "", Headers({{"X", "1"}}), 10169);
  error("c.a", "x", Headers({{"Nats-Incr", "1"}}), 10170);
  error("c.a", "", Headers({{"Nats-Incr", "one"}}), 10171);
  error("c.a", "", Headers({{"Nats-Incr", "1"}, {"Nats-Rollup", "sub"}}), 10171);
  error("c.a", "", Headers({{"Nats-Incr", "1"}, {"Nats-Expected-Last-Sequence", "0"}}), 10171);
  error("s.a", "", Headers({{"Nats-Incr", "1"}}), 10168);
  error("s.a", "", Headers({{"Nats-Incr", "one"}}), 10171);
  EXPECT_EQ(StateOf(js, "C").last_seq, 0u);
}

TEST(Counters, MergeWhatComesFromOtherStreams) {
  EngineHarness js;
  CreateStream(js, "C", R"(,"subjects":["c.>"],"allow_msg_counter":true)");
  js.Request("c.a", "", Headers({{"Nats-Incr", "1"}}));
  const std::string header = Headers({{"Nats-Incr", "5"}, {"Nats-Stream-Source", "ORIGIN 1 > > c.a"}});
  Inbound in;
  in.subject = "c.a";
  in.header = header;
  in.body = "{\"val\":\"7\"}";
  in.sourced = true;
  EXPECT_FALSE(js.FindStream("C")->Publish(in));
  EXPECT_EQ(At(js, "C", 2).body, "{\"val\":\"8\"}");
  EXPECT_THAT(At(js, "C", 2).header, HasSubstr("Nats-Counter-Sources: {\"ORIGIN\":{\"c.a\":\"7\"}}\r\n"));
  in.body = "broken";
  EXPECT_EQ(js.FindStream("C")->Publish(in)->err_code, 10172);
}

TEST(Checks, TheFirstOneThatFailsIsTold) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s.>"],"max_msg_size":1000)");
  const std::pair<std::string_view, std::string_view> fields[] = {
      {"Nats-Incr", "x"}, {"Nats-Expected-Stream", "T"}, {"Nats-TTL", "1s"},
      {"Nats-Expected-Last-Subject-Sequence", "9"}, {"Nats-Expected-Last-Sequence", "8"},
      {"Nats-Schedule", "@at never"}, {"Nats-Schedule-Next", "x"}, {"Nats-Stream-Source", "x"},
      {"Nats-Expected-Last-Msg-Id", "x"}, {"Nats-Rollup", "x"}};
  const int codes[] = {10171, 10060, 10166, 10071, 10071, 10188, 10212, 10227, 10070, 10111};
  for (size_t first = 0; first < std::size(fields); ++first) {
    std::string block = "NATS/1.0\r\n";
    for (size_t i = std::size(fields); i > first; --i)
      block += std::string(fields[i - 1].first) + ": " + std::string(fields[i - 1].second) + "\r\n";
    const std::string code = "\"err_code\":" + std::to_string(codes[first]);
    EXPECT_THAT(js.Request("s.a", "", block + "\r\n"), HasSubstr(code)) << block;
    EXPECT_THAT(js.Request("s.a", std::string(1001, 'x'), block + "\r\n"), HasSubstr("\"err_code\":10054"));
  }
  EXPECT_THAT(js.Request("s.a", "", "NATS/1.0 100 Hello\r\nA: b\r\n\r\n"), HasSubstr("\"seq\":1"));
  EXPECT_EQ(At(js, "S", 1).header, "NATS/1.0\r\nA: b\r\n\r\n");
}

}  // namespace
}  // namespace millrace
