// SPDX-License-Identifier: Apache-2.0
// Goal:   of an atomic batch all messages are stored or none, and each way to fail is told as nats-server tells it.
// Method: the engine with a clock that the test turns; answers and advisories are nats-server's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

class AtomicBatches : public ::testing::Test {
 protected:
  AtomicBatches() {
    advisories_.Subscribe("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>");
    CreateStream(js_, "B", R"(,"subjects":["b.>"],"allow_atomic":true,"allow_rollup_hdrs":true,"allow_msg_ttl":true)");
  }
  std::string Add(std::string_view id, int seq, std::string_view subject,
                  std::initializer_list<std::pair<std::string_view, std::string_view>> more = {},
                  std::string_view body = "x") {
    std::string block = Headers({{"Nats-Batch-Id", id}, {"Nats-Batch-Sequence", std::to_string(seq)}});
    block.resize(block.size() - 2);
    for (const auto& [key, value] : more) block += std::string(key) + ": " + std::string(value) + "\r\n";
    return js_.Request(subject, body, block + "\r\n");
  }
  std::string Reason() {
    const auto got = advisories_.Take();
    if (got.empty()) return "";
    const size_t at = got.back().body.find("\"reason\":\"") + 10;
    return got.back().body.substr(at, got.back().body.find('"', at) - at);
  }
  uint64_t last_seq() { return StateOf(js_, "B").last_seq; }

  EngineHarness js_;
  EngineHarness::Client advisories_{js_, 77};
};

TEST_F(AtomicBatches, AreStoredWhenTheyAreCommitted) {
  EXPECT_EQ(Add("id", 1, "b.1"), "");
  EXPECT_EQ(Add("id", 2, "b.2"), "");
  EXPECT_EQ(last_seq(), 0u);
  js_.Request("b.other", "between");
  EXPECT_EQ(Add("id", 3, "b.3", {{"Nats-Batch-Commit", "1"}}),
            "{\"stream\":\"B\",\"seq\":4,\"batch\":\"id\",\"count\":3}");
  EXPECT_EQ(At(js_, "B", 2).subject, "b.1");
  EXPECT_EQ(At(js_, "B", 4).header,
            "NATS/1.0\r\nNats-Batch-Id: id\r\nNats-Batch-Sequence: 3\r\nNats-Batch-Commit: 1\r\n\r\n");
  EXPECT_EQ(Reason(), "");
  EXPECT_EQ(js_.engine().batch_use().atomic, 0u);
  EXPECT_EQ(js_.engine().batch_use().bytes, 0u);
}

TEST_F(AtomicBatches, AreTransformedAsOtherMessagesAre) {
  CreateStream(js_, "T", R"(,"subjects":["in.>"],"allow_atomic":true,"max_msgs_per_subject":1,)"
                         R"("subject_transform":{"src":"in.*","dest":"out.{{wildcard(1)}}"})");
  Add("id", 1, "in.a");
  Add("id", 2, "in.b.c");  // which the transform does not take
  EXPECT_THAT(Add("id", 3, "in.b", {{"Nats-Batch-Commit", "1"}}), HasSubstr("\"count\":3"));
  EXPECT_EQ(At(js_, "T", 1).subject, "out.a");
  EXPECT_EQ(At(js_, "T", 2).subject, "in.b.c");
  EXPECT_EQ(At(js_, "T", 3).subject, "out.b");
  // What is checked is checked of the new subject.
  Add("id", 1, "in.a", {{"Nats-Expected-Last-Subject-Sequence", "1"}});
  EXPECT_THAT(Add("id", 2, "in.x", {{"Nats-Batch-Commit", "1"}}), HasSubstr("\"count\":2"));
  EXPECT_EQ(StateOf(js_, "T").subjects, 4u);
}

TEST_F(AtomicBatches, EndWithAMessageThatIsNotPartOfThem) {
  Add("id", 1, "b.1");
  Add("id", 2, "b.2");
  EXPECT_EQ(Add("id", 3, "b.3", {{"Nats-Batch-Commit", "eob"}}),
            "{\"stream\":\"B\",\"seq\":2,\"batch\":\"id\",\"count\":2}");
  EXPECT_EQ(At(js_, "B", 2).header,
            "NATS/1.0\r\nNats-Batch-Id: id\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Commit: 1\r\n\r\n");
}

