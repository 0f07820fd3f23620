// SPDX-License-Identifier: Apache-2.0
// Goal:   what clients ask of JetStream is answered as nats-server answers it, and nothing is confirmed or delivered
//         before it is durable.
// Method: the engine with a real router, a store without a disk whose durability the test holds back, and a clock that
//         the test turns. Texts are nats-server's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/jetstream/engine_harness.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Create(EngineHarness& js, const std::string& name, const std::string& more = "") {
  return js.Request("$JS.API.STREAM.CREATE." + name, "{\"name\":\"" + name + "\"" + more + "}");
}

// What a consumer ("STREAM.NAME") gives to a client that takes "in".
std::vector<EngineHarness::Received> Pull(EngineHarness& js, EngineHarness::Client* client, const std::string& consumer,
                                          std::string_view request) {
  js.Publish("$JS.API.CONSUMER.MSG.NEXT." + consumer, request, "in");
  js.Settle();
  return client->Take();
}

std::string Header(std::string_view key, std::string_view value) {
  return "NATS/1.0\r\n" + std::string(key) + ": " + std::string(value) + "\r\n\r\n";
}

TEST(Engine, APublishIsConfirmedWithItsSequence) {
  EngineHarness js;
  EXPECT_THAT(Create(js, "ORDERS", ",\"subjects\":[\"orders.*\"]"), HasSubstr("\"did_create\":true"));
  EXPECT_EQ(js.Request("orders.new", "a"), "{\"stream\":\"ORDERS\",\"seq\":1}");
  EXPECT_EQ(js.Request("orders.new", "b"), "{\"stream\":\"ORDERS\",\"seq\":2}");
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.ORDERS", ""), HasSubstr("\"messages\":2"));
  EXPECT_EQ(js.Request("elsewhere", "x"), "no responders");
}

TEST(Engine, NothingIsConfirmedOrDeliveredBeforeItIsDurable) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("deliver");
  js.Request("$JS.API.CONSUMER.CREATE.S",
             R"({"stream_name":"S","config":{"deliver_subject":"deliver","ack_policy":"none"}})");
  reader.Take();
  EngineHarness::Client publisher(js, 8);
  publisher.Subscribe("ack");
  js.store().Hold();
  // The double's logs are of memory: what is held back is what the stream stages by itself.
  js.Publish("s", "x", "ack");
  js.store().Release();
  js.Settle();
  EXPECT_EQ(publisher.Take().size(), 1u);
  EXPECT_EQ(reader.Take().size(), 1u);
}

TEST(Engine, AnAcknowledgementIsConfirmedWhenItIsDurable) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  js.Request("$JS.API.CONSUMER.CREATE.S.c",
             R"({"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}})");
  js.Request("s", "x");
  EngineHarness::Client worker(js, 7);
  worker.Subscribe("jobs");
  worker.Subscribe("confirmed");
  js.Publish("$JS.API.CONSUMER.MSG.NEXT.S.c", "1", "jobs");
  js.Settle();
  const std::vector<EngineHarness::Received> jobs = worker.Take();
  ASSERT_EQ(jobs.size(), 1u);
  js.store().Hold();
  js.Publish(jobs[0].reply, "+ACK", "confirmed");
  js.Settle();
  EXPECT_EQ(worker.Take().size(), 0u);
  js.store().Release();
  js.Settle();
  EXPECT_EQ(worker.Take().size(), 1u);
}

// The flush of one turn is under way while the next turn stages more: there is always something that is not durable.
TEST(Engine, AStreamThatIsPublishedToWithoutAPauseBecomesVisible) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  Stream* stream = js.FindStream("S");
  js.store().Hold();
  constexpr uint64_t kTurnsToDurable = 3;
  const Lsn before = js.store().staged();
  for (uint64_t turn = 1; turn <= 50; ++turn) {
    StoredMessage message;
    message.seq = turn;
    message.subject = "s";
    stream->log().Append(message);
    stream->OnStaged(js.store().UpdateConsumer(0, {}));
    if (turn > kTurnsToDurable) js.store().ReleaseUpTo(before + turn - kTurnsToDurable);
    js.engine().RunTurn();
    ASSERT_EQ(stream->visible_last_seq(), turn > kTurnsToDurable ? turn - kTurnsToDurable : 0);
  }
  js.store().Release();
  js.Settle();
  EXPECT_EQ(js.FindStream("S")->visible_last_seq(), 50u);  // it may have gone to rest meanwhile
}

