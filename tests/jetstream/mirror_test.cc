// SPDX-License-Identifier: Apache-2.0
// Goal:   mirrors are exact copies, and sources are merged as nats-server merges them: sequences, gaps, headers,
//         starts, what INFO says, what becomes of an origin whose retention waits for readers.
// Method: the engine with a store without a disk and a clock that the test turns. Headers and JSON are nats-server's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/jetstream/api/stream_identity.h"
#include "broker/jetstream/upstream/stream_sources.h"
#include "tests/jetstream/engine_harness.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Create(EngineHarness& js, const std::string& name, const std::string& more) {
  return js.Request("$JS.API.STREAM.CREATE." + name,
                    "{\"name\":\"" + name + "\",\"storage\":\"memory\"," + more + "}");
}

std::string Info(EngineHarness& js, const std::string& name) { return js.Request("$JS.API.STREAM.INFO." + name, ""); }

// "<subject> <body>" of each message by its sequence, "-" for those that are gone.
std::string Content(EngineHarness& js, std::string_view name) {
  StreamLog& log = js.FindStream(name)->log();
  std::string text;
  for (uint64_t seq = log.state().first_seq; seq <= log.state().last_seq; ++seq) {
    StoredMessage message;
    text += std::to_string(seq) + ":";
    if (log.Load(seq, &message) == LoadStatus::kFound) {
      text += std::string(message.subject) + "=" + std::string(message.body());
    } else {
      text += "-";
    }
    text += " ";
  }
  return text;
}

std::string HeaderOf(EngineHarness& js, std::string_view name, uint64_t seq) {
  StoredMessage message;
  if (js.FindStream(name)->log().Load(seq, &message) != LoadStatus::kFound) return "";
  return std::string(message.header());
}

void Fill(EngineHarness& js, int count, const std::string& prefix = "o.") {
  for (int i = 1; i <= count; ++i) js.Publish(prefix + std::to_string(i), std::to_string(i));
  js.Settle();
}

TEST(Mirror, WhatWasPurgedBeforeItCameIsNotCopied) {
  EngineHarness js;
  Create(js, "O", R"("subjects":["o.*"])");
  Create(js, "M", R"("mirror":{"name":"O"})");
  Fill(js, 2);
  EXPECT_THAT(js.Request("$JS.API.STREAM.PURGE.M", R"({"seq":5})"), HasSubstr(R"("purged":2)"));
  Fill(js, 4);
  EXPECT_EQ(Content(js, "M"), "5:o.3=3 6:o.4=4 ");
  Fill(js, 1);
  EXPECT_EQ(Content(js, "M"), "5:o.3=3 6:o.4=4 7:o.1=1 ");
}

TEST(Mirror, CopiesSequencesTimesAndGaps) {
  EngineHarness js;
  Create(js, "O", R"("subjects":["o.*"],"max_msgs":100)");
  Fill(js, 4);
  js.Request("$JS.API.STREAM.MSG.DELETE.O", R"({"seq":1})");
  js.Request("$JS.API.STREAM.MSG.DELETE.O", R"({"seq":3})");
  const int64_t published_ns = js.wall_ns();
  js.Advance(std::chrono::seconds(5));
  EXPECT_THAT(Create(js, "M", R"("mirror":{"name":"O"})"), HasSubstr(R"("mirror":{"name":"O","lag":0,"active":-1})"));
  js.Settle();
  EXPECT_EQ(Content(js, "M"), "2:o.2=2 3:- 4:o.4=4 ");
  EXPECT_EQ(js.FindStream("M")->log().state().last_time_ns, published_ns);
  js.Publish("o.5", "5");
  js.Settle();
  EXPECT_EQ(Content(js, "M"), "2:o.2=2 3:- 4:o.4=4 5:o.5=5 ");
  EXPECT_THAT(Info(js, "M"), HasSubstr(R"("mirror":{"name":"O","lag":0,"active":0})"));
}

TEST(Mirror, WaitsForAnOriginAndGoesOnWithItsSuccessor) {
  EngineHarness js;
  Create(js, "M", R"("mirror":{"name":"O"})");
  EXPECT_THAT(Info(js, "M"), HasSubstr(R"("active":-1,"error":{"code":404,"err_code":10059)"));
  Create(js, "O", R"("subjects":["o.*"])");
  Fill(js, 3);
  EXPECT_EQ(Content(js, "M"), "1:o.1=1 2:o.2=2 3:o.3=3 ");
  EXPECT_THAT(Info(js, "M"), Not(HasSubstr("error")));
  js.Request("$JS.API.STREAM.DELETE.O", "");
  EXPECT_THAT(Info(js, "M"), HasSubstr("10059"));
  Create(js, "O", R"("subjects":["n.*"])");
  Fill(js, 4, "n.");
  // Only what lies behind the mirror's last sequence is new.
  EXPECT_EQ(Content(js, "M"), "1:o.1=1 2:o.2=2 3:o.3=3 4:n.4=4 ");
}

