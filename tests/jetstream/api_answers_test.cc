// SPDX-License-Identifier: Apache-2.0
// Goal:   each request is answered once: at once, also when it is refused, or when what it asks for has come from the
//         disk; and what is refused is refused as nats-server 2.15.2 does.
// Method: every subject of the API, with bodies that are refused and such that are not, and then the notice that
//         something was loaded; a stream whose messages only the disk has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/jetstream/engine_process.h"
#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

// Sends requests, and counts the answers to each.
class Asker {
 public:
  explicit Asker(EngineHarness& js) : js_(js), client_(js, 1000) { client_.Subscribe("_INBOX.>"); }

  void Ask(std::string_view subject, std::string_view body) {
    const std::string reply = "_INBOX." + std::to_string(asked_.size());
    asked_.push_back(std::string(subject) + " " + std::string(body));
    EXPECT_TRUE(js_.Publish("$JS.API." + std::string(subject), body, reply)) << asked_.back();
  }
  void ExpectOneAnswerEach() {
    for (const EngineHarness::Received& one : client_.Take()) ++answers_[one.subject];
    for (size_t i = 0; i < asked_.size(); ++i) {
      EXPECT_EQ(answers_["_INBOX." + std::to_string(i)], 1) << asked_[i];
    }
  }

 private:
  EngineHarness& js_;
  EngineHarness::Client client_;
  std::vector<std::string> asked_;
  std::map<std::string, int> answers_;
};

constexpr std::string_view kConsumer =
    R"({"stream_name":"S","config":{"durable_name":"c","name":"c","ack_policy":"explicit"}})";
constexpr std::string_view kPinned =
    R"({"stream_name":"S","config":{"durable_name":"p","name":"p","ack_policy":"explicit",)"
    R"("priority_policy":"pinned_client","priority_groups":["g"]}})";

TEST(ApiAnswers, WhatIsAnsweredIsNotAnsweredAgainWhenSomethingWasLoaded) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s"],"allow_direct":true)");
  js.Request("s", "x");
  js.Request("$JS.API.CONSUMER.CREATE.S.c", kConsumer);
  js.Request("$JS.API.CONSUMER.CREATE.S.p", kPinned);
  Asker asker(js);
  const std::pair<std::string_view, std::vector<std::string_view>> requests[] = {
      {"INFO", {""}},
      {"STREAM.CREATE.X", {"", "{", R"({"name":"Y"})", R"({"name":"X","max_consumers":-7})"}},
      {"STREAM.UPDATE.S", {"", "{", R"({"name":"Y"})", R"({"name":"S","subjects":["s"],"storage":"memory"})"}},
      {"STREAM.UPDATE.NONE", {R"({"name":"NONE"})"}},
      {"STREAM.NAMES", {"", "{"}},
      {"STREAM.LIST", {"", "{"}},
      {"STREAM.INFO.S", {"", "{"}},
      {"STREAM.INFO.NONE", {""}},
      {"STREAM.DELETE.S", {"x"}},
      {"STREAM.DELETE.NONE", {""}},
      {"STREAM.PURGE.S", {"{", R"({"seq":1,"keep":1})"}},
      {"STREAM.PURGE.NONE", {""}},
      {"STREAM.SNAPSHOT.S", {"", "{", "{}", R"({"deliver_subject":"a b"})", R"({"deliver_subject":"a.*"})"}},
      {"STREAM.SNAPSHOT.NONE", {R"({"deliver_subject":"a"})"}},
      {"STREAM.RESTORE.S", {"", "{", R"({"config":{"name":"Y"}})", R"({"config":{"name":"S"}})"}},
      {"STREAM.MSG.DELETE.S", {"", "{", R"({"seq":9})"}},
      {"STREAM.MSG.DELETE.NONE", {R"({"seq":1})"}},
      {"STREAM.MSG.GET.S", {"", "{", "{}", R"({"seq":1})", R"({"seq":9})", R"({"seq":1,"last_by_subj":"s"})"}},
      {"STREAM.MSG.GET.NONE", {R"({"seq":1})"}},
      {"CONSUMER.CREATE.S", {"", "{", R"({"stream_name":"Y","config":{}})"}},
      {"CONSUMER.CREATE.S.c", {"", "{", kConsumer}},
      {"CONSUMER.CREATE.NONE", {R"({"stream_name":"NONE","config":{"ack_policy":"none"}})"}},
      {"CONSUMER.DURABLE.CREATE.S.c", {"", "{", kConsumer}},
      {"CONSUMER.NAMES.S", {"", "{"}},
      {"CONSUMER.NAMES.NONE", {""}},
      {"CONSUMER.LIST.S", {"", "{"}},
      {"CONSUMER.LIST.NONE", {""}},
      {"CONSUMER.INFO.S.c", {"", "x"}},
      {"CONSUMER.INFO.S.none", {""}},
      {"CONSUMER.DELETE.S.c", {"x"}},
      {"CONSUMER.DELETE.S.none", {""}},
      {"CONSUMER.PAUSE.S.c", {"", "{"}},
      {"CONSUMER.PAUSE.S.none", {""}},
      {"CONSUMER.UNPIN.S.p", {"", "{", "{}", R"({"group":"a b"})", R"({"group":"h"})", R"({"group":"g"})"}},
      {"CONSUMER.UNPIN.S.none", {R"({"group":"g"})"}},
      {"CONSUMER.RESET.S.c", {"{", "", R"({"seq":1})"}},
      {"DIRECT.GET.S", {"", "{", "{}", R"({"seq":1})", R"({"seq":9})", R"({"seq":1,"last_by_subj":"s"})"}},
      {"DIRECT.GET.S.s", {"", R"({"seq":1})"}},
      {"STREAM.PEER.REMOVE.S", {""}},
      {"STREAM.LEADER.STEPDOWN.S", {""}},
      {"CONSUMER.LEADER.STEPDOWN.S.c", {""}},
  };
  for (const auto& [subject, bodies] : requests) {
    for (const std::string_view body : bodies) asker.Ask(subject, body);
  }
  js.Settle();
  asker.ExpectOneAnswerEach();
  for (int i = 0; i < 2; ++i) {
    js.engine().OnLoaded();
    js.Settle();
    asker.ExpectOneAnswerEach();
  }
}