TEST(Engine, APublishThatBreaksARuleIsToldWhichOne) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s.*\"],\"max_msg_size\":60");
  js.Request("s.1", "a");
  struct Case {
    std::string_view key, value, answer;
  };
  for (const Case& c : {
           Case{"Nats-Expected-Stream", "T", "\"err_code\":10060,\"description\":\"expected stream does not match\""},
           Case{"Nats-Expected-Last-Sequence", "7", "\"err_code\":10071,\"description\":\"wrong last sequence: 1\""},
           Case{"Nats-Expected-Last-Subject-Sequence", "3", "\"description\":\"wrong last sequence: 0\""},
           Case{"Nats-Expected-Last-Msg-Id", "x", "\"err_code\":10070,\"description\":\"wrong last msg ID: \""},
           Case{"Nats-Rollup", "sub", "\"err_code\":10111,\"description\":\"rollup not permitted\""},
           Case{"Nats-TTL", "5s", "\"err_code\":10166,\"description\":\"per-message TTL is disabled\""},
       }) {
    EXPECT_THAT(js.Request("s.2", "x", Header(c.key, c.value)), HasSubstr(std::string(c.answer))) << c.key;
  }
  EXPECT_THAT(js.Request("s.2", std::string(61, 'x')),
              HasSubstr("\"err_code\":10054,\"description\":\"message size exceeds maximum allowed\""));
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.S", ""), HasSubstr("\"messages\":1"));
}

TEST(Engine, TheSameIdWithinTheWindowIsADuplicate) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  EXPECT_EQ(js.Request("s", "a", Header("Nats-Msg-Id", "1")), "{\"stream\":\"S\",\"seq\":1}");
  EXPECT_EQ(js.Request("s", "b", Header("Nats-Msg-Id", "1")), "{\"stream\":\"S\",\"seq\":1,\"duplicate\": true}");
  js.Advance(std::chrono::minutes(3));
  EXPECT_EQ(js.Request("s", "c", Header("Nats-Msg-Id", "1")), "{\"stream\":\"S\",\"seq\":2}");
}

TEST(Engine, LimitsDropTheOldestOrRefuseTheNewest) {
  EngineHarness js;
  Create(js, "OLD", ",\"subjects\":[\"old.*\"],\"max_msgs\":3,\"max_msgs_per_subject\":2");
  for (const char* subject : {"old.a", "old.a", "old.a", "old.b", "old.c"}) js.Request(subject, "x");
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.OLD", R"({"subjects_filter":">"})"),
              HasSubstr("\"subjects\":{\"old.a\":1,\"old.b\":1,\"old.c\":1}"));
  Create(js, "NEW", ",\"subjects\":[\"new\"],\"max_msgs\":1,\"discard\":\"new\"");
  js.Request("new", "x");
  EXPECT_THAT(js.Request("new", "y"), HasSubstr("\"err_code\":10077,\"description\":\"maximum messages exceeded\""));
}

TEST(Engine, MessagesGoWithAge) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"],\"max_age\":1000000000");
  js.Request("s", "a");
  js.Advance(std::chrono::milliseconds(600));
  js.Request("s", "b");
  js.Advance(std::chrono::milliseconds(600));
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.S", ""), HasSubstr("\"messages\":1,\"bytes\":"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.S", ""), HasSubstr("\"first_seq\":2"));
  js.Advance(std::chrono::seconds(1));
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.S", ""), HasSubstr("\"messages\":0,\"bytes\":0,\"first_seq\":3"));
}

TEST(Engine, DirectGetAnswersWithHeaders) {
  EngineHarness js;
  Create(js, "KV_b", ",\"subjects\":[\"$KV.b.>\"],\"allow_direct\":true,\"max_msgs_per_subject\":1");
  js.Request("$KV.b.key", "value");
  EXPECT_THAT(js.Request("$JS.API.DIRECT.GET.KV_b.$KV.b.key", ""),
              StartsWith("NATS/1.0\r\nNats-Stream: KV_b\r\nNats-Subject: $KV.b.key\r\nNats-Sequence: 1\r\n"));
  EXPECT_EQ(js.Request("$JS.API.DIRECT.GET.KV_b.$KV.b.none", ""), "NATS/1.0 404 Message Not Found\r\n\r\n");
  EXPECT_EQ(js.Request("$JS.API.DIRECT.GET.KV_b", ""), "NATS/1.0 408 Empty Request\r\n\r\n");
  EXPECT_EQ(js.Request("$JS.API.DIRECT.GET.none.x", ""), "no responders");
  Create(js, "PLAIN");
  EXPECT_EQ(js.Request("$JS.API.DIRECT.GET.PLAIN", "{\"seq\":1}"), "no responders");
}

