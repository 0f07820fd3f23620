// SPDX-License-Identifier: Apache-2.0
// Goal:   the publisher of a fast batch learns how far it is, what is missing and what was wrong, as nats-server tells
//         it.
// Method: the engine with a clock that the test turns; messages and answers are nats-server's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FastBatches : public ::testing::Test {
 protected:
  FastBatches() {
    inbox_.Subscribe("in.>");
    CreateStream(js_, "F", R"(,"subjects":["f.>"],"allow_batched":true)");
  }
  // All answers to one message.
  std::vector<std::string> Add(std::string_view how, uint64_t seq, int operation, std::string_view header = "",
                               std::string_view subject = "f.1") {
    const std::string numbers = std::to_string(seq) + "." + std::to_string(operation);
    js_.Publish(subject, "x", "in." + std::string(how) + "." + numbers + ".$FI", header);
    js_.Settle();
    std::vector<std::string> answers;
    for (const auto& received : inbox_.Take()) answers.push_back(received.body);
    return answers;
  }

  EngineHarness js_;
  EngineHarness::Client inbox_{js_, 78};
};

TEST_F(FastBatches, AreAnsweredNowAndThen) {
  EXPECT_THAT(Add("id.3.fail", 1, 0), ElementsAre("{\"type\":\"ack\",\"seq\":0,\"msgs\":3}"));
  EXPECT_THAT(Add("id.3.fail", 2, 1), IsEmpty());
  EXPECT_THAT(Add("id.3.fail", 3, 1), ElementsAre("{\"type\":\"ack\",\"seq\":3,\"msgs\":3}"));
  EXPECT_THAT(Add("id.3.fail", 4, 1), IsEmpty());
  EXPECT_THAT(Add("id.3.fail", 4, 4), ElementsAre("{\"type\":\"ack\",\"seq\":3,\"msgs\":3}"));
  EXPECT_THAT(Add("id.3.fail", 5, 2), ElementsAre("{\"stream\":\"F\",\"seq\":5,\"batch\":\"id\",\"count\":5}"));
  EXPECT_THAT(Add("id.3.fail", 6, 1), ElementsAre(HasSubstr("\"err_code\":10208")));
  EXPECT_EQ(StateOf(js_, "F").last_seq, 5u);
  EXPECT_EQ(js_.engine().batch_use().fast, 0u);
}

TEST_F(FastBatches, AreTransformedAsOtherMessagesAre) {
  CreateStream(js_, "T", R"(,"subjects":["in.>"],"allow_batched":true,)"
                         R"("subject_transform":{"src":"in.*","dest":"out.{{wildcard(1)}}"})");
  inbox_.Unsubscribe(inbox_.Subscribe("in.>"));
  js_.Publish("in.a", "x", "reply.id.3.fail.1.0.$FI");
  js_.Publish("in.b.c", "x", "reply.id.3.fail.2.1.$FI");
  js_.Publish("in.b", "x", "reply.id.3.fail.3.2.$FI");
  js_.Settle();
  EXPECT_EQ(At(js_, "T", 1).subject, "out.a");
  EXPECT_EQ(At(js_, "T", 2).subject, "in.b.c");
  EXPECT_EQ(At(js_, "T", 3).subject, "out.b");
}

TEST_F(FastBatches, OneMessageIsABatch) {
  EXPECT_THAT(Add("id.3.fail", 1, 2), ElementsAre("{\"stream\":\"F\",\"seq\":1,\"batch\":\"id\",\"count\":1}"));
}

TEST_F(FastBatches, EndWithAMessageThatIsNotPartOfThem) {
  Add("id.100.fail", 1, 0);
  Add("id.100.fail", 2, 1);
  EXPECT_THAT(Add("id.100.fail", 3, 3), ElementsAre("{\"stream\":\"F\",\"seq\":2,\"batch\":\"id\",\"count\":2}"));
  EXPECT_EQ(StateOf(js_, "F").last_seq, 2u);
}

TEST_F(FastBatches, AGapEndsThemOrDoesNot) {
  Add("id.100.fail", 1, 0);
  EXPECT_THAT(Add("id.100.fail", 4, 1), ElementsAre("{\"type\":\"gap\",\"last_seq\":2,\"seq\":4}",
                                                     "{\"stream\":\"F\",\"seq\":1,\"batch\":\"id\",\"count\":1}"));
  Add("ok.100.ok", 1, 0);
  EXPECT_THAT(Add("ok.100.ok", 4, 1), ElementsAre("{\"type\":\"gap\",\"last_seq\":2,\"seq\":4}"));
  EXPECT_THAT(Add("ok.100.ok", 6, 4), ElementsAre("{\"type\":\"gap\",\"last_seq\":5,\"seq\":7}",
                                                   "{\"type\":\"ack\",\"seq\":0,\"msgs\":100}"));
  EXPECT_THAT(Add("ok.100.ok", 2, 1), ElementsAre("{\"type\":\"gap\",\"last_seq\":7,\"seq\":2}",
                                                   "{\"stream\":\"F\",\"seq\":3,\"batch\":\"ok\",\"count\":6}"));
}

