// SPDX-License-Identifier: Apache-2.0
// Goal: what the server says leaves in the turn's own phase, in order, for the account that it is for, on every shard.
// Method: two shards with a real mesh between them; sinks write down what they hear.
#include "broker/system/system_port.h"

#include <gtest/gtest.h>

#include "tests/route/shards.h"

namespace millrace {
namespace {

constexpr AccountId kHere = 7;
constexpr AccountId kElsewhere = 8;

// Answers what it hears from inside of the delivery, when it has been told where.
class Ear final : public Sink {
 public:
  bool Deliver(const Subscription&, const Message& message) override {
    heard += std::string(message.subject) + ">" + std::string(message.reply) + "=" + std::string(message.payload) + " ";
    if (answers != nullptr && !message.reply.empty()) {
      answers->Post({.account = message.account, .subject = std::string(message.reply), .payload = "answer"});
    }
    return true;
  }

  std::string heard;
  SystemPort* answers = nullptr;
};

class SystemPortTest : public ::testing::Test {
 protected:
  SystemPortTest() {
    for (SystemPort* port : {&here_, &there_}) port->set_server(ServerObject({}, {}));
  }
  Subscription* Listen(SystemPort* port, std::string_view filter, Ear* ear) {
    return port->route().Subscribe(kHere, filter, ear);
  }

  Shards shards_{2};
  int64_t wall_ns_ = 1'000'000'000;
  SharedSequence notices_{1};
  SystemPort here_{shards_[0].router, wall_ns_, notices_};
  SystemPort there_{shards_[1].router, wall_ns_, notices_};
};

TEST_F(SystemPortTest, WhatIsPostedLeavesWithFlushInItsOrder) {
  Ear ear;
  Ear other;
  Subscription* const a = Listen(&here_, "a.*", &ear);
  Subscription* const b = Listen(&there_, "a.>", &other);
  shards_.Settle();
  EXPECT_TRUE(here_.HasInterest(kHere, "a.1"));
  EXPECT_FALSE(here_.HasInterest(kElsewhere, "a.1"));
  here_.Post({.account = kHere, .subject = "a.1", .payload = "x"});
  here_.Post({.account = kElsewhere, .subject = "a.1", .payload = "y"});
  here_.Post({.account = kHere, .subject = "a.2", .reply = "r", .payload = "z"});
  EXPECT_EQ(ear.heard, "");
  EXPECT_TRUE(here_.Flush());
  EXPECT_FALSE(here_.Flush());
  EXPECT_EQ(ear.heard, "a.1>=x a.2>r=z ");
  shards_.Settle();
  EXPECT_EQ(other.heard, "a.1>=x a.2>r=z ");
  here_.route().Unsubscribe(a);
  there_.route().Unsubscribe(b);
  shards_.Settle();
  EXPECT_FALSE(here_.HasInterest(kHere, "a.1"));
}

TEST_F(SystemPortTest, AnAnswerIsPostedFromInsideOfTheDelivery) {
  Ear service;
  Ear requestor;
  service.answers = &here_;
  Subscription* const a = Listen(&here_, "ask", &service);
  Subscription* const b = Listen(&here_, "inbox", &requestor);
  here_.Post({.account = kHere, .subject = "ask", .reply = "inbox"});
  EXPECT_TRUE(here_.Flush());
  EXPECT_EQ(requestor.heard, "");
  EXPECT_TRUE(here_.Flush());
  EXPECT_EQ(requestor.heard, "inbox>=answer ");
  here_.route().Unsubscribe(a);
  here_.route().Unsubscribe(b);
  shards_.Settle();
}

TEST_F(SystemPortTest, NoTwoShardsSayTheSameNumber) {
  EXPECT_NE(here_.NextServer().find(R"("seq":2,"time":"1970-01-01T00:00:01Z"})"), std::string::npos);
  EXPECT_NE(there_.NextServer().find(R"("seq":3,)"), std::string::npos);
  EXPECT_NE(here_.NextServer().find(R"("seq":4,)"), std::string::npos);
}

}  // namespace
}  // namespace millrace