TEST(Engine, PullConsumersGetWhatTheyAskFor) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s.*\"]");
  for (int i = 0; i < 5; ++i) js.Request("s." + std::to_string(i), "m" + std::to_string(i));
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.CREATE.S.C",
                         R"({"stream_name":"S","config":{"durable_name":"C","name":"C","ack_policy":"explicit"}})"),
              HasSubstr("\"num_pending\":5"));
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("inbox");
  js.Publish("$JS.API.CONSUMER.MSG.NEXT.S.C", "{\"batch\":3,\"no_wait\":true}", "inbox");
  js.Settle();
  const auto got = reader.Take();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].subject, "s.0");
  EXPECT_THAT(got[0].reply, StartsWith("$JS.ACK.S.C.1.1.1."));
  EXPECT_EQ(got[2].body, "m2");
  for (const auto& message : got) js.Publish(message.reply, "");
  js.Settle();
  const std::string info = js.Request("$JS.API.CONSUMER.INFO.S.C", "");
  EXPECT_THAT(info, HasSubstr("\"num_ack_pending\":0"));
  EXPECT_THAT(info, HasSubstr("\"ack_floor\":{\"consumer_seq\":3,\"stream_seq\":3"));
  EXPECT_EQ(js.Request("$JS.API.CONSUMER.MSG.NEXT.S.NONE", ""), "no responders");
  EXPECT_EQ(js.Request("$JS.ACK.S.NONE.1.1.1.1.0", ""), "no responders");
}

TEST(Engine, AWorkQueueForgetsWhatIsAcknowledged) {
  EngineHarness js;
  Create(js, "W", ",\"subjects\":[\"w\"],\"retention\":\"workqueue\"");
  js.Request("w", "job");
  js.Request("$JS.API.CONSUMER.CREATE.W.C",
             R"({"stream_name":"W","config":{"durable_name":"C","name":"C","ack_policy":"explicit"}})");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("in");
  const auto got = Pull(js, &reader, "W.C", "1");
  ASSERT_EQ(got.size(), 1u);
  js.Publish(got[0].reply, "+ACK");
  js.Settle();
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.W", ""), HasSubstr("\"messages\":0"));
}

TEST(Engine, UnknownNamesAndSubjects) {
  EngineHarness js;
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.NONE", ""),
              HasSubstr("\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}"));
  EXPECT_EQ(js.Request("$JS.API.NONSENSE", ""), "");
  EXPECT_THAT(js.Request("$JS.API.STREAM.LEADER.STEPDOWN.X", ""), HasSubstr("\"err_code\":10010"));
}

// What tests/interop/jetstream_differential.py has found to differ from nats-server 2.15.2, once.

TEST(Engine, ADeletionThatFindsNothingSaysWhere) {
  EngineHarness js;
  Create(js, "F", ",\"subjects\":[\"f\"]");
  Create(js, "M", ",\"subjects\":[\"m\"],\"storage\":\"memory\"");
  for (int i = 0; i < 3; ++i) js.Request("f", "x");
  const auto remove = [&js](std::string_view stream, int seq) {
    return js.Request("$JS.API.STREAM.MSG.DELETE." + std::string(stream), "{\"seq\":" + std::to_string(seq) + "}");
  };
  EXPECT_THAT(remove("F", 0), HasSubstr("\"err_code\":10057,\"description\":\"no message found\""));
  EXPECT_THAT(remove("F", 9), HasSubstr("\"err_code\":10057,\"description\":\"stream store EOF\""));
  EXPECT_THAT(remove("F", 2), HasSubstr("\"success\":true"));
  EXPECT_THAT(remove("F", 2), HasSubstr("\"err_code\":10043,\"description\":\"sequence 2 not found\""));
  EXPECT_THAT(remove("F", 1), HasSubstr("\"success\":true"));
  EXPECT_THAT(remove("F", 1), HasSubstr("\"description\":\"no message found\""));
  EXPECT_THAT(remove("M", 9), HasSubstr("\"err_code\":10043,\"description\":\"sequence 9 not found\""));
  EXPECT_THAT(js.Request("$JS.API.INFO", ""), HasSubstr("\"errors\":0"));
}