TEST_F(AtomicBatches, FailAsAWhole) {
  struct Case {
    std::string_view key, value;
    int code;
  };
  js_.Request("b.old", "x", Headers({{"Nats-Msg-Id", "old"}}));
  for (const Case& c : {Case{"Nats-Expected-Last-Sequence", "7", 10071}, Case{"Nats-Msg-Id", "old", 10201},
                        Case{"Nats-Msg-Id", "twice", 10201}, Case{"Nats-Expected-Last-Msg-Id", "old", 10177},
                        Case{"Nats-Rollup", "all", 10111}, Case{"Nats-Rollup", "sub", 10111},
                        Case{"Nats-Expected-Last-Subject-Sequence", "0", 10164}, Case{"Nats-TTL", "x", 10165},
                        Case{"Nats-Expected-Stream", "T", 10060}, Case{"Nats-Incr", "1", 10168}}) {
    Add("id", 1, "b.1", {{"Nats-Msg-Id", "twice"}});
    EXPECT_THAT(Add("id", 2, "b.1", {{c.key, c.value}, {"Nats-Batch-Commit", "1"}}),
                HasSubstr("\"err_code\":" + std::to_string(c.code)))
        << c.key;
    EXPECT_EQ(last_seq(), 1u);
  }
  EXPECT_EQ(Reason(), "");  // the answer has told it
  // Nothing of those remains.
  Add("id", 1, "b.1", {{"Nats-Msg-Id", "twice"}});
  EXPECT_THAT(Add("id", 2, "b.1", {{"Nats-Batch-Commit", "1"}}), HasSubstr("\"count\":2"));
}

TEST_F(AtomicBatches, ExpectWhatWasThereBefore) {
  js_.Request("b.1", "x");
  Add("id", 1, "b.1", {{"Nats-Expected-Last-Sequence", "1"}, {"Nats-Expected-Last-Subject-Sequence", "1"}});
  Add("id", 2, "b.2", {{"Nats-Expected-Last-Subject-Sequence", "0"}});
  EXPECT_THAT(Add("id", 3, "b.3", {{"Nats-Expected-Last-Sequence", "3"}, {"Nats-Batch-Commit", "1"}}),
              HasSubstr("\"err_code\":10164"));
  Add("id", 1, "b.1", {{"Nats-Expected-Last-Sequence", "1"}, {"Nats-Rollup", "sub"}});
  EXPECT_THAT(Add("id", 2, "b.2", {{"Nats-Expected-Last-Subject-Sequence", "0"}, {"Nats-Batch-Commit", "1"}}),
              HasSubstr("\"seq\":3,\"batch\":\"id\",\"count\":2"));
  EXPECT_EQ(StateOf(js_, "B").messages, 2u);  // rolled up
}

TEST_F(AtomicBatches, AreRefusedAsTheyCome) {
  EXPECT_THAT(Add(std::string(65, 'i'), 1, "b.1"), HasSubstr("\"err_code\":10179"));
  EXPECT_THAT(js_.Request("b.1", "", Headers({{"Nats-Batch-Id", "i"}})), HasSubstr("\"err_code\":10175"));
  EXPECT_THAT(Add("id", 2, "b.1"), HasSubstr("\"err_code\":10176"));
  EXPECT_THAT(Add("id", 1002, "b.1"),
              HasSubstr("\"err_code\":10199,\"description\":\"atomic publish batch is too large: 1000\""));
  EXPECT_EQ(Reason(), "");
  Add("id", 1, "b.1");
  EXPECT_THAT(Add("id", 3, "b.1"), HasSubstr("\"err_code\":10176"));
  EXPECT_EQ(Reason(), "incomplete");
  EXPECT_THAT(Add("id", 1, "b.1", {{"Nats-Batch-Commit", "eob"}}), HasSubstr("\"err_code\":10176"));
  EXPECT_EQ(Reason(), "incomplete");
  EXPECT_THAT(Add("id", 1, "b.1", {{"Nats-Batch-Commit", "yes"}}), HasSubstr("\"err_code\":10200"));
  EXPECT_EQ(Reason(), "");
  EXPECT_THAT(Add("id", 1, "b.1", {{"Nats-Required-Api-Level", "99"}}), HasSubstr("\"err_code\":10185"));
  EXPECT_EQ(Reason(), "unsupported");
  CreateStream(js_, "PLAIN", R"(,"subjects":["plain"])");
  EXPECT_THAT(Add("id", 1, "plain"), HasSubstr("\"err_code\":10174"));
  EXPECT_EQ(js_.engine().batch_use().atomic, 0u);
}