TEST(Mirror, ConnectsWhenItsOriginIsMade) {
  EngineHarness js;
  Create(js, "M", R"("mirror":{"name":"O"})");
  Create(js, "S", R"("sources":[{"name":"O"}])");
  Create(js, "O", R"("subjects":["o.*"],"first_seq":100)");
  js.Settle();
  for (const char* reader : {"M", "S"}) {
    EXPECT_THAT(Info(js, reader), Not(HasSubstr("error")));
    EXPECT_THAT(Info(js, reader), Not(HasSubstr(R"("active":-1)")));
  }
  EXPECT_EQ(js.FindStream("M")->log().state().last_seq, 99u) << "before the first message";
  Fill(js, 1);
  EXPECT_EQ(Content(js, "M"), "100:o.1=1 ");
}

TEST(Mirror, StartsWhereItIsToldAndTakesWhatItsFiltersTake) {
  EngineHarness js;
  Create(js, "O", R"("subjects":["o.*"])");
  Fill(js, 6);
  Create(js, "BYSEQ", R"("mirror":{"name":"O","opt_start_seq":5})");
  Create(js, "FILTER", R"("mirror":{"name":"O","filter_subject":"o.3"})");
  Create(js, "TRANSFORM",
         R"("mirror":{"name":"O","subject_transforms":[{"src":"o.2","dest":"x.2"},{"src":"o.4","dest":""}]})");
  Create(js, "HIGH", R"("mirror":{"name":"O","opt_start_seq":100})");
  js.Settle();
  EXPECT_EQ(Content(js, "BYSEQ"), "5:o.5=5 6:o.6=6 ");
  EXPECT_EQ(Content(js, "FILTER"), "3:o.3=3 ");
  EXPECT_EQ(Content(js, "TRANSFORM"), "2:x.2=2 3:- 4:o.4=4 ");
  EXPECT_EQ(Content(js, "HIGH"), "");
  EXPECT_EQ(js.FindStream("HIGH")->log().state().last_seq, 6u);
}

TEST(Mirror, BecomesAStreamOfItsOwnWhenTheMirrorIsRemoved) {
  EngineHarness js;
  Create(js, "O", R"("subjects":["o.*"])");
  Fill(js, 2);
  Create(js, "M", R"("mirror":{"name":"O"})");
  js.Settle();
  js.Request("$JS.API.STREAM.DELETE.O", "");
  EXPECT_THAT(js.Request("$JS.API.STREAM.UPDATE.M", R"({"name":"M","storage":"memory","subjects":["o.*"]})"),
              Not(HasSubstr("error")));
  EXPECT_EQ(js.Request("o.3", "3"), R"({"stream":"M","seq":3})");
  EXPECT_THAT(Info(js, "M"), Not(HasSubstr("mirror\":{")));
}

TEST(Mirror, AnswersDirectGetsWhenTheOriginIsGone) {
  EngineHarness js;
  Create(js, "O", R"("subjects":["o.*"],"allow_direct":true)");
  Create(js, "M", R"("mirror":{"name":"O"},"mirror_direct":true)");
  Fill(js, 2);
  EXPECT_THAT(js.Request("$JS.API.DIRECT.GET.O.o.2", ""), HasSubstr("Nats-Stream: O\r\n"));
  js.Request("$JS.API.STREAM.DELETE.O", "");
  EXPECT_THAT(js.Request("$JS.API.DIRECT.GET.O.o.2", ""), HasSubstr("Nats-Stream: M\r\n"));
  EXPECT_EQ(js.Request("$JS.API.DIRECT.GET.M.o.2", ""), "no responders");
}

TEST(Mirror, ALongOriginTakesManyTurns) {
  EngineHarness js;
  Create(js, "O", R"("subjects":["o"])");
  for (int i = 0; i < 3000; ++i) js.Publish("o", "x");
  js.Settle();
  js.Publish("$JS.API.STREAM.CREATE.M", R"({"name":"M","storage":"memory","mirror":{"name":"O"}})");
  js.engine().RunTurn();
  EXPECT_EQ(js.FindStream("M")->log().state().messages, 256u);
  js.Settle();
  EXPECT_EQ(js.FindStream("M")->log().state().messages, 3000u);
}