// A secure deletion is answered when nothing of the message is left on the disk; nobody else waits for that.
TEST(Engine, ASecureDeletionIsAnsweredWhenTheTextIsGone) {
  EngineHarness js;
  Create(js, "F", ",\"subjects\":[\"f\"]");
  Create(js, "M", ",\"subjects\":[\"m\"],\"storage\":\"memory\"");
  for (int i = 0; i < 4; ++i) js.Request("f", "x");
  js.Request("m", "x");
  js.store().holds_erasures = true;
  EXPECT_EQ(js.Request("$JS.API.STREAM.MSG.DELETE.F", R"({"seq":1})"), "");
  EXPECT_EQ(js.Request("$JS.API.STREAM.MSG.DELETE.F", R"({"seq":2})"), "");
  EXPECT_THAT(js.store().erase_asked, testing::SizeIs(2));
  EXPECT_THAT(js.Request("$JS.API.STREAM.MSG.DELETE.F", R"({"seq":3,"no_erase":true})"), HasSubstr("\"success\":true"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.MSG.DELETE.M", R"({"seq":1})"), HasSubstr("\"success\":true"));
  EXPECT_THAT(js.Request("f", "x"), HasSubstr("\"seq\":5"));
  EXPECT_THAT(js.store().erase_asked, testing::SizeIs(2));
  EngineHarness::Client waiting(js, 77);
  waiting.Subscribe("_INBOX.secure", "1");
  js.Publish("$JS.API.STREAM.MSG.DELETE.F", R"({"seq":4})", "_INBOX.secure");
  js.Settle();
  EXPECT_THAT(waiting.Take(), testing::IsEmpty());
  js.store().holds_erasures = false;
  js.Settle();
  const auto answers = waiting.Take();
  ASSERT_THAT(answers, testing::SizeIs(1));
  EXPECT_THAT(answers[0].body, HasSubstr("\"success\":true"));
}

TEST(Engine, WhatCountsAsARequest) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  js.Request("s", "x");
  js.Request("$JS.API.CONSUMER.CREATE.S.c",
             R"({"stream_name":"S","config":{"durable_name":"c","name":"c","ack_policy":"explicit"}})");
  EXPECT_THAT(js.Request("$JS.API.INFO", ""), HasSubstr("\"total\":2"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.MSG.GET.S", R"({"seq":1})"), HasSubstr("\"seq\":1"));
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.RESET.S.c", R"({"seq":1,"unknown":true})"), HasSubstr("\"reset_seq\":1"));
  EXPECT_THAT(js.Request("$JS.API.INFO", ""), HasSubstr("\"total\":3"));
}

TEST(Engine, ConsumersOfADeletedStreamAreToldOf) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  js.Request("$JS.API.CONSUMER.CREATE.S.c", R"({"stream_name":"S","config":{"name":"c","ack_policy":"explicit"}})");
  EngineHarness::Client listener(js, 7);
  listener.Subscribe("$JS.EVENT.ADVISORY.*.DELETED.>");
  js.Request("$JS.API.STREAM.DELETE.S", "");
  const std::vector<EngineHarness::Received> told = listener.Take();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].subject, "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.c");
  EXPECT_EQ(told[1].subject, "$JS.EVENT.ADVISORY.STREAM.DELETED.S");
}

TEST(Engine, InterestCountsFromItsDayOn) {
  EngineHarness js;
  const auto update = [&js](const std::string& name) {
    return js.Request("$JS.API.STREAM.UPDATE." + name, "{\"name\":\"" + name + "\",\"subjects\":[\"" + name +
                                                           ".*\"],\"retention\":\"interest\"}");
  };
  for (const char* name : {"A", "B"}) {
    Create(js, name, ",\"subjects\":[\"" + std::string(name) + ".*\"]");
    for (int i = 0; i < 3; ++i) js.Request(std::string(name) + ".x", "x");
  }
  js.Request("$JS.API.CONSUMER.CREATE.B.c",
             R"({"stream_name":"B","config":{"name":"c","durable_name":"c","ack_policy":"explicit"}})");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("in");
  const auto got = Pull(js, &reader, "B.c", "1");
  ASSERT_EQ(got.size(), 1u);
  js.Publish(got[0].reply, "+ACK");
  js.Settle();
  EXPECT_THAT(update("A"), HasSubstr("\"messages\":0"));
  EXPECT_THAT(update("B"), HasSubstr("\"messages\":2"));
}