TEST_F(AtomicBatches, AreBounded) {
  for (int i = 1; i <= 1000; ++i) ASSERT_EQ(Add("big", i, "b.1"), "");
  EXPECT_THAT(Add("big", 1001, "b.1", {{"Nats-Batch-Commit", "1"}}), HasSubstr("\"err_code\":10199"));
  EXPECT_EQ(Reason(), "large");
  for (int i = 1; i <= 1000; ++i) ASSERT_EQ(Add("big", i, "b.1"), "");
  EXPECT_THAT(Add("big", 1001, "b.1", {{"Nats-Batch-Commit", "eob"}}), HasSubstr("\"count\":1000"));
  for (int i = 1; i <= 50; ++i) ASSERT_EQ(Add(std::to_string(i), 1, "b.1"), "");
  EXPECT_THAT(Add("51", 1, "b.1"), HasSubstr("\"err_code\":10210"));
  js_.Advance(std::chrono::seconds(9));
  Add("50", 2, "b.1");
  js_.Advance(std::chrono::milliseconds(1100));
  EXPECT_EQ(advisories_.Take().size(), 49u);
  EXPECT_THAT(Add("49", 2, "b.1"), HasSubstr("\"err_code\":10176"));
  EXPECT_THAT(Add("50", 3, "b.1", {{"Nats-Batch-Commit", "1"}}), HasSubstr("\"count\":3"));
}

TEST_F(AtomicBatches, CountWithinTheBatch) {
  CreateStream(js_, "C", R"(,"subjects":["c.>"],"allow_atomic":true,"allow_msg_counter":true)");
  Add("id", 1, "c.a", {{"Nats-Incr", "1"}}, "");
  Add("id", 2, "c.a", {{"Nats-Incr", "2"}}, "");
  EXPECT_EQ(Add("id", 3, "c.b", {{"Nats-Incr", "3"}, {"Nats-Batch-Commit", "1"}}, ""),
            "{\"stream\":\"C\",\"seq\":3,\"batch\":\"id\",\"count\":3}");
  EXPECT_EQ(At(js_, "C", 2).body, "{\"val\":\"3\"}");
  EXPECT_EQ(At(js_, "C", 3).body, "{\"val\":\"3\"}");
}

TEST_F(AtomicBatches, KeepToTheLimitsThatRefuseNewMessages) {
  CreateStream(js_, "N", R"(,"subjects":["n.>"],"allow_atomic":true,"discard":"new","max_msgs":2)");
  Add("id", 1, "n.1");
  Add("id", 2, "n.2");
  EXPECT_THAT(Add("id", 3, "n.3", {{"Nats-Batch-Commit", "1"}}),
              HasSubstr("\"err_code\":10077,\"description\":\"maximum messages exceeded\""));
  EXPECT_EQ(StateOf(js_, "N").last_seq, 0u);
}

TEST_F(AtomicBatches, FillALimitThatRefusesNewMessagesAndNotMore) {
  const struct {
    std::string name, limit, why;
  } kCases[] = {{"M", R"("max_msgs":3)", "maximum messages exceeded"},
                {"Y", R"("max_bytes":1000)", "maximum bytes exceeded"},
                {"P", R"("max_msgs_per_subject":3,"discard_new_per_subject":true)",
                 "maximum messages per subject exceeded"}};
  for (const auto& one : kCases) {
    CreateStream(js_, one.name, R"(,"subjects":[")" + one.name + R"(.*"],"allow_atomic":true,"discard":"new",)" +
                                    one.limit);
    const std::string subject = one.name + ".a";
    const std::string body(200, 'x');  // four of them are more than 1,000 bytes, with their headers
    js_.Request(subject, body);
    Add("id", 1, subject, {}, body);
    Add("id", 2, subject, {}, body);
    EXPECT_THAT(Add("id", 3, subject, {{"Nats-Batch-Commit", "1"}}, body),
                HasSubstr("\"err_code\":10077,\"description\":\"" + one.why + "\""));
    EXPECT_EQ(StateOf(js_, one.name).last_seq, 1u) << one.name;
    Add("id", 1, subject, {}, body);
    EXPECT_THAT(Add("id", 2, subject, {{"Nats-Batch-Commit", "1"}}, body), HasSubstr("\"count\":2")) << one.name;
    EXPECT_EQ(StateOf(js_, one.name).messages, 3u) << one.name;
  }
}

}  // namespace
}  // namespace millrace