TEST(ApiAnswers, WhatTheDiskHasIsAnsweredWhenItHasCome) {
  SimDisk disk(1);
  {
    EngineProcess first(disk);
    CreateStream(first.js(), "S", R"(,"subjects":["s.*"],"allow_direct":true)");
    for (int i = 0; i < 40; ++i) first.js().Request("s." + std::to_string(i % 4), std::string(1000, 'x'));
    first.Checkpoint();
  }
  const std::unique_ptr<SimDisk> after = disk.Survivor(1, Survival::kNothing);
  after->set_short_reads(true);  // so that nothing is there at once
  EngineProcess process(*after);
  EngineHarness& js = process.js();
  Asker asker(js);
  asker.Ask("STREAM.MSG.GET.S", R"({"seq":2})");
  asker.Ask("STREAM.MSG.GET.S", R"({"last_by_subj":"s.3"})");
  asker.Ask("DIRECT.GET.S", R"({"seq":3})");
  asker.Ask("DIRECT.GET.S.s.1", "");
  asker.Ask("STREAM.MSG.GET.S", R"({"seq":99})");
  js.Settle();
  asker.ExpectOneAnswerEach();
  EXPECT_THAT(js.Request("$JS.API.STREAM.MSG.GET.S", R"({"seq":20})"), HasSubstr(R"("seq":20)"));
}

// One message as the peer sends it in a batch, without the time.
std::string InBatch(int seq, int pending, int last) {
  return "Nats-Stream: S\r\nNats-Subject: s." + std::to_string((seq - 1) % 3) + "\r\nNats-Sequence: " +
         std::to_string(seq) + "\r\nNats-Num-Pending: " + std::to_string(pending) + "\r\nNats-Last-Sequence: " +
         std::to_string(last) + "\r\n\r\nb" + std::to_string(seq);
}