TEST_F(FastBatches, AnErrorEndsThemOrDoesNot) {
  const std::string wrong = Headers({{"Nats-Expected-Last-Sequence", "77"}});
  EXPECT_THAT(Add("id.100.fail", 1, 0, wrong), ElementsAre("{\"type\":\"ack\",\"seq\":0,\"msgs\":100}",
                                                            HasSubstr("\"err_code\":10071")));
  Add("id.100.fail", 1, 0);
  EXPECT_THAT(Add("id.100.fail", 2, 1, wrong),
              ElementsAre("{\"type\":\"err\",\"seq\":2,\"error\":{\"code\":400,\"err_code\":10071,"
                          "\"description\":\"wrong last sequence: 1\"}}",
                          "{\"stream\":\"F\",\"seq\":1,\"batch\":\"id\",\"count\":1}"));
  Add("ok.100.ok", 1, 0);
  EXPECT_THAT(Add("ok.100.ok", 2, 1, wrong), ElementsAre(HasSubstr("\"type\":\"err\",\"seq\":2")));
  EXPECT_THAT(Add("ok.100.ok", 3, 2), ElementsAre("{\"stream\":\"F\",\"seq\":3,\"batch\":\"ok\",\"count\":3}"));
}

TEST_F(FastBatches, DuplicatesAreSkipped) {
  const std::string id = Headers({{"Nats-Msg-Id", "a"}});
  js_.Request("f.1", "x", id);
  EXPECT_THAT(Add("id.1.fail", 1, 0, id), ElementsAre("{\"type\":\"ack\",\"seq\":0,\"msgs\":1}",
                                                       "{\"type\":\"ack\",\"seq\":1,\"msgs\":1}"));
  EXPECT_THAT(Add("id.1.fail", 2, 1), ElementsAre("{\"type\":\"ack\",\"seq\":2,\"msgs\":1}"));
  EXPECT_THAT(Add("one.1.fail", 1, 2, id),
              ElementsAre("{\"type\":\"ack\",\"seq\":1,\"msgs\":1}",
                          "{\"stream\":\"F\",\"seq\":1,\"duplicate\": true,\"batch\":\"one\",\"count\":1}"));
}

TEST_F(FastBatches, AreRefusedAndForgotten) {
  EXPECT_THAT(Add("id.100.maybe", 1, 0), ElementsAre(HasSubstr("\"err_code\":10206")));
  EXPECT_THAT(Add("id.100.ok", 2, 1), ElementsAre(HasSubstr("\"err_code\":10208")));
  EXPECT_THAT(Add(std::string(65, 'i') + ".100.ok", 1, 0), ElementsAre(HasSubstr("\"err_code\":10207")));
  CreateStream(js_, "PLAIN", R"(,"subjects":["plain"])");
  EXPECT_THAT(Add("id.100.ok", 1, 0, "", "plain"), ElementsAre(HasSubstr("\"err_code\":10205")));
  Add("id.100.ok", 1, 0);
  js_.Advance(std::chrono::seconds(11));
  EXPECT_THAT(Add("id.100.ok", 2, 1), ElementsAre(HasSubstr("\"err_code\":10208")));
  for (int i = 0; i < 1000; ++i) Add(std::to_string(i) + ".100.ok", 1, 0);
  EXPECT_THAT(Add("more.100.ok", 1, 0), ElementsAre(HasSubstr("\"err_code\":10211")));
}

TEST_F(FastBatches, SharePaceWithOthers) {
  EXPECT_THAT(Add("a.1000.ok", 1, 0), ElementsAre(HasSubstr("\"msgs\":500")));
  EXPECT_THAT(Add("b.1000.ok", 1, 0),
              ElementsAre(HasSubstr("\"seq\":0,\"msgs\":1"), HasSubstr("\"seq\":1,\"msgs\":2")));
  EXPECT_THAT(Add("b.1000.ok", 2, 1), IsEmpty());
  EXPECT_THAT(Add("b.1000.ok", 3, 1), ElementsAre(HasSubstr("\"seq\":3,\"msgs\":4")));
}

}  // namespace
}  // namespace millrace