TEST(Engine, AFirstSequenceOfOneIsTold) {
  EngineHarness js;
  EXPECT_THAT(Create(js, "S", ",\"subjects\":[\"s\"],\"first_seq\":1"), HasSubstr("\"first_seq\":1,\"first_ts\""));
  EXPECT_EQ(js.Request("s", "x"), "{\"stream\":\"S\",\"seq\":1}");
  Create(js, "T", ",\"subjects\":[\"t\"]");
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.T", ""), HasSubstr("\"first_seq\":0,\"first_ts\""));
  js.Request("$JS.API.STREAM.PURGE.T", "");
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.T", ""), HasSubstr("\"first_seq\":1,\"first_ts\""));
}

TEST(Engine, APurgeOfOneMessageTerminatesIt) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s.*\"]");
  for (const char* subject : {"s.a", "s.b"}) js.Request(subject, "x");
  js.Request("$JS.API.CONSUMER.CREATE.S.c", R"({"stream_name":"S","config":{"name":"c","ack_policy":"explicit"}})");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("in");
  reader.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>", "2");
  EXPECT_EQ(Pull(js, &reader, "S.c", "2").size(), 2u);
  js.Request("$JS.API.STREAM.PURGE.S", R"({"filter":"s.a"})");
  const std::vector<EngineHarness::Received> told = reader.Take();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0].body, HasSubstr("\"stream_seq\":1,\"deliveries\":1"));
  EXPECT_THAT(told[0].body, HasSubstr("\"reason\":\"Unacknowledged message was deleted\""));
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.INFO.S.c", ""), HasSubstr("\"num_ack_pending\":1"));
}

// The acknowledgement is walked while the consumer asks who listens to the advisory about it.
TEST(Engine, WhoSharesAdvisoriesGetsNoAcknowledgements) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  js.Request("s", "m");
  js.Request("$JS.API.CONSUMER.CREATE.S.C",
             R"({"stream_name":"S","config":{"durable_name":"C","name":"C","ack_policy":"explicit"}})");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("in");
  EngineHarness::Client watcher(js, 8);
  for (const char* advisory : {"MSG_NAKED", "MSG_TERMINATED"})
    watcher.Subscribe(std::string("$JS.EVENT.ADVISORY.CONSUMER.") + advisory + ".S.C", "1", "watchers");
  for (const char* kind : {"-NAK", "+TERM"}) {
    const auto got = Pull(js, &reader, "S.C", "1");
    ASSERT_EQ(got.size(), 1u);
    js.Publish(got[0].reply, kind);
    js.Settle();
    const auto told = watcher.Take();
    ASSERT_EQ(told.size(), 1u) << told.back().body;
    EXPECT_THAT(told[0].body, StartsWith("{\"type\":\"io.nats.jetstream.advisory"));
  }
}

// Streams that take what JetStream itself sends, and answer or send more for it: nothing that is on its way may move.
TEST(Engine, AStreamMayRepublishIntoOneThatRepublishes) {
  EngineHarness js;
  Create(js, "A", R"(,"subjects":["a.*"],"republish":{"src":"a.*","dest":"b.{{wildcard(1)}}"})");
  Create(js, "B", R"(,"subjects":["b.*"],"republish":{"src":"b.*","dest":"c.{{wildcard(1)}}"})");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("c.>");
  constexpr int kMessages = 100;
  const auto body = [](int i) { return std::string(3000, static_cast<char>('a' + i % 26)) + std::to_string(i); };
  for (int i = 0; i < kMessages; ++i) js.Publish("a." + std::to_string(i), body(i));
  js.Settle();
  const auto got = reader.Take();
  ASSERT_EQ(got.size(), size_t{kMessages});
  for (int i = 0; i < kMessages; ++i) {
    EXPECT_EQ(got[static_cast<size_t>(i)].subject, "c." + std::to_string(i));
    ASSERT_EQ(got[static_cast<size_t>(i)].body, body(i)) << i;
  }
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.B", ""), HasSubstr("\"messages\":100"));
}