// What nats-server sends for the same requests about the same stream.
TEST(ApiAnswers, DirectBatchesSayWhatIsLeft) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s.*"],"allow_direct":true)");
  for (int i = 0; i < 5; ++i) js.Request("s." + std::to_string(i % 3), "b" + std::to_string(i + 1));
  const auto end = [](int pending, int last, const std::string& more = "") {
    return "NATS/1.0 204 EOB\r\nNats-Num-Pending: " + std::to_string(pending) + "\r\nNats-Last-Sequence: " +
           std::to_string(last) + "\r\n" + more + "\r\n";
  };
  const std::string up_to = "Nats-UpTo-Sequence: ";
  const struct {
    std::string_view body;
    std::vector<std::string> answers;
  } kCases[] = {
      {R"({"seq":1,"batch":3})", {InBatch(1, 4, 0), InBatch(2, 3, 1), InBatch(3, 2, 2), end(2, 3)}},
      {R"({"seq":4,"batch":9})", {InBatch(4, 1, 0), InBatch(5, 0, 4), end(0, 5)}},
      {R"({"batch":2,"next_by_subj":"s.0"})", {InBatch(1, 1, 0), InBatch(4, 0, 1), end(0, 4)}},
      {R"({"seq":1,"batch":5,"max_bytes":8})", {InBatch(1, 4, 0), InBatch(2, 3, 1), end(3, 2)}},
      {R"({"seq":1,"batch":2,"no_hdr":true})", {"b1", "b2", end(5, 2)}},
      {R"({"multi_last":["s.*"]})",
       {InBatch(3, 2, 0), InBatch(4, 1, 3), InBatch(5, 0, 4), end(0, 5, up_to + "5\r\n")}},
      {R"({"multi_last":["s.*"],"batch":2})", {InBatch(3, 2, 0), InBatch(4, 1, 3), end(1, 4, up_to + "5\r\n")}},
      {R"({"multi_last":["s.*"],"batch":1,"no_hdr":true})", {InBatch(3, 2, 0), end(2, 3, up_to + "5\r\n")}},
      {R"({"multi_last":["s.*"],"up_to_seq":3})",
       {InBatch(1, 2, 0), InBatch(2, 1, 1), InBatch(3, 0, 2), end(0, 3, up_to + "3\r\n")}},
      {R"({"seq":9,"batch":2})", {"NATS/1.0 404 Message Not Found\r\n\r\n"}},
      {R"({"multi_last":["n"]})", {"NATS/1.0 404 No Results\r\n\r\n"}},
  };
  EngineHarness::Client reader(js, 7);
  reader.Subscribe("in");
  for (const auto& one : kCases) {
    js.Publish("$JS.API.DIRECT.GET.S", one.body, "in");
    js.Settle();
    std::vector<std::string> answers;
    for (const EngineHarness::Received& received : reader.Take()) {
      std::string text = received.header + received.body;
      const size_t time = text.find("Nats-Time-Stamp: ");
      if (time != std::string::npos) {
        EXPECT_TRUE(text.starts_with("NATS/1.0\r\nNats-Stream: ")) << text;
        text.erase(time, text.find("\r\n", time) + 2 - time);
        text.erase(0, std::string_view("NATS/1.0\r\n").size());
      }
      answers.push_back(std::move(text));
    }
    EXPECT_EQ(answers, one.answers) << one.body;
  }
}

// The texts are the peer's.
TEST(ApiAnswers, AResetOrUnpinThatIsNoneSaysWhy) {
  EngineHarness js;
  CreateStream(js, "S", R"(,"subjects":["s"])");
  js.Request("$JS.API.CONSUMER.CREATE.S.c", kConsumer);
  js.Request("$JS.API.CONSUMER.CREATE.S.p", kPinned);
  const std::string reset = R"({"type":"io.nats.jetstream.api.v1.consumer_reset_response","error":)";
  const std::string unpin = R"({"type":"io.nats.jetstream.api.v1.consumer_unpin_response","error":)";
  const auto json = [](std::string_view text) {
    return R"({"code":400,"err_code":10025,"description":"invalid JSON: )" + std::string(text) + "\"}";
  };
  const std::string_view end = "unexpected end of JSON input";
  const struct {
    std::string_view subject, body;
    std::string answer;  // its beginning
  } kCases[] = {
      {"RESET.S.c", "{", reset + json(end)},
      {"RESET.S.c", "x", reset + json("invalid character 'x' looking for beginning of value")},
      {"RESET.S.c", R"({"seq":-1})",
       reset + json("json: cannot unmarshal number -1 into Go struct field JSApiConsumerResetRequest.seq of type "
                    "uint64")},
      {"RESET.S.c", R"({"seq":1} x)", reset + json("invalid character 'x' after top-level value")},
      {"UNPIN.S.p", "", unpin + json(end)},
      {"UNPIN.S.p", R"({"group":7})",
       unpin + json("json: cannot unmarshal number into Go struct field JSApiConsumerUnpinRequest.group of type "
                    "string")},
      {"UNPIN.S.p", "{}", unpin + json("consumer group not specified")},
      {"UNPIN.S.p", R"({"group":"a b"})",
       unpin + R"({"code":400,"err_code":10162,"description":"Valid priority group name must match A-Z, a-z, 0-9, )"
               R"(-_/=)+ and may not exceed 16 characters"})"},
      {"UNPIN.S.p", R"({"group":"h"})",
       unpin + R"({"code":400,"err_code":10160,"description":"Provided priority group does not exist for this )"
               R"(consumer"})"},
      {"UNPIN.S.none", R"({"group":"g"})",
       unpin + R"({"code":404,"err_code":10014,"description":"consumer not found"})"},
  };
  for (const auto& one : kCases) {
    EXPECT_THAT(js.Request("$JS.API.CONSUMER." + std::string(one.subject), one.body),
                testing::StartsWith(one.answer)) << one.subject << " " << one.body;
  }
}

// The text names the type of the peer that the request is read into.
TEST(ApiAnswers, ARequestForNamesIsNotOneForAList) {
  EngineHarness js;
  const std::string text = "invalid JSON: json: cannot unmarshal array into Go value of type server.";
  EXPECT_THAT(js.Request("$JS.API.STREAM.NAMES", "[]"), testing::HasSubstr(text + "JSApiStreamNamesRequest\""));
  EXPECT_THAT(js.Request("$JS.API.STREAM.LIST", "[]"), testing::HasSubstr(text + "JSApiStreamListRequest\""));
}

}  // namespace
}  // namespace millrace