TEST(Sources, AreMergedAndSayWhereTheyComeFrom) {
  EngineHarness js;
  Create(js, "A", R"("subjects":["a.*"])");
  Create(js, "B", R"("subjects":["b.*"])");
  Fill(js, 2, "a.");
  Fill(js, 2, "b.");
  Create(js, "S", R"("subjects":["s"],"sources":[{"name":"A","filter_subject":"a.>"},
      {"name":"B","subject_transforms":[{"src":"b.2","dest":"x.2"}]},{"name":"N"}])");
  js.Settle();
  EXPECT_EQ(Content(js, "S"), "1:a.1=1 2:x.2=2 3:a.2=2 ");
  const std::string a = StreamIdentity(js.FindStream("A")->created_ns());
  const std::string b = StreamIdentity(js.FindStream("B")->created_ns());
  EXPECT_EQ(HeaderOf(js, "S", 1), "NATS/1.0\r\nNats-Stream-Source: A 1 a.> > a.1 " + a + "\r\n\r\n");
  EXPECT_EQ(HeaderOf(js, "S", 2), "NATS/1.0\r\nNats-Stream-Source: B 2 b.2 x.2 b.2 " + b + "\r\n\r\n");
  EXPECT_THAT(Info(js, "S"), HasSubstr(R"({"name":"A","lag":0,"seq":2,"active":0,"filter_subject":"a.\u003e"})"));
  EXPECT_THAT(Info(js, "S"), HasSubstr(R"({"name":"N","lag":0,"active":-1,"error":{"code":404,"err_code":10059)"));
}

TEST(Sources, GoOnBehindTheLastMessageOfTheirOwn) {
  EngineHarness js;
  Create(js, "A", R"("subjects":["a.*"])");
  Fill(js, 3, "a.");
  Create(js, "S", R"("sources":[{"name":"A"}])");
  js.Settle();
  EXPECT_EQ(Content(js, "S"), "1:a.1=1 2:a.2=2 3:a.3=3 ");
  // Removed and added again: its messages tell.
  js.Request("$JS.API.STREAM.UPDATE.S", R"({"name":"S","storage":"memory","subjects":["s"]})");
  js.Publish("a.4", "4");
  js.Request("$JS.API.STREAM.UPDATE.S", R"({"name":"S","storage":"memory","subjects":["s"],"sources":[{"name":"A"}]})");
  js.Settle();
  EXPECT_EQ(Content(js, "S"), "1:a.1=1 2:a.2=2 3:a.3=3 4:a.4=4 ");
  // The origin is another one now: from its beginning.
  js.Advance(std::chrono::seconds(1));
  js.Request("$JS.API.STREAM.DELETE.A", "");
  Create(js, "A", R"("subjects":["a.*"])");
  Fill(js, 1, "a.");
  EXPECT_EQ(Content(js, "S"), "1:a.1=1 2:a.2=2 3:a.3=3 4:a.4=4 5:a.1=1 ");
}

TEST(Sources, TheirRecordIsReadBack) {
  EngineHarness js;
  Create(js, "A", R"("subjects":["a.*"])");
  Fill(js, 3, "a.");
  Create(js, "S", R"("sources":[{"name":"A"},{"name":"A","filter_subject":"a.1"}])");
  js.Settle();
  std::string text;
  js.FindStream("S")->EncodeSources(&text);
  StreamSources::Record record;
  StreamSources::ReadRecord("own 1\n1 x A > >\n" + text, &record);
  EXPECT_EQ(record.own_seq, 4u);
  EXPECT_EQ(record.positions["A > >"].seq, 3u);
  EXPECT_EQ(record.positions["A a.1 >"].seq, 1u);
  EXPECT_EQ(record.positions["A > >"].identity.size(), 8u);
}

TEST(Sources, EmptyAWorkQueueAndWaitForRoom) {
  EngineHarness js;
  Create(js, "Q", R"("subjects":["q.*"],"retention":"workqueue")");
  Fill(js, 4, "q.");
  Create(js, "S", R"("sources":[{"name":"Q"}],"discard":"new","max_msgs":3)");
  js.Settle();
  EXPECT_EQ(js.FindStream("S")->log().state().messages, 3u);
  EXPECT_EQ(Content(js, "Q"), "4:q.4=4 ");
  js.Request("$JS.API.STREAM.MSG.DELETE.S", R"({"seq":1})");
  js.Advance(std::chrono::seconds(2));
  EXPECT_EQ(js.FindStream("S")->log().state().messages, 3u);
  EXPECT_EQ(js.FindStream("Q")->log().state().messages, 0u);
}

TEST(Sources, AreAnInterestInTheirOrigin) {
  EngineHarness js;
  Create(js, "I", R"("subjects":["i.*"],"retention":"interest")");
  js.Publish("i.1", "1");
  js.Settle();
  Create(js, "S", R"("sources":[{"name":"I","filter_subject":"i.2"}])");
  js.Settle();
  js.Publish("i.2", "2");
  js.Publish("i.3", "3");
  js.Settle();
  EXPECT_EQ(Content(js, "S"), "1:i.2=2 ");
  EXPECT_EQ(js.FindStream("I")->log().state().messages, 0u);
  EXPECT_EQ(js.FindStream("I")->log().state().last_seq, 3u);
}

TEST(Sources, ANamedConsumerMustBeOfFlowControl) {
  EngineHarness js;
  Create(js, "A", R"("subjects":["a.*"])");
  Fill(js, 2, "a.");
  Create(js, "S", R"("sources":[{"name":"A","consumer":{"name":"C","deliver_subject":"d"}}])");
  EXPECT_THAT(Info(js, "S"), HasSubstr("10014"));
}

}  // namespace
}  // namespace millrace