TEST(Engine, AConsumerMayDeliverIntoItsOwnStream) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s.>\"],\"max_msgs\":12");
  const auto body = [](int i) { return std::string(static_cast<size_t>(700 * i), static_cast<char>('a' + i)); };
  for (int i = 1; i <= 6; ++i) js.Request("s.in." + std::to_string(i), body(i));
  js.Request("$JS.API.CONSUMER.CREATE.S.C",
             R"({"stream_name":"S","config":{"durable_name":"C","name":"C","ack_policy":"explicit",)"
             R"("filter_subject":"s.in.>"}})");
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("s.copy");
  js.Publish("$JS.API.CONSUMER.MSG.NEXT.S.C", "6", "s.copy");
  js.Settle();
  const auto got = reader.Take();
  ASSERT_EQ(got.size(), 6u);
  for (int i = 1; i <= 6; ++i) {
    EXPECT_EQ(got[static_cast<size_t>(i - 1)].subject, "s.in." + std::to_string(i));
    EXPECT_EQ(got[static_cast<size_t>(i - 1)].body, body(i));
    // What was delivered to s.copy is a message on s.in.<i>, and is stored as such.
    StoredMessage message;
    ASSERT_EQ(js.FindStream("S")->log().Load(static_cast<uint64_t>(6 + i), &message), LoadStatus::kFound);
    EXPECT_EQ(message.subject, "s.in." + std::to_string(i));
    EXPECT_EQ(message.payload, body(i));
  }
}

// Nor does the request that is being answered, or those that wait behind it, go away meanwhile.
TEST(Engine, WhatIsDeliveredToTheApiIsNoRequest) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"],\"retention\":\"workqueue\"");
  for (int i = 1; i <= 4; ++i) js.Request("s", "1");
  js.Request("$JS.API.CONSUMER.CREATE.S.C",
             R"({"stream_name":"S","config":{"durable_name":"C","name":"C","ack_policy":"explicit","max_waiting":2}})");
  js.Publish("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":2,"expires":1000000000,"max_bytes":2000})",
             "$JS.API.CONSUMER.MSG.NEXT.S.C");
  js.Publish("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":1,"expires":1000000000})", "$JS.ACK.S.C.1.1.1.1700000000.0");
  js.Settle();
  js.Advance(std::chrono::seconds(2));
  const std::string info = js.Request("$JS.API.CONSUMER.INFO.S.C", "");
  EXPECT_THAT(info, HasSubstr("\"delivered\":{\"consumer_seq\":3,"));
  EXPECT_THAT(info, HasSubstr("\"num_pending\":1"));
  EXPECT_THAT(info, HasSubstr("\"num_waiting\":0"));
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("in");
  EXPECT_EQ(Pull(js, &reader, "S.C", "1").size(), 1u);
}

TEST(Engine, APausedConsumerSaysSoWheneverItIsMadeOrChanged) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  EngineHarness::Client listener(js, 7);
  listener.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.>");
  const auto create = [&](const std::string& more) {
    js.Request("$JS.API.CONSUMER.CREATE.S.c",
               R"({"stream_name":"S","config":{"name":"c","ack_policy":"explicit")" + more + "}}");
    return listener.Take();
  };
  EXPECT_EQ(create(R"(,"pause_until":"2200-01-01T00:00:00Z")").size(), 1u);
  // An update does not end a pause, nor does one that changes nothing.
  for (const std::string& more : {std::string(R"(,"description":"x")"), std::string(R"(,"description":"x")")}) {
    const std::vector<EngineHarness::Received> told = create(more);
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].subject, "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.c");
    EXPECT_THAT(told[0].body, HasSubstr(R"("paused":true,"pause_until":"2200-01-01T00:00:00Z")"));
  }
  js.Request("$JS.API.CONSUMER.PAUSE.S.c", "");
  listener.Take();
  EXPECT_TRUE(create(R"(,"description":"y")").empty());
}

// Each change that releases messages is answered first, however long the disk takes.
TEST(Engine, AnAnswerComesBeforeWhatItReleases) {
  const auto config = [](const std::string& name, const std::string& more) {
    return R"({"stream_name":"S","config":{"ack_policy":"none","name":")" + name + R"(","durable_name":")" + name +
           "\"," + more + "}}";
  };
  const std::string create = "$JS.API.CONSUMER.CREATE.S.";
  struct Step {
    const char* what;
    std::string subject, body;
    size_t messages;
  };
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s.*\"]");
  for (int i = 0; i < 10; ++i) js.Request(i % 2 == 0 ? "s.even" : "s.odd", "m");
  EngineHarness::Client client(js, 7);
  client.Subscribe("to");
  client.Subscribe("answer");
  for (const Step& step : {
           Step{"create", create + "D", config("D", R"("deliver_subject":"elsewhere")"), 0},
           Step{"update", create + "D", config("D", R"("deliver_subject":"to")"), 10},
           Step{"create", create + "C", config("C", R"("deliver_subject":"to","filter_subject":"s.even")"), 5},
           Step{"pause", "$JS.API.CONSUMER.PAUSE.S.C", R"({"pause_until":"2200-01-01T00:00:00Z"})", 0},
           Step{"resume", "$JS.API.CONSUMER.PAUSE.S.C", "", 0},
           Step{"reset", "$JS.API.CONSUMER.RESET.S.C", R"({"seq":1})", 5},
       }) {
    js.store().Hold();
    js.Publish(step.subject, step.body, "answer");
    js.Settle();
    EXPECT_TRUE(client.Take().empty()) << step.what;
    js.store().Release();
    js.Settle();
    const auto got = client.Take();
    ASSERT_EQ(got.size(), 1 + step.messages) << step.what;
    EXPECT_EQ(got[0].subject, "answer") << step.what;
    EXPECT_THAT(got[0].body, Not(HasSubstr("\"error\""))) << step.what;
  }
  // What came during a pause, too.
  js.Request("$JS.API.CONSUMER.PAUSE.S.C", R"({"pause_until":"2200-01-01T00:00:00Z"})");
  js.Request("s.even", "m");
  EXPECT_EQ(client.Take().size(), 1u) << "of D only";
  js.store().Hold();
  js.Publish("$JS.API.CONSUMER.PAUSE.S.C", "", "answer");
  js.Settle();
  EXPECT_TRUE(client.Take().empty());
  js.store().Release();
  js.Settle();
  const auto got = client.Take();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].subject, "answer");
  // A consumer that goes before its answer has left leaves nothing behind.
  js.store().Hold();
  js.Publish(create + "E", config("E", R"("deliver_subject":"to")"), "answer");
  js.Settle();
  js.Publish("$JS.API.CONSUMER.DELETE.S.E", "", "answer");
  js.Settle();
  js.store().Release();
  js.Settle();
  EXPECT_EQ(client.Take().size(), 2u);
}

TEST(Engine, AfterAResumeThereIsNoTimeOfAPause) {
  EngineHarness js;
  Create(js, "S");
  js.Request("$JS.API.CONSUMER.CREATE.S.C", R"({"stream_name":"S","config":{"name":"C","durable_name":"C"}})");
  js.Request("$JS.API.CONSUMER.PAUSE.S.C", R"({"pause_until":"2200-01-01T00:00:00Z"})");
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.INFO.S.C", ""), HasSubstr("\"pause_until\":\"2200"));
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.PAUSE.S.C", ""),
              HasSubstr("\"paused\":false,\"pause_until\":\"0001-01-01T00:00:00Z\""));
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.INFO.S.C", ""), Not(HasSubstr("pause_until")));
  EXPECT_THAT(js.store().consumers.begin()->second, Not(HasSubstr("pause_until")));
}

TEST(Engine, ConsumersInMemoryAreNotStored) {
  EngineHarness js;
  Create(js, "S", ",\"subjects\":[\"s\"]");
  js.Request("s", "m");
  const std::string config = R"({"stream_name":"S","config":{"name":"C","mem_storage":true,"ack_policy":"explicit")";
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.CREATE.S.C", config + "}}"), HasSubstr("\"mem_storage\":true"));
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("in");
  ASSERT_EQ(Pull(js, &reader, "S.C", "1").size(), 1u);
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.CREATE.S.C", config + ",\"description\":\"x\"}}"),
              HasSubstr("\"description\":\"x\""));
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.PAUSE.S.C", R"({"pause_until":"2200-01-01T00:00:00Z"})"),
              HasSubstr("\"paused\":true"));
  EXPECT_TRUE(js.store().consumers.empty());
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.DELETE.S.C", ""), HasSubstr("\"success\":true"));
  // Nor are those of another stream's reader, and asking for a change of one is no fault of ours.
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.CREATE.S.D",
                         R"({"stream_name":"S","config":{"name":"D","direct":true,"ack_policy":"none",)"
                         R"("deliver_subject":"d"}})"),
              HasSubstr("\"name\":\"D\""));
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.PAUSE.S.D", R"({"pause_until":"2200-01-01T00:00:00Z"})"),
              HasSubstr("\"paused\":true"));
  EXPECT_TRUE(js.store().consumers.empty());
}

// What a lower limit, or interest, lets go of takes a while: it is gone, or the next start knows that it is not.
TEST(Engine, AnUpdateThatTheEndCutOffIsFinishedByTheNextStart) {
  const std::string limit = R"("max_msgs_per_subject":2)";
  for (const std::string& change : {limit, std::string(R"("retention":"interest")")}) {
    for (const bool cut_off : {true, false}) {
      EngineHarness::Setting setting;
      uint64_t uid = 0;
      setting.before = [&](VolatileStore& store) {
        Lsn lsn = 0;
        const std::string config = R"( {"name":"S","subjects":["s.*"],"storage":"file",)" + change + "}";
        const std::string record = "1700000000000000000" + std::string(cut_off ? "+" : "") + config;
        StreamLog* log = store.CreateStream(record, {}, &lsn);
        uid = log->uid();
        for (uint64_t seq = 1; seq <= 20; ++seq) {
          const std::string subject = "s." + std::to_string(seq % 4);
          StoredMessage message;
          message.seq = seq;
          message.time_ns = static_cast<int64_t>(seq);
          message.subject = subject;
          log->Append(message);
        }
        RecoveredStream& found = store.recovered().streams.emplace_back();
        found.uid = uid;
        found.config = record;
      };
      EngineHarness js({}, setting);
      js.Settle();
      const uint64_t left = !cut_off ? 20 : change == limit ? 8 : 0;
      EXPECT_EQ(js.FindStream("S")->log().state().messages, left) << change;
      EXPECT_EQ(js.store().configs[uid].find('+'), std::string::npos);
    }
  }
}

TEST(Engine, AnUpdateThatLetsGoIsMarkedUntilItIsDone) {
  EngineHarness js;
  js.Request("$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s"],"max_msgs_per_subject":5})");
  const auto ask = [&](int keep) {
    js.store().config_history.clear();
    return js.Request("$JS.API.STREAM.UPDATE.S", R"({"name":"S","subjects":["s"],"max_msgs_per_subject":)" +
                                                     std::to_string(keep) + "}");
  };
  EXPECT_THAT(ask(6), HasSubstr("\"max_msgs_per_subject\":6"));
  ASSERT_EQ(js.store().config_history.size(), 1u);
  EXPECT_THAT(js.store().config_history[0], Not(HasSubstr("+ {")));
  EXPECT_THAT(ask(4), HasSubstr("\"max_msgs_per_subject\":4"));
  ASSERT_EQ(js.store().config_history.size(), 2u);
  EXPECT_THAT(js.store().config_history[0], HasSubstr("+ {"));
  EXPECT_THAT(js.store().config_history[1], Not(HasSubstr("+ {")));
}

// Stores of before have them.
TEST(Engine, ConsumersInMemoryDoNotSurviveAStart) {
  EngineHarness::Setting setting;
  setting.before = [](VolatileStore& store) {
    Lsn lsn = 0;
    const std::string stream = R"(1700000000000000000 {"name":"S","subjects":["s"],"storage":"file"})";
    const uint64_t uid = store.CreateStream(stream, {}, &lsn)->uid();
    RecoveredStream& found = store.recovered().streams.emplace_back();
    found.uid = uid;
    found.config = stream;
    for (const char* config : {R"({"name":"M","mem_storage":true})", R"({"name":"F"})"}) {
      RecoveredConsumer& consumer = store.recovered().consumers.emplace_back();
      consumer.stream_uid = uid;
      consumer.config = std::string("1700000000000000000 ") + config;
      consumer.uid = store.CreateConsumer(uid, consumer.config, &lsn);
    }
  };
  EngineHarness js({}, setting);
  EXPECT_THAT(js.Request("$JS.API.CONSUMER.NAMES.S", ""), HasSubstr("\"consumers\":[\"F\"]"));
  EXPECT_EQ(js.store().consumers.size(), 1u);
}

}  // namespace
}  // namespace millrace
